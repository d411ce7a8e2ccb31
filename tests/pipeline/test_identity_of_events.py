"""Events that do not say who their customer is, at an endpoint whose people are identified by email."""

from __future__ import annotations

import asyncio

import pytest

from nicobar.model import DeliveryState
from nicobar.pipeline.unidentified import LOOK_AGAIN_MS
from support.patience import PATIENCE_S
from support.stated import body_of, rule, stated_message
from support.store import STORES
from support.worker import another_worker, world

ADA = {"customer_id": "cus_1", "email": "Ada@northpine.example", "name": "Ada"}
BY_EMAIL = {"keep_profile": False, "identify_by": "email"}


async def accept(it, name: str, event_type: str, at_ms: int, **data: object) -> str:
    (endpoint,), (source,) = it.snapshot.endpoints, it.snapshot.sources
    new = stated_message(
        f"evt_{name}",
        body_of(event_type, at_ms, name=name, **data),
        message_id=it.ids.new("msg"),
        app_id=endpoint.app_id,
        source_id=source.id,
        rules={endpoint.seq: rule("email")},
        accepted_at_ms=it.clock.now_ms(),
    )
    appended = await it.store.append(new)
    it.worker.wake(new.endpoint_seqs)
    return appended.message_id


async def sent(it) -> list[tuple[str, object]]:
    """The events of the next request, and whose they are."""
    async with asyncio.timeout(PATIENCE_S):
        return [(item["name"], item["identifiers"]) for item in await it.network.sent.get()]


@pytest.mark.parametrize("database", STORES)
async def test_an_event_is_sent_once_a_later_one_says_whose_it_is(tmp_path, database):
    async with world(tmp_path, database=database) as it:
        await it.change_endpoint(settings=BY_EMAIL)
        early = await accept(it, "early", "dunning.started", 1, customer_id="cus_1")
        await it.next_recorded()
        delivery = await it.delivery(early)
        assert (delivery.state, delivery.reason.code) == (DeliveryState.CANCELED, "no_identity")
        (endpoint,) = it.snapshot.endpoints
        assert await it.store.count_unidentified(endpoint.app_id) == {endpoint.id: 1}
        await accept(it, "paid", "payment.succeeded", 2, customer=ADA, payment_id="pay_1")
        found = await sent(it)
        await it.next_recorded()
        if len(found) == 1:  # the other one may be found in time for the same request
            await it.move(LOOK_AGAIN_MS)
            found += await sent(it)
        await it.next_recorded()
        assert found == [(name, {"email": "ada@northpine.example"}) for name in ("paid", "early")]
        assert (await it.delivery(early)).state is DeliveryState.SUCCESS
        assert await it.store.count_unidentified(endpoint.app_id) == {}
        # From now on Nicobar remembers.
        await accept(it, "dispute", "dispute.opened", 3, payment_id="pay_1", dispute_id="dp_1")
        assert await sent(it) == [("dispute", {"email": "ada@northpine.example"})]


async def test_an_event_of_another_type_may_say_it_and_another_worker_sends(tmp_path):
    async with world(tmp_path) as it:
        await it.change_endpoint(settings=BY_EMAIL)
        await accept(it, "early", "dunning.started", 1, customer_id="cus_1")
        await it.next_recorded()
        async with another_worker(it) as again:
            (endpoint,) = again.snapshot.endpoints
            said = stated_message("evt_2", body_of("payment.failed", 2, customer=ADA), endpoints=())
            await again.store.put_facts(endpoint.app_id, said.facts)
            await again.move(LOOK_AGAIN_MS)
            assert await sent(again) == [("early", {"email": "ada@northpine.example"})]


async def test_without_a_rule_an_event_without_address_is_sent_as_before(tmp_path):
    async with world(tmp_path) as it:
        await it.change_endpoint(settings=BY_EMAIL)
        await accept(it, "early", "dunning.started", 1, customer_id="cus_1")
        await it.next_recorded()
        await it.change_endpoint(settings={"keep_profile": False})
        await it.move(LOOK_AGAIN_MS)
        await it.move(LOOK_AGAIN_MS)
        assert await sent(it) == [("early", {"id": "cus_1"})]
