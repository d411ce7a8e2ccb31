"""What every store promises about merges of people."""

from __future__ import annotations

import msgspec

from contracts.test_stores import claim, done, endpoint, message
from nicobar.model import DeliveryState
from nicobar.people import Identifier
from nicobar.reasons import plain, reason
from nicobar.store import Audited, MergeStatus, NewMerge, Pair, PairState

WAITING, IDENTIFIED, MERGED = PairState.WAITING, PairState.IDENTIFIED, PairState.MERGED
LINE = Audited(at_ms=1, actor="a", action="endpoint.merge-people", app_id="app", subject="ep_1", detail="")


def pair(number: int, kind: str = "id", **more) -> Pair:
    value = f"user_{number}" if kind == "id" else f"u{number}@northpine.example"
    return Pair(
        customer_key=f"cus_{number}",
        secondary=Identifier(kind="id", value=f"cus_{number}"),
        primary=Identifier(kind=kind, value=value),
        **more,
    )


def numbered(number: int, state: PairState) -> Pair:
    return msgspec.structs.replace(pair(number), number=number, state=state)


async def begun(store, *pairs, merge_id="mrg_1", seq=1, rule="metadata.user_id email", line=None):
    (app,) = (await store.snapshot()).applications
    new = NewMerge(
        id=merge_id,
        app_id=app.id,
        endpoint_seq=seq,
        endpoint_id=f"ep_{seq}",
        rule=rule,
        created_at_ms=5,
        pairs=pairs or (pair(1), pair(2)),
    )
    return await store.add_merge(new, audit_line=line)


async def states(store, merge):
    return [item.state for item in await store.merge_pairs(merge.seq, after=0, limit=100)]


async def test_a_merge_is_stored_with_its_pairs_and_counted(store):
    merge = await begun(store, line=LINE)
    assert (merge.status, merge.counts, merge.expected, merge.done) == (MergeStatus.RUNNING, {WAITING: 2}, 2, 0)
    first, second = await store.merge_pairs(merge.seq, after=0, limit=5)
    assert (first, second.number) == (msgspec.structs.replace(pair(1), number=1), 2)
    assert await store.merge_pairs(merge.seq, after=1, limit=5) == (second,)
    why = reason("no", "Not %(name)s.", name="him")
    put = [
        msgspec.structs.replace(first, state=IDENTIFIED, changed_at_ms=7),
        msgspec.structs.replace(second, state=PairState.REJECTED, reason=why),
    ]
    await store.put_pairs(merge.seq, put, now_ms=9)
    assert await store.merge_pairs(merge.seq, after=0, limit=5) == tuple(put)
    found = await store.merge("mrg_1")
    assert (found.counts, found.done, found.updated_at_ms) == ({IDENTIFIED: 1, PairState.REJECTED: 1}, 1, 9)
    assert await store.pairs_to_do(merge.seq, WAITING, limit=5) == ()
    assert await store.pairs_to_do(merge.seq, IDENTIFIED, limit=5) == (put[0],)
    assert await store.merges(1, limit=5) == await store.open_merges() == (found,)
    assert (await store.merges(2, limit=5), await store.merge("mrg_2")) == ((), None)


async def test_an_endpoint_has_one_running_merge(store):
    merge = await begun(store)
    assert await begun(store, merge_id="mrg_2") is None
    assert await begun(store, merge_id="mrg_3", seq=2) is not None
    await store.put_merge(merge.seq, MergeStatus.FINISHED, None, now_ms=6)
    assert await begun(store, merge_id="mrg_4") is not None


async def test_the_end_of_a_merge_cancels_what_is_left_once(store):
    merge = await begun(store)
    await store.put_pairs(merge.seq, [numbered(1, MERGED)], now_ms=6)
    canceled = await store.cancel_merge("mrg_1", now_ms=7, audit_line=LINE)
    assert (canceled.status, await states(store, merge)) == (MergeStatus.CANCELED, [MERGED, PairState.CANCELED])
    await store.put_pairs(merge.seq, [numbered(2, IDENTIFIED)], now_ms=8)
    assert await states(store, merge) == [MERGED, PairState.CANCELED], "its step was under way"
    await store.put_merge(merge.seq, MergeStatus.RUNNING, plain("waits"), now_ms=8)
    again = await store.cancel_merge("mrg_1", now_ms=9, audit_line=LINE)
    assert (again, await store.cancel_merge("mrg_2", now_ms=9)) == (canceled, None)
    assert await store.open_merges() == ()


