"""Exceptions in the logs, in both formats."""

from __future__ import annotations

import json as json_
import logging

import pytest
import structlog

from nicobar.logs import log, set_up_logs


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
