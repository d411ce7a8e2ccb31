"""What every store promises to whoever looks."""

from __future__ import annotations

import msgspec
import pytest

from contracts.test_stores import claim, done, endpoint, message
from nicobar.ids import IdFactory
from nicobar.model import Application, Attempt, DeliveryState, RequestRecord
from nicobar.reasons import reason
from nicobar.store import AddTransformation, Audited, PutApplication
from nicobar.store.history import (
    MAX_REFUSALS,
    TALLY_MS,
    AttemptFilter,
    AuditFilter,
    MessageFilter,
    RejectedRequest,
    Waits,
)

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
ALL = MessageFilter()


class Made:
    """A store with two applications and time that moves an hour a message; ids carry it, as in a running Nicobar."""

    def __init__(self, store, app_id):
        self.store = store
        self.app_id = app_id
        self.now_ms = START_MS
        self.ids = IdFactory(lambda: self.now_ms)
        self.count = 0

    async def message(self, customer="cus_1", *, endpoints=(1,), app_id=None, **changes) -> str:
        self.now_ms += HOUR_MS
        self.count += 1
        new = message(self.count, customer, endpoints=endpoints, accepted_at_ms=self.now_ms)
        changes = {"id": self.ids.new("msg"), "app_id": app_id or self.app_id} | changes
        return (await self.store.append(msgspec.structs.replace(new, **changes))).message_id

    async def try_all(self, state=DeliveryState.SUCCESS, *, endpoint_seq=1, status=200, after_ms=1_000) -> list[str]:
        """Tries what is due; the ids of the attempts."""
        self.now_ms += after_ms
        made = []
        for item in await claim(self.store, now_ms=self.now_ms, endpoint_seq=endpoint_seq, limit=1_000):
            due_at_ms = self.now_ms + 1 if state is DeliveryState.PENDING else None
            finished = done(item, state, due_at_ms=due_at_ms, attempt=self.ids.new("atmpt"), at_ms=self.now_ms)
            attempt = msgspec.structs.replace(
                finished.attempt,
                status=status,
                response="answered",
                duration_ms=40,
                requests=(RequestRecord(method="POST", url="https://a.example", headers={}, body="sent"),),
            )
            await self.store.record([msgspec.structs.replace(finished, attempt=attempt)])
            made.append(attempt.id)
        return made


@pytest.fixture
async def made(store):
    (app,) = (await store.snapshot()).applications
    await store.change([await endpoint(store, "ep_1"), await endpoint(store, "ep_2")])
    await store.change([PutApplication(application=Application(id="app_other", uid="other"))])
    return Made(store, app.id)


async def walk(ask, *, after=None):
    """All pages of a list, from the newest on, or from a place on; what is not bounded would never end."""
    pages = []
    place = {"after": after} if after is not None else {}
    for _ in range(50):
        page = await ask(limit=2, **place)
        pages.append(page.items)
        if page.next is None:
            return [item for items in pages for item in items]
        place = {"after" if after is not None else "before": page.next}
    raise AssertionError(pages)


def ids(items):
    return [item.id for item in items]


async def test_messages_come_in_pages_in_both_directions_without_a_gap(made):
    known = []
    for _ in range(5):
        known.append(await made.message())
        await made.message(app_id="app_other", endpoints=())

    async def ask(**place):
        return await made.store.messages(made.app_id, ALL, **place)

    assert ids(await walk(ask)) == known[::-1]
    assert ids(await walk(ask, after="")) == known
    assert ids((await ask(after=known[1], limit=10)).items) == known[2:]
    assert ids((await ask(before=known[1], limit=10)).items) == known[:1]
    # A place that is taken out meanwhile still is one.
    assert ids((await ask(before=made.ids.new("msg"), limit=10)).items) == known[::-1]


async def test_the_last_page_has_no_next_one(made):
    for _ in range(4):
        await made.message()
    page = await made.store.messages(made.app_id, ALL, limit=4)
    assert (len(page.items), page.next) == (4, None)


