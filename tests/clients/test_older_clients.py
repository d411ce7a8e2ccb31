"""What the public clients of versions 1.x send and require, request by request. Two versions of one client cannot be
installed side by side, so their names and rules are written down here.
"""

from __future__ import annotations

import pytest

from support.api import asking

HANDLER = "function handler(webhook) { return webhook; }"
# What 1.13 to 1.45 raise KeyError for, and 1.63 to 1.99 ValidationError.
REQUIRED = {
    "application": {"createdAt", "id", "metadata", "name", "updatedAt"},
    "endpoint": {"createdAt", "description", "id", "metadata", "updatedAt", "url", "version"},
    "destination": {"createdAt", "description", "id", "status", "updatedAt", "url", "version"},
    "attempt": {
        *("endpointId", "id", "msgId", "response", "responseDurationMs", "responseStatusCode"),
        *("status", "timestamp", "triggerType", "url"),
    },
    "attempted message": {"eventType", "id", "payload", "status", "timestamp"},
    "access": {"token", "url"},
}
# These fail on a null in an object: `from_dict(None)`.
NEVER_NULL = {"msg", "metadata", "payload"}
ENDPOINT = {"url": "http://127.0.0.1:9/", "description": "", "disabled": False, "version": 1}
PYTHON = "svix-libs/1.45.0/python"


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path, HANDLER) as it:
        await it.ask("POST", "/api/v1/app", {"name": "Acme", "uid": "acme", "rateLimit": None})
        yield it


def check(what, shown):
    assert REQUIRED[what] <= set(shown)
    assert [name for name in NEVER_NULL & set(shown) if shown[name] is None] == []


async def ask(api, method, path, body=None, *, user_agent=PYTHON):
    return await api.ask(method, f"/api/v1/{path}", body, user_agent=user_agent)


async def test_endpoints_have_the_fields_that_older_clients_require(api):
    for method, path in (("POST", "app/acme/endpoint"), ("PUT", "app/acme/endpoint/main")):
        given = ENDPOINT | {"uid": "main" if method == "PUT" else None}
        made = await ask(api, method, path, given | {"filterTypes": ["a.b"], "rateLimit": 7})
        assert made.status == 201
        check("endpoint", made.body)
        assert made.body["version"] == 1
        for older, newer, value in (("filterTypes", "eventTypes", ["a.b"]), ("rateLimit", "throttleRate", 7)):
            assert made.body[older] == made.body[newer] == value
    for item in (await ask(api, "GET", "app/acme/endpoint")).body["data"]:
        check("endpoint", item)
    check("application", (await ask(api, "GET", "app/acme")).body)


@pytest.mark.parametrize("name", ["filterTypes", "eventTypes"])
async def test_a_filter_holds_by_either_name(api, name):
    made = await ask(api, "POST", "app/acme/endpoint", ENDPOINT | {name: ["a.b"], "uid": "main"})
    item = f"app/acme/endpoint/{made.body['id']}"

    async def reached() -> list[str]:
        for event_type in ("a.b", "c.d"):
            message = {"eventType": event_type, "payload": {}, "payloadRetentionPeriod": 90}
            assert (await ask(api, "POST", "app/acme/msg", message)).status == 202
        return [message["eventType"] for message in (await ask(api, "GET", f"{item}/msg")).body["data"]]

    assert await reached() == ["a.b"]
    assert (await ask(api, "PUT", item, ENDPOINT | {name: ["c.d"], "uid": "main"})).body["eventTypes"] == ["c.d"]
    assert await reached() == ["c.d", "a.b"]
    assert (await ask(api, "PATCH", item, {name: None, "version": 1})).body["eventTypes"] is None
    assert await reached() == ["c.d", "a.b", "c.d", "a.b"]


@pytest.mark.parametrize("name", ["rateLimit", "throttleRate"])
async def test_a_rate_is_kept_by_either_name(api, name):
    made = await ask(api, "POST", "app/acme/endpoint", ENDPOINT | {name: 7})
    item = f"app/acme/endpoint/{made.body['id']}"
    assert made.body["throttleRate"] == 7
    assert (await ask(api, "PATCH", item, {"description": "the shop"})).body["throttleRate"] == 7
    assert (await ask(api, "PATCH", item, {name: 9})).body["throttleRate"] == 9
    assert (await ask(api, "PUT", item, ENDPOINT | {name: 8})).body["throttleRate"] == 8
    assert (await ask(api, "PATCH", item, {name: None})).body["throttleRate"] is None


