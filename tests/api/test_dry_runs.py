"""With `dryRun` an operation says what it would do, and changes nothing."""

from __future__ import annotations

import asyncio

import pytest

from nicobar.reasons import plain
from nicobar.store import DisableEndpoint, PauseEndpoint
from support.api import asking
from support.patience import PATIENCE_S
from support.server import ADA

PAYLOAD = {"type": "payment.succeeded", "data": {"customer": {"customer_id": ADA.key, "email": ADA.email}}}
HANDLER = "function handler(webhook) { return webhook; }"
SINCE = {"since": "2020-01-01T00:00:00Z"}


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path, HANDLER) as it:
        yield it


@pytest.fixture
def endpoint_id(api):
    return api.nicobar.runtime.configuration.snapshot.endpoints[0].id


async def change(api, *changes):
    await api.nicobar.runtime.store.change(changes)
    await api.nicobar.runtime.configuration.refresh()


async def post(api, count=1, **fields):
    body = {"eventType": "payment.succeeded", "payload": PAYLOAD, **fields}
    return [(await api.ask("POST", f"{api.app}/msg", body)).body["id"] for _ in range(count)]


async def everything(api):
    """All that an operation could change, the audit log included."""
    store = api.nicobar.runtime.store
    snapshot = await store.snapshot()
    found = {}
    for path in (f"{api.app}/msg", "/api/v1/background-task", "/api/v1/audit-log", "/api/v1/auth/token"):
        found[path] = [
            {name: value for name, value in item.items() if name != "lastUsedAt"}
            for item in (await api.ask("GET", path)).body["data"]
        ]
    for entry in found[f"{api.app}/msg"]:
        found[entry["id"]] = await store.deliveries(entry["id"])
    return snapshot, found


@pytest.mark.parametrize("name", ["dryRun", "dry_run"])
async def test_nothing_changes_where_an_operation_is_run_dry(api, endpoint_id, name):
    await change(api, PauseEndpoint(endpoint_id=endpoint_id, reason=plain("a test"), by_hand=True))
    message_id, second_id, _ = await post(api, 3)
    endpoint = f"{api.app}/endpoint/{endpoint_id}"
    message = f"{api.app}/msg/{message_id}"
    (source,) = api.nicobar.runtime.configuration.snapshot.sources
    (token,) = (await api.ask("GET", "/api/v1/auth/token")).body["data"]
    await api.ask("POST", "/api/v1/app", {"name": "Other", "uid": "other"})
    expected = {
        ("POST", f"{endpoint}/cancel-pending"): (None, {"deliveries": 3, "messages": 0}),
        ("POST", f"{message}/endpoint/{endpoint_id}/resend"): (None, {"deliveries": 1, "messages": 0}),
        ("DELETE", f"{message}/content"): (None, {"deliveries": 1, "messages": 1}),
        ("POST", f"{api.app}/msg/bulk-expunge"): (
            {"ids": [message_id, second_id, second_id, "nobody"]},
            {"deliveries": 2, "messages": 2},
        ),
        ("POST", f"{api.app}/msg/expunge-all-contents"): (None, {"deliveries": 3, "messages": 3}),
        ("POST", f"{api.app}/customer/expunge"): ({"key": ADA.key}, {"deliveries": 3, "messages": 3}),
        ("POST", f"{api.app}/msg"): (
            {"eventType": "a.b", "payload": {}, "eventId": "order-7"},
            {"deliveries": 1, "messages": 1},
        ),
        ("POST", f"{endpoint}/send-example"): (
            {"eventType": "payment.succeeded"},
            {"deliveries": 1, "messages": 1},
        ),
        ("DELETE", endpoint): (None, {"deliveries": 3, "messages": 0}),
        ("DELETE", api.app): (None, {"deliveries": 3, "messages": 0}),
        ("DELETE", f"/ingest/api/v1/source/{source.id}"): (None, {"deliveries": 0, "messages": 0}),
        ("DELETE", "/api/v1/event-type/payment.succeeded"): (None, {"deliveries": 0, "messages": 0}),
        ("DELETE", f"/api/v1/auth/token/{token['id']}"): (None, {"deliveries": 0, "messages": 0}),
    }
    before = await everything(api)
    for (method, path), (body, would) in expected.items():
        answer = await api.ask(method, f"{path}?{name}=true", body)
        assert (path, answer.status, answer.body) == (path, 200, would)
    assert await everything(api) == before


