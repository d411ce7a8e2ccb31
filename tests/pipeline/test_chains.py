"""One customer's waiting events share requests, in order; what lies behind one that is not final returns untried."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.connectors import NoResponse, Origin, ReadyCall
from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.customerio.identifies import Identifies, identified
from nicobar.connectors.customerio.profiles import ItemCall
from nicobar.model import Call, DeliveryState
from nicobar.pipeline.batching import merge
from nicobar.pipeline.new_shares import NewShares
from nicobar.reasons import plain
from nicobar.sandbox import Broken, Failure
from nicobar.store import AddTransformation, Claim
from support.worker import OK, status, working, world

IDENTIFY = """function handler(webhook) {
  const data = webhook.payload.data;
  webhook.payload = [nicobar.identify({plan: data.name, [data.name]: 1})];
  if (data.note) webhook.payload.push(nicobar.event(data.name, {}));
  return webhook;
}"""
LENGTH = 20
NAMES = [f"n{number}" for number in range(LENGTH)]


def partly(items, *rejected: str):
    """A 207 that rejects the events of these names."""
    errors = [
        {"batch_index": index, "reason": "invalid", "field": "name", "message": "no"}
        for index, item in enumerate(items)
        if item["name"] in rejected
    ]
    body = msgspec.json.encode({"errors": errors}) if errors else b"{}"
    return msgspec.structs.replace(OK, status=207 if errors else 200, body=body)


async def chain(it, count: int = LENGTH) -> list[str]:
    """Events of one customer that wait together, behind one that is accepted."""
    it.network.open.clear()
    await it.accept("first")
    assert await it.network.next() == ["first"]
    ids = [await it.accept(name) for name in NAMES[:count]]
    it.network.open.set()
    assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
    return ids


async def states(it, ids):
    return [
        (delivery.state.value, delivery.attempts_used)
        for delivery in [await it.delivery(message_id) for message_id in ids]
    ]


def waiting(count: int) -> list[tuple[str, int]]:
    return [("pending", 1), *[("pending", 0)] * (count - 1)]


async def seen(it, count: int) -> list[object]:
    """The names of as many sent events."""
    names: list[object] = []
    while len(names) < count:
        names += await it.network.next()
    return names


async def test_one_customer_s_waiting_events_share_a_request_in_order(tmp_path):
    async with world(tmp_path) as it:
        await chain(it)
        assert await it.network.next() == NAMES


async def test_a_chain_longer_than_a_request_goes_in_several_in_order(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("first")
        await it.network.next()
        for number in range(30):
            await it.accept(f"{number}a,{number}b,{number}c,{number}d")
        it.network.open.set()
        sent = [await it.network.next(), await it.network.next()]
        assert [len(names) for names in sent] == [100, 20]
        assert [name for names in sent for name in names] == [f"{n}{part}" for n in range(30) for part in "abcd"]


@pytest.mark.parametrize(
    ("answer", "spent"),
    [(NoResponse(reason=plain("timed out"), duration_ms=1), 1), (status(503), 1), (status(429), 0)],
)
async def test_a_chain_without_success_waits_behind_its_first(tmp_path, answer, spent):
    async with world(tmp_path) as it:
        it.network.answer = lambda items: OK if items[0]["name"] == "first" else answer
        ids = await chain(it)
        assert await it.network.next() == NAMES
        assert (await it.next_recorded()).message.id == ids[0]
        await it.move(0)
        assert await states(it, ids) == [("pending", spent), *waiting(LENGTH)[1:]]
        assert [len(await it.attempts(message_id)) for message_id in ids] == [1, *[0] * (LENGTH - 1)]
        assert (
            await it.store.claim(
                Claim(endpoint_seq=1, term=1, now_ms=it.clock.now_ms(), limit=9, max_bytes=9, lease_ms=9)
            )
            == []
        )
        it.network.answer = lambda _items: OK
        await it.move(5_000)
        if spent:
            assert await it.network.next() == NAMES[:1], "what has failed is sent alone"
        assert await it.network.next() == NAMES[spent:]


@pytest.mark.parametrize("bad", [0, 7, 19])
async def test_a_rejected_event_of_a_chain_fails_alone(tmp_path, bad):
    async with world(tmp_path) as it:
        it.network.answer = lambda items: partly(items, NAMES[bad])
        ids = await chain(it)
        for _ in ids:
            await it.next_recorded()
        expected = [("failed", 1) if message_id == ids[bad] else ("success", 1) for message_id in ids]
        assert await states(it, ids) == expected
        assert await it.network.next() == NAMES
        assert it.network.sent.empty()


@pytest.mark.parametrize("bad", [0, 7, 19])
async def test_a_chain_rejected_as_a_whole_is_halved_in_order(tmp_path, bad):
    async with world(tmp_path) as it:
        it.network.answer = lambda items: status(400) if NAMES[bad] in [item["name"] for item in items] else OK
        ids = await chain(it)
        for _ in ids:
            await it.next_recorded()
        assert await states(it, ids) == [
            ("failed", 1) if message_id == ids[bad] else ("success", 1) for message_id in ids
        ]
        accepted: list[object] = []
        while not it.network.sent.empty():
            names = await it.network.next()
            accepted += [] if NAMES[bad] in names else names
        assert accepted == [name for name in NAMES if name != NAMES[bad]]


async def test_a_half_that_fails_holds_back_its_customer_only(tmp_path):
    """A request is rejected as a whole; of its halves one fails."""

    def answer(items):
        names = {item["name"] for item in items}
        if "bad" in names:
            return status(400)
        return status(503) if "n3" in names else OK

    async with world(tmp_path) as it:
        it.network.answer = answer
        it.network.open.clear()
        await it.accept("first", "cus_first")
        await it.network.next()
        ids = [await it.accept(name) for name in NAMES[:8]]
        await it.accept("bad", "cus_b")
        good = await it.accept("good", "cus_c")
        it.network.open.set()
        while (await it.delivery(good)).state is not DeliveryState.SUCCESS:
            await it.next_recorded()
        await it.move(0)
        done = [state for state, _ in await states(it, ids)]
        assert done == sorted(done, reverse=True), "what was sent is a prefix"
        assert done[3:] == ["pending"] * 5
        sent = [name for _ in range(it.network.sent.qsize()) for name in await it.network.next()]
        assert sent.count("n7") == 1, "only in the first request"


async def test_what_left_behind_another_is_stored_as_sent(tmp_path):
    """A chain's request timed out; whether those behind the first one arrived is unknown."""
    async with world(tmp_path) as it:
        kept, record = [], it.store.record

        async def recording(finished):
            kept.extend(finished)
            return await record(finished)

        it.store.record = recording
        no_answer = NoResponse(reason=plain("timed out"), duration_ms=1)
        it.network.answer = lambda items: OK if items[0]["name"] == "first" else no_answer
        await chain(it, 3)
        await it.next_recorded()
        await it.move(0)
        assert [(item.attempt is None, item.is_tried) for item in kept[1:]] == [
            (False, True),
            (True, True),
            (True, True),
        ]


