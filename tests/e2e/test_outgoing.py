"""Deliveries to addresses that are not allowed: nothing leaves, nothing is lost, the operator learns what to do."""

from __future__ import annotations

from nicobar.clock import SystemClock
from nicobar.database import open_store
from nicobar.model import DeliveryState
from support.api import asking
from support.handlers import ORDER_PAID
from support.records import make_endpoint
from support.server import running


async def test_a_rejected_address_puts_the_endpoint_on_hold(tmp_path):
    async with running(tmp_path, ORDER_PAID, allowed_addresses="") as nicobar:
        await nicobar.send_sample("payment.succeeded", "evt_1")
        recorded = await nicobar.next_recorded()
        host = nicobar.emulator.url.removeprefix("http://")
        settings = nicobar.runtime.settings
    async with open_store(settings, SystemClock()) as (store, _):
        (endpoint,) = (await store.snapshot()).endpoints
        (delivery,) = await store.deliveries(recorded.message.id)
    assert endpoint.paused_reason == recorded.attempt.reason
    assert str(recorded.attempt.reason) == (
        "Requests to 127.0.0.1 are blocked: its address is not public. To allow it, add "
        f"{host} to allowed_addresses (NICOBAR_ALLOWED_ADDRESSES={host}) and restart Nicobar."
    )
    assert (delivery.state, delivery.attempts_used) == (DeliveryState.PENDING, 0)
    assert not nicobar.state.requests

    async with running(tmp_path, None) as nicobar:
        runtime = nicobar.runtime
        here = make_endpoint(
            vault=runtime.vault,
            ids=runtime.ids,
            app_id=endpoint.app_id,
            name=endpoint.name,
            kind="customerio",
            settings={"base_url": nicobar.emulator.url},
            credentials={"site_id": "demo-site", "api_key": "demo-key"},
            replaced=endpoint,
        )
        await runtime.store.change([here])
        await runtime.configuration.refresh()
        recorded = await nicobar.next_recorded()
        assert recorded.attempt.state is DeliveryState.SUCCESS
        assert [activity.name for activity in nicobar.state.activities] == ["Order Paid"]


async def test_a_handler_s_rejected_url_fails_only_that_delivery(tmp_path):
    handler = """function handler(webhook) {
      webhook.url = "http://127.0.0.1:9/latest/meta-data";
      webhook.payload = {type: webhook.eventType};
      return webhook;
    }"""
    async with asking(tmp_path, None, allowed_addresses="127.0.0.1:80") as api:
        nicobar = api.nicobar
        made = await api.ask("POST", f"{api.app}/endpoint", {"url": "https://shop.invalid/hooks"})
        path = f"{api.app}/endpoint/{made.body['id']}"
        code = {"code": handler, "enabled": True}
        assert (await api.ask("PATCH", f"{path}/transformation", code)).status == 204
        await nicobar.send_sample("payment.failed", "evt_1")
        recorded = await nicobar.next_recorded()
        endpoint = (await api.ask("GET", path)).body
    assert recorded.attempt.state is DeliveryState.FAILED
    assert str(recorded.attempt.reason) == (
        "Requests to 127.0.0.1 are blocked: its address is not public. To allow it, add 127.0.0.1:9 to "
        "allowed_addresses (NICOBAR_ALLOWED_ADDRESSES=127.0.0.1:9) and restart Nicobar."
    )
    assert endpoint.get("pausedReason") is None