@pytest.mark.parametrize("name", ["dryRun", "dry_run"])
@pytest.mark.parametrize("replay", ["recover", "replay-missing", "bulk-replay"])
async def test_both_spellings_keep_a_replay_from_running(api, endpoint_id, name, replay):
    await change(api, PauseEndpoint(endpoint_id=endpoint_id, reason=plain("a test"), by_hand=True))
    await post(api)
    await api.ask("POST", f"{api.app}/endpoint/{endpoint_id}/cancel-pending")
    async with asyncio.timeout(PATIENCE_S):  # it may have been claimed before the pause
        while (await api.ask("GET", f"{api.app}/endpoint/{endpoint_id}/queue")).body["unfinished"]:
            pass
    before = await everything(api)
    answer = await api.ask("POST", f"{api.app}/endpoint/{endpoint_id}/{replay}?{name}=true", SINCE)
    assert (answer.status, answer.body["deliveries"]) == (200, int(replay == "bulk-replay"))
    assert await everything(api) == before


async def test_a_dry_run_shows_who_customers_would_be(api, endpoint_id):
    await change(api, PauseEndpoint(endpoint_id=endpoint_id, reason=plain("a test"), by_hand=True))
    await post(api)
    path = f"{api.app}/endpoint/{endpoint_id}/identity"
    before = await everything(api)
    wanted = {"identifyBy": "metadata.user_id", "identifyFallback": "email"}
    answer = await api.ask("PUT", f"{path}?dryRun=true", wanted)
    assert (answer.status, await everything(api)) == (200, before)
    by_email = {"kind": "email", "value": ADA.email, "origin": "fallback", "reason": None}
    customer = {"customer": ADA.key, "before": None, "after": by_email, "changes": True}
    shown = {"before": None, "after": wanted, "waiting": 1, "customers": [customer], "metadataKeys": []}
    assert answer.body == shown
    assert (await api.ask("PUT", path, {"identifyBy": "email"})).status == 200
    answer = await api.ask("PUT", f"{path}?dryRun=true", wanted | {"identifyFallback": "reject"})
    (customer,) = answer.body["customers"]
    assert customer["before"] == by_email | {"origin": "email"}
    assert (customer["after"]["value"], customer["after"]["reason"] is None) == (None, False)


async def test_spellings_that_differ_change_nothing(api, endpoint_id):
    await post(api)
    path = f"{api.app}/endpoint/{endpoint_id}/bulk-replay?dryRun=false&dry_run=true"
    assert (await api.ask("POST", path, SINCE)).status == 200


@pytest.mark.parametrize("value", ["", "yes please", "2"])
async def test_a_dry_run_that_is_not_clear_is_rejected(api, endpoint_id, value):
    answer = await api.ask("POST", f"{api.app}/endpoint/{endpoint_id}/cancel-pending?dryRun={value}")
    assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["query", "dryRun"])
    assert (await api.ask("POST", f"{api.app}/endpoint/{endpoint_id}/cancel-pending?dryRun")).status == 422


