"""No operation of the API is broken by JSON that is nested deeply, nor by a handler that returns it."""

from __future__ import annotations

import re

import pytest

from support.api import asking

CODE = "function handler(w) { let x = 1; for (let i = 0; i < LEVELS; i++) x = [x]; w.payload = {x}; return w; }"


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path) as it:
        yield it


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


async def test_every_operation_rejects_deep_bodies(api):
    document = (await api.ask("GET", "/api/v1/openapi.json")).body
    wrong, asked = {}, 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if "requestBody" not in operation:
                continue
            for levels in (201, 980, 100_000):
                asked += 1
                url = re.sub(r"\{\w+\}", "default", path)
                answer = await api.ask(method.upper(), url, deep(levels).encode(), content_type="application/json")
                if answer.status not in {400, 422} or (levels > 201 and answer.body["code"] != "body_too_deep"):
                    wrong[f"{method} {path} {levels}"] = (answer.status, answer.body)
    assert wrong == {}
    assert asked > 60


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