async def test_why_a_merge_waits_is_forgotten_with_its_next_step(store):
    merge = await begun(store)
    await store.put_merge(merge.seq, MergeStatus.RUNNING, plain("waits"), now_ms=8)
    assert str((await store.merge("mrg_1")).reason) == "waits"
    await store.put_pairs(merge.seq, [numbered(1, MERGED)], now_ms=9)
    assert (await store.merge("mrg_1")).reason is None
    assert await states(store, merge) == [MERGED, WAITING]


async def post(store, number: int, customer: str, **more):
    (app,) = (await store.snapshot()).applications
    await store.append(msgspec.structs.replace(message(number, customer, endpoints=(1,)), app_id=app.id, **more))


async def accepted(store):
    for item in await claim(store, now_ms=10_000, limit=100):
        await store.record([done(item, DeliveryState.SUCCESS, at_ms=10_000)])


async def test_customers_whom_the_endpoint_was_sent_by_their_key(store):
    await store.change([await endpoint(store, "ep_1"), await endpoint(store, "ep_2")])
    (app,) = (await store.snapshot()).applications
    await post(store, 1, "cus_1")
    await post(store, 2, "cus_2", endpoint_seqs=())
    await post(store, 3, "cus_3", customer_email=" Ada@Northpine.example ")
    await accepted(store)
    await post(store, 4, "cus_4")
    found = await store.sent_customers(app.id, 1, after="", limit=3)
    assert [(item.customer_key, item.by_sender_id) for item in found] == [
        ("cus_1", True),
        ("cus_2", False),
        ("cus_3", True),
    ]
    rest = await store.sent_customers(app.id, 1, after="cus_3", limit=3)
    assert [(item.customer_key, item.by_sender_id) for item in rest] == [("cus_4", False)]
    assert not (await store.sent_customers(app.id, 2, after="", limit=1))[0].by_sender_id
    assert await store.sent_identifiers(app.id, 1, "cus_1") == ("cus_1",)
    assert await store.sent_identifiers(app.id, 1, "cus_4") == ()
    assert await store.unfinished_among(1, ["cus_1", "cus_4"]) == {"cus_4"}
    assert await store.another_has_email(app.id, "cus_1", "ada@northpine.example")
    assert not await store.another_has_email(app.id, "cus_3", "ada@northpine.example")


async def test_who_was_merged_before_is_known_per_endpoint(store):
    merge = await begun(store)
    await store.put_pairs(merge.seq, [numbered(1, MERGED)], now_ms=6)
    assert await store.merged_before(1, ["cus_1", "cus_2"]) == {"cus_1"}
    assert await store.merged_before(2, ["cus_1"]) == frozenset()


async def test_an_erased_customer_is_in_no_merge(store):
    (app,) = (await store.snapshot()).applications
    merge = await begun(store, pair(1), pair(2), pair(3, "email"))
    await store.expunge_customer(app.id, "cus_1", now_ms=6, limit=10)
    assert [item.customer_key for item in await store.merge_pairs(merge.seq, after=0, limit=9)] == ["cus_2", "cus_3"]
    await store.hide_values(app.id, ["u3@northpine.example"], now_ms=7)
    assert [item.customer_key for item in await store.merge_pairs(merge.seq, after=0, limit=9)] == ["cus_2"]


async def test_merges_that_ended_long_ago_are_forgotten(store):
    old = await begun(store)
    await store.put_merge(old.seq, MergeStatus.FINISHED, None, now_ms=10)
    await begun(store, merge_id="mrg_2")
    assert [await store.forget_merges(before_ms=before_ms, limit=1) for before_ms in (10, 11, 11, 11)] == [0, 1, 1, 0]
    assert (await store.merge("mrg_1"), (await store.merge("mrg_2")).expected) == (None, 2)
