"""Single pieces, each against itself used another way, in this process."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.work import HANDLER, WORK, message, per_second
from nicobar.model import Customer
from nicobar.sandbox import Calls, Job
from nicobar.sandbox.pool import SandboxPool
from nicobar.sources.samples import fresh
from nicobar.store.sqlite import SqliteStore
from support.server import TYPES, Running, running


def tell(what: str, value: float, many: float, unit: str, how: tuple[str, str]) -> None:
    print(
        f"{what}: {value:,.0f} {unit} {how[0]}, {many:,.0f} {unit} {how[1]}: {many / value:.1f} times as many",
        flush=True,
    )


async def store() -> None:
    with tempfile.TemporaryDirectory(dir=WORK) as directory:
        it = await SqliteStore.open(Path(directory) / "bench.db", now_ms=1)
        alone = await per_second(300, 1, lambda number: it.append(message(number)))
        together = await per_second(6_000, 200, lambda number: it.append(message(1_000 + number)))
        await it.close()
    tell("Durable writes, group commit", alone, together, "events/s", ("one by one", "from 200 at once"))


async def sandbox() -> None:
    job = Job(
        code_id="bench",
        code="function handler(w) { w.payload = {a: w.payload.data}; return w; }",
        body=b'{"data":1}',
        event_type="",
        url="",
        now_ms=1,
        occurred_at_ms=1,
        seed="",
    )
    async with SandboxPool(children=2) as pool:
        await pool.run([job] * 64)
        alone = await per_second(300, 1, lambda _: pool.run([job]))
        batches = await per_second(40, 2, lambda _: pool.run([job] * 100))
        (result, *_) = await pool.run([job])
    assert isinstance(result, Calls)
    tell("Isolated handler runs", alone, batches * 100, "events/s", ("one by one", "in batches"))


async def whole_way(directory: Path, at_once: int, count: int) -> tuple[float, float]:
    """Accepted and delivered events per second, over real HTTP in one process with sender and emulator."""
    async with running(directory, HANDLER) as nicobar:
        name = "payment.succeeded"

        async def send(number: int) -> None:
            customer = Customer(key=f"cus_{number % 500}", email=f"{number % 500}@shop.example")
            body = fresh(TYPES[name], nicobar.runtime.clock.now_ms(), customer)
            status, _ = await nicobar.send(body, f"evt_{number}")
            assert status == 202

        started = time.perf_counter()
        accepted = await per_second(count, at_once, send)
        await drained(nicobar, count)
        return accepted, count / (time.perf_counter() - started)


async def drained(nicobar: Running, count: int) -> None:
    for _ in range(count):
        await nicobar.next_recorded()
    assert len(nicobar.state.activities) == count


async def pipeline() -> None:
    with tempfile.TemporaryDirectory(dir=WORK) as single, tempfile.TemporaryDirectory(dir=WORK) as many:
        _, alone = await whole_way(Path(single), 1, 200)
        accepted, delivered = await whole_way(Path(many), 100, 3_000)
    tell("Webhook in, Customer.io out", alone, delivered, "events/s", ("one sender", "100 senders"))
    print(f"  (accepted with 100 senders: {accepted:,.0f} events/s; sender and emulator share the process)")
