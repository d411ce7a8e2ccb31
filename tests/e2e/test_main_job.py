"""Signed webhook in, Customer.io out: real HTTP, real database, real sandbox, real emulator."""

from __future__ import annotations

import pytest

from nicobar.emulator.state import State
from nicobar.model import Customer, DeliveryState, Level
from nicobar.store import Claim
from support.handlers import ORDER_PAID, PERSON_STATE, PLAN_LIFE
from support.server import ADA, running


async def test_an_unknown_action_becomes_the_intended_event(tmp_path):
    async with running(tmp_path, ORDER_PAID) as nicobar:
        await nicobar.send_sample("payment.succeeded", "evt_1")
        item = await nicobar.next_recorded()
        assert item.attempt.state is DeliveryState.SUCCESS
        (activity,) = nicobar.state.activities
        assert (activity.person, activity.name) == (ADA.key, "Order Paid")
        assert nicobar.state.find("id", ADA.key).email == ADA.email
        verdicts = {verdict.rule: verdict for verdict in item.attempt.verdicts}
        assert verdicts["action_corrected"].level is Level.CORRECTION
        assert "order_paid" in str(verdicts["action_corrected"].reason)
        assert 'action: "event"' in verdicts["action_corrected"].reason.fix()


async def test_a_subscription_s_life_becomes_two_events_in_order(tmp_path):
    async with running(tmp_path, PLAN_LIFE) as nicobar:
        await nicobar.send_sample("subscription.active", "evt_1")
        await nicobar.send_sample("subscription.cancelled", "evt_2")
        await nicobar.next_recorded()
        await nicobar.next_recorded()
        assert [activity.name for activity in nicobar.state.activities] == ["Plan Begun", "Plan Ended"]


async def test_identify_sets_attributes_and_warns_about_a_name(tmp_path):
    async with running(tmp_path, PERSON_STATE) as nicobar:
        await nicobar.send_sample("payment.succeeded", "evt_1")
        item = await nicobar.next_recorded()
        assert nicobar.state.find("id", ADA.key).attributes == {"email": ADA.email, "paid_with": "card"}
        assert not nicobar.state.activities
        assert [verdict.rule for verdict in item.attempt.verdicts] == ["name_beside_identify"]


async def test_an_event_that_no_branch_handles_is_never_posted_raw(tmp_path):
    async with running(tmp_path, ORDER_PAID) as nicobar:
        await nicobar.send_sample("payment.failed", "evt_1")
        item = await nicobar.next_recorded()
        assert (item.attempt.state, str(item.attempt.reason)) == (DeliveryState.CANCELED, "not handled")
        assert not nicobar.state.requests


async def test_secrets_appear_in_no_attempt(tmp_path):
    async with running(tmp_path, ORDER_PAID) as nicobar:
        await nicobar.send_sample("payment.succeeded", "evt_1")
        item = await nicobar.next_recorded()
        assert item.attempt.requests[0].headers["authorization"] == "***"
        assert "demo-key" not in repr(item.attempt)


async def test_a_rejected_item_of_a_batch_fails_alone(tmp_path):
    handler = """function handler(w) {
      const id = w.payload.data.customer.customer_id;
      w.url = w.url.replace("entity", "batch");
      w.payload = {batch: [{type: "person", action: "event", name: "Seen", identifiers: {id}},
        {type: "person", action: "event", name: "Seen again", identifiers: {id}}]};
      if (id === "cus_bad") w.payload.batch[1].attributes = {_: "x".repeat(33000)};
      return w; }"""
    async with running(tmp_path, handler) as nicobar:
        for key in ("cus_a", "cus_bad", "cus_b"):
            await nicobar.send_sample("payment.succeeded", key, Customer(key=key, email=f"{key}@shop.example"))
        states = {}
        for _ in range(3):
            item = await nicobar.next_recorded()
            states[item.message.customer_key] = item.attempt.state
        assert states == {
            "cus_a": DeliveryState.SUCCESS,
            "cus_bad": DeliveryState.FAILED,
            "cus_b": DeliveryState.SUCCESS,
        }


async def test_a_repeated_webhook_adds_nothing(tmp_path):
    async with running(tmp_path, ORDER_PAID) as nicobar:
        await nicobar.send_sample("payment.succeeded", "evt_1")
        await nicobar.send_sample("payment.succeeded", "evt_1")
        await nicobar.send_sample("payment.succeeded", "evt_2")
        await nicobar.next_recorded()
        await nicobar.next_recorded()
        assert len(nicobar.state.activities) == 2
        assert nicobar.recorded.empty()


@pytest.mark.parametrize("status", [500, 503, 429, 408])
async def test_an_outage_is_waited_out_and_recorded_with_its_reason(tmp_path, status):
    async with running(tmp_path, ORDER_PAID) as nicobar:
        async with nicobar.http.put(f"{nicobar.emulator.url}/emulator/faults", json={"status": status}) as answer:
            assert answer.status == 200
        await nicobar.send_sample("payment.succeeded", "evt_1")
        item = await nicobar.next_recorded()
        assert item.attempt.state is DeliveryState.PENDING
        assert str(status) in str(item.attempt.reason)
        (delivery,) = await nicobar.runtime.store.deliveries(item.message.id)
        assert delivery.attempts_used == (0 if status == 429 else 1), "throttling is no failure of the event"
        assert delivery.due_at_ms is not None


async def test_rejected_credentials_pause_the_endpoint_and_lose_nothing(tmp_path):
    async with running(tmp_path, ORDER_PAID, state=State(api_key="another")) as nicobar:
        await nicobar.send_sample("payment.succeeded", "evt_1")
        item = await nicobar.next_recorded()
        assert item.attempt.state is DeliveryState.PENDING
        (delivery,) = await nicobar.runtime.store.deliveries(item.message.id)
        assert delivery.attempts_used == 0
        assert "credentials" in str(item.attempt.reason)


async def test_a_later_process_finishes_an_earlier_one_s_work(tmp_path):
    state = State()
    async with running(tmp_path, ORDER_PAID, state=state) as nicobar:
        async with nicobar.http.put(f"{nicobar.emulator.url}/emulator/faults", json={"status": 500}):
            pass
        _, answer = await nicobar.send_sample("payment.succeeded", "evt_1")
        await nicobar.next_recorded()
        # As a killed process leaves it: claimed, but never recorded.
        store = nicobar.runtime.store
        (endpoint,) = nicobar.runtime.configuration.snapshot.endpoints
        later_ms = nicobar.runtime.clock.now_ms() + 3_600_000
        lane = nicobar.runtime.worker._lanes[endpoint.seq]
        bounds = {"now_ms": later_ms, "limit": 1, "max_bytes": 1, "lease_ms": 3_600_000}
        (claimed,) = await store.claim(Claim(endpoint_seq=endpoint.seq, term=lane._term, **bounds))
        assert claimed.message.id == answer["id"]
        url = endpoint.settings["base_url"]
    assert url
    async with running(tmp_path, None, state=state) as nicobar:
        item = await nicobar.next_recorded()
        assert item.message.id == answer["id"]