async def test_a_handler_that_cannot_run_holds_back_its_customer(tmp_path):
    """An event whose handler is killed is retried; those behind it are not sent before it."""
    async with world(tmp_path) as it:
        real = it.worker._deliverer._sandbox

        class Sandbox:
            async def run(self, jobs):
                results = await real.run(jobs)
                broken = Broken(failure=Failure.CRASHED, reason=plain("killed"), may_pass=True)
                return [broken if b'"n2"' in job.body else got for job, got in zip(jobs, results, strict=True)]

        it.worker._deliverer._sandbox = Sandbox()
        ids = await chain(it, 5)
        assert await it.network.next() == NAMES[:2]
        for _ in range(3):
            await it.next_recorded()
        await it.move(0)
        assert await states(it, ids) == [*[("success", 1)] * 2, *waiting(3)]
        it.worker._deliverer._sandbox = real
        await it.move(5_000)
        assert await seen(it, 3) == NAMES[2:5]


async def test_a_failed_handler_is_told_after_what_came_before(tmp_path):
    """Behind an event that is not final, an event whose handler throws stays untried."""
    async with world(tmp_path) as it:
        it.network.answer = lambda items: OK if items[0]["name"] == "first" else status(503)
        it.network.open.clear()
        await it.accept("first")
        await it.network.next()
        ids = [await it.accept(name) for name in ("n0", "", "n2")]
        it.network.open.set()
        await it.next_recorded()
        assert (await it.next_recorded()).message.id == ids[0]
        await it.move(0)
        assert await states(it, ids) == waiting(3)
        it.network.answer = lambda _items: OK
        await it.move(5_000)
        for _ in ids:
            await it.next_recorded()
        assert await states(it, ids) == [("success", 2), ("failed", 1), ("success", 1)]


