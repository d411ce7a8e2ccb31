"""Lives played through the receiver, the store, a recipe, the connector and the emulator, all in this process. Only
the time and the network are ours.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from lives import attributes
from lives.oracle import Oracle, Said, Verdict
from lives.orders import Arrival
from lives.shop import HOUR_MS
from nicobar.connectors import Request, Response
from nicobar.crypto import new_webhook_secret
from nicobar.emulator.app import Emulator
from nicobar.emulator.campaign import Email
from nicobar.emulator.state import State
from nicobar.ids import IdFactory
from nicobar.metrics import Metrics
from nicobar.model import DeliveryState, Json, Setting
from nicobar.pipeline.receive import Receiver
from nicobar.sources.dodo import DodoPayments
from nicobar.store import AddTransformation, PutSource
from support.asgi import ask
from support.clock import MovingClock
from support.patience import PATIENCE_S
from support.records import make_endpoint, make_source
from support.store import drop_store, open_store
from support.worker import VAULT, Network, World, working

# So many requests at once, and at most so much time between the first and the last.
WAVE = 250
WAVE_MS = 6 * HOUR_MS
SHOWN = 20
STEP_MS = 60_000
DODO = DodoPayments()
_BASIC = "Basic " + base64.b64encode(b"demo-site:demo-key").decode()


class ToEmulator(Network):
    """The emulator's application, asked without a socket."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__()
        self._emulator = emulator

    async def send(self, request: Request) -> Response:
        path = urlsplit(request.url).path
        reply = await ask(self._emulator, request.method, path, request.body, **request.headers)
        return Response(status=reply.status, headers=reply.headers, body=reply.body, duration_ms=1)


