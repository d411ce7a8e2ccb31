"""What every store promises. Another database joins by a line in `support.store.STORES`."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from nicobar.errors import NicobarError
from nicobar.model import Attempt, DeliveryState
from nicobar.reasons import plain
from nicobar.store import (
    NO_SHARES,
    AddTransformation,
    Claim,
    Finished,
    NewMessage,
    PauseEndpoint,
    PutEndpoint,
    RemoveEndpoint,
)


@pytest.fixture
async def store(store):
    await store.change([await endpoint(store, "ep_1"), await endpoint(store, "ep_2")])
    return store


async def endpoint(store, endpoint_id: str, name: str | None = None) -> PutEndpoint:
    (app,) = (await store.snapshot()).applications
    return PutEndpoint(
        id=endpoint_id,
        app_id=app.id,
        name=name or endpoint_id,
        connector="http",
        settings={"url": "https://a.example", "n": 1, "on": True, "names": {"a": "b"}},
        sealed_credentials=b"\0sealed",
        credential_references={"secret": "NAME"},
        event_types=("a.b",),
        variables={"K": "V"},
        disabled=False,
    )


def message(number, customer: str | None = "cus_1", *, endpoints=(1,), event_id=None, body=b"{}", accepted_at_ms=10):
    return NewMessage(
        id=f"msg_{number}",
        app_id="app",
        source_id="src",
        event_id=event_id or f"evt_{number}",
        event_type="a.b",
        customer_key=customer,
        occurred_at_ms=5,
        accepted_at_ms=accepted_at_ms,
        body=body,
        endpoint_seqs=endpoints,
    )


async def claim(
    store, *, now_ms=100, limit=10, max_bytes=10_000, lease_ms=50, endpoint_seq=1, term=0, shares=NO_SHARES
):
    bounds = {"limit": limit, "max_bytes": max_bytes, "lease_ms": lease_ms, "shares": shares}
    return await store.claim(Claim(endpoint_seq=endpoint_seq, term=term, now_ms=now_ms, **bounds))


def done(claimed, state=DeliveryState.SUCCESS, *, due_at_ms=None, spent=True, attempt="atmpt_1", at_ms=100):
    tried = Attempt(
        id=attempt,
        started_at_ms=at_ms,
        duration_ms=0,
        state=state,
        reason=plain("why"),
        transformation_version=1,
        console=("said",),
    )
    return Finished(
        message_seq=claimed.message.seq,
        endpoint_seq=claimed.endpoint_seq,
        lease=claimed.lease,
        state=state,
        due_at_ms=due_at_ms,
        spent=spent,
        reason=plain("why"),
        ended_at_ms=at_ms,
        attempt=tried,
    )


async def test_a_result_without_an_attempt_changes_the_delivery(store):
    await store.append(message(1))
    (one,) = await claim(store)
    later = done(one, DeliveryState.PENDING, due_at_ms=500, spent=False)
    assert await store.record([msgspec.structs.replace(later, attempt=None)]) == 1
    assert await store.attempts("msg_1", "ep_1") == []
    assert await store.next_due_at_ms(1) == 500


async def test_a_body_is_kept_byte_for_byte(store):
    body = bytes(range(256)) * 10
    appended = await store.append(message(1, body=body))
    assert (await store.message(appended.message_id)).body == body


async def test_an_event_id_makes_one_message_however_often_it_comes(store):
    answers = await asyncio.gather(*(store.append(message(n, event_id="same")) for n in range(10)))
    assert sum(not answer.duplicate for answer in answers) == 1
    assert len({answer.message_id for answer in answers}) == 1
    assert len(await claim(store)) == 1


async def test_one_event_id_from_two_sources_is_one_event(store):
    await store.append(message(1, event_id="same", body=b"a"))
    for source_id, body, taken in (("src", b"b", False), ("other", b"a", False), ("other", b"b", True)):
        again = msgspec.structs.replace(message(2, event_id="same", body=body), source_id=source_id)
        appended = await store.append(again)
        assert (appended.message_id, appended.duplicate, appended.taken) == ("msg_1", True, taken)
    assert len(await claim(store)) == 1


async def test_a_delivery_is_held_by_one_lease_at_a_time(store):
    await store.append(message(1))
    (first,) = await claim(store)
    assert await claim(store) == []
    assert await store.next_due_at_ms(1) == 150
    assert await store.due_times() == {1: 150}
    (second,) = await claim(store, now_ms=150)
    assert second.lease != first.lease
    assert await store.record([done(first)]) == 0
    assert await store.record([done(second, attempt="atmpt_2")]) == 1
    assert [attempt.id for attempt in await store.attempts("msg_1", "ep_1")] == ["atmpt_1", "atmpt_2"]


async def test_a_customer_s_deliveries_are_sent_one_by_one(store):
    for number, customer in ((1, "a"), (2, "a"), (3, "b"), (4, "a")):
        await store.append(message(number, customer))
    first, other = await claim(store, lease_ms=10_000)
    assert [first.message.id, other.message.id] == ["msg_1", "msg_3"]
    await store.record([done(first, DeliveryState.PENDING, due_at_ms=500)])
    assert await claim(store, now_ms=120) == []
    (again,) = await claim(store, now_ms=500)
    assert (again.message.id, again.attempts_used) == ("msg_1", 1)
    await store.record([done(again, DeliveryState.FAILED, attempt="atmpt_2")])
    (second,) = await claim(store, now_ms=510)
    assert second.message.id == "msg_2"


async def test_messages_without_a_customer_wait_for_nobody(store):
    for number in range(3):
        await store.append(message(number, None))
    assert len(await claim(store)) == 3


async def test_endpoints_do_not_hold_each_other_up(store):
    await store.append(message(1, endpoints=(1, 2)))
    await store.append(message(2, endpoints=(2,)))
    assert len(await claim(store, endpoint_seq=1)) == 1
    (first,) = await claim(store, endpoint_seq=2)
    await store.record([done(first)])
    assert [item.message.id for item in await claim(store, endpoint_seq=2, now_ms=110)] == ["msg_2"]


async def test_a_claim_is_bounded_by_count_and_by_bytes(store):
    for number in range(5):
        await store.append(message(number, None, body=b"x" * 100))
    assert len(await claim(store, limit=2)) == 2
    assert len(await claim(store, max_bytes=250)) == 2
    assert len(await claim(store, max_bytes=1)) == 1


async def test_a_try_that_was_not_spent_does_not_count(store):
    await store.append(message(1))
    (first,) = await claim(store)
    await store.record([done(first, DeliveryState.PENDING, due_at_ms=100, spent=False)])
    (again,) = await claim(store)
    assert again.attempts_used == 0


async def test_the_backlog_counts_what_is_not_finished(store):
    for number in range(3):
        await store.append(message(number, None))
    one, *_ = await claim(store)
    await store.record([done(one)])
    await store.append(message(3, None, endpoints=(2,)))
    (backlog, other) = await store.backlog()
    assert (backlog.endpoint_seq, backlog.unfinished, backlog.oldest_accepted_at_ms) == (1, 2, 10)
    assert (other.endpoint_seq, other.unfinished) == (2, 1)
    assert await store.backlog(1) == [backlog]
    assert await store.backlog(2) == [other]
    assert await store.backlog(3) == []


async def test_nothing_of_a_removed_endpoint_is_claimed_or_made(store):
    await store.append(message(1, endpoints=(1, 2)))
    await store.change([RemoveEndpoint(endpoint_id="ep_1")])
    assert await claim(store) == []
    assert await store.next_due_at_ms(1) is None, "nobody is kept busy by it"
    assert 1 not in await store.due_times()
    await store.append(message(2, endpoints=(1, 2)))
    assert [delivery.endpoint_id for delivery in await store.deliveries("msg_2")] == ["ep_2"]
    assert [item.message.id for item in await claim(store, endpoint_seq=2)] == ["msg_1"]


async def test_deliveries_of_a_deleted_endpoint_are_canceled_and_readable(store):
    for number in range(1, 8):
        await store.append(message(number, f"cus_{number % 3}", endpoints=(1, 2)))
    assert await store.cancel_removed(now_ms=200, limit=3) == 0, "it is not removed"
    await store.change([RemoveEndpoint(endpoint_id="ep_1")])
    assert [await store.cancel_removed(now_ms=200, limit=3) for _ in range(4)] == [3, 3, 1, 0]
    for number in range(1, 8):
        removed, other = await store.deliveries(f"msg_{number}")
        assert (removed.state, str(removed.reason)) == (DeliveryState.CANCELED, "endpoint removed")
        assert (removed.due_at_ms, removed.ended_at_ms) == (None, 200)
        assert other.state is DeliveryState.PENDING
    (backlog,) = await store.backlog()
    assert (backlog.endpoint_seq, backlog.unfinished) == (2, 7)


async def test_a_delivery_being_sent_outlives_its_endpoint(store):
    for number in range(1, 5):
        await store.append(message(number, None))
    sent, put_off, lost, _ = await claim(store, lease_ms=500)
    await store.change([RemoveEndpoint(endpoint_id="ep_1")])
    assert await store.cancel_removed(now_ms=599, limit=9) == 0
    later = done(put_off, DeliveryState.PENDING, due_at_ms=9_000, attempt="atmpt_2")
    assert await store.record([done(sent), later]) == 2
    assert await store.cancel_removed(now_ms=599, limit=9) == 1
    assert await store.cancel_removed(now_ms=600, limit=9) == 2, "their leases have ended"
    assert await store.record([done(lost, attempt="atmpt_3")]) == 0
    states = [(await store.deliveries(f"msg_{number}"))[0].state.value for number in range(1, 5)]
    assert states == ["success", "canceled", "canceled", "canceled"]


async def test_replacing_an_endpoint_keeps_its_pause_and_its_handler(store):
    await store.change(
        [
            AddTransformation(endpoint_id="ep_1", code="one", created_at_ms=1),
            AddTransformation(endpoint_id="ep_1", code="two", created_at_ms=2),
            PauseEndpoint(endpoint_id="ep_1", reason=plain("why")),
        ]
    )
    await store.change([await endpoint(store, "ep_1", "renamed")])
    one, _ = (await store.snapshot()).endpoints
    assert (one.seq, one.name, one.paused_reason) == (1, "renamed", plain("why"))
    assert (one.transformation.version, one.transformation.code) == (2, "two")
    assert one.settings == {"url": "https://a.example", "n": 1, "on": True, "names": {"a": "b"}}


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({"sealed_credentials": b"\0other"}, True),
        ({"sealed_headers": b"\0other"}, True),
        ({"settings": {"url": "https://b.example", "n": 1, "on": True, "names": {"a": "b"}}}, True),
        ({"settings": {"names": {"a": "b"}, "on": True, "n": 1, "url": "https://a.example"}}, False),
        ({"name": "renamed", "event_types": (), "max_messages_per_s": 3}, False),
    ],
)
async def test_changing_an_endpoint_ends_a_hold_but_not_a_pause(store, changes, ends, by_hand):
    known = await endpoint(store, "ep_1")
    await store.change([PauseEndpoint(endpoint_id="ep_1", reason=plain("401"), by_hand=by_hand)])
    await store.change([msgspec.structs.replace(known, name="another name")])
    await store.change([msgspec.structs.replace(known, **changes)])
    one, _ = (await store.snapshot()).endpoints
    assert one.paused_reason == (None if ends and not by_hand else plain("401"))
    assert one.paused_by_hand is by_hand
    for reason in (None, plain("402")):
        await store.change([PauseEndpoint(endpoint_id="ep_1", reason=reason)])
    await store.change([msgspec.structs.replace(known, sealed_credentials=b"\0third")])
    one, _ = (await store.snapshot()).endpoints
    assert (one.paused_reason, one.paused_by_hand) == (None, False), "who made the last one counts"


async def test_changes_are_made_all_or_none(store):
    before = await store.snapshot()
    with pytest.raises(NicobarError, match="There is no endpoint nobody"):
        await store.change([await endpoint(store, "ep_3"), PauseEndpoint(endpoint_id="nobody", reason=None)])
    assert await store.snapshot() == before
    assert await store.change([await endpoint(store, "ep_3")]) == before.version + 1 == await store.version()


async def test_two_endpoints_of_one_name_are_refused_in_words(store):
    with pytest.raises(NicobarError, match="An endpoint with this name already exists"):
        await store.change([await endpoint(store, "ep_9", "ep_1")])


async def test_a_message_keeps_what_it_says_about_its_customer(store):
    new = msgspec.structs.replace(message(1), customer_email="ada@northpine.example", customer_name="")
    await store.append(new)
    await store.append(message(2, "cus_2"))
    kept, unread = [claimed.message for claimed in await claim(store)]
    assert (kept.customer_email, kept.customer_name) == ("ada@northpine.example", "")
    assert (unread.customer_email, unread.customer_name) == (None, None), "to be read from the body"
    assert await store.message("msg_1") == kept