async def test_messages_are_filtered_by_all_that_is_set(made):
    plain = await made.message(event_type="a.b", body=b'{"email":"ada@northpine.example"}')
    at_ms = made.now_ms
    special = await made.message("cus_2", event_type="c.d", channels=("one", "two"), tags=("blue",))

    async def found(**which):
        return ids((await made.store.messages(made.app_id, MessageFilter(**which), limit=10)).items)

    assert await found(event_types=("c.d", "e.f")) == [special]
    assert await found(channels=("two", "three")) == [special]
    assert await found(channels=("tw",)) == []
    assert await found(tag="blue") == [special]
    assert await found(tag="blue", event_types=("a.b",)) == []
    assert await found(customer_key="cus_1") == [plain]
    assert await found(contains=b"ada@northpine.example") == [plain]
    assert await found(since_ms=at_ms) == [special, plain]
    assert await found(since_ms=at_ms + 1) == [special]
    assert await found(until_ms=at_ms) == []
    assert await found(until_ms=at_ms + 1) == [plain]


async def test_messages_are_found_by_what_became_of_them(made):
    failed = await made.message("a", endpoints=(1, 2))
    await made.try_all(DeliveryState.FAILED)
    await made.try_all(endpoint_seq=2)
    waiting = await made.message("b")
    nobody_s = await made.message("b", endpoints=())

    async def found(**which):
        return [
            item.message.id
            for item in await walk(lambda **place: made.store.moments(made.app_id, MessageFilter(**which), **place))
        ]

    assert await found() == [nobody_s, waiting, failed]
    assert await found(states=(DeliveryState.FAILED,)) == [failed]
    assert await found(states=(DeliveryState.FAILED, DeliveryState.PENDING)) == [waiting, failed]
    assert await found(states=(DeliveryState.FAILED,), endpoint_id="ep_2") == []
    assert await found(endpoint_id="ep_2") == [failed]
    assert await found(endpoint_id="ep_1", customer_key="b") == [waiting]
    assert await found(states=(DeliveryState.PENDING,), customer_key="a") == []
    moment = (await made.store.moments(made.app_id, MessageFilter(customer_key="a"), limit=10, with_body=True)).items[
        0
    ]
    assert [each.state for each in moment.deliveries] == [DeliveryState.FAILED, DeliveryState.SUCCESS]
    assert moment.message.body


async def test_messages_are_found_by_a_field_of_their_body(made):
    ada = await made.message(body=b'{"data":{"customer":{"email":"ada@northpine.example"},"total":4990,"on":true}}')
    cart = await made.message("b", body=b'{"data":{"cart":[{"id":"p_1"},{"id":"p_2","tags":["a","b"]}],"total":1}}')
    await made.message(body=b"")

    async def found(path, value):
        which = MessageFilter(path=tuple(path.split(".")), value=value)
        return ids((await made.store.messages(made.app_id, which, limit=10)).items)

    assert await found("data.customer.email", "ada@northpine.example") == [ada]
    assert await found("data.customer.email", "ada") == []
    assert await found("customer.email", "ada@northpine.example") == []
    assert await found("data.customer", "ada@northpine.example") == []
    assert await found("data.total", "4990") == await found("data.total", "4990.0") == [ada]
    assert await found("data.on", "true") == [ada]
    assert await found("data.total", "true") == await found("data.on", "1") == []
    assert await found("data.cart.id", "p_2") == await found("data.cart.1.id", "p_2") == [cart]
    assert await found("data.cart.0.id", "p_2") == await found("data.cart.7.id", "p_2") == []
    assert await found("data.cart.tags", "b") == [cart]


async def test_a_look_into_bodies_is_shorter(made, monkeypatch):
    monkeypatch.setattr("nicobar.store.history.MAX_LOOK_INSIDE", 2)
    known = [await made.message(body=b'{"a":{"b":%d}}' % number) for number in range(3)]
    page = await made.store.messages(made.app_id, MessageFilter(path=("a", "b"), value="0"), limit=10)
    assert (page.items, page.next) == ((), known[1])
    page = await made.store.attempted("ep_1", MessageFilter(path=("a", "b"), value="0"), limit=10)
    assert len(page.items) == 3, "which looks into none"


