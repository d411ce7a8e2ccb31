"""`make chaos`: kills the server at every stage of an event, again and again, under steady load and with faulty
destinations. At the end, no acknowledged event may be missing, duplicated or out of order.

On SQLite one server runs after the other. With --postgresql two servers receive and three deliver at a time, some of
them are frozen instead, and so is killed the database's server.

The seed determines the plan: the events of each customer, where the servers die, and the faults. Timing depends on
the machine, so a run with the same seed is similar, not identical.
"""

from __future__ import annotations

import asyncio
import random
import re
import secrets
import shutil
import signal
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import click
import msgspec

from chaos.destinations import destinations
from chaos.faults import Weather
from chaos.judge import judge, total
from chaos.lives import Life, adopt_orphans
from chaos.load import Load
from chaos.operations import CANCELABLE, Operations
from chaos.plan import DATABASE, Point, points, shuffled
from chaos.report import Report, Wanted, show
from chaos.scene import POSTGRESQL, QUICK, SQLITE, Scene
from chaos.site import Site, free_port
from chaos.slots import Arena, Slot, Tally
from chaos.takeovers import take_overs
from nicobar.emulator.state import MAX_ACTIVITIES
from nicobar.settings import Role

if TYPE_CHECKING:
    from support.postgres import Cluster

WORK = Path(".build")
DRAIN_S = 120
LOOK_S = 0.1
MAX_SHOWN = 10
# A commit is written before it is acknowledged. That the disk has it, too, matters only when the machine itself ends.
SERVER = {"listen_addresses": "", "max_connections": "200", "synchronous_commit": "on", "fsync": "off"}


class Chaos:
    """One run in a site."""

    def __init__(self, wanted: Wanted, scene: Scene, site: Site) -> None:
        self._wanted = wanted
        self._scene = scene
        self._site = site
        self._chance = random.Random(f"{wanted.seed}/plan")
        # Each role's points; its slots share them.
        self._decks = {
            role: deque(shuffled(self._chance, points(role, many=scene.many), wanted.kills))
            for role in dict.fromkeys(scene.roles)
        }
        self._outages = wanted.kills if scene.many else 0
        self._planned = sum(map(len, self._decks.values()))
        self._tally = Tally()
        self._until_s = 0.0

    async def run(self) -> Report:
        """Leaves no process behind, however it ends."""
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
                return await self._run(http)
        finally:
            for life in self._tally.lives:
                await life.kill()

    async def _run(self, http: aiohttp.ClientSession) -> Report:
        started_s = time.monotonic()
        path, token = await self._site.create()
        load = Load(
            site=self._site,
            path=path,
            scene=self._scene,
            customers=self._wanted.customers,
            max_events=self._wanted.max_events,
            seed=self._wanted.seed,
        )
        self._load = load
        self._until_s = time.monotonic() + self._wanted.max_seconds
        urls = self._site.destinations
        weather = [
            Weather(http, url, seed=f"{self._wanted.seed}/{place}", emulators=len(urls))
            for place, url in enumerate(urls)
        ]
        operations = Operations(http, self._site, load, self._scene, token=token, seed=self._wanted.seed)
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(load.run())
            around = [group.create_task(each.run(load.enough)) for each in weather]
            around.append(group.create_task(self._operate(operations)))
            lives = await self._kill_all(load, weather)
            load.enough.set()
            await asyncio.gather(*around)
            # By then the destinations have processed late requests of dead servers: a profile's call has no id.
            await asyncio.sleep(max(0, max(each.quiet_at_s for each in weather) - time.monotonic()))
            load.settled.set()
            _, late = await asyncio.wait([sending], timeout=DRAIN_S)
            if late:
                self._tally.surprises.append(f"posts were not acknowledged within {DRAIN_S} s")
                sending.cancel()
        draining_s = time.monotonic()
        unfinished = await self._drain(http)
        drain_s = time.monotonic() - draining_s
        await self._stop(lives)
        contents = [await self._contents(http, url) for url in urls]
        verdicts = [
            judge(load.sent, each["activities"], each["people"], may_lose=place == CANCELABLE)
            for place, each in enumerate(contents)
        ]
        return Report(
            seed=self._wanted.seed,
            duration_s=round(time.monotonic() - started_s, 1),
            drain_s=round(drain_s, 1),
            kills={_name(role, point): self._tally.kills[role, point] for role, point in self._all()},
            postponed=self._tally.postponed,
            turned_away=self._tally.turned_away,
            faults=dict(sum((each.met for each in weather), Counter())),
            operations=dict(operations.done),
            events=sum(len(item.events) for item in load.sent),
            acknowledged=load.acknowledged,
            posts=load.posts,
            answered_as_repeated=load.repeats,
            activities=sum(len(each["activities"]) for each in contents),
            left_out_by_id=sum(request["duplicates"] for each in contents for request in each["requests"]),
            take_overs=take_overs(
                self._tally.losses,
                {life.number: life.sendings() for life in self._tally.lives},
                self._tally.outages_ns,
            ),
            unfinished=unfinished,
            orphans=self._tally.orphans,
            verdict=total(verdicts),
            surprises=(
                *self._tally.surprises,
                *load.refusals[:MAX_SHOWN],
                *[line for life in self._tally.lives for line in life.internal_errors()][:MAX_SHOWN],
            ),
            missed=tuple(self._missed()),
        )

    def _all(self) -> Iterator[tuple[Role | None, Point]]:
        for role in self._decks:
            for point in points(role, many=self._scene.many):
                yield role, point
        if self._scene.many:
            yield None, DATABASE

    def _missed(self) -> Iterator[str]:
        for role, point in self._all():
            fewer = self._wanted.kills - self._tally.kills[role, point]
            if fewer > 0:
                yield f"{_name(role, point)}: {fewer} fewer"

    def _is_over(self) -> bool:
        return bool(self._tally.surprises) or time.monotonic() > self._until_s or self._load.exhausted

    async def _operate(self, operations: Operations) -> None:
        try:
            await operations.run()
        except (click.ClickException, aiohttp.ClientResponseError) as error:
            self._tally.surprises.append(str(error))

    async def _kill_all(self, load: Load, weather: Sequence[Weather]) -> list[Life]:
        """Returns the last servers, which go on."""
        arena = Arena(self._scene, self._site, load, weather, self._tally, self._is_over)
        slots = [
            Slot(role, free_port(), self._decks[role], random.Random(f"{self._wanted.seed}/slot {number}"), arena)
            for number, role in enumerate(self._scene.roles)
        ]
        running = asyncio.gather(*(slot.run() for slot in slots))
        try:
            await self._kill_database(running)
            return await running
        finally:
            running.cancel()

    async def _kill_database(self, running: asyncio.Future[list[Life]]) -> None:
        """So often, spread over the other kills."""
        for number in range(self._outages):
            at = self._planned * (number + self._chance.random()) / self._outages
            while self._tally.kills.total() < at and not running.done():
                await asyncio.sleep(LOOK_S)
            if self._is_over():
                return
            self._tally.outages_ns.append(time.monotonic_ns())
            await self._site.outages.make(self._chance.uniform(0, self._scene.max_outage_s))
            self._tally.kills[None, DATABASE] += 1

    async def _stop(self, lives: list[Life]) -> None:
        for life in lives:
            await life.stop()
            if life.process.returncode != 0:
                self._tally.surprises.append(f"a last server ended with {life.process.returncode}")
            self._tally.orphans += await asyncio.to_thread(life.bury_orphans)

    async def _drain(self, http: aiohttp.ClientSession) -> int:
        """Waits until nothing is left to deliver, or it gets no less any more; returns how much is left."""
        least, until = self._load.acknowledged * self._scene.endpoints, time.monotonic() + DRAIN_S
        while time.monotonic() < until:
            base = await self._load.doors.any(self._chance)
            async with http.get(f"{base}/readyz") as answer:
                ready = answer.status == 200
            async with http.get(f"{base}/metrics") as answer:
                found = re.findall(r"^nicobar_backlog_deliveries\{.*\} (\S+)$", await answer.text(), re.MULTILINE)
            left = int(sum(map(float, found)))
            if ready and found and not left:
                return 0
            if found and left < least:
                least, until = left, time.monotonic() + DRAIN_S
            await asyncio.sleep(LOOK_S)
        return least

    async def _contents(self, http: aiohttp.ClientSession, url: str) -> dict[str, list[dict[str, Any]]]:
        contents = {}
        for name in ("activities", "people", "requests"):
            async with http.get(f"{url}/emulator/{name}?limit={MAX_ACTIVITIES}") as answer:
                contents[name] = (await answer.json())[name]
        if len(contents["activities"]) >= MAX_ACTIVITIES:
            self._tally.surprises.append("an emulator dropped activities; lower --max-events")
        return contents


