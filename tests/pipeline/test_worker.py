"""The worker over a real database and a real sandbox; only the network and the time are ours."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass

import msgspec
import pytest

from nicobar.addresses import RefusedAddress
from nicobar.connectors import NoResponse, Request, Response
from nicobar.crypto import Vault, new_webhook_secret
from nicobar.errors import SandboxError
from nicobar.ids import IdFactory
from nicobar.model import Breaker, BreakerState, DeliveryState
from nicobar.observe import Metrics
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.configuration import Configuration
from nicobar.pipeline.deliver import Deliverer
from nicobar.pipeline.worker import Worker
from nicobar.reasons import plain
from nicobar.sandbox import Broken, Failure, Result, Sandbox
from nicobar.store import AddTransformation, NewMessage, PauseEndpoint, PutSource, Snapshot, Store
from nicobar.store.history import AuditFilter
from support.clock import MovingClock
from support.patience import PATIENCE_S
from support.records import make_endpoint, make_source
from support.shared import SANDBOX
from support.store import failing_store, open_store

HANDLER = """function handler(webhook) {
  const data = webhook.payload.data;
  webhook.payload = data.name.split(",").map((name) => nicobar.event(name, {note: data.note || ""}));
  return webhook;
}"""
ONE_CALL = """function handler(webhook) {
  webhook.payload = {name: webhook.payload.data.name};
  return webhook;
}"""
# By kind of connector: settings, credentials and a handler.
ENDPOINTS = {
    "customerio": ({"keep_profile": False}, {"site_id": "site", "api_key": "key"}, HANDLER),
    "http": ({"url": "https://shop.example/hook"}, {"secret": new_webhook_secret()}, ONE_CALL),
}
VAULT = Vault(b"k" * 32)
OK = Response(status=200, headers={}, body=b"{}\n", duration_ms=1)


def status(number: int, **headers: str) -> Response:
    return Response(status=number, headers=headers, body=b"", duration_ms=1)


class Network:
    """Answers as it is told; keeps what was sent."""

    def __init__(self) -> None:
        self.answer = lambda _items: OK
        self.sent: asyncio.Queue[list[dict[str, object]]] = asyncio.Queue()
        self.open = asyncio.Event()
        self.open.set()
        self.breaks_on: str | None = None
        # What the harmless call of a connector with a contract is answered, and how often it was made.
        self.region: Response | NoResponse = Response(status=200, headers={}, body=b'{"region":"us"}', duration_ms=1)
        self.checks = 0
        # Why nothing may be sent to the endpoint's address, where that is so.
        self.refused: RefusedAddress | None = None

    async def refused_address(self, _url: str) -> RefusedAddress | None:
        self.checks += 1
        return self.refused

    async def send(self, request: Request) -> Response | NoResponse:
        if request.method == "GET":
            self.checks += 1
            return self.region
        value = msgspec.json.decode(request.body)
        items = value.get("batch", [value])
        self.sent.put_nowait(items)
        await self.open.wait()
        if self.breaks_on in {item["name"] for item in items}:
            raise RuntimeError("broken on purpose")
        return self.answer(items)

    async def next(self) -> list[object]:
        """The names of the next request's events."""
        async with asyncio.timeout(PATIENCE_S):
            return [item["name"] for item in await self.sent.get()]


class BrokenSandbox:
    asked = 0

    async def run(self, _jobs):
        self.asked += 1
        raise SandboxError("sandbox_unavailable", "No process could be started.")


class Sometimes:
    """Gives one result for everything, while there is one; else runs the handler."""

    def __init__(self, result: Result | None) -> None:
        self.result = result
        self.behind: Sandbox | None = None

    async def run(self, jobs):
        return [self.result for _ in jobs] if self.result else await self.behind.run(jobs)


@dataclass
class World:
    store: Store
    worker: Worker
    clock: MovingClock
    network: Network
    ids: IdFactory
    recorded: asyncio.Queue
    snapshot: Snapshot
    count: int = 0

    async def accept(self, name: str, customer: str | None = "cus_a", note: str = "") -> str:
        self.count += 1
        about = {"customer_id": customer} if customer else {}
        body = msgspec.json.encode({"type": "a.b", "data": {"name": name, "note": note, "customer": about}})
        endpoints = tuple(endpoint.seq for endpoint in self.snapshot.endpoints)
        appended = await self.store.append(
            NewMessage(
                id=self.ids.new("msg"),
                app_id="app",
                source_id=self.snapshot.sources[0].id,
                event_id=f"evt_{self.count}",
                event_type="a.b",
                customer_key=customer,
                occurred_at_ms=self.clock.now_ms(),
                accepted_at_ms=self.clock.now_ms(),
                body=body,
                endpoint_seqs=endpoints,
            )
        )
        self.worker.wake(endpoints)
        return appended.message_id

    async def next_recorded(self):
        async with asyncio.timeout(PATIENCE_S):
            return await self.recorded.get()

    async def move(self, by_ms: int) -> None:
        """Moves the clock, once the worker has nothing left to do; by 0 only waits for that."""
        (lane,) = self.worker._lanes.values()
        async with asyncio.timeout(PATIENCE_S):
            while lane._pages or lane.signal.is_set() or not self.clock.quiet:
                await self.clock.next_wait()
        self.clock.move(by_ms)

    async def change_endpoint(self, **changes: object) -> None:
        """Replaces the endpoint, as the API or `apply` does."""
        (known,) = (await self.store.snapshot()).endpoints
        values = {
            "credentials": ENDPOINTS[known.connector][1],
            "max_messages_per_s": None,
            "settings": known.settings,
            **changes,
        }
        put = make_endpoint(
            vault=VAULT,
            ids=self.ids,
            app_id=known.app_id,
            name=known.name,
            kind=known.connector,
            settings=values["settings"],
            known=known,
            credentials=values["credentials"],
            max_messages_per_s=values["max_messages_per_s"],
            disabled=False,
        )
        await self.store.change([put])
        await self.worker._configuration.refresh()

    async def clock_looked_at(self) -> None:
        """Returns when the lane has looked at the clock, as it does before it takes anything."""
        (lane,) = self.worker._lanes.values()
        lane.signal.set()
        async with asyncio.timeout(PATIENCE_S):
            await self.clock.next_wait()

    def alerts(self) -> list[str]:
        """What people were told, in order."""
        return [cause.split("/")[0] for cause in self.worker._alerts._told]

    async def attempts(self, message_id: str):
        (endpoint,) = self.snapshot.endpoints
        return await self.store.attempts(message_id, endpoint.id)

    async def delivery(self, message_id: str):
        (one,) = await self.store.deliveries(message_id)
        return one


@asynccontextmanager
async def world(tmp_path, *, kind: str = "customerio", sandbox=None, jitter: float = 0.0):
    settings, credentials, handler = ENDPOINTS[kind]
    clock = MovingClock()
    store = await open_store(tmp_path, clock.now_ms())
    ids = IdFactory(clock.now_ms)
    (app,) = (await store.snapshot()).applications
    endpoint = make_endpoint(
        vault=VAULT,
        ids=ids,
        app_id=app.id,
        name=kind,
        kind=kind,
        settings=settings,
        credentials=credentials,
    )
    source = make_source(
        vault=VAULT, ids=ids, app_id=app.id, name="dodo", kind="dodo-payments", secrets=[new_webhook_secret()]
    )
    added = AddTransformation(endpoint_id=endpoint.id, code=handler, created_at_ms=1)
    await store.change([PutSource(source=source), endpoint, added])
    try:
        async with working(store, clock, ids, sandbox=sandbox, jitter=jitter) as it:
            yield it
    finally:
        await store.close()