async def test_a_chain_broken_by_an_internal_error_stays_in_order(tmp_path):
    async with world(tmp_path) as it:
        real = it.worker._deliverer._sandbox

        class Sandbox:
            async def run(self, jobs):
                if len(jobs) > 1:
                    raise RuntimeError("broken on purpose")
                return await real.run(jobs)

        it.worker._deliverer._sandbox = Sandbox()
        await chain(it, 4)
        assert [await it.network.next() for _ in range(4)] == [[name] for name in NAMES[:4]]


async def test_a_request_broken_by_an_internal_error_holds_back_its_chain(tmp_path):
    async with world(tmp_path) as it:
        it.network.breaks_on = "n3"
        ids = await chain(it, 6)
        await it.next_recorded()
        await it.move(0)
        assert await states(it, ids) == waiting(6)


async def test_an_internal_error_sends_no_other_request_again(tmp_path):
    """The results of one request cannot be stored; the chain of another one is finished."""
    async with world(tmp_path) as it:
        recorder, failed = it.worker._deliverer._recorder, []
        record = recorder.record

        async def breaking(target, settled, *more):
            if not failed and len(settled) == 1 and settled[0][0].claimed.order_key == "cus_b":
                failed.append(settled)
                raise RuntimeError("broken on purpose")
            await record(target, settled, *more)

        recorder.record = breaking
        it.network.open.clear()
        await it.accept("first")
        await it.network.next()
        ids = [await it.accept(name) for name in NAMES[:2]]
        broken = await it.accept(",".join(f"b{number}" for number in range(101)), "cus_b")
        it.network.open.set()
        while (await it.delivery(broken)).attempts_used == 0:
            await it.next_recorded()
        await it.move(5_000)
        await it.move(0)
        assert (await it.delivery(broken)).state is DeliveryState.SUCCESS
        sent = [name for _ in range(it.network.sent.qsize()) for name in await it.network.next()]
        assert (sent.count("n0"), sent.count("n1"), sent.count("b0")) == (1, 1, 2)
        assert await states(it, ids) == [("success", 1)] * 2
        assert [len(await it.attempts(message_id)) for message_id in ids] == [1, 1]


async def test_a_chain_goes_on_behind_one_that_failed_for_good(tmp_path):
    """No retries: the first request's events fail, and those of the second were not sent."""
    async with world(tmp_path) as it:
        await it.put_schedule(endpoint=())
        it.network.answer = lambda items: status(503) if items[0]["name"] == "0a" else OK
        it.network.open.clear()
        await it.accept("first")
        await it.network.next()
        ids = [await it.accept(f"{number}a,{number}b,{number}c,{number}d") for number in range(30)]
        it.network.open.set()
        while (await it.delivery(ids[-1])).state is not DeliveryState.SUCCESS:
            await it.next_recorded()
        await it.move(0)
        assert await states(it, ids) == [*[("failed", 1)] * 25, *[("success", 1)] * 5]
        assert [len(await it.network.next()) for _ in range(it.network.sent.qsize())] == [100, 20]


