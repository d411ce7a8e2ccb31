"""A worker in this process with a Customer.io endpoint, a real database and real handlers; the network is ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.work import HANDLER
from nicobar.clock import SystemClock
from nicobar.connectors import Transport
from nicobar.crypto import Vault
from nicobar.ids import IdFactory
from nicobar.metrics import Metrics
from nicobar.model import Endpoint
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.configuration import Configuration
from nicobar.pipeline.deliver import Deliverer
from nicobar.pipeline.recorder import Recorded
from nicobar.pipeline.worker import Worker
from nicobar.sandbox.pool import SandboxPool
from nicobar.store import AddTransformation
from nicobar.store.sqlite import SqliteStore
from support.records import make_endpoint


@dataclass
class Place:
    """A database with one endpoint."""

    clock: SystemClock
    vault: Vault
    ids: IdFactory
    store: SqliteStore
    endpoint: Endpoint

    @asynccontextmanager
    async def worker(self, transport: Transport, on_recorded: Callable[[Recorded], None]) -> AsyncIterator[Worker]:
        """A worker that was not started yet."""
        metrics, configuration = Metrics(), Configuration(self.store, self.vault, self.clock)
        await configuration.refresh()
        alerts = Alerts(
            store=self.store,
            configuration=configuration,
            vault=self.vault,
            clock=self.clock,
            ids=self.ids,
            metrics=metrics,
        )
        async with SandboxPool(children=2) as pool:
            deliverer = Deliverer(
                queue=self.store,
                facts=self.store,
                configuration=configuration,
                sandbox=pool,
                transport=transport,
                clock=self.clock,
                ids=self.ids,
                metrics=metrics,
                jitter=lambda: 0.0,
                alerts=alerts,
                on_recorded=on_recorded,
            )
            yield Worker(
                store=self.store,
                configuration=configuration,
                deliverer=deliverer,
                clock=self.clock,
                ids=self.ids,
                metrics=metrics,
                alerts=alerts,
                alone=True,
                tasks={},
            )


@asynccontextmanager
async def place(directory: Path) -> AsyncIterator[Place]:
    clock, vault = SystemClock(), Vault(b"k" * 32)
    store = await SqliteStore.open(directory / "bench.db", now_ms=clock.now_ms())
    ids = IdFactory(clock.now_ms)
    (app,) = (await store.snapshot()).applications
    endpoint = make_endpoint(
        vault=vault,
        ids=ids,
        app_id=app.id,
        name="customerio",
        kind="customerio",
        settings={"keep_profile": False},
        credentials={"site_id": "demo-site", "api_key": "demo-key"},
    )
    await store.change([endpoint, AddTransformation(endpoint_id=endpoint.id, code=HANDLER, created_at_ms=1)])
    (kept,) = (await store.snapshot()).endpoints
    yield Place(clock, vault, ids, store, kept)
    await store.close()