@asynccontextmanager
async def working(store, clock, ids, *, sandbox=None, jitter: float = 0.0):
    """A worker on a database, as a process has it from its start to its end."""
    metrics, network, recorded = Metrics(), Network(), asyncio.Queue()
    configuration = Configuration(store, VAULT, clock)
    await configuration.refresh()
    pool = await SANDBOX.get()
    if isinstance(sandbox, Sometimes):
        sandbox.behind = pool
    alerts = Alerts(queue=store, configuration=configuration, clock=clock, ids=ids, metrics=metrics)
    deliverer = Deliverer(
        queue=store,
        configuration=configuration,
        sandbox=sandbox or pool,
        transport=network,
        clock=clock,
        ids=ids,
        metrics=metrics,
        jitter=lambda: jitter,
        alerts=alerts,
        on_recorded=recorded.put_nowait,
    )
    worker = Worker(
        store=store,
        configuration=configuration,
        deliverer=deliverer,
        clock=clock,
        metrics=metrics,
        alerts=alerts,
    )
    await worker.start()
    try:
        yield World(store, worker, clock, network, ids, recorded, configuration.snapshot)
    finally:
        network.open.set()
        await worker.stop(5_000)


@asynccontextmanager
async def another_worker(it: World):
    """The process ends; another one takes up its database."""
    await it.worker.stop(5_000)
    async with working(it.store, it.clock, it.ids) as again:
        again.count = it.count
        yield again


async def test_an_event_leaves_at_once_without_the_clock_moving(tmp_path):
    async with world(tmp_path) as it:
        await it.accept("one")
        assert await it.network.next() == ["one"]
        assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS


