"""Alerts are no messages of an application: the API neither lists, counts nor sends them."""

from __future__ import annotations

from nicobar.model import DeliveryState, Scope
from nicobar.pipeline.alert_types import Alert, AlertType
from nicobar.reasons import plain
from nicobar.store.history import MessageFilter
from support.api import asking

HANDLER = 'function handler(webhook) { throw new Error("no"); }'
HTTP = {"url": "http://127.0.0.1:9/hooks"}
SINCE = {"since": "2020-01-01T00:00:00Z"}


async def paused_endpoint(api) -> str:
    """An endpoint that keeps what it gets."""
    endpoint_id = (await api.ask("POST", f"{api.app}/endpoint", HTTP)).body["id"]
    assert (await api.ask("POST", f"{api.app}/endpoint/{endpoint_id}/pause")).status == 204
    return endpoint_id


async def post(api):
    body = {"eventType": "payment.succeeded", "payload": {}}
    message_id = (await api.ask("POST", f"{api.app}/msg", body)).body["id"]
    await api.nicobar.next_recorded()
    return message_id


async def test_without_an_alert_endpoint_a_failure_adds_no_message(tmp_path):
    async with asking(tmp_path, HANDLER) as api:
        message_id = await post(api)
        portal = await api.make_token(scope=Scope.APPLICATION, app_id=api.app_id, portal=True)
        for token in (portal, None):
            for path in ("msg", "events"):
                listed = await api.ask("GET", f"{api.app}/{path}", token=token)
                assert [item["id"] for item in listed.body["data"]] == [message_id]
        new = await paused_endpoint(api)
        path = f"{api.app}/endpoint/{new}/replay-missing?dryRun=true"
        assert (await api.ask("POST", path, SINCE)).body["deliveries"] == 1
        stored = await api.nicobar.runtime.store.messages(api.app_id, MessageFilter(alerts=True), limit=10)
        assert [item.id for item in stored.items] == [message_id]


async def test_an_alert_reaches_its_endpoint_but_not_the_api(tmp_path):
    async with asking(tmp_path, HANDLER, alert_endpoint="ops") as api:
        ops = (await api.ask("POST", f"{api.app}/endpoint", HTTP | {"uid": "ops", "name": "ops"})).body["id"]
        shop = next(
            endpoint for endpoint in api.nicobar.runtime.configuration.snapshot.endpoints if endpoint.id != ops
        )
        runtime = api.nicobar.runtime
        alert = Alert(
            type=AlertType.EXHAUSTED, endpoint=shop, reason=plain("a test"), message_id="msg_1", cause="a test"
        )
        await runtime.alerts.tell(alert)
        ((stored,), other) = (
            (await runtime.store.messages(api.app_id, MessageFilter(alerts=True), limit=10)).items,
            await paused_endpoint(api),
        )
        assert [delivery.endpoint_id for delivery in await runtime.store.deliveries(stored.id)] == [ops]
        portal = await api.make_token(scope=Scope.APPLICATION, app_id=api.app_id, portal=True)
        for token in (portal, None):
            for path in ("msg", "events", f"endpoint/{ops}/msg", f"attempt/endpoint/{ops}", "failure-group"):
                assert (await api.ask("GET", f"{api.app}/{path}", token=token)).body["data"] == [], path
            searched = await api.ask("POST", f"{api.app}/msg/search", {}, token=token)
            assert searched.body["data"] == []
            for key in (stored.id, stored.event_id):
                paths = (f"msg/{key}", f"msg/{key}/raw", f"msg/{key}/endpoint", f"attempt/msg/{key}")
                for path in paths:
                    assert (await api.ask("GET", f"{api.app}/{path}", token=token)).status == 404, path
                resend = f"{api.app}/msg/{key}/endpoint/{other}/resend"
                assert (await api.ask("POST", resend, token=token)).status == 404
        for endpoint_id in (ops, other):
            for name in ("replay-missing", "bulk-replay", "recover"):
                path = f"{api.app}/endpoint/{endpoint_id}/{name}?dryRun=true"
                assert (await api.ask("POST", path, SINCE)).body["deliveries"] == 0
        purge = await api.ask("POST", f"{api.app}/msg/expunge-all-contents?dryRun=true")
        assert purge.body == {"deliveries": 0, "messages": 0}
        assert [delivery.state for delivery in await runtime.store.deliveries(stored.id)] == [DeliveryState.PENDING]
