"""`make bench`: what the choices are worth, as ratios within one run, since machines are shared and noisy."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.backlog import backlog
from bench.dashboard import dashboard
from bench.isolation import isolation
from bench.work import HANDLER, WORK, message, per_second
from nicobar.model import Customer
from nicobar.observe import set_up_logs
from nicobar.sandbox import Calls, Job
from nicobar.sandbox.pool import SandboxPool
from nicobar.sources.samples import fresh
from nicobar.store.sqlite import SqliteStore
from running import TYPES, Running, running


def tell(what: str, one: float, many: float, unit: str, how: tuple[str, str]) -> None:
    print(
        f"{what}: {one:,.0f} {unit} {how[0]}, {many:,.0f} {unit} {how[1]}: {many / one:.1f} times as many", flush=True
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
        (one, *_) = await pool.run([job])
    assert isinstance(one, Calls)
    tell("Isolated handler runs", alone, batches * 100, "events/s", ("one by one", "in batches"))


async def whole_way(directory: Path, at_once: int, count: int) -> tuple[float, float]:
    """Accepted events a second, and delivered ones, over real HTTP in one process with sender and emulator."""
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
    with tempfile.TemporaryDirectory(dir=WORK) as one, tempfile.TemporaryDirectory(dir=WORK) as many:
        _, alone = await whole_way(Path(one), 1, 200)
        accepted, delivered = await whole_way(Path(many), 100, 3_000)
    tell("Webhook in, Customer.io out", alone, delivered, "events/s", ("one sender", "100 senders"))
    print(f"  (accepted with 100 senders: {accepted:,.0f} events/s; sender and emulator share the process)")


PARTS = ("store", "sandbox", "pipeline", "isolation", "backlog", "dashboard")


async def main(parts: Sequence[str], waiting: int) -> None:
    set_up_logs(json=False, level="error")
    WORK.mkdir(exist_ok=True)
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    print(f"{os.cpu_count()} cores of {cpu or platform.machine()}, Python {platform.python_version()}, ", end="")
    print(f"SQLite {sqlite3.sqlite_version}, msgspec {msgspec.__version__}")
    work = {"store": store, "sandbox": sandbox, "pipeline": pipeline, "isolation": isolation, "dashboard": dashboard}
    for part in parts:
        await (backlog(waiting) if part == "backlog" else work[part]())


def _lines(path: str) -> list[str]:
    return Path(path).read_text("utf-8").splitlines() if Path(path).exists() else []


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure (all)")
    parser.add_argument("--waiting", type=int, default=200_000, help="deliveries in the large backlog")
    given = parser.parse_args()
    asyncio.run(main(given.parts or PARTS, given.waiting))