async def test_what_gathers_while_a_request_is_out_leaves_in_one_batch(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("first", "cus_0")
        assert await it.network.next() == ["first"]
        for number in range(5):
            await it.accept(f"n{number}", f"cus_{number + 1}")
        it.network.open.set()
        assert await it.network.next() == [f"n{number}" for number in range(5)]


async def test_a_customer_s_next_event_waits_and_another_customer_s_does_not(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda items: status(503) if items[0]["name"] == "a1" else OK
        first = await it.accept("a1", "cus_a")
        assert await it.network.next() == ["a1"]
        assert (await it.next_recorded()).attempt.state is DeliveryState.PENDING
        await it.accept("a2", "cus_a")
        await it.accept("b1", "cus_b")
        assert await it.network.next() == ["b1"]
        assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
        delivery = await it.delivery(first)
        assert (delivery.tries, delivery.due_at_ms) == (1, it.clock.now_ms() + 5_000)
        it.network.answer = lambda _items: OK
        await it.move(5_000)
        assert await it.network.next() == ["a1"]
        assert await it.network.next() == ["a2"]


async def test_a_failure_for_good_lets_the_customer_s_next_one_go(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda items: status(422) if items[0]["name"] == "a1" else OK
        await it.accept("a1")
        await it.accept("a2")
        assert [await it.network.next(), await it.network.next()] == [["a1"], ["a2"]]
        assert [(await it.next_recorded()).attempt.state for _ in range(2)] == [
            DeliveryState.FAILED,
            DeliveryState.SUCCESS,
        ]


async def test_the_whole_schedule_is_tried_and_then_given_up(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(500)
        message_id = await it.accept("one")
        ids = set()
        for tried in range(8):
            ids |= {item["id"] for item in await it.network.sent.get()}
            entry = await it.next_recorded()
            delivery = await it.delivery(message_id)
            if tried < 7:
                assert (entry.attempt.state, delivery.tries) == (DeliveryState.PENDING, tried + 1)
                await it.move(delivery.due_at_ms - it.clock.now_ms())
        assert (entry.attempt.state, delivery.due_at_ms) == (DeliveryState.FAILED, None)
        assert str(entry.attempt.reason).startswith("Given up after 8 tries")
        assert len(ids) == 1, "the same id on every try"


async def test_nothing_leaves_while_the_destination_asks_to_be_left_alone(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(429, **{"retry-after": "3600"})
        first = await it.accept("a1", "cus_a")
        await it.network.next()
        await it.next_recorded()
        assert (await it.delivery(first)).due_at_ms == it.clock.now_ms() + 3_600_000
        second = await it.accept("b1", "cus_b")
        it.network.answer = lambda _items: OK
        await it.move(3_599_000)
        assert it.network.sent.empty()
        assert (await it.delivery(second)).state is DeliveryState.PENDING
        await it.move(1_000)
        left: set[object] = set()
        while left != {"a1", "b1"}:
            left |= {*await it.network.next()}


async def test_a_page_that_meets_a_long_pause_half_way_gives_the_rest_back_without_spending_a_try(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("first", "cus_0")
        await it.network.next()
        # Each nearly a batch of its own, so that the page becomes several requests.
        ids = {await it.accept(f"n{n}", f"cus_{n + 1}", "x" * 30_000): n for n in range(40)}
        answers = iter([OK, status(429, **{"retry-after": "3600"})])
        it.network.answer = lambda _items: next(answers, OK)
        it.network.open.set()
        await it.move(0)
        sent = {message.message.id for message in [it.recorded.get_nowait() for _ in range(it.recorded.qsize())]}
        assert 1 < len(sent) < 41
        for message_id in ids.keys() - sent:
            assert await it.attempts(message_id) == [], "nothing of it left"
        tries = [(await it.delivery(message_id)).tries for message_id in ids]
        states = {(await it.delivery(message_id)).state for message_id in ids}
        assert set(tries) <= {0, 1}
        assert DeliveryState.PENDING in states


@pytest.mark.parametrize("bad", [0, 3, 9])
async def test_the_one_call_that_spoils_a_batch_is_found_and_the_others_arrive(tmp_path, bad):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("first", "cus_first")
        await it.network.next()
        for number in range(10):
            await it.accept(f"n{number}", f"cus_{number}")
        it.network.answer = lambda items: status(400) if any(item["name"] == f"n{bad}" for item in items) else OK
        it.network.open.set()
        states = {}
        for _ in range(11):
            entry = await it.next_recorded()
            states[entry.message.customer_key] = entry.attempt.state
        failed = [key for key, state in states.items() if state is not DeliveryState.SUCCESS]
        assert failed == [f"cus_{bad}"]
        assert states[f"cus_{bad}"] is DeliveryState.FAILED


async def test_wrong_credentials_put_the_endpoint_on_hold(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(401)
        it.network.region = status(401)
        message_id = await it.accept("one")
        await it.network.next()
        await it.next_recorded()
        await it.accept("two", "cus_b")
        await it.move(60_000)
        assert (await it.delivery(message_id)).tries == 0
        assert it.network.sent.empty()
        (endpoint,) = (await it.store.snapshot()).endpoints
        assert "401" in str(endpoint.paused_reason)
        assert await said(it.store) == [("nicobar", "endpoint.pause", endpoint.id, str(endpoint.paused_reason))]


async def said(store: Store) -> list[tuple[str, ...]]:
    """The audit log."""
    lines = (await store.audit(AuditFilter(), limit=10)).items
    return [(line.actor, line.action, line.subject, line.detail) for line in lines]


async def test_a_sandbox_that_cannot_start_holds_the_endpoint_and_leaves_no_rows(tmp_path):
    sandbox = BrokenSandbox()
    async with world(tmp_path, sandbox=sandbox) as it:
        ids = [await it.accept(f"n{number}", f"cus_{number}") for number in range(3)]
        for tried in range(1, 4):
            await it.move(5_000)
            assert sandbox.asked <= tried + 1
        await it.move(0)
        for message_id in ids:
            delivery = await it.delivery(message_id)
            assert (delivery.state, delivery.tries) == (DeliveryState.PENDING, 0)
            assert await it.attempts(message_id) == []
        assert "No process could be started" in str((await it.delivery(ids[0])).reason)


async def test_a_handler_ended_from_outside_is_tried_again_on_the_schedule(tmp_path):
    sandbox = Sometimes(Broken(failure=Failure.CRASHED, reason=plain("The process ended."), may_pass=True))
    async with world(tmp_path, sandbox=sandbox) as it:
        message_id = await it.accept("one")
        item = await it.next_recorded()
        delivery = await it.delivery(message_id)
        assert (item.attempt.state, delivery.tries) == (DeliveryState.PENDING, 1)
        assert delivery.due_at_ms == it.clock.now_ms() + 5_000
        sandbox.result = None
        await it.move(5_000)
        assert await it.network.next() == ["one"]


async def test_a_reason_is_kept_without_nul_which_would_cut_it(tmp_path):
    sandbox = Sometimes(Broken(failure=Failure.THREW, reason=plain("no \0name\0")))
    async with world(tmp_path, sandbox=sandbox) as it:
        message_id = await it.accept("one")
        item = await it.next_recorded()
        assert (await it.delivery(message_id)).reason == item.attempt.reason == plain("no name")
        (group,) = await it.store.failure_groups(it.snapshot.endpoints[0].app_id)
        assert (group.failure, group.reason) == ("text", plain("no name"))


async def test_a_parcel_that_breaks_does_not_send_the_others_twice(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("first", "cus_0")
        await it.network.next()
        # Each nearly a tenth of a request, so that the page becomes several.
        ids = {f"n{n}": await it.accept(f"n{n}", f"cus_{n + 1}", "x" * 30_000) for n in range(40)}
        it.network.breaks_on = "n20"
        it.network.open.set()
        states = {}
        for _ in range(41):
            item = await it.next_recorded()
            states[item.message.id] = item.attempt.state
        sent = [name for _ in range(it.network.sent.qsize()) for name in await it.network.next()]
        assert sorted(sent) == sorted(ids), "each once"
        waiting = [name for name, message_id in ids.items() if states[message_id] is DeliveryState.PENDING]
        assert "n20" in waiting
        assert len(waiting) < 20
        assert {(await it.delivery(ids[name])).tries for name in waiting} == {1}


async def test_after_a_half_that_has_to_wait_its_own_delivery_s_second_half_is_not_sent(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda items: status(400) if len(items) > 1 else status(503)
        await it.accept("a,b,c,d")
        assert await it.network.next() == ["a", "b", "c", "d"]
        assert await it.network.next() == ["a", "b"]
        assert await it.network.next() == ["a"]
        assert (await it.next_recorded()).attempt.state is DeliveryState.PENDING
        assert it.network.sent.empty()


async def test_a_pause_that_could_not_be_kept_is_kept_by_the_next_refusal(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(401)
        with failing_store(it.store, "change") as failed:
            message_id = await it.accept("one")
            await failed.wait()
        await it.move(1_000)
        await it.next_recorded()
        await it.next_recorded()
        await it.move(0)
        (endpoint,) = (await it.store.snapshot()).endpoints
        assert "401" in str(endpoint.paused_reason)
        assert (await it.delivery(message_id)).tries == 0


async def test_a_surprise_in_the_lane_does_not_end_it(tmp_path):
    async with world(tmp_path) as it:
        with failing_store(it.store, "claim", RuntimeError("a surprise")) as failed:
            await it.accept("one")
            await failed.wait()
        await it.move(1_000)
        assert await it.network.next() == ["one"]
        assert it.worker.alive


async def test_a_stop_hands_back_what_is_in_flight(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        message_id = await it.accept("one")
        await it.network.next()
        await it.worker.stop(0)
        delivery = await it.delivery(message_id)
        assert (delivery.state, delivery.tries) == (DeliveryState.PENDING, 0)
        assert not it.worker.alive


# --- the breaker ---


async def failing(it: World, count: int, answer=None) -> list[str]:
    """Accepts events of as many customers, each a request of its own, which the destination fails."""
    it.network.answer = lambda _items: answer or status(503)
    ids = []
    for number in range(count):
        ids.append(await it.accept(f"f{number}", f"cus_f{number}"))
        await it.network.next()
        await it.next_recorded()
    return ids


async def breaker(it: World):
    (one,) = (await it.store.breakers()).values()
    return one


async def test_a_destination_that_fails_is_left_alone_and_no_tries_are_spent(tmp_path):
    async with world(tmp_path) as it:
        ids = await failing(it, 5)
        await it.move(0)
        assert (await breaker(it)).state is BreakerState.OPEN
        assert "503" in str((await breaker(it)).reason)
        later = await it.accept("later", "cus_z")
        await it.move(9_000)
        assert it.network.sent.empty(), "the retries that were due are not sent either"
        assert (await it.delivery(ids[4])).tries == 0, "the one that opened it"
        for probed in range(6):
            await it.move(320_000)
            assert len(await it.network.next()) == 1, "one delivery finds out"
            await it.next_recorded()
            await it.move(0)
            assert (await breaker(it)).opens == probed + 2
        assert it.network.sent.empty()
        assert (await it.delivery(later)).tries == 0
        it.network.answer = lambda _items: OK
        await it.move(400_000)
        left: set[object] = set()
        while len(left) < 6:
            left |= {*await it.network.next()}
        assert left == {*(f"f{n}" for n in range(5)), "later"}
        await it.move(0)
        assert await breaker(it) == Breaker()
        assert it.alerts() == ["endpoint.failing", "endpoint.recovered"]


async def test_the_waits_between_probes_double_up_to_five_minutes(tmp_path):
    async with world(tmp_path) as it:
        await failing(it, 5)
        waits = []
        for _ in range(7):
            await it.move(0)
            waits.append((await breaker(it)).probe_at_ms - it.clock.now_ms())
            await it.move(waits[-1])
            await it.network.next()
            await it.next_recorded()
        assert waits == [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]


async def test_one_event_that_the_destination_breaks_on_does_not_open_the_breaker(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda items: status(500) if items[0]["name"] == "bad" else OK
        bad = await it.accept("bad", "cus_bad")
        for tried in range(7):
            await it.network.next()
            await it.next_recorded()
            delivery = await it.delivery(bad)
            assert delivery.tries == tried + 1
            await it.move(delivery.due_at_ms - it.clock.now_ms())
        assert {breaker.state for breaker in (await it.store.breakers()).values()} == {BreakerState.CLOSED}


async def test_two_events_that_the_destination_breaks_on_do_not_keep_it_closed_to_the_others(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda items: status(500) if any(item["name"] == "bad" for item in items) else OK
        await it.accept("bad", "cus_a")
        await it.network.next()
        await it.next_recorded()
        await it.accept("bad", "cus_b")
        while (await it.store.breakers()).get(1, Breaker()).state is not BreakerState.OPEN:
            await it.move(300_000)
        good = await it.accept("good", "cus_c")
        for _ in range(3):
            await it.move(330_000)
        while (await it.delivery(good)).state is not DeliveryState.SUCCESS:
            await it.next_recorded()


async def test_a_restart_finds_the_breaker_as_it_was(tmp_path):
    async with world(tmp_path) as it:
        await failing(it, 5)
        await it.move(0)
        kept = await breaker(it)
        async with another_worker(it) as again:
            await again.accept("later", "cus_z")
            await again.move(9_000)
            assert again.network.sent.empty()
            assert await breaker(again) == kept
            again.network.answer = lambda _items: OK
            await again.move(1_000)
            assert len(await again.network.next()) == 1


async def test_an_endpoint_that_cannot_be_opened_for_a_while_finds_its_breaker_as_it_was(tmp_path):
    async with world(tmp_path) as it:
        await failing(it, 5)
        await it.move(0)
        it.network.answer = lambda _items: OK
        opened = it.worker._configuration._endpoints
        for endpoints in ({}, opened):
            it.worker._configuration._endpoints = endpoints
            it.worker._follow()
        async with asyncio.timeout(PATIENCE_S):
            await it.clock.next_wait()
        await it.move(9_000)
        assert it.network.sent.empty()
        await it.move(1_000)
        assert len(await it.network.next()) == 1


async def test_after_five_days_of_failures_only_the_endpoint_is_disabled_and_says_so(tmp_path):
    async with world(tmp_path) as it:
        ids = await failing(it, 5)
        for _ in range(5):
            await it.move(24 * 3_600_000)
            await it.network.next()
            await it.next_recorded()
        await it.move(0)
        (endpoint,) = (await it.store.snapshot()).endpoints
        assert endpoint.disabled
        assert str(endpoint.disabled_reason).startswith("Disabled after 5 days of failures only; the last one: ")
        assert await said(it.store) == [("nicobar", "endpoint.disable", endpoint.id, str(endpoint.disabled_reason))]
        assert (await it.delivery(ids[0])).state is DeliveryState.PENDING, "what is not finished waits"
        assert it.alerts() == ["endpoint.failing", "endpoint.disabled"]
        assert await breaker(it) == Breaker(), "whoever enables it gives it five days anew"
        assert it.worker._configuration.wanting(endpoint.app_id, "a.b") == ()


async def test_days_without_a_process_are_not_days_of_failures(tmp_path):
    async with world(tmp_path) as it:
        await failing(it, 5)
        await it.move(0)
        await it.worker.stop(5_000)
        it.clock.move(6 * 24 * 3_600_000)
        async with another_worker(it) as again:
            again.network.answer = lambda _items: status(503)
            for left in (3, 2, 1, 0):
                again.worker.wake([1])
                await again.network.next()
                await again.next_recorded()
                await again.move(0)
                (endpoint,) = (await again.store.snapshot()).endpoints
                assert endpoint.disabled is (left == 0)
                await again.move(24 * 3_600_000)
        assert again.alerts() == ["endpoint.disabled"]


@pytest.mark.parametrize("restarts", [True, False])
async def test_a_probe_that_is_answered_after_five_days_of_failures_is_waited_for(tmp_path, restarts):
    """The clock's five days are over while the probe is out; what it finds decides, not the clock."""
    day_ms = 24 * 3_600_000
    async with world(tmp_path) as it:
        await failing(it, 5)
        for _ in range(4):
            await it.move(day_ms)
            await it.network.next()
            await it.next_recorded()
        await it.move(0)
        if restarts:
            await it.worker.stop(5_000)
            it.clock.move(2 * day_ms)
        async with another_worker(it) if restarts else nullcontext(it) as again:
            again.network.answer = lambda _items: OK
            again.network.open.clear()
            if not restarts:
                again.clock.move(day_ms)
            await again.network.next()
            await again.accept("new", "cus_new")
            await again.clock_looked_at()
            again.network.open.set()
            assert (await again.next_recorded()).attempt.state is DeliveryState.SUCCESS
            await again.move(0)
            (endpoint,) = (await again.store.snapshot()).endpoints
            assert not endpoint.disabled
            assert "endpoint.disabled" not in again.alerts()


async def test_one_more_failure_after_a_quiet_week_does_not_disable(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(500)
        bad = await it.accept("bad", "cus_bad")
        for _ in range(8):
            await it.network.next()
            await it.next_recorded()
            await it.move(((await it.delivery(bad)).due_at_ms or it.clock.now_ms()) - it.clock.now_ms())
        assert (await it.delivery(bad)).state is DeliveryState.FAILED
        await it.move(7 * 24 * 3_600_000)
        await it.accept("other", "cus_b")
        await it.network.next()
        await it.next_recorded()
        await it.move(0)
        assert (await breaker(it)).state is BreakerState.OPEN
        (endpoint,) = (await it.store.snapshot()).endpoints
        assert not endpoint.disabled
        it.network.answer = lambda _items: OK
        await it.move(10_000)
        assert await it.network.next() == ["other"]


async def test_a_refusal_of_credentials_that_were_replaced_meanwhile_pauses_nothing(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("one")
        await it.network.next()
        await it.change_endpoint(credentials={"site_id": "site", "api_key": "another"})
        it.network.answer = lambda _items: status(401)
        it.network.open.set()
        await it.next_recorded()
        it.network.answer = lambda _items: OK
        assert await it.network.next() == ["one"]
        assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
        (endpoint,) = (await it.store.snapshot()).endpoints
        assert endpoint.paused_reason is None


async def test_new_credentials_are_tried_at_once(tmp_path):
    async with world(tmp_path) as it:
        await failing(it, 5)
        await it.move(0)
        it.network.answer = lambda _items: OK
        it.network.open.clear()
        await it.change_endpoint(credentials={"site_id": "site", "api_key": "another"})
        assert len(await it.network.next()) >= 1
        await it.clock_looked_at()
        assert it.alerts() == ["endpoint.failing"], "nobody has heard from it yet"


async def test_without_batches_too_one_delivery_alone_finds_out(tmp_path):
    async with world(tmp_path, kind="http") as it:
        await failing(it, 5)
        await it.move(0)
        assert (await breaker(it)).state is BreakerState.OPEN
        it.network.open.clear()
        await it.move(10_000)
        await it.network.next()
        for number in range(3):
            await it.accept("later", f"cus_later_{number}")
            await it.clock_looked_at()
        assert it.network.sent.empty()
        it.network.answer = lambda _items: OK
        it.network.open.set()
        names = [name for _ in range(7) for name in await it.network.next()]
        assert sorted(names)[4:] == ["later"] * 3


async def test_a_changed_rate_leaves_the_breaker_as_it_was(tmp_path):
    async with world(tmp_path) as it:
        await failing(it, 5)
        await it.move(0)
        kept = await breaker(it)
        it.network.answer = lambda _items: OK
        await it.change_endpoint(max_messages_per_s=50)
        await it.move(9_000)
        assert it.network.sent.empty()
        assert await breaker(it) == kept
        await it.move(1_000)
        assert len(await it.network.next()) == 1


async def test_a_changed_rate_does_not_shorten_what_the_destination_asks_for(tmp_path):
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: status(429, **{"retry-after": "3600"})
        await it.accept("a1", "cus_a")
        await it.network.next()
        await it.next_recorded()
        it.network.answer = lambda _items: OK
        await it.change_endpoint(max_messages_per_s=50)
        await it.accept("b1", "cus_b")
        await it.move(3_599_000)
        assert it.network.sent.empty()
        await it.move(1_000)
        await it.network.next()


async def test_answers_that_are_not_the_destination_s_alert_once_and_mark_nothing_delivered(tmp_path):
    page = Response(status=200, headers={}, body=b"<html>sign in</html>", duration_ms=1)
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: page
        first = await it.accept("first", "cus_first")
        await it.network.next()
        assert "not Customer.io's answer" in str((await it.next_recorded()).attempt.reason)
        await it.move(0)
        assert it.alerts() == ["endpoint.failing"], "at the first one"
        ids = [first, *await failing(it, 4, page)]
        await it.move(0)
        assert (await breaker(it)).state is BreakerState.OPEN
        tries = sum([(await it.delivery(item)).tries for item in ids])
        for _ in range(30):
            await it.move(360_000)
            await it.network.next()
            assert (await it.next_recorded()).attempt.state is DeliveryState.PENDING
        assert sum([(await it.delivery(item)).tries for item in ids]) == tries, "none is spent while it is open"
        assert it.alerts() == ["endpoint.failing"], "nobody is told again, three hours later"
        it.network.answer = lambda _items: OK
        await it.move(360_000)
        for _ in ids:
            assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
        await it.move(0)
        assert it.alerts() == ["endpoint.failing", "endpoint.recovered"]


async def test_a_restart_does_not_tell_of_the_same_outage_again(tmp_path):
    page = Response(status=200, headers={}, body=b"<html>", duration_ms=1)
    async with world(tmp_path) as it:
        it.network.answer = lambda _items: page
        await it.accept("one")
        await it.network.next()
        await it.next_recorded()
        await it.move(0)
        it.clock.move(3_600_000)
        async with another_worker(it) as again:
            again.network.answer = lambda _items: page
            await again.network.next()
            await again.next_recorded()
            await again.move(0)
            assert again.alerts() == []


# --- http: everything but 2xx is retried ---


@pytest.mark.parametrize("number", [301, 308, 400, 401, 404, 409, 422, 451])
async def test_an_http_endpoint_retries_on_the_schedule(tmp_path, number):
    async with world(tmp_path, kind="http") as it:
        it.network.answer = lambda _items: status(number)
        ids = [await it.accept(f"n{n}", f"cus_{n}") for n in range(6)]
        for _ in ids:
            assert (await it.next_recorded()).attempt.state is DeliveryState.PENDING
        await it.move(0)
        assert {breaker.state for breaker in (await it.store.breakers()).values()} <= {BreakerState.CLOSED}
        assert {(await it.delivery(item)).tries for item in ids} == {1}
        it.network.answer = lambda _items: OK
        await it.move(6_000)
        for _ in ids:
            assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
        assert (await the_endpoint(it)).paused_reason is None


async def test_a_4xx_to_the_probe_of_an_http_endpoint_closes_its_breaker(tmp_path):
    async with world(tmp_path, kind="http") as it:
        await failing(it, 5)
        await it.move(0)
        it.network.answer = lambda _items: status(404)
        await it.move(10_000)
        await it.next_recorded()
        await it.move(0)
        assert (await breaker(it)).state is BreakerState.CLOSED


async def test_a_410_disables_the_endpoint_and_keeps_the_delivery(tmp_path):
    async with world(tmp_path, kind="http") as it:
        it.network.answer = lambda _items: status(410)
        ids = [await it.accept(f"n{n}", f"cus_{n}") for n in range(3)]
        await it.next_recorded()
        await it.move(0)
        endpoint = await the_endpoint(it)
        assert endpoint.disabled
        assert "410" in str(endpoint.disabled_reason)
        assert await said(it.store) == [("nicobar", "endpoint.disable", endpoint.id, str(endpoint.disabled_reason))]
        assert it.alerts() == ["endpoint.disabled"]
        for item in ids:
            delivery = await it.delivery(item)
            assert (delivery.state, delivery.tries) == (DeliveryState.PENDING, 0)
        sent = it.network.sent.qsize()
        await it.move(3_600_000)
        await it.move(0)
        assert it.network.sent.qsize() == sent, "nothing more is sent"
        it.network.answer = lambda _items: OK
        await it.change_endpoint()  # enables it
        for entry in ids:
            while (await it.delivery(entry)).state is not DeliveryState.SUCCESS:
                await it.next_recorded()


async def test_a_410_of_a_url_that_was_replaced_meanwhile_disables_nothing(tmp_path):
    async with world(tmp_path, kind="http") as it:
        it.network.open.clear()
        await it.accept("one")
        await it.network.next()
        await it.change_endpoint(settings={"url": "https://shop.example/new"})
        answers = iter([status(410)])
        it.network.answer = lambda _items: next(answers, OK)
        it.network.open.set()
        assert (await it.next_recorded()).attempt.status == 410
        assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
        await it.move(0)
        assert not (await the_endpoint(it)).disabled
        assert it.alerts() == []


async def test_an_http_endpoint_without_a_rate_is_not_slowed(tmp_path):
    async with world(tmp_path, kind="http") as it:
        ids = [await it.accept(f"n{n}", f"cus_{n}") for n in range(250)]
        for _ in ids:
            assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS


# --- the hold ---


async def the_endpoint(it: World):
    (endpoint,) = (await it.store.snapshot()).endpoints
    return endpoint


async def held(it: World, answer=None, name: str = "one") -> str:
    """An event whose answer puts the endpoint on hold."""
    it.network.answer = lambda _items: answer or status(403)
    message_id = await it.accept(name)
    await it.network.next()
    assert (await it.next_recorded()).attempt.state is DeliveryState.PENDING
    await it.move(0)
    assert (await the_endpoint(it)).paused_reason
    return message_id


@pytest.mark.parametrize("number", [301, 302, 307, 401, 402, 403, 404, 405, 407])
async def test_a_hold_heals_without_a_person(tmp_path, number):
    async with world(tmp_path) as it:
        ids = [await held(it, status(number))]
        ids += [await it.accept(f"n{n}", f"cus_{n}") for n in range(5)]
        it.network.answer = lambda _items: OK
        await it.move(9_000)
        await it.move(0)
        assert (it.network.checks, it.network.sent.qsize()) == (0, 0)
        await it.move(1_000)
        assert len(await it.network.next()) == 1, "one delivery finds out"
        assert len(await it.network.next()) == 5, "then the others follow"
        for _ in ids:
            assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
        await it.move(0)
        assert {(await it.delivery(item)).tries for item in ids} <= {0, 1}
        endpoint = await the_endpoint(it)
        assert (endpoint.paused_reason, it.network.checks) == (None, 1)
        assert [line[:2] for line in await said(it.store)] == [
            ("nicobar", "endpoint.resume"),
            ("nicobar", "endpoint.pause"),
        ]
        assert it.alerts() == ["endpoint.paused", "endpoint.recovered"]
        assert await breaker(it) == Breaker()


async def probes(it: World, count: int) -> list[int]:
    """The waits before so many probes."""
    waits = []
    for _ in range(count):
        await it.move(0)
        waits.append((await breaker(it)).hold.probe_at_ms - it.clock.now_ms())
        before = it.network.checks
        await it.move(waits[-1] - 1)
        await it.move(0)
        assert it.network.checks == before
        await it.move(1)
        await it.move(0)
        assert it.network.checks == before + 1
    return waits


DOUBLING = [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]


@pytest.mark.parametrize("region", [status(401), status(200), NoResponse(reason=plain("refused"), duration_ms=1)])
async def test_waits_double_while_the_harmless_call_is_not_answered_well(tmp_path, region):
    async with world(tmp_path) as it:
        message_id = await held(it)
        it.network.region = region
        assert await probes(it, 7) == DOUBLING
        assert it.network.sent.empty(), "nothing is sent before it is"
        assert (await it.delivery(message_id)).tries == 0
        assert it.alerts() == ["endpoint.paused"]
        assert len(await said(it.store)) == 1


@pytest.mark.parametrize("refused", [status(403), status(401), status(503), status(200), status(400)])
async def test_waits_double_while_no_delivery_is_accepted(tmp_path, refused):
    async with world(tmp_path) as it:
        await held(it)
        ids = [await it.accept(f"n{n}", f"cus_{n}") for n in range(9)]
        it.network.answer = lambda _items: refused
        assert await probes(it, 7) == DOUBLING
        assert it.network.sent.qsize() == 7, "one delivery each time"
        assert {(await it.delivery(item)).tries for item in ids} == {0} or refused.status == 400
        assert it.alerts()[0] == "endpoint.paused"
        assert set(it.alerts()[1:]) <= {"message.attempt.exhausted"}
        assert len(await said(it.store)) == 1
        assert (await the_endpoint(it)).paused_reason


async def test_the_reason_of_a_hold_is_the_last_answer(tmp_path):
    async with world(tmp_path) as it:
        await held(it, status(403))
        it.network.answer = lambda _items: status(401)
        await probes(it, 1)
        assert "401" in str((await the_endpoint(it)).paused_reason)


async def test_a_hold_s_waits_have_jitter(tmp_path):
    async with world(tmp_path, jitter=1.0) as it:
        await held(it)
        it.network.region = status(401)
        assert await probes(it, 2) == [12_000, 24_000]


async def test_after_a_good_check_the_next_event_goes_out_at_once(tmp_path):
    async with world(tmp_path) as it:
        message_id = await held(it)
        await it.store.cancel_pending(1, now_ms=it.clock.now_ms(), limit=10, reason=plain("canceled by hand"))
        assert (await it.delivery(message_id)).state is DeliveryState.CANCELED
        await probes(it, 1)
        for _ in range(3):
            await it.move(3_600_000)
        await it.move(0)
        assert it.network.checks == 1, "it need not be asked again"
        assert (await the_endpoint(it)).paused_reason, "nothing was accepted yet"
        it.network.answer = lambda _items: OK
        await it.accept("two")
        assert await it.network.next() == ["two"]
        await it.next_recorded()
        await it.move(0)
        assert (await the_endpoint(it)).paused_reason is None


async def test_a_hold_keeps_each_customer_s_order(tmp_path):
    async with world(tmp_path) as it:
        await held(it, name="a1")
        for name in ("a2", "a3"):
            await it.accept(name)
        await it.accept("b1", "cus_b")
        it.network.answer = lambda _items: OK
        await it.move(10_000)
        names: list[object] = []
        while len(names) < 4:
            names += await it.network.next()
        assert [name for name in names if name != "b1"] == ["a1", "a2", "a3"]


@pytest.mark.parametrize("probed", [False, True])
async def test_a_restart_finds_the_hold_as_it_was(tmp_path, probed):
    async with world(tmp_path) as it:
        await held(it)
        it.network.region = status(401)
        if probed:
            assert await probes(it, 2) == DOUBLING[:2]
        await it.move(0)
        kept = await breaker(it)
        async with another_worker(it) as again:
            again.network.region = status(401)
            await again.move(0)
            assert await breaker(again) == kept
            assert await probes(again, 2) == (DOUBLING[2:4] if probed else DOUBLING[:2])
            again.network.region = Network().region
            await again.move(300_000)
            assert await again.network.next() == ["one"]
            await again.next_recorded()
            await again.move(0)
            assert (await the_endpoint(again)).paused_reason is None
            assert again.alerts() == ["endpoint.recovered"]


async def test_a_hold_of_which_no_schedule_was_kept_heals(tmp_path):
    async with world(tmp_path) as it:
        await it.worker.stop(5_000)
        await it.store.change([PauseEndpoint(endpoint_id=(await the_endpoint(it)).id, reason=plain("401"))])
        await it.accept("one")
        async with another_worker(it) as again:
            await again.move(10_000)
            assert await again.network.next() == ["one"]


async def test_a_resume_while_no_process_runs_ends_the_hold(tmp_path):
    async with world(tmp_path) as it:
        await held(it)
        await it.worker.stop(5_000)
        await by_person(it, None)
        async with another_worker(it) as again:
            assert await again.network.next() == ["one"]
            assert again.network.checks == 0


async def by_person(it: World, text: str | None) -> None:
    """Pauses, or resumes with no reason, as the API and the dashboard do."""
    endpoint = await the_endpoint(it)
    why = None if text is None else plain(text)
    await it.store.change([PauseEndpoint(endpoint_id=endpoint.id, reason=why, by_hand=why is not None)])


async def test_a_pause_that_a_person_made_is_never_probed(tmp_path):
    async with world(tmp_path) as it:
        await by_person(it, "maintenance")
        await it.worker._configuration.refresh()
        await it.accept("one")
        for _ in range(5):
            await it.move(300_000)
        await it.move(0)
        assert (it.network.checks, it.network.sent.qsize()) == (0, 0)
        assert str((await the_endpoint(it)).paused_reason) == "maintenance"


async def test_a_person_s_pause_during_the_probe_is_kept(tmp_path):
    async with world(tmp_path) as it:
        await held(it)
        it.network.answer = lambda _items: OK
        it.network.open.clear()
        await it.move(10_000)
        await it.network.next()
        await by_person(it, "maintenance")
        it.network.open.set()
        await it.next_recorded()
        await it.accept("two", "cus_b")
        await it.move(300_000)
        await it.move(0)
        endpoint = await the_endpoint(it)
        assert (endpoint.paused_reason, endpoint.paused_by_hand) == (plain("maintenance"), True)
        assert it.network.sent.empty()
        assert "endpoint.recovered" not in it.alerts()


async def test_a_person_s_pause_while_a_request_is_out_does_not_become_a_hold(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        it.network.answer = lambda _items: status(403)
        await it.accept("one")
        await it.network.next()
        await by_person(it, "maintenance")
        it.network.open.set()
        await it.next_recorded()
        await it.move(300_000)
        await it.move(0)
        endpoint = await the_endpoint(it)
        assert (endpoint.paused_reason, endpoint.paused_by_hand) == (plain("maintenance"), True)
        assert it.network.checks == 0


async def test_a_resume_by_a_person_ends_the_hold_at_once(tmp_path):
    async with world(tmp_path) as it:
        await held(it)
        it.network.answer = lambda _items: OK
        await by_person(it, None)
        await it.worker._configuration.refresh()
        assert await it.network.next() == ["one"]
        await it.next_recorded()
        await it.move(0)
        assert it.network.checks == 0
        assert it.alerts() == ["endpoint.paused"]


async def test_new_credentials_end_the_hold_at_once(tmp_path):
    async with world(tmp_path) as it:
        await held(it, status(401))
        it.network.answer = lambda _items: OK
        await it.change_endpoint(credentials={"site_id": "site", "api_key": "another"})
        assert await it.network.next() == ["one"]
        await it.next_recorded()
        await it.move(0)
        assert (await the_endpoint(it)).paused_reason is None


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000])
async def test_a_clock_that_is_set_moves_the_hold_s_probe_along(tmp_path, by_ms):
    async with world(tmp_path) as it:
        await held(it)
        it.clock.set_by(by_ms)
        it.network.answer = lambda _items: OK
        await it.move(9_000)
        await it.move(0)
        assert it.network.checks == 0
        await it.move(1_000)
        assert await it.network.next() == ["one"]


async def test_a_handler_that_fails_does_not_use_up_the_probe(tmp_path):
    sandbox = Sometimes(None)
    async with world(tmp_path, sandbox=sandbox) as it:
        await held(it)
        await it.accept("two", "cus_b")
        it.network.answer = lambda _items: OK
        sandbox.result = Broken(failure=Failure.THREW, reason=plain("no"))
        await it.move(10_000)
        assert (await it.next_recorded()).attempt.state is DeliveryState.FAILED
        assert (await it.next_recorded()).attempt.state is DeliveryState.FAILED
        await it.move(0)
        assert (await the_endpoint(it)).paused_reason
        sandbox.result = None
        await it.accept("three", "cus_c")
        assert await it.network.next() == ["three"]
        await it.next_recorded()
        await it.move(0)
        assert (await the_endpoint(it)).paused_reason is None


async def test_a_stop_does_not_wait_for_a_check(tmp_path):
    async with world(tmp_path) as it:
        await held(it)
        asked = asyncio.Event()

        async def never(_request):
            asked.set()
            await asyncio.Event().wait()

        it.network.send = never
        await it.move(10_000)
        await asked.wait()
        await it.worker.stop(60_000)


async def healed(it: World) -> None:
    """A hold that ended a moment ago."""
    message_id = await held(it)
    it.network.answer = lambda _items: OK
    await it.move(10_000)
    while (await it.delivery(message_id)).state is not DeliveryState.SUCCESS:
        await it.next_recorded()
    await it.move(0)
    assert (await the_endpoint(it)).paused_reason is None
    while not it.network.sent.empty():
        await it.network.next()
    while not it.recorded.empty():
        await it.next_recorded()


async def together(it: World, names: list[str], answer) -> list[str]:
    """Accepts events of as many customers, which leave in one batch that is answered so."""
    it.network.open.clear()
    await it.accept("first", "cus_first")
    await it.network.next()
    ids = [await it.accept(name, f"cus_{name}") for name in names]
    it.network.answer = lambda items: OK if items[0]["name"] == "first" else answer(items)
    it.network.open.set()
    await it.move(0)
    return ids


def rejecting(*bad: str):
    """A firewall that rejects requests with one of these."""
    return lambda items: status(403) if any(item["name"] in bad for item in items) else OK


async def test_one_event_that_is_always_rejected_fails_and_delays_nobody(tmp_path):
    async with world(tmp_path) as it:
        bad = await held(it, name="bad")
        it.network.answer = rejecting("bad")
        others = [await it.accept(f"n{n}", f"cus_{n}") for n in range(30)]
        for _ in range(3):
            await it.move(10_000)
        await it.move(0)
        assert {(await it.delivery(other)).state for other in others} == {DeliveryState.SUCCESS}, (
            "with the hold's end"
        )
        assert (await it.delivery(bad)).tries == 1
        number = 30
        while (due_at_ms := (await it.delivery(bad)).due_at_ms) is not None:
            await it.move(due_at_ms - 10_000 - it.clock.now_ms())
            other = await it.accept(f"n{number}", f"cus_{number}")
            await it.move(0)
            assert (await it.delivery(other)).state is DeliveryState.SUCCESS
            await it.move(10_000)
            await it.move(0)
            assert (await the_endpoint(it)).paused_reason is None
            number += 1
        delivery = await it.delivery(bad)
        assert delivery.state is DeliveryState.FAILED
        assert str(delivery.reason).startswith("Failed after 8 attempts. Last attempt: Customer.io answered 403")
        assert it.alerts() == ["endpoint.paused", "endpoint.recovered", "message.attempt.exhausted"]


@pytest.mark.parametrize("bad", [["n0"], ["n19"], ["n7", "n8"], ["n0", "n10", "n19"]])
async def test_after_a_hold_a_rejected_batch_is_split_and_the_others_arrive(tmp_path, bad):
    async with world(tmp_path) as it:
        await healed(it)
        names = [f"n{n}" for n in range(20)]
        ids = await together(it, names, rejecting(*bad))
        waiting = [
            name
            for name, one in zip(names, ids, strict=True)
            if (await it.delivery(one)).state is not DeliveryState.SUCCESS
        ]
        assert waiting == bad
        assert {(await it.delivery(ids[names.index(name)])).tries for name in bad} == {1}
        assert (await the_endpoint(it)).paused_reason is None


async def test_credentials_revoked_soon_after_a_hold_start_another_one(tmp_path):
    async with world(tmp_path) as it:
        await healed(it)
        ids = await together(it, [f"n{n}" for n in range(100)], lambda _items: status(401))
        assert "401" in str((await the_endpoint(it)).paused_reason)
        assert it.network.sent.qsize() <= 10
        deliveries = [await it.delivery(item) for item in ids]
        assert {delivery.state for delivery in deliveries} == {DeliveryState.PENDING}
        assert sorted(delivery.tries for delivery in deliveries)[-3:] == [0, 1, 1]
        assert all([await it.attempts(item) for item in ids]), "each says what was answered"


async def test_deliveries_rejected_one_by_one_soon_after_a_hold_start_another_one(tmp_path):
    async with world(tmp_path) as it:
        await healed(it)
        it.network.answer = lambda _items: status(401)
        ids = []
        for number in range(3):
            assert (await the_endpoint(it)).paused_reason is None
            ids.append(await it.accept(f"n{number}", f"cus_{number}"))
            await it.next_recorded()
            await it.move(0)
        assert "401" in str((await the_endpoint(it)).paused_reason)
        assert [(await it.delivery(item)).tries for item in ids] == [1, 1, 0]


async def test_one_delivery_alone_spends_one_try_on_revoked_credentials(tmp_path):
    async with world(tmp_path) as it:
        await healed(it)
        it.network.answer = lambda _items: status(401)
        it.network.region = status(401)
        message_id = await it.accept("n0", "cus_0")
        for _ in range(20):
            await it.move(0)
            await it.move(3_600_000)
        await it.move(0)
        assert (await the_endpoint(it)).paused_reason
        assert (await it.delivery(message_id)).tries == 1


async def test_long_after_a_hold_the_first_rejection_starts_another_one(tmp_path):
    async with world(tmp_path) as it:
        await healed(it)
        await it.move(600_000)
        message_id = await held(it, name="two")
        assert (await it.delivery(message_id)).tries == 0


async def test_a_hold_that_returns_within_the_hour_is_told_again(tmp_path):
    async with world(tmp_path) as it:
        await healed(it)
        await it.move(600_000)
        await held(it)
        assert it.alerts() == ["endpoint.paused", "endpoint.recovered", "endpoint.paused"]
        await it.move(0)
        it.network.answer = lambda _items: OK
        await it.move(10_000)
        await it.next_recorded()
        await it.move(0)
        assert it.alerts()[3:] == ["endpoint.recovered"]


async def test_an_http_endpoint_whose_address_was_not_allowed_resumes_automatically(tmp_path):
    refused = RefusedAddress(host="shop.example", entry="shop.example:443")
    async with world(tmp_path, kind="http") as it:
        it.network.refused = refused
        message_id = await held(it, NoResponse(reason=plain("not allowed"), duration_ms=0, refused=refused))
        assert await probes(it, 3) == DOUBLING[:3]
        assert it.network.sent.empty(), "nothing is sent before the address is allowed"
        it.network.refused = None
        it.network.answer = lambda _items: OK
        await it.move(80_000)
        assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
        await it.move(0)
        assert (await the_endpoint(it)).paused_reason is None
        assert (await it.delivery(message_id)).state is DeliveryState.SUCCESS
        assert it.alerts() == ["endpoint.paused", "endpoint.recovered"]


async def test_a_probe_that_is_answered_429_waits_for_the_next_one(tmp_path):
    async with world(tmp_path) as it:
        ids = await failing(it, 5)
        await it.move(0)
        tries = sum([(await it.delivery(item)).tries for item in ids])
        it.network.answer = lambda _items: status(429)
        waits = []
        for _ in range(5):
            waits.append((await breaker(it)).probe_at_ms - it.clock.now_ms())
            await it.move(waits[-1])
            assert len(await it.network.next()) == 1
            await it.next_recorded()
            for _ in range(5):
                await it.move(1_000)
            assert it.network.sent.empty()
            await it.move(0)
        assert waits == [10_000, 15_000, 35_000, 75_000, 155_000], "twice as long each time, 5 s of which are over"
        assert sum([(await it.delivery(item)).tries for item in ids]) == tries
        it.network.answer = lambda _items: OK
        await it.move(300_000)
        for _ in ids:
            assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS


# --- the rate ---


async def test_an_endpoint_gets_no_more_messages_a_second_than_it_may(tmp_path):
    async with world(tmp_path) as it:
        await it.change_endpoint(max_messages_per_s=3)
        it.network.open.clear()
        await it.accept("first", "cus_0")
        await it.network.next()
        for number in range(8):
            await it.accept(f"n{number}", f"cus_{number + 1}")
        it.network.open.set()
        sizes = [len(await it.network.next())]
        await it.move(0)
        assert it.network.sent.empty()
        for _ in range(2):
            await it.move(1_000)
            sizes.append(len(await it.network.next()))
        assert sizes == [2, 3, 3]


# --- the clock ---


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000])
async def test_a_clock_that_is_set_neither_stalls_nor_hurries_anything(tmp_path, by_ms):
    async with world(tmp_path) as it:
        it.network.answer = lambda items: status(503) if items[0]["name"] == "a" else OK
        await it.accept("a", "cus_a")
        await it.network.next()
        await it.next_recorded()
        it.clock.set_by(by_ms)
        await it.accept("b", "cus_b")
        assert await it.network.next() == ["b"], "what is new leaves at once"
        await it.move(4_000)
        assert it.network.sent.empty(), "not before its time"
        it.network.answer = lambda _items: OK
        await it.move(1_000)
        assert await it.network.next() == ["a"], "at its time"


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000])
async def test_a_clock_that_is_set_while_a_request_is_out_moves_no_retry(tmp_path, by_ms):
    async with world(tmp_path) as it:
        it.network.open.clear()
        it.network.answer = lambda _items: status(503)
        await it.accept("a")
        await it.network.next()
        it.clock.set_by(by_ms)
        it.network.open.set()
        await it.next_recorded()
        it.network.answer = lambda _items: OK
        await it.move(4_000)
        assert it.network.sent.empty(), "not before its time"
        await it.move(1_000)
        assert await it.network.next() == ["a"], "at its time"


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000])
async def test_a_clock_that_is_set_while_the_store_refuses_to_follow_moves_no_retry(tmp_path, by_ms):
    async with world(tmp_path) as it:
        it.network.open.clear()
        it.network.answer = lambda _items: status(503)
        await it.accept("a")
        await it.network.next()
        it.clock.set_by(by_ms)
        with failing_store(it.store, "shift_times") as failed:
            it.network.open.set()
            await it.next_recorded()
            assert failed.is_set()
        it.network.answer = lambda _items: OK
        await it.move(4_000)
        assert it.network.sent.empty(), "not before its time"
        await it.move(1_000)
        assert await it.network.next() == ["a"], "at its time"


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000])
async def test_a_clock_that_is_set_while_the_request_is_out_that_opens_the_breaker_moves_no_probe(tmp_path, by_ms):
    async with world(tmp_path) as it:
        await failing(it, 4)
        it.network.open.clear()
        await it.accept("a")
        await it.network.next()
        it.clock.set_by(by_ms)
        it.network.open.set()
        await it.next_recorded()
        await it.move(0)
        assert (await breaker(it)).probe_at_ms == it.clock.now_ms() + 10_000


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000])
async def test_a_clock_that_is_set_makes_no_lease_end(tmp_path, by_ms):
    async with world(tmp_path) as it:
        it.network.open.clear()
        await it.accept("a", "cus_a")
        await it.network.next()
        it.clock.set_by(by_ms)
        await it.clock_looked_at()
        it.network.open.set()
        assert (await it.next_recorded()).attempt.state is DeliveryState.SUCCESS
        await it.move(5_000)
        assert it.network.sent.empty()


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000])
async def test_a_clock_that_is_set_moves_the_breaker_s_probe_along(tmp_path, by_ms):
    async with world(tmp_path) as it:
        await failing(it, 5)
        await it.move(0)
        it.clock.set_by(by_ms)
        it.network.answer = lambda _items: OK
        await it.move(9_000)
        assert it.network.sent.empty()
        await it.move(1_000)
        assert len(await it.network.next()) == 1


async def test_what_came_while_the_clock_was_ahead_leaves_with_the_next_start(tmp_path):
    async with world(tmp_path) as it:
        await it.worker.stop(5_000)
        it.clock.set_by(3_600_000)
        await it.accept("a", "cus_a")
        await it.accept("b", "cus_b")
        it.clock.set_by(-3_600_000)
        async with another_worker(it) as again:
            assert sorted(await again.network.next()) == ["a", "b"]


async def test_a_stop_on_a_disk_that_takes_nothing_leaves_the_handing_back_to_the_next_start(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        message_id = await it.accept("one")
        await it.network.next()
        with failing_store(it.store, "release_leases"):
            await it.worker.stop(0)
        async with another_worker(it) as again:
            assert await again.network.next() == ["one"]
            await again.next_recorded()
            assert (await again.delivery(message_id)).state is DeliveryState.SUCCESS
