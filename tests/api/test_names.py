"""A name that an operation does not have is an error, never ignored."""

from __future__ import annotations

import pytest

from support.api import asking
from support.operations import HANDLER, OPERATIONS, ask_each, create_things


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path, HANDLER) as it:
        yield it


async def test_unknown_query_names_are_rejected_by_every_operation(api):
    values = await create_things(api)
    ignored = {
        operation.id: answer.status
        async for operation, answer in ask_each(
            api, OPERATIONS, values, lambda operation: {} if operation.has_body else None, query="dryRum=true"
        )
        if answer.status != 422 or "dryRum" not in str(answer.body)
    }
    assert ignored == {}
    assert (await api.ask("GET", f"{api.app}/msg/{values['msg_id']}")).status == 200


async def test_unknown_body_names_are_rejected_by_every_operation(api):
    values = await create_things(api)
    with_bodies = [operation for operation in OPERATIONS if operation.has_body]
    ignored = {
        operation.id: answer.status
        async for operation, answer in ask_each(
            api, with_bodies, values, lambda operation: operation.example | {"disable": True}
        )
        if answer.status != 422 or "disable" not in str(answer.body)
    }
    assert ignored == {}


async def test_an_unknown_name_comes_with_the_close_and_known_ones(api):
    (endpoint,) = api.nicobar.runtime.configuration.snapshot.endpoints
    path = f"{api.app}/endpoint/{endpoint.id}"
    body = {"since": "2026-11-26T00:00:00Z"}
    answer = await api.ask("POST", f"{path}/bulk-replay?dryrun=true", body)
    assert (answer.status, answer.body["code"]) == (422, "validation")
    assert answer.body["detail"] == [
        {
            "loc": ["query", "dryrun"],
            "msg": 'Unknown query parameter "dryrun". Did you mean "dryRun"? Supported: dryRun, dry_run, new_ids.',
            "type": "unknown_parameter",
        }
    ]
    answer = await api.ask("POST", f"{path}/bulk-replay", {**body, "dryRun": True, "event_type": ["a"]})
    messages = {tuple(item["loc"]): item["msg"] for item in answer.body["detail"]}
    assert "Send it in the query." in messages["body", "dryRun"]
    assert 'Did you mean "eventTypes"?' in messages["body", "event_type"]
    answer = await api.ask("POST", f"{path}/resume?since=2026-11-26T00:00:00Z")
    assert (
        answer.body["detail"][0]["msg"] == 'Unknown query parameter "since". This operation has no query parameters.'
    )


async def test_nested_unknown_names_are_rejected_with_their_place(api):
    body = {"url": "http://127.0.0.1:9/", "connector": {"kind": "http", "settings": {}}}
    answer = await api.ask("POST", f"{api.app}/endpoint", body)
    assert [item["loc"] for item in answer.body["detail"]] == [["body", "connector", "settings"]]
    body = {"url": "http://127.0.0.1:9/", "retrySchedule": [{"secs": 5}, {"secs": 6, "millis": 1}]}
    answer = await api.ask("POST", f"{api.app}/endpoint", body)
    assert [item["loc"] for item in answer.body["detail"]] == [["body", "retrySchedule", "1", "millis"]]
    path = f"/api/v1/auth/app-portal-access/{api.app_id}"
    answer = await api.ask("POST", path, {"application": {"name": "Acme", "metdata": {}}})  # misspelled
    assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["body", "application", "metdata"])  # misspelled


async def test_names_within_free_objects_are_the_callers_own(api):
    body = {"eventType": "a.b", "payload": {"disable": 1}, "transformationsParams": {"any": {"thing": 1}}}
    assert (await api.ask("POST", f"{api.app}/msg", body)).status == 202
    made = await api.ask("POST", "/api/v1/app", {"name": "Acme", "metadata": {"any": "thing"}})
    assert made.status == 201


async def test_a_huge_body_of_unknown_names_gets_a_bounded_answer(api):
    answer = await api.ask("POST", "/api/v1/app", {f"n{number}": 1 for number in range(50_000)} | {"x" * 10_000: 1})
    assert (answer.status, len(answer.body["detail"])) == (422, 20)


async def test_a_repeated_parameter_is_rejected_unless_a_list(api):
    answer = await api.ask("GET", f"{api.app}/msg?limit=1&limit=2")
    assert (answer.status, answer.body["detail"][0]["type"]) == (422, "repeated_parameter")
    for path in ("events", "msg"):
        assert (await api.ask("GET", f"{api.app}/{path}?event_types=a&event_types=b")).status == 200


async def test_event_types_may_be_repeated_or_separated_by_commas(api):
    for event_type in ("a", "b", "c"):
        await api.ask("POST", f"{api.app}/msg", {"eventType": event_type, "payload": {}})

    async def found(query: str) -> list[str]:
        return [item["eventType"] for item in (await api.ask("GET", f"{api.app}/msg?{query}")).body["data"]]

    assert await found("event_types=a&event_types=b") == ["b", "a"]
    assert await found("event_types=a,b") == ["b", "a"]
    assert await found("event_types=a,b&event_types=c") == ["c", "b", "a"]
    answer = await api.ask("GET", f"{api.app}/msg?event_types[]=a")
    assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["query", "event_types[]"])
    assert 'Did you mean "event_types"?' in answer.body["detail"][0]["msg"]


async def test_values_of_unsupported_public_names_are_rejected(api):
    null = {"name": "Acme", "throttleRate": None, "rateLimit": None, "metadata": None}
    assert (await api.ask("POST", "/api/v1/app", null)).status == 201
    answer = await api.ask("POST", "/api/v1/app", {"name": "Acme", "throttleRate": 5})
    assert answer.body["detail"] == [
        {
            "loc": ["body", "throttleRate"],
            "msg": "Nicobar does not support the field throttleRate of the public Svix API. Omit it or send null.",
            "type": "value_error",
        }
    ]
    path = f"/api/v1/auth/app-portal-access/{api.app_id}"
    assert (await api.ask("POST", path, {"capabilities": ["ViewBase"]})).status == 422
    message = {"eventType": "a.b", "payload": {}}
    assert (await api.ask("POST", f"{api.app}/msg", {**message, "payloadRetentionPeriod": 90})).status == 202
    assert (await api.ask("POST", f"{api.app}/msg", {**message, "payloadRetentionPeriod": 1})).status == 422


@pytest.mark.parametrize(
    "wrong",
    [
        {"rawPayload": {"a": 1}},
        {"rawPayload": "<xml/>", "headers": {"content-type": "text/xml\r\nx: y"}},
        {"rawPayload": "<xml/>", "headers": {"content-type": 5}},
        {"rawPayload": "<xml/>", "headers": {"x-shop": "lost"}},
        {"rawPayload": "<xml/>", "headers": "content-type"},
    ],
)
async def test_a_raw_payload_that_cannot_be_sent_is_rejected(api, wrong):
    body = {"eventType": "invoice.paid", "payload": {}, "transformationsParams": wrong}
    answer = await api.ask("POST", f"{api.app}/msg", body)
    assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["body", "transformationsParams", "rawPayload"])
    assert (await api.ask("GET", f"{api.app}/msg")).body["data"] == []