async def test_a_chain_whose_process_ended_goes_on_in_order(tmp_path):
    async with world(tmp_path) as it:
        ids = await chain(it)
        it.network.open.clear()
        assert await it.network.next() == NAMES
        async with working(it.store, it.clock, it.ids) as again:
            await again.move(20_000)
            assert await again.network.next() == NAMES
            for _ in ids:
                await again.next_recorded()
            assert await states(again, ids) == [("success", 1)] * LENGTH
        it.network.open.set()


def attributes(items) -> list[dict[str, object]]:
    return [item["attributes"] for item in items if item["action"] == "identify"]


async def identifies(it, notes, code: str = IDENTIFY):
    """Events of one customer whose handler sets attributes, in one page."""
    put = AddTransformation(endpoint_id=it.snapshot.endpoints[0].id, code=code, created_at_ms=2)
    await it.store.change([put])
    await it.worker._configuration.refresh()
    it.network.open.clear()
    await it.accept("first")
    await it.network.sent.get()
    ids = [await it.accept(f"n{number}", note=note) for number, note in enumerate(notes)]
    it.network.open.set()
    return ids


async def test_a_request_has_one_identify_of_a_person(tmp_path):
    async with world(tmp_path) as it:
        ids = await identifies(it, ["", "", "x", "", ""])
        sent = await it.network.sent.get()
        assert [item["action"] for item in sent] == ["identify", "event"]
        assert attributes(sent) == [{"plan": "n4", "n0": 1, "n1": 1, "n2": 1, "n3": 1, "n4": 1}]
        for _ in range(6):
            await it.next_recorded()
        for message_id in ids:
            (attempt,), (delivery,) = await it.attempts(message_id), await it.store.deliveries(message_id)
            assert "identify_merged" in [verdict.rule for verdict in attempt.verdicts]
            assert attempt.requests[0].body.count('"plan"') == 1, "its own calls"
            assert delivery.state is DeliveryState.SUCCESS


async def test_a_rejected_merged_identify_fails_the_invalid_delivery_only(tmp_path):
    def answer(items):
        bad = [index for index, item in enumerate(items) if "n3" in item["attributes"]]
        errors = [{"batch_index": index, "reason": "invalid", "message": "no"} for index in bad]
        if not errors:
            return OK
        return msgspec.structs.replace(OK, status=207, body=msgspec.json.encode({"errors": errors}))

    async with world(tmp_path) as it:
        it.network.answer = answer
        ids = await identifies(it, [""] * 5)
        for _ in range(6):
            await it.next_recorded()
        assert [state for state, _ in await states(it, ids)] == ["success"] * 3 + ["failed", "success"]


async def test_a_rejected_event_beside_a_merged_identify_is_not_accepted(tmp_path):
    """A later event with the same key is sent."""

    def answer(items):
        if "n0" not in items[0]["attributes"] or len(items) == 1:
            return OK
        errors = [{"batch_index": index, "reason": "invalid", "message": "no"} for index in range(len(items))]
        return msgspec.structs.replace(OK, status=207, body=msgspec.json.encode({"errors": errors}))

    async with world(tmp_path) as it:
        it.network.answer = answer
        code = IDENTIFY.replace("(data.name, {})", "(data.name, {}, {once: data.note})")
        ids = await identifies(it, ["", "key"], code)
        for _ in range(3):
            await it.next_recorded()
        assert [state for state, _ in await states(it, ids)] == ["success", "failed"]
        assert [len(await it.network.sent.get()) for _ in range(3)] == [2, 1, 1]
        await it.accept("n1", note="key")
        assert [item["action"] for item in await it.network.sent.get()] == ["identify", "event"]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"identifiers": {"id": "a"}}, {"identifiers": {"id": "b"}}),
        ({"identifiers": {"email": "a@b.example"}, "attributes": {"email": "c@b.example"}}, {}),
        ({"timestamp": 1_700_000_000}, {}),
        ({"attributes": {"_update": False}}, {}),
        ({"attributes": {f"a{n}": n for n in range(200)}}, {"attributes": {f"b{n}": n for n in range(200)}}),
        ({"attributes": {"x": "é" * 9_000}}, {"attributes": {"y": "é" * 9_000}}),
        ({"action": "event", "name": "n"}, {"action": "event", "name": "n"}),
    ],
)
def test_calls_that_are_no_plain_identifies_of_one_person_stay_apart(earlier, later):
    base = {"type": "person", "action": "identify", "identifiers": {"id": "a"}, "attributes": {"z": 1}}
    if "identifiers" in earlier:
        base |= {"identifiers": earlier["identifiers"]}
    items = [{**base, **earlier}, {**base, **later}]
    calls = [
        ItemCall(
            method="POST",
            url="u",
            headers={},
            body=msgspec.json.encode(item),
            batchable=True,
            identifies=identified(item),
        )
        for item in items
    ]
    assert [call.members for call in merge(calls, Identifies())] == [(0,), (1,)]