async def test_latencies_leave_out_resends_and_replays(made):
    for after_ms in (1_000, 3_000, 2_000):
        await made.message(endpoints=(1, 2))
        await made.try_all(after_ms=after_ms)
    since_ms = made.now_ms - 30_000
    assert await made.store.latencies(made.app_id, since_ms=0, limit=10) == [2_000, 3_000, 1_000]
    assert await made.store.latencies(made.app_id, since_ms=0, limit=2) == [2_000, 3_000]
    assert await made.store.latencies(made.app_id, since_ms=since_ms, limit=10) == [2_000]
    assert await made.store.latencies(made.app_id, since_ms=0, limit=10, endpoint_id="ep_2") == []
    late = await made.message("late")
    await made.try_all(DeliveryState.FAILED)
    await made.store.resend(late, "ep_1", now_ms=made.now_ms, new_ids=False)
    await made.try_all(after_ms=HOUR_MS)
    assert len(await made.store.latencies(made.app_id, since_ms=0, limit=10)) == 3
    assert await made.store.latencies("app_other", since_ms=0, limit=10) == []


async def test_what_waits_is_counted_by_what_it_waits_for(made):
    await made.message("a")
    await made.try_all(DeliveryState.PENDING)
    due_at_ms = made.now_ms + 1
    await made.message("a")
    await made.message("b")
    at_ms = due_at_ms - 1
    waits = await made.store.waits("ep_1", now_ms=at_ms)
    assert (waits.sending, waits.due, waits.later, waits.behind, waits.next_at_ms) == (0, 0, 2, 1, due_at_ms)
    await claim(made.store, now_ms=made.now_ms, limit=1)
    waits = await made.store.waits("ep_1", now_ms=made.now_ms)
    assert (waits.sending, waits.due, waits.later, waits.behind, waits.next_at_ms) == (1, 1, 0, 1, None)
    assert not waits.more
    assert await made.store.waits("ep_2", now_ms=at_ms) == Waits()


async def test_of_much_that_waits_a_part_is_told_apart(made, monkeypatch):
    for customer in (None, None, None, "a", "a"):
        await made.message(customer)
    monkeypatch.setattr("nicobar.store.history.MAX_LOOK", 2)
    waits = await made.store.waits("ep_1", now_ms=made.now_ms)
    assert (waits.due, waits.later, waits.behind, waits.more) == (2, 0, 0, 3)
    waits = await made.store.waits("ep_1", now_ms=START_MS - 1)
    assert (waits.due, waits.later, waits.behind, waits.more) == (0, 2, 0, 3)


async def test_bodies_come_only_when_they_are_asked_for(made):
    await made.message(body=b'{"a":1}')
    for with_body, body in ((True, b'{"a":1}'), (False, b"")):
        (one,) = (await made.store.messages(made.app_id, ALL, limit=10, with_body=with_body)).items
        assert one.body == body


async def test_messages_are_found_by_id_and_event_id(made):
    known = await made.message(event_id="order-7", body=b"x")
    for name in (known, "order-7"):
        found = await made.store.find_message(made.app_id, name)
        assert (found.id, found.body) == (known, b"x")
        assert await made.store.find_message("app_other", name) is None
    assert await made.store.find_message(made.app_id, "order-8") is None


async def test_a_page_reads_a_bounded_number_of_rows(made, monkeypatch):
    monkeypatch.setattr("nicobar.store.history.MAX_LOOK", 3)
    wanted = [await made.message(tags=("blue",) if number in {0, 7} else ()) for number in range(8)]
    which = MessageFilter(tag="blue")

    async def ask(**place):
        return await made.store.messages(made.app_id, which, **place)

    first = await ask(limit=2)
    assert (ids(first.items), first.next) == ([wanted[7]], wanted[5])
    second = await ask(limit=2, before=first.next)
    assert (second.items, second.next) == ((), wanted[2])
    assert ids(await walk(ask)) == [wanted[7], wanted[0]]
    assert ids(await walk(ask, after="")) == [wanted[0], wanted[7]]
    assert ids(await walk(lambda **place: made.store.messages(made.app_id, ALL, **place))) == wanted[::-1]


async def test_attempts_of_an_endpoint_come_in_pages_with_their_messages(made):
    known = []
    for _ in range(5):
        known.append(await made.message(endpoints=(1, 2), body=b"left out"))
        await made.try_all()
    await made.try_all(endpoint_seq=2)

    async def ask(**place):
        return await made.store.attempts_of_endpoint("ep_1", AttemptFilter(), **place)

    tried = await walk(ask)
    assert [attempt.message.id for attempt in tried] == known[::-1]
    assert {attempt.endpoint_id for attempt in tried} == {"ep_1"}
    assert {attempt.message.body for attempt in tried} == {b""}
    assert {attempt.attempt.response for attempt in tried} == {"answered"}
    assert [item.message.id for item in await walk(ask, after="")] == known
    assert len(await walk(lambda **place: made.store.attempts_of_endpoint("ep_9", AttemptFilter(), **place))) == 0