async def test_a_dry_run_is_rejected_like_the_operation(api, endpoint_id):
    (message_id,) = await post(api, eventId="order-7")
    await change(api, PauseEndpoint(endpoint_id=endpoint_id, reason=plain("a test")))
    await post(api)
    (behind,) = await post(api)
    body = {"eventType": "a.b", "payload": {}, "eventId": "order-7"}
    answer = await api.ask("POST", f"{api.app}/msg?dryRun=true", body)
    assert (answer.status, answer.body["code"]) == (409, "event_id_exists")
    resend = f"{api.app}/msg/{behind}/endpoint/{endpoint_id}/resend?dryRun=true"
    assert (await api.ask("POST", resend)).body["code"] == "delivery_behind"
    assert (await api.ask("DELETE", f"{api.app}?dryRun=true")).status == 409
    for path in ("endpoint/nobody", "msg/nobody/content"):
        assert (await api.ask("DELETE", f"{api.app}/{path}?dryRun=true")).status == 404
    await change(api, DisableEndpoint(endpoint_id=endpoint_id, reason=plain("a test")))
    resend = f"{api.app}/msg/{message_id}/endpoint/{endpoint_id}/resend?dryRun=true"
    assert (await api.ask("POST", resend)).status in {202, 409, 200}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("recover", SINCE),
        ("replay-missing", SINCE),
        ("bulk-replay", SINCE),
        ("failure-group/replay", {"failure": "none"}),
        ("send-example", {"eventType": "payment.succeeded"}),
    ],
)
@pytest.mark.parametrize("query", ["", "?dryRun=true"])
async def test_nothing_is_sent_to_a_disabled_endpoint(api, endpoint_id, path, body, query):
    await change(api, DisableEndpoint(endpoint_id=endpoint_id, reason=plain("a test")))
    before = await everything(api)
    answer = await api.ask("POST", f"{api.app}/endpoint/{endpoint_id}/{path}{query}", body)
    assert (answer.status, answer.body["code"]) == (409, "endpoint_disabled")
    assert await everything(api) == before


@pytest.mark.parametrize("query", ["", "?dryRun=true"])
async def test_an_unknown_failure_group_is_404(api, endpoint_id, query):
    path = f"{api.app}/endpoint/{endpoint_id}/failure-group/replay{query}"
    assert (await api.ask("POST", path, {"failure": "none"})).status == 404


@pytest.mark.parametrize("name", ["dryRun", "dry_run"])
async def test_a_dry_run_requested_in_the_body_changes_nothing(api, endpoint_id, name):
    await change(api, PauseEndpoint(endpoint_id=endpoint_id, reason=plain("a test")))
    (message_id,) = await post(api)
    before = await everything(api)
    endpoint = f"{api.app}/endpoint/{endpoint_id}"
    for method, path in (
        ("POST", f"{api.app}/msg/expunge-all-contents"),
        ("POST", f"{endpoint}/cancel-pending"),
        ("POST", f"{api.app}/msg/{message_id}/endpoint/{endpoint_id}/resend"),
        ("DELETE", f"{api.app}/msg/{message_id}/content"),
        ("DELETE", endpoint),
        ("DELETE", api.app),
    ):
        answer = await api.ask(method, path, {name: True})
        assert (path, answer.status, answer.body["detail"][0]["loc"]) == (path, 422, ["body", name])
        assert f'Unknown field "{name}". Send it in the query.' in answer.body["detail"][0]["msg"]
    assert await everything(api) == before


async def test_dry_runs_count_a_failure_group_and_a_canceled_task(tmp_path):
    async with asking(tmp_path, 'function handler(webhook) { throw new Error("no"); }') as api:
        (endpoint,) = api.nicobar.runtime.configuration.snapshot.endpoints
        await post(api)
        await api.nicobar.next_recorded()
        (group,) = (await api.ask("GET", f"{api.app}/failure-group")).body["data"]
        before = await everything(api)
        path = f"{api.app}/endpoint/{endpoint.id}/failure-group/replay?dryRun=true"
        answer = await api.ask("POST", path, {"failure": group["failure"]})
        assert (answer.status, answer.body["deliveries"]) == (200, 1)
        assert await everything(api) == before
        await change(api, PauseEndpoint(endpoint_id=endpoint.id, reason=plain("a test"), by_hand=True))
        task = await api.ask("POST", f"{api.app}/endpoint/{endpoint.id}/recover", SINCE)
        await api.nicobar.runtime.store.work_on_task(task.body["id"], now_ms=0, limit=10)
        before = await everything(api)
        answer = await api.ask("POST", f"/api/v1/background-task/{task.body['id']}/cancel?dryRun=true")
        assert (answer.status, answer.body) == (200, {"deliveries": 1, "messages": 0})
        assert await everything(api) == before
