"""A worker over a real database and a real sandbox; only the network and the time are ours."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from nicobar.addresses import RefusedAddress
from nicobar.connectors import NoResponse, Request, Response
from nicobar.crypto import Vault, new_webhook_secret
from nicobar.ids import IdFactory
from nicobar.metrics import Metrics
from nicobar.model import DeliveryState, EventType
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.configuration import Configuration
from nicobar.pipeline.deliver import Deliverer
from nicobar.pipeline.worker import Worker
from nicobar.sandbox import Result, Sandbox
from nicobar.store import AddTransformation, NewMessage, PutEventType, PutSource, Snapshot, Store
from nicobar.store.history import AuditFilter
from nicobar.use_cases.endpoint_records import unchanged
from support.clock import MovingClock
from support.patience import PATIENCE_S
from support.records import make_endpoint, make_source
from support.shared import SANDBOX
from support.store import drop_store, open_store

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
    """Gives the configured answers; records the requests."""

    def __init__(self) -> None:
        self.answer = lambda _items: OK
        self.sent: asyncio.Queue[list[dict[str, object]]] = asyncio.Queue()
        self.open = asyncio.Event()
        self.open.set()
        self.breaks_on: str | None = None
        # The answer to the harmless call of a connector with a contract, and the number of such calls.
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
        if self.breaks_on and self.breaks_on in {item.get("name") for item in items}:
            raise RuntimeError("broken on purpose")
        return self.answer(items)

    async def next(self) -> list[object]:
        """The names of the next request's events."""
        async with asyncio.timeout(PATIENCE_S):
            return [item["name"] for item in await self.sent.get()]


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

    async def accept(self, name: str, customer: str | None = "cus_a", note: str = "", email: str = "") -> str:
        self.count += 1
        about = {"customer_id": customer, "email": email} if customer else {}
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

    @property
    def rests(self) -> bool:
        """Whether the lane waits, and so does what wakes it."""
        return self.clock.quiet and self.clock.waiting > 1

    async def move(self, by_ms: int) -> None:
        """Moves the clock, once the worker has nothing left to do; by 0 only waits for that."""
        (lane,) = self.worker._lanes.values()
        async with asyncio.timeout(PATIENCE_S):
            while lane._pages or lane._overtaking.check or lane.signal.is_set() or not self.rests:
                await self.clock.next_wait()
        self.clock.move(by_ms)

    async def change_endpoint(self, **changes: object) -> None:
        """Replaces the endpoint, as the API or `apply` does."""
        (endpoint,) = (await self.store.snapshot()).endpoints
        values = {
            "credentials": ENDPOINTS[endpoint.connector][1],
            "max_messages_per_s": None,
            "settings": endpoint.settings,
            **changes,
        }
        put = make_endpoint(
            vault=VAULT,
            ids=self.ids,
            app_id=endpoint.app_id,
            name=endpoint.name,
            kind=endpoint.connector,
            settings=values["settings"],
            replaced=endpoint,
            credentials=values["credentials"],
            max_messages_per_s=values["max_messages_per_s"],
            disabled=False,
        )
        await self.store.change([put])
        await self.worker._configuration.refresh()

    async def put_schedule(self, *, endpoint=None, event_type=None) -> None:
        """Gives the endpoint and the event type their retry schedules."""
        (known,) = (await self.store.snapshot()).endpoints
        put = msgspec.structs.replace(unchanged(known), retry_after_ms=endpoint)
        typed = EventType(name="a.b", retry_after_ms=event_type)
        await self.store.change([put, PutEventType(event_type=typed)])
        await self.worker._configuration.refresh()

    async def clock_looked_at(self) -> None:
        """Returns when the lane has read the clock, as it does before each claim."""
        (lane,) = self.worker._lanes.values()
        lane.signal.set()
        async with asyncio.timeout(PATIENCE_S):
            while lane.signal.is_set() or not self.rests:
                await self.clock.next_wait()

    def alerts(self) -> list[str]:
        """What people were told, in order."""
        return [cause.split("/")[0] for cause in self.worker._alerts._hour_of_cause]

    async def attempts(self, message_id: str):
        (endpoint,) = self.snapshot.endpoints
        return await self.store.attempts(message_id, endpoint.id)

    async def delivery(self, message_id: str):
        (delivery,) = await self.store.deliveries(message_id)
        return delivery


@asynccontextmanager
async def world(
    tmp_path, *, kind: str = "customerio", database: str = "sqlite", handler: str | None = None, **of_worker
):
    settings, credentials, own_handler = ENDPOINTS[kind]
    clock = MovingClock()
    store = await open_store(tmp_path, clock.now_ms(), database=database)
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
    added = AddTransformation(endpoint_id=endpoint.id, code=handler or own_handler, created_at_ms=1)
    await store.change([PutSource(source=source), endpoint, added])
    try:
        async with working(store, clock, ids, **of_worker) as it:
            yield it
    finally:
        await store.close()
        drop_store(tmp_path)


@asynccontextmanager
async def working(
    store,
    clock,
    ids,
    *,
    sandbox=None,
    jitter: float = 0.0,
    may_send=None,
    is_told=lambda: True,
    alone: bool = True,
    retry_after_ms=None,
    network=None,
):
    """A worker on a database, as a process has it from its start to its end."""
    metrics, network, recorded = Metrics(), network or Network(), asyncio.Queue()
    configuration = Configuration(store, VAULT, clock, retry_after_ms=retry_after_ms)
    await configuration.refresh()
    pool = await SANDBOX.get()
    if isinstance(sandbox, Sometimes):
        sandbox.behind = pool
    alerts = Alerts(store=store, configuration=configuration, vault=VAULT, clock=clock, ids=ids, metrics=metrics)

    def leases_say() -> bool:
        return worker.leases.may_send()

    deliverer = Deliverer(
        queue=store,
        facts=store,
        configuration=configuration,
        sandbox=sandbox or pool,
        transport=network,
        clock=clock,
        ids=ids,
        metrics=metrics,
        jitter=lambda: jitter,
        alerts=alerts,
        on_recorded=recorded.put_nowait,
        may_send=may_send or leases_say,
    )
    worker = Worker(
        store=store,
        configuration=configuration,
        deliverer=deliverer,
        clock=clock,
        ids=ids,
        metrics=metrics,
        alerts=alerts,
        is_told=is_told,
        alone=alone,
        tasks={},
    )
    await worker.start()
    try:
        yield World(store, worker, clock, network, ids, recorded, configuration.snapshot)
    finally:
        network.open.set()
        await worker.stop(5_000)


@asynccontextmanager
async def another_worker(it: World):
    """The process ends; another one opens its database."""
    await it.worker.stop(5_000)
    async with working(it.store, it.clock, it.ids) as again:
        again.count = it.count
        yield again


async def audit_log(store: Store) -> list[tuple[str, ...]]:
    """The audit log."""
    lines = (await store.audit(AuditFilter(), limit=10)).items
    return [(line.actor, line.action, line.subject, line.detail) for line in lines]


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
    (breaker,) = (await it.store.breakers()).values()
    return breaker


async def the_endpoint(it: World):
    (endpoint,) = (await it.store.snapshot()).endpoints
    return endpoint


async def put_on_hold(it: World, answer=None, name: str = "one") -> str:
    """An event whose answer puts the endpoint on hold."""
    it.network.answer = lambda _items: answer or status(403)
    message_id = await it.accept(name)
    await it.network.next()
    assert (await it.next_recorded()).attempt.state is DeliveryState.PENDING
    await it.move(0)
    assert (await the_endpoint(it)).paused_reason
    return message_id
