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
from bench.working import place
from nicobar.clock import SystemClock
from nicobar.connectors import NoResponse, Request, Response
from nicobar.pipeline.retention import Remover
from nicobar.store import RemoveEndpoint
from nicobar.store.sqlite import SqliteStore

DRAINED = 20_000
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
    ended, recorded = asyncio.Event(), 0

    def count(_recorded: object) -> None:
        nonlocal recorded
        recorded += 1
        if recorded == min(DRAINED, waiting):
            ended.set()

    async with place(directory) as at:

        async def add(number: int) -> None:
            new = message(number, body=BODY, customers=50_000, endpoint_seqs=(at.endpoint.seq,))
            await at.store.append(msgspec.structs.replace(new, app_id=at.endpoint.app_id))

        filled = await per_second(waiting, 500, add)
        most = before = resident_mib()
        async with at.worker(Swallow(), count) as worker:
            started = time.perf_counter()
            await worker.start()
            while not ended.is_set():
                await at.clock.wait(ended, 50)
                most = max(most, resident_mib())
            took_s = time.perf_counter() - started
            await worker.stop(10_000)
        await remove(at.store, at.clock, at.endpoint.id, number=waiting)
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
