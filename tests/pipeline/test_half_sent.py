"""An attempt that ended half sent is repeated unchanged, whatever was changed meanwhile."""

from __future__ import annotations

import pytest

from nicobar.connectors import NoResponse
from nicobar.model import DeliveryState
from nicobar.reasons import plain
from nicobar.store import AddTransformation
from support.store import run_sql
from support.worker import ENDPOINTS, OK, another_worker, status, the_endpoint, world

OTHER = """function handler(webhook) {
  webhook.payload = ["new", webhook.payload.data.name].map((name) => nicobar.event(name, {}, {once: "other"}));
  return webhook;
}"""
OTHER_CALL = 'function handler(webhook) { webhook.payload = {name: "new"}; return webhook; }'
NO_ANSWER = NoResponse(reason=plain("timed out"), duration_ms=1)


async def publish(it, code: str = OTHER) -> None:
    endpoint = await the_endpoint(it)
    await it.store.change([AddTransformation(endpoint_id=endpoint.id, code=code, created_at_ms=2)])
    await it.worker._configuration.refresh()


async def retried(it) -> tuple[list[dict[str, object]], object]:
    """The items of the next attempt, and its record."""
    it.network.answer = lambda _items: OK
    await it.move(6_000)
    return await it.network.sent.get(), await it.next_recorded()


@pytest.mark.parametrize("answer", [status(503), NO_ANSWER], ids=["503", "none"])
async def test_half_sent_attempt_is_repeated_after_handler_edit(tmp_path, answer):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: answer
        await it.accept("a,b")
        first = await it.network.sent.get()
        await it.next_recorded()
        await publish(it)
        items, recorded = await retried(it)
        assert items == first
        assert (recorded.attempt.transformation_version, recorded.attempt.state) == (1, DeliveryState.SUCCESS)


async def test_half_sent_attempt_is_repeated_by_another_process(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(503)
        await it.accept("a,b")
        first = await it.network.sent.get()
        await it.next_recorded()
        await publish(it)
        async with another_worker(it) as again:
            items, recorded = await retried(again)
            assert (items, recorded.attempt.transformation_version) == (first, 1)


async def test_half_sent_ids_stay_when_corrections_are_changed(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(503)
        await it.accept("a")
        first = await it.network.sent.get()
        await it.next_recorded()
        settings = {**ENDPOINTS["customerio"][0], "correct_event_id": False, "correct_timestamp": False}
        await it.change_endpoint(settings=settings)
        assert (await retried(it))[0] == first


async def test_half_sent_attempt_is_not_repeated_at_another_address(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(503)
        await it.accept("a")
        await it.network.next()
        await it.next_recorded()
        await publish(it)
        await it.change_endpoint(settings={"keep_profile": False, "region": "eu"})
        items, recorded = await retried(it)
        assert [item["name"] for item in items] == ["new", "a"]
        assert recorded.attempt.transformation_version == 2


async def test_signed_calls_are_repeated_with_a_new_signature(tmp_path):
    async with world(tmp_path, kind="http") as it:
        it.network.answer = lambda _items: status(503)
        await it.accept("a")
        first = await it.network.sent.get()
        before = (await it.next_recorded()).attempt.requests[0]
        await publish(it, OTHER_CALL)
        items, recorded = await retried(it)
        (again,) = recorded.attempt.requests
        assert (items, recorded.attempt.transformation_version) == (first, 1)
        assert again.headers["webhook-id"] == before.headers["webhook-id"]
        assert again.headers["webhook-timestamp"] != before.headers["webhook-timestamp"]


async def test_unreadable_half_sent_attempt_runs_the_handler(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(503)
        await it.accept("a")
        await it.network.next()
        await it.next_recorded()
        await it.move(0)
        run_sql(tmp_path, "UPDATE deliveries SET half_sent = X'00'")
        await publish(it)
        items, _ = await retried(it)
        assert [item["name"] for item in items] == ["new", "a"]