def _name(role: Role | None, point: Point) -> str:
    return point.name if role in {None, Role.ALL} else f"{role}: {point.name}"


async def run(wanted: Wanted, directory: Path) -> Report:
    """Ends what it has started, also when it is told to end."""
    own = asyncio.current_task()
    assert own is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, own.cancel)
    scene = (QUICK if wanted.quick else POSTGRESQL) if wanted.postgresql else SQLITE
    async with destinations(scene.endpoints, directory) as urls:
        with _cluster(wanted) as cluster:
            return await Chaos(wanted, scene, Site(directory, urls, cluster, quick=scene.quick)).run()


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
    "--kills", type=click.IntRange(1, 1_000), default=None, help="Kills at each point. [default: 20, PostgreSQL: 14]"
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
@click.option("--quick", is_flag=True, help="On PostgreSQL: shorten the leases.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(
    *,
    seed: int | None,
    kills: int | None,
    customers: int,
    max_events: int,
    max_seconds: int,
    postgresql: bool,
    quick: bool,
    as_json: bool,
) -> None:
    """Kill the server at every stage, again and again, and check that no event is lost, duplicated or reordered."""
    adopt_orphans()
    wanted = Wanted(
        seed=secrets.randbelow(1_000_000) if seed is None else seed,
        kills=kills or (POSTGRESQL if postgresql else SQLITE).kills,
        customers=customers,
        max_events=max_events,
        max_seconds=max_seconds,
        postgresql=postgresql,
        quick=quick,
    )
    WORK.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="chaos-", dir=WORK)).absolute()
    if not as_json:
        click.echo(f"seed {wanted.seed}: {wanted.kills} kills at each point, in {directory}")
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
