"""`make bench`: measures throughput, latency, CPU and memory. Compare figures within one run: machines are noisy."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from bench.backlog import backlog
from bench.dashboard import dashboard
from bench.fairness import fairness
from bench.isolation import isolation
from bench.ledger import ledger
from bench.parts import pipeline, sandbox, store
from bench.plans import plans
from bench.tables import VARIANTS, tables
from bench.whole import Report, table, whole
from bench.work import WORK
from nicobar.logs import set_up_logs

DEFAULT = ("whole", "store", "sandbox")


async def main(given: argparse.Namespace) -> None:
    set_up_logs(json=False, level="error")
    WORK.mkdir(exist_ok=True)
    print(machine(), flush=True)

    async def from_outside() -> None:
        report = await whole(machine(), WORK, postgresql=given.postgresql)
        earlier = msgspec.json.decode(given.compare.read_bytes(), type=Report) if given.compare else None
        print(table(report, earlier))
        if given.keep:
            given.keep.write_bytes(msgspec.json.format(msgspec.json.encode(report)))

    parts: dict[str, Callable[[], Awaitable[None]]] = {
        "whole": from_outside,
        "store": store,
        "sandbox": sandbox,
        "pipeline": pipeline,
        "isolation": isolation,
        "backlog": lambda: backlog(given.waiting),
        "ledger": ledger,
        "fairness": lambda: fairness(given.waiting),
        "dashboard": dashboard,
        "plans": lambda: plans(given.messages),
        "tables": lambda: tables(given.messages, given.variants or ["as migrated"]),
    }
    for name in given.parts or DEFAULT:
        await parts[name]()


def machine() -> str:
    """The machine and the versions that the figures depend on, in one line."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8").splitlines() if cpuinfo.exists() else []
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, msgspec {msgspec.__version__}"
    return f"{os.cpu_count()} cores of {cpu}, load {os.getloadavg()[0]:.1f}, {versions}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        help=f"what to measure (default: {' '.join(DEFAULT)}); also pipeline, isolation, backlog, fairness, ledger, "
        "dashboard, plans, tables",
    )
    parser.add_argument("--waiting", type=int, default=200_000, help="number of deliveries in the large backlog")
    parser.add_argument("--messages", type=int, default=1_000_000, help="number of messages for `plans` and `tables`")
    parser.add_argument(
        "--variant",
        dest="variants",
        action="append",
        choices=list(VARIANTS),
        help="settings of the tables to measure for `tables` (default: as migrated)",
    )
    parser.add_argument("--postgresql", action="store_true", help="run `whole` on a PostgreSQL server of its own")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="save the figures of `whole` as JSON")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="compare with figures saved by --keep")
    asyncio.run(main(parser.parse_args()))
