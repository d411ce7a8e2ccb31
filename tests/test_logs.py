"""Exceptions in the logs, in both formats."""

from __future__ import annotations

import json as json_
import logging
from contextlib import suppress

import pytest
import structlog

from nicobar.logs import log, set_up_logs
from nicobar.repeated_lines import MAX_CAUSES, MAX_LINES, PERIOD_S, RepeatedLines


@pytest.fixture(autouse=True)
def put_back():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.mark.parametrize("json", [False, True], ids=["console", "json"])
@pytest.mark.filterwarnings("error")
def test_a_traceback_names_the_place_and_shows_no_variable(capsys, json):
    set_up_logs(json=json, level="info")
    authorization = "Basic c2l0ZTprZXk="
    try:
        raise ValueError("broken on purpose")  # noqa: TRY301 - a traceback with this frame
    except ValueError:
        log.exception("page broken", endpoint_id="ep_1")
    output = capsys.readouterr().err
    assert authorization not in output
    assert "broken on purpose" in output
    assert "test_logs.py" in output
    if json:
        assert json_.loads(output)["endpoint_id"] == "ep_1"


@pytest.mark.parametrize(("level", "shown"), [("info", True), ("error", False)])
def test_the_http_server_logs_only_problems(capsys, level, shown):
    set_up_logs(json=False, level=level)
    server = logging.getLogger("uvicorn.error")
    server.info("Started server process")
    server.warning("Invalid request")
    output = capsys.readouterr().err
    assert ("Started server process" in output, "Invalid request" in output) == (False, shown)


class Sieve:
    """The lines that pass, at a time that the test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.bound = RepeatedLines(lambda: self.now_s)

    def passed(self, count: int, event: str, **values: object) -> list[dict[str, object]]:
        lines = []
        for _ in range(count):
            with suppress(structlog.DropEvent):
                lines.append(self.bound(None, "warning", {"event": event, **values}))
        return lines


def test_a_flood_of_rejected_requests_writes_few_lines():
    sieve = Sieve()
    bad = {"code": "signature_mismatch", "source_id": "src_1"}
    assert len(sieve.passed(1_000, "rejected", **bad)) == MAX_LINES
    assert len(sieve.passed(1, "rejected", **bad | {"source_id": "src_2"})) == 1
    assert len(sieve.passed(1_000, "accepted")) == 1_000
    sieve.now_s = PERIOD_S
    first, second = sieve.passed(2, "rejected", **bad)
    assert first["left_out"] == 1_000 - MAX_LINES
    assert "left_out" not in second


def test_causes_of_repeated_lines_are_bounded():
    sieve = Sieve()
    passed = sum(len(sieve.passed(1, "rejected", source_id=f"src_{number}")) for number in range(2 * MAX_CAUSES))
    assert passed == MAX_CAUSES + MAX_LINES