async def test_events_of_an_http_endpoint_go_one_by_one(tmp_path):
    async with world(tmp_path, kind="http") as it:
        await chain(it, 3)
        for name in NAMES[:3]:
            assert await it.network.next() == [name]


async def test_without_timestamps_a_customer_s_events_go_one_by_one(tmp_path):
    async with world(tmp_path) as it:
        await it.change_endpoint(settings={"keep_profile": False, "correct_timestamp": False})
        await chain(it, 3)
        for name in NAMES[:3]:
            assert await it.network.next() == [name]


@pytest.mark.parametrize("items_per_claim", [1, 7, 100])
def test_a_fifth_of_the_places_goes_to_new_events(items_per_claim):
    share = NewShares()
    given = [share.of(items_per_claim) for _ in range(100)]
    assert sum(oldest + newest for oldest, newest in given) == 20 * items_per_claim
    assert abs(sum(oldest for oldest, _ in given) - sum(newest for _, newest in given)) <= 1


async def test_a_new_customer_s_event_overtakes_a_backlog(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("first", "cus_first")
        await it.network.next()
        for number in range(250):
            await it.accept(f"old{number}", f"cus_{number}")
        it.clock.move(400_000)
        await it.accept("new", "cus_new")
        it.network.open.set()
        assert "new" in await it.network.next()


IDS = {"id": "ada"}


@pytest.mark.parametrize(
    ("between", "count"),
    [
        ({"action": "event", "identifiers": IDS, "name": "paid"}, 1),
        ({"action": "identify", "identifiers": {"id": "bob"}}, 1),
        ({"action": "add_device", "identifiers": IDS, "device": {"token": "t", "platform": "ios"}}, 1),
        ({"type": "object", "action": "identify", "identifiers": {"object_type_id": "1", "object_id": "o"}}, 1),
        ({"action": "identify", "identifiers": {"email": "ada@northpine.example"}}, 2),
        ({"action": "identify", "identifiers": IDS, "attributes": {"id": "bob"}}, 2),
        ({"action": "delete", "identifiers": IDS}, 2),
        ({"action": "merge", "primary": {"id": "bob"}, "secondary": IDS}, 2),
        ({"action": "suppress", "identifiers": {"email": "ada@northpine.example"}}, 2),
    ],
)
def test_identifies_are_merged_over_what_changes_nobody_else(between, count):
    customerio = CustomerIo().open({}, {"site_id": "site", "api_key": "key"})
    identify = {"type": "person", "action": "identify", "identifiers": IDS, "attributes": {"plan": "pro"}}
    items = [identify, {"type": "person", **between}, identify]
    calls = [Call(method="POST", url=customerio.url, headers={}, payload=item) for item in items]
    origin = Origin(message_id="msg", endpoint_id="ep", occurred_at_ms=1, now_ms=1, customer=None)
    prepared = customerio.prepare(calls, origin)
    assert len(prepared.calls) == 3, prepared.verdicts
    stored = [msgspec.convert(msgspec.to_builtins(call), ReadyCall) for call in prepared.calls]
    for ready in (prepared.calls, stored):
        merged = merge(ready, customerio.people_calls)
        assert sum(b'"plan"' in call.call.body for call in merged) == count