async def test_older_and_newer_names_that_differ_are_rejected(api):
    both = ENDPOINT | {"filterTypes": ["a.b"], "eventTypes": ["c.d"]}
    answer = await ask(api, "POST", "app/acme/endpoint", both)
    assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["body", "filterTypes"])
    same = ENDPOINT | {"filterTypes": ["a.b"], "eventTypes": ["a.b"]}
    assert (await ask(api, "POST", "app/acme/endpoint", same)).status == 201


async def test_metadata_null_is_no_metadata_when_something_is_created(api):
    made = {
        "app": {"name": "Other", "metadata": None},
        "app/acme/endpoint": ENDPOINT | {"metadata": None},
    }
    for path, body in made.items():
        answer = await ask(api, "POST", path, body)
        assert (answer.status, answer.body["metadata"]) == (201, {})
    config = {"secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}
    source = {"name": "shop", "type": "svix", "config": config, "metadata": None}
    answer = await api.ask("POST", "/ingest/api/v1/source", source)
    assert (answer.status, answer.body["metadata"]) == (201, {})


async def test_attempts_and_destinations_have_the_fields_that_older_clients_require(api):
    endpoint = (await ask(api, "POST", "app/acme/endpoint", ENDPOINT)).body["id"]
    message = (await ask(api, "POST", "app/acme/msg", {"eventType": "a.b", "payload": {}})).body["id"]
    await api.nicobar.next_recorded()
    (destination,) = (await ask(api, "GET", f"app/acme/msg/{message}/endpoint")).body["data"]
    check("destination", destination)
    for path in (f"attempt/msg/{message}", f"attempt/endpoint/{endpoint}"):
        (attempt,) = (await ask(api, "GET", f"app/acme/{path}")).body["data"]
        check("attempt", attempt)
        assert "msg" not in attempt
    (attempt,) = (await ask(api, "GET", f"app/acme/attempt/endpoint/{endpoint}?with_msg=true")).body["data"]
    assert attempt["msg"]["id"] == message
    (attempted,) = (await ask(api, "GET", f"app/acme/endpoint/{endpoint}/msg")).body["data"]
    check("attempted message", attempted)


async def test_a_rotated_secret_is_answered_as_each_version_expects(api):
    made = await ask(api, "POST", "app/acme/endpoint", ENDPOINT)
    path = f"app/acme/endpoint/{made.body['id']}/secret"
    older = await ask(api, "POST", f"{path}/rotate", {})
    assert (older.status, older.body) == (204, b"")
    before = (await ask(api, "GET", path)).body["key"]
    newer = await ask(api, "POST", f"{path}/rotate", {}, user_agent="svix-libs/2.9.1/python")
    assert newer.status == 200
    assert newer.body["key"] != before
    assert (await ask(api, "GET", path)).body == newer.body


async def test_the_dashboard_access_of_older_clients_is_a_link(api):
    answer = await ask(api, "POST", "auth/dashboard-access/acme")
    assert answer.status == 200
    check("access", answer.body)
    portal = await api.ask("GET", "/api/v1/app/acme", token=answer.body["token"])
    assert portal.status == 200


async def test_an_import_of_older_clients_can_be_run_dry(api):
    spec = {"openapi": "3.1.0", "info": {}, "webhooks": {"order.placed": {"post": {}}}}
    answer = await ask(api, "POST", "event-type/import/openapi", {"spec": spec, "dry_run": True})
    assert answer.body["data"]["modified"] == []
    assert (await ask(api, "GET", "event-type/order.placed")).status == 404


async def test_health_answers_under_every_name_without_a_token(api):
    for path in ("/api/v1/health", "/api/v1/health/", "/api/v1/health/ping"):
        assert (await api.ask("GET", path, token="")).status == 204
