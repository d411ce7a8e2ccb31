"""The cost of unknown tokens, and that a new source is found at once."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from nicobar.crypto import Vault, new_webhook_secret
from nicobar.errors import StoreUnavailable
from nicobar.ids import IdFactory
from nicobar.model import Customer, Message
from nicobar.pipeline.configuration import API_SOURCE_ID, UNKNOWN_TOKEN_POLL_MS, Configuration, OpenSource
from nicobar.sources.registry import SOURCES
from nicobar.store import PutSource, Store
from support.clock import MovingClock
from support.records import make_source

VAULT = Vault(b"k" * 32)


class Reads:
    """A store's catalogue that records its reads, and can be made to fail or to hang."""

    def __init__(self, store: Store, clock: MovingClock) -> None:
        self._store = store
        self._clock = clock
        self.at_ms: list[int] = []
        self.failure: BaseException | None = None
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()

    async def version(self) -> int:
        self.at_ms.append(self._clock.steady_ms())
        version = await self._store.version()
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return version

    async def snapshot(self):
        return await self._store.snapshot()

    async def create_source(self, kind: str = "dodo-payments"):
        (app,) = (await self._store.snapshot()).applications
        source = make_source(
            vault=VAULT,
            ids=IdFactory(self._clock.now_ms),
            app_id=app.id,
            name="new",
            kind=kind,
            secrets=(new_webhook_secret(),),
        )
        await self._store.change([PutSource(source=source)])
        return source


@pytest.fixture
def reads(store, clock):
    return Reads(store, clock)


@pytest.fixture
def clock():
    return MovingClock()


@pytest.fixture
def configuration(reads, clock):
    return Configuration(reads, VAULT, clock)


async def wait_for(clock, tasks, *, by_ms: int = UNKNOWN_TOKEN_POLL_MS) -> None:
    """Moves the clock on, as often as needed, until the tasks have ended."""
    while not all(task.done() for task in tasks):
        if clock.quiet:
            clock.move(by_ms)
        await asyncio.sleep(0)


async def test_source_created_right_after_a_read_is_found(reads, clock, configuration):
    assert await configuration.source("junk") is None
    source = await reads.create_source()
    began_ms = clock.steady_ms()
    clock.move(UNKNOWN_TOKEN_POLL_MS - 1)
    lookup = asyncio.create_task(configuration.source(source.token))
    await wait_for(clock, [lookup], by_ms=1)
    assert isinstance(lookup.result(), OpenSource)
    assert clock.steady_ms() - began_ms == UNKNOWN_TOKEN_POLL_MS


async def test_source_created_while_a_read_is_under_way_is_found(reads, clock, configuration):
    await configuration.refresh()
    clock.move(UNKNOWN_TOKEN_POLL_MS)
    reads.entered.clear()
    reads.gate = asyncio.Event()
    first = asyncio.create_task(configuration.source("junk"))
    await reads.entered.wait()
    source = await reads.create_source()
    second = asyncio.create_task(configuration.source(source.token))
    await asyncio.sleep(0)
    reads.gate.set()
    assert await first is None
    await wait_for(clock, [second])
    assert isinstance(second.result(), OpenSource)


async def test_unknown_tokens_share_one_read_per_interval(reads, clock, configuration):
    for _ in range(4):
        lookups = [asyncio.create_task(configuration.source(f"junk{number}")) for number in range(50)]
        await wait_for(clock, lookups)
        assert [item.result() for item in lookups] == [None] * 50
    began_ms = [at_ms - reads.at_ms[0] for at_ms in reads.at_ms]
    assert began_ms == [number * UNKNOWN_TOKEN_POLL_MS for number in range(len(began_ms))]
    assert len(began_ms) == 5, "the first request asked at once, the others while it did"


async def test_canceled_read_answers_no_other_request(reads, clock, configuration):
    await configuration.refresh()
    clock.move(UNKNOWN_TOKEN_POLL_MS)
    source = await reads.create_source()
    reads.gate = asyncio.Event()
    reads.entered.clear()
    lookups = [asyncio.create_task(configuration.source(source.token)) for _ in range(2)]
    await reads.entered.wait()
    lookups[0].cancel()
    reads.gate.set()
    await wait_for(clock, lookups[1:])
    assert isinstance(lookups[1].result(), OpenSource)


async def test_after_a_failed_read_unknown_tokens_fail_at_once(reads, clock, configuration):
    reads.failure = StoreUnavailable("store_unavailable", "The disk does not answer.", "Mount it.")
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await configuration.source("junk")
    assert len(reads.at_ms) == 1
    reads.failure = None
    clock.move(UNKNOWN_TOKEN_POLL_MS)
    assert await configuration.source("junk") is None


def message(source_id: str, app_id: str, customer_key: str | None, **data: str) -> Message:
    return Message(
        seq=1,
        id="msg_1",
        app_id=app_id,
        source_id=source_id,
        event_id="evt_1",
        event_type="order.paid",
        customer_key=customer_key,
        occurred_at_ms=1,
        accepted_at_ms=1,
        body=msgspec.json.encode({"data": data}),
    )


@pytest.mark.parametrize(("kind", "email"), [("dodo-payments", None), ("standard-webhooks", "ada@northpine.example")])
async def test_a_posted_event_uses_the_first_source_s_kind(reads, configuration, kind, email):
    await reads.create_source(kind)
    await configuration.refresh()
    (app,) = configuration.snapshot.applications
    posted = message(API_SOURCE_ID, app.id, "cus_ada", customer_id="cus_ada", email="ada@northpine.example")
    assert configuration.application_kind(app.id).kind == kind
    assert configuration.customer(posted) == Customer(key="cus_ada", email=email)


async def test_customer_stays_the_stored_one_whatever_sources_there_are(configuration):
    await configuration.refresh()
    (app,) = configuration.snapshot.applications
    assert configuration.application_kind(app.id) is SOURCES[0]
    nested = msgspec.json.encode({"data": {"customer": {"id": "cus_ada", "name": "Ada"}}})
    deleted = msgspec.structs.replace(message("src_deleted", app.id, "cus_ada"), body=nested)
    assert configuration.customer(deleted) == Customer(key="cus_ada", name="Ada")
    assert configuration.customer(msgspec.structs.replace(deleted, body=b"")) == Customer(key="cus_ada")
    assert configuration.customer(msgspec.structs.replace(deleted, customer_key=None)) is None
