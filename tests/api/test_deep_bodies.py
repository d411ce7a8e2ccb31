"""No operation of the API is broken by JSON that is nested deeply, nor by a handler that returns it."""

from __future__ import annotations

import pytest

from support.api import asking
from support.operations import OPERATIONS, UNKNOWN, ask_each

CODE = "function handler(w) { let x = 1; for (let i = 0; i < LEVELS; i++) x = [x]; w.payload = {x}; return w; }"


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path) as it:
        yield it


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


async def test_every_operation_rejects_deep_bodies(api):
    with_bodies = [operation for operation in OPERATIONS if operation.has_body]
    wrong = {}
    for levels in (201, 980, 100_000):
        body = deep(levels).encode()
        answers = ask_each(api, with_bodies, UNKNOWN, lambda _, body=body: body, content_type="application/json")
        async for operation, answer in answers:
            if answer.status not in {400, 422} or (levels > 201 and answer.body["code"] != "body_too_deep"):
                wrong[operation.id, levels] = (answer.status, answer.body)
    assert wrong == {}
    assert len(with_bodies) > 20


@pytest.mark.parametrize("levels", [150, 190, 900, 980, 985, 990, 1_000])
async def test_values_inside_a_message_are_bounded(api, levels):
    for field in ("payload", "transformationsParams"):
        values = {"eventType": '"made.up"', "payload": "{}", field: deep(levels)}
        body = ",".join(f'"{name}":{value}' for name, value in values.items())
        answer = await api.ask("POST", f"{api.app}/msg", f"{{{body}}}".encode(), content_type="application/json")
        assert (answer.status == 202) is (levels < 200), answer.body
        assert levels < 200 or answer.body["code"] == "body_too_deep"


@pytest.mark.parametrize("levels", [201, 980, 100_000])
async def test_json_inside_a_text_is_bounded(api, levels):
    answer = await api.ask("POST", "/api/v1/event-type/import/openapi", {"specRaw": deep(levels)})
    assert answer.status == 422
    assert "200 levels" in answer.body["detail"][0]["msg"]


@pytest.mark.parametrize("connector", ["customerio", "http"])
async def test_a_dry_run_names_the_limit(api, connector):
    for levels in (199, 200, 988, 992, 1_500, 100_000):
        code = CODE.replace("LEVELS", str(levels))
        body = {"code": code, "eventType": "made.up", "payload": {"type": "made.up"}, "connector": connector}
        answer = await api.ask("POST", "/api/v1/connector/simulate", body)
        assert answer.status == 200, answer.body
        named = "200 levels" in (answer.body["reason"] or "")
        assert (answer.body["code"] == "bad_result", named) == (levels > 199, levels > 199), answer.body["reason"]