async def test_attempts_are_filtered_by_all_that_is_set(made):
    await made.message(channels=("one",), tags=("blue",), event_type="c.d")
    (retried,) = await made.try_all(DeliveryState.PENDING, status=503)
    (failed,) = await made.try_all(DeliveryState.FAILED, status=400, after_ms=HOUR_MS)
    at_ms = made.now_ms
    await made.message()
    (sent,) = await made.try_all()
    await made.message()
    (unanswered,) = await made.try_all(DeliveryState.FAILED, status=None)

    async def found(**which):
        page = await made.store.attempts_of_endpoint("ep_1", AttemptFilter(**which), limit=10)
        return [item.attempt.id for item in page.items]

    assert await found() == [unanswered, sent, failed, retried]
    assert await found(states=(DeliveryState.FAILED, DeliveryState.PENDING)) == [unanswered, failed, retried]
    assert await found(states=(DeliveryState.CANCELED,)) == []
    assert await found(status_class=4) == [failed]
    assert await found(status_class=0) == [unanswered]
    assert await found(channels=("one",)) == [failed, retried]
    assert await found(tag="blue") == [failed, retried]
    assert await found(event_types=("c.d",)) == [failed, retried]
    assert await found(since_ms=at_ms) == [unanswered, sent, failed]
    assert await found(until_ms=at_ms) == [retried]
    assert await made.store.count_attempts("ep_1", AttemptFilter(states=(DeliveryState.FAILED,))) == (2, False)
    assert await made.store.count_attempts("ep_1", AttemptFilter(since_ms=at_ms)) == (3, False)


async def test_attempts_are_counted_up_to_a_bound_that_is_told(made, monkeypatch):
    monkeypatch.setattr("nicobar.store.history.MAX_COUNT", 2)
    for expected in ((1, False), (2, False), (2, True)):
        await made.message(None)
        await made.try_all()
        assert await made.store.count_attempts("ep_1", AttemptFilter()) == expected


async def test_attempts_of_a_message_are_listed_by_endpoint(made):
    other = await made.message(endpoints=(1,))
    await made.try_all()
    known = await made.message(endpoints=(1, 2))
    first = await made.try_all(DeliveryState.FAILED)
    second = await made.try_all(endpoint_seq=2)

    async def found(**which):
        page = await made.store.attempts_of_message(known, AttemptFilter(), limit=10, **which)
        return [item.attempt.id for item in page.items]

    assert await found() == [*second, *first]
    assert await found(after="") == [*first, *second]
    assert await found(endpoint_id="ep_2") == second
    assert await found(before=second[0]) == first
    entry = await made.store.attempt(first[0])
    assert (entry.message.id, entry.endpoint_id, entry.attempt.state) == (known, "ep_1", DeliveryState.FAILED)
    assert await made.store.attempt(other) is None


async def test_messages_of_an_endpoint_come_with_their_delivery(made):
    first = await made.message("a")
    await made.try_all(DeliveryState.FAILED)
    second = await made.message("b")
    await made.try_all()
    third = await made.message("a")
    await made.message("a", endpoints=(2,))
    await made.message("a", app_id="app_other", endpoints=())

    async def ask(*states, **place):
        return await made.store.attempted("ep_1", ALL, states, **place)

    everything = await walk(ask)
    assert [(item.message.id, item.delivery.state) for item in everything] == [
        (third, DeliveryState.PENDING),
        (second, DeliveryState.SUCCESS),
        (first, DeliveryState.FAILED),
    ]
    assert {item.delivery.endpoint_id for item in everything} == {"ep_1"}
    assert everything[0].delivery.due_at_ms is not None
    assert [item.message.id for item in await walk(ask, after="")] == [first, second, third]
    for state, message_id in (
        (DeliveryState.FAILED, first),
        (DeliveryState.SUCCESS, second),
        (DeliveryState.PENDING, third),
    ):
        for place in ({}, {"after": ""}):
            assert [item.message.id for item in (await ask(state, limit=10, **place)).items] == [message_id]
    both = await ask(DeliveryState.FAILED, DeliveryState.PENDING, limit=10)
    assert [item.message.id for item in both.items] == [third, first]
    assert (await made.store.attempted("ep_9", ALL, limit=10)).items == ()


