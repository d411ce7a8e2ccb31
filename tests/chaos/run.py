"""`make chaos`: kills the server at every stage of an event, again and again, and makes everything around it fail,
under steady load, with faulty destinations and busy operators. At the end, no acknowledged event may be missing,
duplicated or out of order, and no fault may have been silent.

On SQLite one server runs after the other. With --postgresql two servers receive and three deliver at a time, and the
database's server fails, too.

The seed determines the plan: the events of each customer, where the servers die, and the faults. Timing depends on
the machine, so a run with the same seed is similar, not identical.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from chaos.course import Chaos
from chaos.destinations import destinations
from chaos.disk import Disk
from chaos.nursery import adopt_orphans, nursery
from chaos.report import Report, Wanted, show
from chaos.scene import POSTGRESQL, QUICK, SQLITE
from chaos.site import Site

if TYPE_CHECKING:
    from support.postgres import Cluster

WORK = Path(".build")
# A commit is written before it is acknowledged. That the disk has it, too, matters only when the machine itself ends.
SERVER = {"listen_addresses": "", "max_connections": "200", "synchronous_commit": "on", "fsync": "off"}


async def run(wanted: Wanted, directory: Path) -> Report:
    """Ends what it has started, also when it is told to end."""
    own = asyncio.current_task()
    assert own is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, own.cancel)
    scene = (QUICK if wanted.quick else POSTGRESQL) if wanted.postgresql else SQLITE
    disk = Disk(directory / "data", directory)
    async with (
        nursery(disk.environment, directory / "nursery.log", quick=scene.quick) as born,
        destinations(scene.endpoints, directory) as urls,
    ):
        with _cluster(wanted) as cluster:
            return await Chaos(wanted, scene, Site(directory, born, urls, cluster), disk, cluster).run()


@contextmanager
def _cluster(wanted: Wanted) -> Iterator[Cluster | None]:
    if not wanted.postgresql:
        yield None
        return
    # Its library is needed only here.
    from support.postgres import Cluster  # noqa: PLC0415

    cluster = Cluster(SERVER)
    try:
        yield cluster
    finally:
        cluster.stop()


@click.command()
@click.option("--seed", type=int, default=None, help="Seed of the plan. [default: random]")
@click.option(
    "--kills",
    type=click.IntRange(1, 1_000),
    default=None,
    help="How often each kill and fault happens. [default: 19, PostgreSQL: 15]",
)
@click.option(
    "--sample",
    type=click.IntRange(1, 100),
    default=None,
    help="Only so many kinds of kills and faults for each role, and of operations. [default: all]",
)
@click.option(
    "--customers", type=click.IntRange(1, 90), default=16, show_default=True, help="Customers that send concurrently."
)
@click.option(
    "--max-events", type=click.IntRange(1, 60_000), default=40_000, show_default=True, help="Maximum events to send."
)
@click.option(
    "--max-seconds",
    type=click.IntRange(1, 7_200),
    default=3_600,
    show_default=True,
    help="Limit before draining.",
)
@click.option("--postgresql", is_flag=True, help="Run two web and three worker processes on PostgreSQL.")
@click.option("--quick", is_flag=True, help="On PostgreSQL: one web and two worker processes, with short leases.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(
    *,
    seed: int | None,
    kills: int | None,
    sample: int | None,
    customers: int,
    max_events: int,
    max_seconds: int,
    postgresql: bool,
    quick: bool,
    as_json: bool,
) -> None:
    """Kill the server at every stage, make everything around it fail, and check that no event is lost, duplicated or
    reordered, and that every fault shows.
    """
    adopt_orphans()
    wanted = Wanted(
        seed=secrets.randbelow(1_000_000) if seed is None else seed,
        kills=kills or (POSTGRESQL if postgresql else SQLITE).kills,
        sample=sample,
        customers=customers,
        max_events=max_events,
        max_seconds=max_seconds,
        postgresql=postgresql,
        quick=quick,
    )
    WORK.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="chaos-", dir=WORK)).absolute()
    if not as_json:
        click.echo(f"seed {wanted.seed}: each kill and fault {wanted.kills} times, in {directory}")
    report = asyncio.run(run(wanted, directory))
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
    else:
        show(report)
    if report.ok:
        shutil.rmtree(directory)
    raise SystemExit(0 if report.ok else 1)


if __name__ == "__main__":
    main()
