"""A backlog that does not fit into memory: what a worker needs and how fast it drains, with few and with many
waiting.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

import msgspec

from bench.work import WORK, message, per_second
from nicobar.clock import SystemClock
from nicobar.connectors import NoResponse, Request, Response
from nicobar.crypto import Vault
from nicobar.ids import IdFactory
from nicobar.metrics import Metrics
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.configuration import Configuration
from nicobar.pipeline.deliver import Deliverer
from nicobar.pipeline.retention import Remover
from nicobar.pipeline.worker import Worker
from nicobar.sandbox.pool import SandboxPool
from nicobar.store import AddTransformation, RemoveEndpoint
from nicobar.store.sqlite import SqliteStore
from support.records import make_endpoint

DRAINED = 20_000
HANDLER = """function handler(webhook) {
  webhook.payload = nicobar.event("paid", {amount: webhook.payload.data.total_amount});
  return webhook;
}"""
BODY = msgspec.json.encode({"type": "payment.succeeded", "data": {"total_amount": 4900, "note": "x" * 1_000}})


class Swallow:
    """Accepts everything at once; the drain measures the store's, the sandbox's and the pipeline's own speed."""

    async def send(self, _request: Request) -> Response | NoResponse:
        return Response(status=200, headers={}, body=b"{}\n", duration_ms=0)


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def drain(directory: Path, waiting: int) -> float:
    """Deliveries per second with that many pending; prints the growth of the process."""
    clock, vault, metrics = SystemClock(), Vault(b"k" * 32), Metrics()
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

    async def add(number: int) -> None:
        new = message(number, body=BODY, customers=50_000, endpoint_seqs=(kept.seq,))
        await store.append(msgspec.structs.replace(new, app_id=app.id))

    filled = await per_second(waiting, 500, add)
    before = resident_mib()
    configuration = Configuration(store, vault, clock)
    await configuration.refresh()
    ended, recorded = asyncio.Event(), 0

    def count(_recorded: object) -> None:
        nonlocal recorded
        recorded += 1
        if recorded == min(DRAINED, waiting):
            ended.set()

    alerts = Alerts(queue=store, configuration=configuration, clock=clock, ids=ids, metrics=metrics)
    most = before
    async with SandboxPool(children=2) as pool:
        deliverer = Deliverer(
            queue=store,
            configuration=configuration,
            sandbox=pool,
            transport=Swallow(),
            clock=clock,
            ids=ids,
            metrics=metrics,
            jitter=lambda: 0.0,
            alerts=alerts,
            on_recorded=count,
        )
        worker = Worker(
            store=store,
            configuration=configuration,
            deliverer=deliverer,
            clock=clock,
            ids=ids,
            metrics=metrics,
            alerts=alerts,
            alone=True,
            tasks={},
        )
        started = time.perf_counter()
        await worker.start()
        while not ended.is_set():
            await clock.wait(ended, 50)
            most = max(most, resident_mib())
        took_s = time.perf_counter() - started
        await worker.stop(10_000)
    await remove(store, clock, kept.id, number=waiting)
    await store.close()
    size_mib = sum(file.stat().st_size for file in directory.iterdir()) / 2**20
    print(
        f"  {waiting:,} waiting ({size_mib:,.0f} MiB on disk, filled with {filled:,.0f}/s): the process grew from "
        f"{before:.0f} to {most:.0f} MiB while it delivered {recorded:,}",
        flush=True,
    )
    return recorded / took_s


async def remove(store: SqliteStore, clock: SystemClock, endpoint_id: str, *, number: int) -> None:
    """Removes the endpoint with what it has left; prints how long an event for another one waited at most."""
    left = sum(waiting.unfinished for waiting in await store.backlog())
    if not left:
        return
    waits_s: list[float] = []
    ended, stop = asyncio.Event(), asyncio.Event()

    async def accept() -> None:
        while not ended.is_set():
            started = time.perf_counter()
            await store.append(message(number + len(waits_s)))
            waits_s.append(time.perf_counter() - started)

    accepting = asyncio.create_task(accept())
    await clock.wait(ended, 1_000)
    alone_s, before = max(waits_s), len(waits_s)
    started = time.perf_counter()
    await store.change([RemoveEndpoint(endpoint_id=endpoint_id)])
    removing = asyncio.create_task(Remover(store=store, clock=clock).run(stop))
    while await store.backlog():
        await clock.wait(ended, 250)
    took_s = time.perf_counter() - started
    ended.set()
    stop.set()
    await asyncio.gather(accepting, removing)
    print(
        f"  removed with {left:,} waiting: canceled within {took_s:.0f} s; an event waited at most "
        f"{max(waits_s[before:]) * 1000:.0f} ms for the disk meanwhile, and {alone_s * 1000:.0f} ms before",
        flush=True,
    )


async def backlog(waiting: int) -> None:
    print("A backlog:")
    rates = []
    for count in (DRAINED, waiting):
        with tempfile.TemporaryDirectory(dir=WORK) as directory:
            rates.append(await drain(Path(directory), count))
    print(
        f"  drained {rates[0]:,.0f} deliveries/s of {DRAINED:,} and {rates[1]:,.0f} of {waiting:,}: "
        f"{rates[1] / rates[0]:.2f} times as many"
    )
