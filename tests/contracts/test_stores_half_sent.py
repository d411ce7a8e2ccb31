"""What a delivery keeps of its requests: the event ids that were accepted, and an attempt that ended half sent."""

from __future__ import annotations

import msgspec
import pytest

from contracts.test_stores import claim, done, endpoint
from contracts.test_stores_replays import post
from nicobar.model import DeliveryState
from nicobar.reasons import plain
from nicobar.store import Claimed, Finished, Resent
from support.store import run_sql

CALLS = b"\x00calls"


@pytest.fixture
async def store(store):
    await store.change([await endpoint(store, "ep_1")])
    return store


async def again(store) -> Claimed:
    (claimed,) = await claim(store, now_ms=1_000)
    return claimed


def retry(claimed: Claimed, **changes: object) -> Finished:
    finished = done(claimed, DeliveryState.PENDING, due_at_ms=500, attempt=f"atmpt_{claimed.lease}")
    return msgspec.structs.replace(finished, **changes)


async def test_the_next_attempt_gets_what_was_half_sent(store):
    await post(store, 1, "cus")
    first = await again(store)
    assert (first.half_sent, first.accepted_ids) == (None, ())
    await store.record([retry(first, half_sent=CALLS, accepted_ids=("id_1", "id_2"))])
    second = await again(store)
    assert (second.half_sent, second.accepted_ids) == (CALLS, ("id_1", "id_2"))
    await store.record([retry(second)])
    third = await again(store)
    assert (third.half_sent, third.accepted_ids) == (None, ("id_1", "id_2")), "what was accepted stays so"


async def test_a_delivery_given_back_untried_stays_half_sent(store):
    await post(store, 1, "cus")
    await store.record([retry(await again(store), half_sent=CALLS)])
    await store.record([retry(await again(store), attempt=None, spent=False)])
    assert (await again(store)).half_sent == CALLS


@pytest.mark.parametrize("state", [DeliveryState.FAILED, DeliveryState.SUCCESS])
async def test_a_resend_begins_anew_and_knows_what_was_accepted(store, state):
    await post(store, 1, "cus")
    await store.record([retry(await again(store), half_sent=CALLS, accepted_ids=("id_1",))])
    await store.record([msgspec.structs.replace(done(await again(store), state, attempt="atmpt_9"), half_sent=CALLS)])
    assert await store.resend("msg_1", "ep_1", now_ms=200, new_ids=False) is Resent.QUEUED
    resent = await again(store)
    assert (resent.half_sent, resent.accepted_ids) == (None, ("id_1",))


async def test_a_resend_of_a_canceled_delivery_begins_anew(store):
    await post(store, 1, "cus")
    await store.record([retry(await again(store), half_sent=CALLS)])
    assert await store.cancel_pending(1, now_ms=200, limit=5, reason=plain("why")) == 1
    assert await store.resend("msg_1", "ep_1", now_ms=200, new_ids=False) is Resent.QUEUED
    assert (await again(store)).half_sent is None


async def test_an_expunged_message_leaves_no_calls(store, tmp_path):
    await post(store, 1, "cus")
    await store.record([retry(await again(store), half_sent=CALLS)])
    assert await store.expunge_message("msg_1", now_ms=200)
    assert run_sql(tmp_path, "SELECT half_sent FROM deliveries") == [(None,)]
