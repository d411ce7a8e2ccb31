"""The newest values of a person are repeated where others were sent shortly before."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import msgspec
import pytest

from nicobar.connectors import NoResponse, Response
from nicobar.emulator.state import State
from nicobar.emulator.workspace import Disorder, Workspace
from nicobar.model import Endpoint
from nicobar.pipeline import recent_calls, repeating
from nicobar.pipeline.leases import BEAT_MS, DEAD_MS
from nicobar.pipeline.recent_calls import DISORDER_MS
from nicobar.reasons import plain
from nicobar.store import AddTransformation, PauseEndpoint
from nicobar.store.repeats import REPEAT_AFTER_MS
from pipeline.test_secret_variables import set_secrets
from pipeline.test_take_over import rests, time_passes, two_workers
from support.patience import PATIENCE_S
from support.records import make_endpoint
from support.worker import ENDPOINTS, OK, VAULT, another_worker, status, the_endpoint, working, world

# Sends what the note says, else an attribute.
HANDLER = """function handler(webhook) {
  const data = webhook.payload.data;
  webhook.payload = data.note ? JSON.parse(data.note) : [nicobar.identify({plan: data.name})];
  return webhook;
}"""
ADA = {"id": "cus_a"}
DOWN = status(503)


def person(action: str = "identify", identifiers: dict[str, str] | None = None, **more: object) -> dict[str, object]:
    return {"type": "person", "action": action, "identifiers": identifiers or ADA, **more}


def note(*calls: dict[str, object]) -> str:
    return msgspec.json.encode(calls).decode()


def sets(**attributes: object) -> str:
    return note(person(attributes=attributes))


def here(tmp_path, **more):
    return world(tmp_path, handler=HANDLER, **more)


async def send(it, name: str, *, calls: str = "", customer: str = "cus_a") -> list[dict[str, object]]:
    """An event that is sent; returns the calls of its request."""
    await it.accept(name, customer, note=calls)
    async with asyncio.timeout(PATIENCE_S):
        items = await it.network.sent.get()
    await it.next_recorded()
    return items


def values(items: list[dict[str, object]]) -> list[object]:
    return [item["attributes"] for item in items if item["action"] == "identify"]


async def later(it, after_ms: int) -> list[list[object]]:
    """The attributes in each request that is sent without further events within a time."""
    await it.move(after_ms)
    await it.move(0)
    return [values(it.network.sent.get_nowait()) for _ in range(it.network.sent.qsize())]


async def hasty(it, *names: str, apart_ms: int = 10_000) -> None:
    for place, name in enumerate(names):
        await it.move(apart_ms if place else 0)
        await send(it, name)


async def test_the_newest_of_two_is_repeated(tmp_path):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        assert await later(it, REPEAT_AFTER_MS - 1) == []
        assert await later(it, 1) == [[{"plan": "two"}]]
        assert await later(it, 10 * REPEAT_AFTER_MS) == []
        assert await it.store.next_repeat_at_ms(1) is None


@pytest.mark.parametrize(("apart_ms", "repeats"), [(0, 1), (DISORDER_MS, 1), (DISORDER_MS + 1, 0)])
async def test_calls_further_apart_are_sent_once(tmp_path, apart_ms, repeats):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two", apart_ms=apart_ms)
        assert len(await later(it, 2 * REPEAT_AFTER_MS)) == repeats


async def test_other_people_and_events_are_sent_once(tmp_path):
    async with here(tmp_path) as it:
        await send(it, "one")
        await send(it, "two", customer="cus_b")
        await send(it, "three", calls=note(person("event", name="paid"), person("event", name="paid")))
        assert await later(it, 2 * REPEAT_AFTER_MS) == []


async def test_one_request_with_several_identifies_is_sent_once(tmp_path):
    async with here(tmp_path) as it:
        both = note(person(attributes={"a": 1}), person("event", name="paid"), person(attributes={"a": 2}))
        assert values(await send(it, "one", calls=both)) == [{"a": 2}]
        assert await later(it, 2 * REPEAT_AFTER_MS) == []


@pytest.mark.parametrize("answer", [status(503), NoResponse(reason=plain("timed out"), duration_ms=1)])
async def test_a_retry_of_the_same_call_is_no_second_one(tmp_path, answer):
    async with here(tmp_path) as it:
        it.network.answer = lambda _items: answer
        both = note(person(attributes={"a": 1}), person(attributes={"b": 2}))
        await send(it, "one", calls=both)
        it.network.answer = lambda _items: OK
        assert await later(it, 5_000) == [[{"a": 1, "b": 2}]]
        assert await later(it, 2 * REPEAT_AFTER_MS) == []


async def test_what_is_repeated_has_the_newest_of_each_value(tmp_path):
    async with here(tmp_path) as it:
        await send(it, "1", calls=sets(a=1, z=1))
        await send(it, "2", calls=sets(a=2, b=2))
        await it.move(30_000)
        await send(it, "3", calls=sets(b=3, c=None))
        assert await later(it, REPEAT_AFTER_MS - 1) == []
        assert await later(it, 1) == [[{"a": 2, "b": 3, "c": None}]]


async def test_a_newer_call_after_a_minute_postpones_and_joins(tmp_path):
    async with here(tmp_path) as it:
        await send(it, "1", calls=sets(a=1))
        await send(it, "2", calls=sets(a=2))
        await it.move(REPEAT_AFTER_MS - 1)
        await send(it, "3", calls=sets(b=3))
        assert await later(it, REPEAT_AFTER_MS - 1) == []
        assert await later(it, 1) == [[{"a": 2, "b": 3}]]


async def test_a_call_shortly_after_a_repeat_is_repeated_itself(tmp_path):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        assert await later(it, REPEAT_AFTER_MS) == [[{"plan": "two"}]]
        await it.move(DISORDER_MS - 1)
        await send(it, "three")
        assert await later(it, REPEAT_AFTER_MS) == [[{"plan": "three"}]]
        await it.move(DISORDER_MS)
        await it.move(1)
        await send(it, "four")
        assert await later(it, 2 * REPEAT_AFTER_MS) == []


async def test_a_newer_call_of_unknown_outcome_comes_first(tmp_path):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        await it.move(REPEAT_AFTER_MS - 1)
        it.network.answer = lambda _items: NoResponse(reason=plain("timed out"), duration_ms=1)
        await send(it, "three")
        it.network.answer = lambda _items: status(503)
        assert await later(it, 5_000) == [[{"plan": "three"}]]
        assert await later(it, 200_000) == [], "the newer one may have been applied, and comes again"
        it.network.answer = lambda _items: OK
        assert await later(it, 100_000) == [[{"plan": "three"}]]
        assert await later(it, 2 * REPEAT_AFTER_MS) == [[{"plan": "three"}]]


async def test_nothing_older_is_sent_after_a_call_of_unknown_outcome_failed(tmp_path):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        await it.put_schedule(endpoint=())
        it.network.answer = lambda _items: NoResponse(reason=plain("timed out"), duration_ms=1)
        await send(it, "three")
        it.network.answer = lambda _items: OK
        assert await later(it, 2 * REPEAT_AFTER_MS) == []


async def test_a_rejected_newer_call_leaves_the_repeat(tmp_path):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        it.network.answer = lambda _items: status(400)
        await send(it, "three")
        it.network.answer = lambda _items: OK
        assert await later(it, REPEAT_AFTER_MS) == [[{"plan": "two"}]]


@pytest.mark.parametrize(
    "call",
    [
        person("delete"),
        person("suppress"),
        {"type": "person", "action": "merge", "primary": {"id": "other"}, "secondary": ADA},
        person(attributes={"id": "other"}),
        person(identifiers={"email": "ada@northpine.example"}, attributes={"plan": "newer"}),
    ],
)
async def test_nothing_is_repeated_after_another_change(tmp_path, call):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        await it.move(70_000)
        await send(it, "three", calls=note(call))
        assert await later(it, 2 * REPEAT_AFTER_MS) == []


async def test_what_cannot_be_joined_is_repeated_alone(tmp_path):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        await send(it, "three", calls=note(person(attributes={"a": 3, "_update": True})))
        assert await later(it, REPEAT_AFTER_MS) == [[{"a": 3, "_update": True}]]


async def test_v1_identify_calls_are_repeated_as_they_were(tmp_path):
    code = """function handler(webhook) {
      const data = webhook.payload.data;
      const url = "https://track.customer.io/api/v1/customers/" + encodeURIComponent(data.customer.customer_id);
      return {...webhook, method: "PUT", url, payload: {plan: data.name}};
    }"""
    async with world(tmp_path, handler=code) as it:
        assert await send(it, "one") == [{"plan": "one"}]
        await send(it, "two")
        await it.move(REPEAT_AFTER_MS)
        async with asyncio.timeout(PATIENCE_S):
            assert await it.network.sent.get() == [{"plan": "two"}]


@pytest.mark.parametrize(
    "calls",
    [
        [person(attributes={"a": 1}), person(attributes={"a": 2}, timestamp=1_700_000_000)],
        [person(attributes={"a": 1}), person("delete")],
        [person("delete"), person(attributes={"a": 1})],
    ],
)
async def test_calls_that_change_a_person_and_cannot_be_merged_follow_each_other(tmp_path, calls):
    async with here(tmp_path) as it:
        await it.accept("one", note=note(*calls))
        await it.next_recorded()
        assert [it.network.sent.get_nowait() for _ in range(it.network.sent.qsize())] == [[call] for call in calls]


async def test_the_attempt_says_that_values_are_repeated(tmp_path):
    async with here(tmp_path) as it:
        await send(it, "one")
        await it.accept("two")
        recorded = await it.next_recorded()
        assert [verdict.rule for verdict in recorded.attempt.verdicts] == ["identify_repeated"]


# --- crashes ---


async def test_a_repeat_survives_a_crash(tmp_path):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        await it.move(60_000)
        async with another_worker(it) as again:
            assert await later(again, REPEAT_AFTER_MS - 60_001) == []
            assert await later(again, 1) == [[{"plan": "two"}]]


async def test_a_call_from_before_a_crash_counts(tmp_path):
    async with here(tmp_path) as it:
        await send(it, "one")
        await it.move(10_000)
        async with another_worker(it) as again:
            await send(again, "two")
            await send(again, "other", customer="cus_b")
            assert await later(again, REPEAT_AFTER_MS) == [[{"plan": "two"}]]


async def test_a_newer_call_after_a_crash_joins_the_repeat(tmp_path):
    async with here(tmp_path) as it:
        await send(it, "1", calls=sets(a=1))
        await send(it, "2", calls=sets(a=2))
        await it.move(90_000)
        async with another_worker(it) as again:
            await send(again, "3", calls=sets(b=3))
            assert await later(again, REPEAT_AFTER_MS) == [[{"a": 2, "b": 3}]]


async def test_a_repeat_from_before_a_crash_counts_as_a_call(tmp_path):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        assert await later(it, REPEAT_AFTER_MS) == [[{"plan": "two"}]]
        async with another_worker(it) as again:
            await send(again, "three")
            assert await later(again, REPEAT_AFTER_MS) == [[{"plan": "three"}]]


async def test_a_call_whose_result_was_lost_is_retried_and_counts(tmp_path):
    """The first process ends after the request, before its result is stored."""
    async with here(tmp_path) as it:
        await send(it, "one")
        it.network.open.clear()
        await it.accept("two")
        await it.network.sent.get()
        async with working(it.store, it.clock, it.ids) as again:
            again.count = it.count
            await again.move(20_000)
            assert await sent_by(again) == [{"plan": "two"}]
            await again.next_recorded()
            await again.move(REPEAT_AFTER_MS)
            assert await sent_by(again) == [{"plan": "two"}]


async def test_a_repeat_whose_result_was_lost_is_retried(tmp_path):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        it.network.open.clear()
        await it.move(REPEAT_AFTER_MS)
        assert await sent_by(it) == [{"plan": "two"}]
        async with working(it.store, it.clock, it.ids) as again:
            assert await sent_by(again) == [{"plan": "two"}]


async def sent_by(it) -> list[object]:
    async with asyncio.timeout(PATIENCE_S):
        return values(await it.network.sent.get())


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
async def test_the_worker_that_takes_over_sends_it_once(tmp_path, database):
    async with two_workers(tmp_path, database, handler=HANDLER) as (first, second):
        await send(first, "one")
        await send(first, "two")
        # From here on no time passes for the first one.
        await time_passes(second, DEAD_MS + BEAT_MS)
        await time_passes(second, REPEAT_AFTER_MS - DEAD_MS - BEAT_MS)
        assert await sent_by(second) == [{"plan": "two"}]
        first.clock.move(2 * REPEAT_AFTER_MS)
        await rests(first)
        assert first.network.sent.empty()


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
async def test_a_repeat_under_way_at_a_take_over_ends_with_the_newest(tmp_path, database):
    async with two_workers(tmp_path, database, handler=HANDLER) as (first, second):
        await send(first, "one")
        await send(first, "two")
        first.network.open.clear()
        await time_passes(first, REPEAT_AFTER_MS)
        assert await sent_by(first) == [{"plan": "two"}]
        await time_passes(second, DEAD_MS + BEAT_MS)
        second.count = first.count
        await send(second, "three")
        first.network.open.set()
        await rests(first)
        await time_passes(second, REPEAT_AFTER_MS)
        assert await sent_by(second) == [{"plan": "three"}]


# --- what stops it ---


async def test_an_erased_customer_is_not_repeated(tmp_path):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        await it.store.expunge_customer("app", "cus_a", now_ms=it.clock.now_ms(), limit=10)
        assert await later(it, 2 * REPEAT_AFTER_MS) == []


@pytest.mark.parametrize(
    ("change", "sent"),
    [
        ({"credentials": {"site_id": "site", "api_key": "other"}}, 1),
        ({"credentials": {"site_id": "other", "api_key": "key"}}, 0),
        ({"settings": {"keep_profile": False, "identify_by": "customer_id"}}, 0),
        ({"settings": {"keep_profile": False, "region": "eu"}}, 0),
        ({"max_messages_per_s": 9}, 1),
    ],
)
async def test_nothing_is_repeated_to_another_place(tmp_path, change, sent):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        await it.change_endpoint(**change)
        assert len(await later(it, REPEAT_AFTER_MS)) == sent
        assert len(await later(it, 2 * REPEAT_AFTER_MS)) == 0


async def test_a_changed_handler_changes_no_repeat(tmp_path):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        endpoint = await the_endpoint(it)
        code = HANDLER.replace("plan", "tariff")
        await it.store.change([AddTransformation(endpoint_id=endpoint.id, code=code, created_at_ms=2)])
        await it.worker._configuration.refresh()
        assert await later(it, REPEAT_AFTER_MS) == [[{"plan": "two"}]]


async def test_a_paused_endpoint_repeats_after_it_is_resumed(tmp_path):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        endpoint = await the_endpoint(it)
        await it.store.change([PauseEndpoint(endpoint_id=endpoint.id, reason=plain("why"), by_hand=True)])
        await it.worker._configuration.refresh()
        assert await later(it, REPEAT_AFTER_MS) == []
        await it.store.change([PauseEndpoint(endpoint_id=endpoint.id, reason=None)])
        await it.worker._configuration.refresh()
        assert await later(it, 0) == [[{"plan": "two"}]]


async def test_a_hold_delays_a_repeat_behind_the_person_s_deliveries(tmp_path):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        it.network.answer = lambda _items: status(403)
        await send(it, "three")
        it.network.region = status(403)
        assert await later(it, 2 * REPEAT_AFTER_MS) == []
        it.network.answer, it.network.region = (
            lambda _items: OK,
            Response(status=200, headers={}, body=b'{"region":"us"}', duration_ms=1),
        )
        assert await later(it, 3_600_000) == [[{"plan": "three"}]]
        assert await later(it, REPEAT_AFTER_MS) == [[{"plan": "three"}]]


async def test_values_of_secret_variables_are_not_stored(tmp_path):
    code = HANDLER.replace("{plan: data.name}", "{key: webhook.env.KEY, n: data.name}")
    async with world(tmp_path, handler=code) as it:
        await set_secrets(it, {"KEY": "a-secret-value"})
        await hasty(it, "one", "two")
        assert await it.store.tables_with(["a-secret-value"]) == ()
        assert await later(it, REPEAT_AFTER_MS) == [[{"key": "a-secret-value", "n": "two"}]]


# --- endpoints of one workspace ---


async def beside(it) -> tuple[Endpoint, Endpoint]:
    """Another endpoint with the same credentials."""
    first = await the_endpoint(it)
    settings, credentials, _ = ENDPOINTS["customerio"]
    put = make_endpoint(
        vault=VAULT,
        ids=it.ids,
        app_id=first.app_id,
        name="second",
        kind="customerio",
        settings=settings,
        credentials=credentials,
    )
    await it.store.change([put, AddTransformation(endpoint_id=put.id, code=HANDLER, created_at_ms=1)])
    await it.worker._configuration.refresh()
    async with asyncio.timeout(PATIENCE_S):
        while len(it.worker._lanes) < 2:
            await it.clock.next_wait()
    one, other = it.worker._configuration.snapshot.endpoints
    return one, other


async def send_to(it, endpoint: Endpoint, name: str, calls: str = "") -> None:
    it.snapshot = msgspec.structs.replace(it.snapshot, endpoints=(endpoint,))
    await send(it, name, calls=calls)


async def test_endpoints_of_one_workspace_repeat_the_newest_once(tmp_path):
    async with here(tmp_path) as it:
        one, other = await beside(it)
        await send_to(it, one, "1", sets(a=1, b=1))
        await send_to(it, other, "2", sets(a=2))
        await send_to(it, one, "3", sets(b=3))
        it.clock.move(90_000)
        await send_to(it, other, "4", sets(a=4))
        it.clock.move(REPEAT_AFTER_MS)
        assert await sent_by(it) == [{"a": 4, "b": 3}]
        it.clock.move(2 * REPEAT_AFTER_MS)
        await send_to(it, one, "5", sets(a=5))
        assert it.network.sent.empty()


async def test_another_application_s_endpoint_is_no_neighbor(tmp_path):
    async with here(tmp_path) as it:
        one, other = await beside(it)
        spaces = it.worker._workspaces
        opened = it.worker._configuration.endpoints
        assert spaces.beside(opened[one.seq]) == [other.seq]
        apart = replace(opened[one.seq], endpoint=msgspec.structs.replace(one, app_id="app_other"))
        assert spaces.beside(apart) == []


# --- what the destination answers ---


@pytest.mark.parametrize("answer", [status(503), status(403), NoResponse(reason=plain("timed out"), duration_ms=1)])
async def test_a_repeat_that_is_not_accepted_is_retried(tmp_path, answer):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        it.network.answer = lambda _items: answer
        assert len(await later(it, REPEAT_AFTER_MS)) == 1
        it.network.answer = lambda _items: OK
        assert len(await later(it, repeating.BACK_OFF_MS - 1)) == 0
        assert await later(it, 1) == [[{"plan": "two"}]]


async def test_a_rejected_repeat_ends_alone(tmp_path):
    async with here(tmp_path) as it:
        for customer in ("cus_a", "cus_b"):
            await send(it, "one", customer=customer)
            await send(it, "bad" if customer == "cus_a" else "two", customer=customer)
        it.network.answer = lambda items: status(400) if {"plan": "bad"} in values(items) else OK
        assert sorted(map(len, await later(it, REPEAT_AFTER_MS))) == [1, 1, 2]
        assert await later(it, 2 * REPEAT_AFTER_MS) == []


async def test_repeats_and_deliveries_take_turns(tmp_path, monkeypatch):
    monkeypatch.setattr(repeating, "STEP_CALLS", 1)
    async with here(tmp_path) as it:
        for customer in ("cus_a", "cus_b", "cus_c"):
            await send(it, "one", customer=customer)
            await send(it, "two", customer=customer)
        it.network.open.clear()
        await it.move(REPEAT_AFTER_MS)
        await sent_by(it)
        await it.accept("new", "cus_d")
        it.network.open.set()
        assert await later(it, 0) == [[{"plan": name}] for name in ("new", "two", "two")]


async def test_a_repeat_that_a_stopping_process_does_not_send_stays_due(tmp_path):
    async with here(tmp_path) as it:
        await hasty(it, "one", "two")
        (lane,) = it.worker._lanes.values()
        await it.move(0)
        lane._gate.closing.set()
        assert await later(it, REPEAT_AFTER_MS) == []
        assert await it.store.next_repeat_at_ms(1) <= it.clock.now_ms()


async def test_more_people_than_are_remembered_are_repeated_to_be_sure(tmp_path, monkeypatch):
    monkeypatch.setattr(recent_calls, "MAX_RECENT_PEOPLE", 1)
    async with here(tmp_path) as it:
        await send(it, "one", customer="cus_a")
        await send(it, "one", customer="cus_b")
        await send(it, "two", customer="cus_a")
        assert await later(it, REPEAT_AFTER_MS) == [[{"plan": "two"}]]


# --- a destination that processes calls in another order ---


async def test_values_are_the_newest_in_every_order_of_processing(tmp_path):
    async with here(tmp_path) as it:
        wrong_before = 0
        for seed in range(12):
            emulator = State(now=lambda: it.clock.now_ms() / 1000)
            emulator.put_workspace(Workspace(out_of_order=Disorder.ALL, out_of_order_seed=seed))
            sent: list[dict[str, object]] = []

            def answer(items, emulator=emulator, sent=sent):
                sent.extend(items)
                return OK if all(emulator.accept(item) for item in items) else status(400)

            it.network.answer = answer
            chance = random.Random(seed)
            expected = await some_calls(it, chance, f"cus_{seed}")
            alone = State(now=lambda: it.clock.now_ms() / 1000)
            alone.put_workspace(emulator.workspace)
            for item in sent:
                alone.accept(item)
            alone.settle()
            wrong_before += alone.find("id", f"cus_{seed}").attributes != expected
            await later(it, 2 * REPEAT_AFTER_MS)
            emulator.settle()
            assert emulator.find("id", f"cus_{seed}").attributes == expected, seed
        assert wrong_before, "without repetition, some are wrong"


async def some_calls(it, chance: random.Random, customer: str) -> dict[str, str]:
    """A few calls of a person, with retries; returns the newest values."""
    expected: dict[str, str] = {}
    for number in range(4):
        attributes = {name: str(number) for name in chance.sample("abc", 2)}
        expected |= attributes
        await it.accept(str(number), customer, note=note(person(identifiers={"id": customer}, attributes=attributes)))
        await it.next_recorded()
        await it.move(chance.choice((0, 1_000, 20_000, 59_000, 100_000)))
    return expected


def possible(calls: list[tuple[int, dict[str, object]]], name: str) -> set[object]:
    """The values that an attribute may have, if each call may be processed after any within a minute."""
    sets = [(at_ms, attributes[name]) for at_ms, attributes in calls if name in attributes]
    last_ms = max(at_ms for at_ms, _ in sets)
    return {value for at_ms, value in sets if last_ms - at_ms <= DISORDER_MS}


@pytest.mark.parametrize("seed", range(8))
async def test_values_are_certain_after_failures_and_restarts(tmp_path, seed):
    chance = random.Random(seed)
    calls: list[tuple[int, dict[str, object]]] = []
    expected: dict[str, object] = {}

    def watch(it) -> None:
        def answer(items):
            got = chance.choice(answers)
            # Without an answer, it may have been processed.
            calls.extend((it.clock.steady_ms(), item["attributes"]) for item in items if got is not DOWN)
            return got

        it.network.answer = answer

    async def some(it, numbers) -> None:
        watch(it)
        for number in numbers:
            attributes = dict.fromkeys(chance.sample("abc", 2), number)
            expected.update(attributes)
            await it.accept(str(number), note=note(person(attributes=attributes)))
            await it.move(0)
            await it.move(chance.choice((0, 4_000, 30_000, 61_000, 130_000)))

    answers = [OK, OK, OK, DOWN, NoResponse(reason=plain("timed out"), duration_ms=1)]
    async with here(tmp_path) as it:
        await some(it, range(4))
        async with another_worker(it) as again:
            await some(again, range(4, 7))
            answers[:] = [OK]
            for _ in range(6):
                await again.move(600_000)
            await again.move(0)
    assert {name: possible(calls, name) for name in expected} == {name: {value} for name, value in expected.items()}


# --- the clock ---


@pytest.mark.parametrize("by_ms", [-2 * 86_400_000, -3_600_000, 3_600_000, 40 * 86_400_000])
async def test_a_clock_that_is_set_changes_no_wait(tmp_path, by_ms):
    async with here(tmp_path) as it:
        await send(it, "one")
        await it.move(0)
        it.clock.set_by(by_ms)
        await send(it, "two")
        await it.move(0)
        it.clock.set_by(by_ms)
        await it.clock_looked_at()
        assert await later(it, REPEAT_AFTER_MS - 1) == []
        assert await later(it, 1) == [[{"plan": "two"}]]


async def test_a_clock_that_was_ahead_of_a_crash_delays_nothing(tmp_path):
    async with here(tmp_path) as it:
        it.clock.set_by(86_400_000)
        await hasty(it, "one", "two")
        await it.move(0)
        await it.worker.stop(5_000)
        it.clock.set_by(-86_400_000)
        async with working(it.store, it.clock, it.ids) as again:
            assert await later(again, REPEAT_AFTER_MS) == [[{"plan": "two"}]]