@dataclass
class Played:
    """A shop's endpoint, and what arrived in Customer.io."""

    world: World
    clock: MovingClock
    receiver: Receiver
    secret: str
    token: str
    emulator: Emulator
    failures: list[str] = field(default_factory=list)
    _read: int = 0

    async def play(self, waves: Iterable[Sequence[Arrival]], oracles: Mapping[str, Oracle]) -> dict[str, list[Said]]:
        """Processes each wave before the next arrives. What was said, by the person's address."""
        said: dict[str, list[Said]] = {address: [] for address in oracles}
        for wave in waves:
            self.clock.move(max(max(it.at_ms for it in wave) - self.clock.now_ms(), 0))
            firsts = {it.life.email: oracles[it.life.email].told for it in wave}
            for it in wave:
                oracles[it.life.email].tell(it.delivered)
            accepted = await asyncio.gather(*map(self._post, wave))
            await self._processed({message_id for message_id in accepted if message_id})
            for address in firsts:
                oracles[address].processed(self.clock.now_ms())
            for address, name, at_s, data in self._new_events():
                first = firsts.get(address, oracles[address].told - 1)
                said[address].append(Said(name, at_s, data, first, oracles[address].told - 1))
        return said

    async def _post(self, it: Arrival) -> str | None:
        """The message, if it is a new one."""
        headers = DODO.sign(it.event_id, it.body, self.secret, self.clock.now_ms())
        source = await self.receiver.source(self.token)
        appended = await self.receiver.receive(
            source, {name.lower(): text for name, text in headers.items()}, it.body
        )
        return None if appended.duplicate else appended.message_id

    async def _processed(self, messages: set[str]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while messages:
                recorded = await self.world.recorded.get()
                if recorded.attempt.state in {DeliveryState.SUCCESS, DeliveryState.FAILED, DeliveryState.CANCELED}:
                    messages.discard(recorded.message.id)
                if recorded.attempt.state is DeliveryState.FAILED:
                    self.failures.append(f"{recorded.message.event_type}: {recorded.attempt.reason}")

    async def pass_time(self, by_ms: int) -> None:
        """Until what is due by then has been done."""
        for _ in range(by_ms // STEP_MS):
            await self.world.move(STEP_MS)
        await self.world.move(0)
        self.emulator.settle()

    def attributes_of(self, address: str) -> Mapping[str, str]:
        person = self.emulator.state.find("email", address)
        return {} if person is None else person.attributes

    def _new_events(self) -> Iterator[tuple[str, str, int, Mapping[str, object]]]:
        self.emulator.settle()
        news = self.emulator.state.activities.next_number - 1 - self._read
        for activity in reversed(list(islice(reversed(self.emulator.state.activities), news))):
            if activity.type == "event":
                yield activity.person, activity.name, activity.timestamp, activity.data
        self._read += news


def in_waves(arrivals: Iterable[Arrival], *, of_each: int = 1) -> Iterator[list[Arrival]]:
    """At most `of_each` requests of a customer at once, so that each is processed before the next one arrives."""
    left = deque(sorted(arrivals, key=lambda it: it.at_ms))
    while left:
        until_ms = left[0].at_ms + WAVE_MS
        rounds: list[list[Arrival]] = []
        counts: Counter[str] = Counter()
        while left and left[0].at_ms <= until_ms:
            it = left.popleft()
            place = counts[it.life.email] // of_each
            counts[it.life.email] += 1
            if place == len(rounds):
                rounds.append([])
            rounds[place].append(it)
        for wave in rounds:
            for start in range(0, len(wave), WAVE):
                yield wave[start : start + WAVE]


@asynccontextmanager
async def shop_and_workspace(
    directory: Path,
    handler: str,
    start_ms: int,
    *,
    source: Mapping[str, object] | None = None,
    endpoint: Mapping[str, Setting] | None = None,
    database: str = "sqlite",
) -> AsyncIterator[Played]:
    clock = MovingClock(start_ms)
    emulator = Emulator(State(now=lambda: clock.now_ms() / 1000))
    store = await open_store(directory, start_ms, database=database)
    ids, secret = IdFactory(clock.now_ms), new_webhook_secret()
    app_id = (await store.snapshot()).applications[0].id
    made = make_endpoint(
        vault=VAULT,
        ids=ids,
        app_id=app_id,
        name="Customer.io",
        kind="customerio",
        settings={"identify_by": "email", **(endpoint or {})},
        credentials={"site_id": "demo-site", "api_key": "demo-key"},
    )
    of = make_source(
        vault=VAULT, ids=ids, app_id=app_id, name="dodo", kind="dodo-payments", secrets=[secret], **(source or {})
    )
    added = AddTransformation(endpoint_id=made.id, code=handler, created_at_ms=start_ms)
    await store.change([PutSource(source=of), made, added])
    try:
        async with working(store, clock, ids, network=ToEmulator(emulator)) as world:
            worker = world.worker
            receiver = Receiver(
                configuration=worker._configuration,
                queue=store,
                ids=ids,
                clock=clock,
                metrics=Metrics(),
                alerts=worker._alerts,
                on_accepted=worker.wake,
            )
            yield Played(world, clock, receiver, secret, of.token, emulator)
    finally:
        await store.close()
        drop_store(directory)


@dataclass
class Figures:
    """Of many lives."""

    lives: int = 0
    right: int = 0
    wrong: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    emails: Sequence[Email] = ()
    unsent: Sequence[str] = ()

    def add(self, label: str, verdict: Verdict) -> None:
        self.lives += 1
        self.right += verdict.right
        self.wrong += [f"{label}: {text}" for text in verdict.wrong]
        self.missing += [f"{label}: {text}" for text in verdict.missing]

    def compare(self, label: str, wanted: Mapping[str, Json], found: Mapping[str, str]) -> None:
        self.attributes += [
            f"{label}: {name} is {found.get(name)} instead of {value}"
            for name, value in wanted.items()
            if not attributes.same(value, found.get(name))
        ]

    @property
    def faults(self) -> list[str]:
        """In words, a bounded number of each kind."""
        of_kinds = (
            ("wrong", self.wrong),
            ("missing", self.missing),
            ("attribute", self.attributes),
            ("not sent", self.unsent),
        )
        return [f"{kind}: {text}" for kind, texts in of_kinds for text in texts[:SHOWN]]
