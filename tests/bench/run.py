"""`make bench`: ratios within one run; the machines that run it are shared and noisy."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from nicobar.sandbox import Calls, Job
from nicobar.sandbox.pool import SandboxPool
from nicobar.store import NewMessage
from nicobar.store.sqlite import SqliteStore

TOGETHER = 4_000
ALONE = 300
EVENTS = 2_000


def message(number: int) -> NewMessage:
    return NewMessage(
        id=f"msg_{number:027}",
        app_id="app",
        source_id="src",
        event_id=f"evt_{number}",
        event_type="payment.succeeded",
        customer_key=f"cus_{number % 100}",
        occurred_at_ms=number,
        accepted_at_ms=number,
        body=b"x" * 2_500,
        endpoint_seqs=(),
    )


async def store() -> None:
    with tempfile.TemporaryDirectory() as directory:
        it = await SqliteStore.open(Path(directory) / "bench.db", now_ms=1)
        started = time.perf_counter()
        for number in range(ALONE):
            await it.append(message(number))
        alone = ALONE / (time.perf_counter() - started)
        gate = asyncio.Semaphore(200)

        async def append(number: int) -> None:
            async with gate:
                await it.append(message(number))

        started = time.perf_counter()
        await asyncio.gather(*(append(ALONE + number) for number in range(TOGETHER)))
        together = TOGETHER / (time.perf_counter() - started)
        await it.close()
    print(f"durable appends: {alone:.0f}/s one by one, {together:.0f}/s from 200 at once: x{together / alone:.1f}")


async def sandbox() -> None:
    code = "function handler(w) { w.payload = {a: w.payload.data}; return w; }"
    job = Job(
        code_id="bench", code=code, body=b'{"data":1}', event_type="", url="", now_ms=1, occurred_at_ms=1, seed=""
    )
    async with SandboxPool(children=2) as pool:
        await pool.run([job] * 64)
        started = time.perf_counter()
        for _ in range(200):
            await pool.run([job])
        alone = 200 / (time.perf_counter() - started)
        started = time.perf_counter()
        results = await pool.run([job] * EVENTS)
        together = EVENTS / (time.perf_counter() - started)
    assert all(isinstance(result, Calls) for result in results)
    print(f"events through a handler: {alone:.0f}/s one by one, {together:.0f}/s in batches: x{together / alone:.1f}")


async def main() -> None:
    await store()
    await sandbox()


if __name__ == "__main__":
    asyncio.run(main())