async def test_a_timeline_shows_outcomes_and_what_deliveries_wait_for(made):
    first = await made.message("cus_ada", endpoints=(1, 2))
    await made.try_all(DeliveryState.PENDING)
    await made.message("cus_bob")
    second = await made.message("cus_ada", body=b"left out")

    async def ask(**place):
        return await made.store.moments(made.app_id, MessageFilter(customer_key="cus_ada"), **place)

    latest, earlier = await walk(ask)
    assert (latest.message.id, latest.message.body, earlier.message.id) == (second, b"", first)
    (waiting,) = latest.deliveries
    assert (waiting.state, waiting.behind) == (DeliveryState.PENDING, first)
    assert [(delivery.endpoint_id, delivery.state) for delivery in earlier.deliveries] == [
        ("ep_1", DeliveryState.PENDING),
        ("ep_2", DeliveryState.PENDING),
    ]
    assert str(earlier.deliveries[0].reason) == "why"
    assert [item.message.id for item in await walk(ask, after="")] == [first, second]
    ada = MessageFilter(customer_key="cus_ada")
    assert await walk(lambda **place: made.store.moments("app_other", ada, **place)) == []


async def test_customers_are_found_by_the_beginning_of_their_key(made):
    for key in ("cus_b", "cus_a", "cus_a", "cus_ö", "other", None):
        await made.message(key)
    latest = await made.message("cus_a", event_type="z.z")
    await made.message("cus_z", app_id="app_other", endpoints=())

    async def ask(*, limit, before=None, after=None):
        return await made.store.customers(made.app_id, "cus_", after=before or after, limit=limit)

    seen = await walk(ask)
    assert [item.customer_key for item in seen] == ["cus_a", "cus_b", "cus_ö"]
    assert (seen[0].message_id, seen[0].event_type) == (latest, "z.z")
    assert len((await made.store.customers(made.app_id, "", limit=10)).items) == 4
    assert (await made.store.customers(made.app_id, "cus_c", limit=10)).items == ()


async def test_tries_are_counted_by_time_type_and_state(made):
    await made.message(event_type="c.d")
    await made.try_all(DeliveryState.PENDING, after_ms=500)
    await made.try_all(after_ms=2_000)
    since_ms = made.now_ms // HOUR_MS * HOUR_MS
    await made.message(endpoints=(1, 2))
    await made.try_all(DeliveryState.FAILED)
    await made.try_all(endpoint_seq=2)
    until_ms = made.now_ms // TALLY_MS * TALLY_MS + TALLY_MS

    async def count(**which):
        tallies = await made.store.tallies(
            made.app_id, since_ms=since_ms, until_ms=until_ms, step_ms=HOUR_MS, **which
        )
        return [((tally.at_ms - since_ms) // HOUR_MS, tally.state.value, tally.attempts) for tally in tallies]

    assert await count() == [(0, "pending", 1), (0, "success", 1), (1, "failed", 1), (1, "success", 1)]
    assert await count(endpoint_id="ep_2") == [(1, "success", 1)]
    assert await count(event_types=("c.d",)) == [(0, "pending", 1), (0, "success", 1)]
    sent = (await made.store.tallies(made.app_id, since_ms=since_ms, until_ms=until_ms, step_ms=HOUR_MS))[1]
    assert (sent.duration_ms, sent.latency_ms, sent.latency_max_ms) == (40, 2_500, 2_500)
    by_type = await made.store.tallies_by_type(made.app_id, since_ms=since_ms, until_ms=until_ms)
    assert [(item.event_type, item.state.value, item.attempts) for item in by_type] == [
        ("a.b", "failed", 1),
        ("a.b", "success", 1),
        ("c.d", "pending", 1),
        ("c.d", "success", 1),
    ]
    assert await made.store.tallies("app_other", since_ms=0, until_ms=until_ms, step_ms=HOUR_MS) == []
    assert await made.store.forget_tallies(before_ms=since_ms + HOUR_MS, limit=10) == 2
    assert len(await count()) == 2


async def test_a_try_that_is_kept_again_is_counted_once(made):
    await made.message()
    (one,) = await claim(made.store, now_ms=made.now_ms)
    finished = done(one, at_ms=made.now_ms)
    await made.store.record([finished])
    await made.store.record([finished])
    (tally,) = await made.store.tallies(made.app_id, since_ms=0, until_ms=made.now_ms * 2, step_ms=HOUR_MS)
    assert tally.attempts == 1


async def test_what_is_not_finished_is_counted_by_state_and_time(made):
    for _ in range(3):
        await made.message(None)
    (_,) = await claim(made.store, now_ms=made.now_ms, limit=1)
    assert await made.store.unfinished("ep_1") == {DeliveryState.PENDING: 2, DeliveryState.SENDING: 1}
    late = await made.store.unfinished("ep_1", since_ms=made.now_ms - HOUR_MS)
    assert late == {DeliveryState.PENDING: 2}
    assert await made.store.unfinished("ep_1", until_ms=START_MS) == {}


async def test_of_refused_requests_a_source_keeps_the_latest(made):
    def refused(number, source_id="src_1"):
        why = reason("c", "d %(name)s", name=number)
        return RejectedRequest(source_id=source_id, at_ms=number, status=401, reason=why, event_id=f"e{number}")

    await made.store.keep_refusals([refused(7, "src_2")])
    for start in range(0, MAX_REFUSALS + 200, 100):
        await made.store.keep_refusals([refused(start + number) for number in range(100)])
    found = []
    place = None
    while True:
        page = await made.store.refusals("src_1", before=place, limit=250)
        found += page.items
        place = page.next
        if place is None:
            break
    assert [item.at_ms for item in found] == list(range(MAX_REFUSALS + 199, 199, -1))
    oldest = (await made.store.refusals("src_1", after="0", limit=1)).items[0]
    assert (oldest.at_ms, oldest.status, oldest.code, oldest.event_id) == (200, 401, "c", "e200")
    assert len((await made.store.refusals("src_2", limit=250)).items) == 1


async def test_versions_are_listed_newest_first(made):
    for number in range(3):
        await made.store.change([AddTransformation(endpoint_id="ep_1", code=f"code {number}", created_at_ms=number)])

    async def ask(**place):
        return await made.store.versions("ep_1", **place)

    assert [item.version for item in await walk(ask)] == [3, 2, 1]
    assert [item.version for item in await walk(ask, after="0")] == [1, 2, 3]
    (one,) = (await made.store.versions("ep_1", before="3", limit=1, with_code=True)).items
    assert (one.version, one.created_at_ms, one.code) == (2, 1, "code 1")
    assert (await ask(limit=1)).items[0].code is None
    assert (await made.store.versions("ep_2", limit=10)).items == ()
    assert len((await made.store.versions("ep_1", before="9" * 30, limit=10)).items) == 3
    assert (await made.store.versions("ep_1", after="9" * 30, limit=10)).items == ()


async def test_the_audit_log_is_filtered_by_all_that_is_set(made):
    def line(number, app_id, subject):
        return Audited(at_ms=number, actor=f"tok_{number}", action="a.b", app_id=app_id, subject=subject)

    await made.store.change([line(1, "app_1", "ep_1"), line(2, "app_1", "ep_2"), line(3, None, "tok_9")])

    async def found(**which):
        lines = await walk(lambda **place: made.store.audit(AuditFilter(**which), **place))
        assert lines[::-1] == await walk(lambda **place: made.store.audit(AuditFilter(**which), **place), after="0")
        return [line.at_ms for line in lines]

    assert await found() == [3, 2, 1]
    assert await found(app_id="app_1") == [2, 1]
    assert await found(subject="ep_1") == [1]
    assert await found(app_id="app_1", subject="tok_9") == []
    assert await found(actor="tok_3") == [3]
    assert await found(actions=("c.d",)) == []
    assert await found(actions=("c.d", "a.b")) == [3, 2, 1]
    assert await found(since_ms=2, until_ms=3) == [2]


async def test_what_was_answered_to_a_try_can_be_taken_out(made):
    await made.message()
    (attempt_id,) = await made.try_all()
    assert await made.store.expunge_attempt(attempt_id)
    attempt: Attempt = (await made.store.attempt(attempt_id)).attempt
    assert (attempt.response, attempt.requests[0].body) == ("", "sent")
    assert not await made.store.expunge_attempt("atmpt_nobody")
