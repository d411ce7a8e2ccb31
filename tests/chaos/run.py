"""`make chaos`: kills the server at every stage of an event, again and again, under steady load and with a faulty
destination. At the end, no acknowledged event may be missing, duplicated or out of order.

The seed determines the plan: the events of each customer, where the server dies, and the faults. Timing depends on
the machine, so a run with the same seed is similar, not identical.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import click
import msgspec

from chaos.faults import MAX_SLOW_MS, Weather
from chaos.judge import Verdict, judge
from chaos.lives import Life, adopt_orphans, bury_orphans
from chaos.load import HANDLER, Load
from chaos.plan import POINTS, Moment, Plan, Point
from nicobar.crypto import new_webhook_secret
from nicobar.emulator.state import MAX_ACTIVITIES
from nicobar.model import Record

WORK = Path(".build")
NICOBAR = str(Path(sys.executable).with_name("nicobar"))
# A plan whose point has not come up in this time is put off; the server is killed from outside instead.
LIFE_S = 10
DRAIN_S = 120
LOOK_S = 0.1
# Deaths by the harness's own hand, at any moment: while the server starts, runs, and stops in order.
START = Point(stage="start", moment=Moment.DURING)
ANYWHERE = Point(stage="anywhere", moment=Moment.DURING)
STOP = Point(stage="stop", moment=Moment.DURING)
ALL_POINTS = (*POINTS, START, ANYWHERE, STOP)
# After the plan was given for the first, after it listens for the others.
MAX_LIFE_S = {START: 0.1, ANYWHERE: 1.0, STOP: 0.5}
MAX_STOP_S = 0.2
# Many webhooks arrive at once when a server is back; deliveries are sent in few, large requests.
MAX_TIME = {"receive": 20, "verify": 20, "store": 10}
MAX_TIME_ELSEWHERE = 6
SHOW_DEATHS = 40
PORTS = range(20_000, 30_000)
FLAGS = ("--sandbox-children=1", "--log-level=warning")
CONFIGURATION = """
[[sources]]
name = "dodo"
kind = "dodo-payments"
secrets = [{{ env = "CHAOS_SECRET" }}]

[[endpoints]]
name = "customerio"
connector = "customerio"
handler = "handler.js"
settings = {{ base_url = "{emulator}" }}
credentials = {{ site_id = {{ env = "CHAOS_SITE" }}, api_key = {{ env = "CHAOS_KEY" }} }}
"""


class Wanted(Record):
    """The parameters of a run: `kills` deaths at each point, within the limits."""

    seed: int
    kills: int
    customers: int
    max_events: int
    max_seconds: int
    database_url: str


class Report(Record):
    """What a run saw. `orphans` are processes that outlived their server, `surprises` what must not happen at all,
    `missed` the points with fewer deaths than requested.
    """

    seed: int
    duration_s: float
    drain_s: float
    kills: dict[str, int]
    put_off: int
    faults: dict[str, int]
    events: int
    acknowledged: int
    posts: int
    answered_as_repeated: int
    activities: int
    left_out_by_id: int
    unfinished: int
    orphans: int
    verdict: Verdict
    surprises: tuple[str, ...]
    missed: tuple[str, ...]

    @property
    def ok(self) -> bool:
        zeros = (*msgspec.structs.astuple(self.verdict), self.unfinished, self.orphans)
        return not any(zeros) and not self.surprises and not self.missed


class Chaos:
    """One run in `directory`, against the emulator with this address and process id."""

    def __init__(self, wanted: Wanted, directory: Path, emulator: str, emulator_pid: int) -> None:
        self._wanted = wanted
        self._directory = directory
        self._emulator = emulator
        self._emulator_pid = emulator_pid
        self._port = _free_port()
        self._secret = new_webhook_secret()
        self._key = secrets.token_hex(32)
        self._chance = random.Random(f"{wanted.seed}/plan")
        rounds = [self._chance.sample(ALL_POINTS, k=len(ALL_POINTS)) for _ in range(wanted.kills)]
        self._todo = deque(point for each in rounds for point in each)
        self._log = (directory / "server.log").open("ab")
        self._lives: list[Life] = []
        self._put_off = 0
        self._orphans = 0
        self._surprises: list[str] = []
        self._kills: Counter[Point] = Counter()

    async def run(self) -> Report:
        """Leaves no process behind, however it ends."""
        try:
            return await self._run()
        finally:
            for life in self._lives:
                await life.kill()
            self._log.close()

    async def _run(self) -> Report:
        started = time.monotonic()
        load = Load(
            url=f"http://127.0.0.1:{self._port}{await self._configure()}",
            secret=self._secret,
            customers=self._wanted.customers,
            max_events=self._wanted.max_events,
            seed=self._wanted.seed,
        )
        async with aiohttp.ClientSession() as http:
            weather = Weather(http, self._emulator, self._wanted.seed)
            sending, faults = asyncio.create_task(load.run()), asyncio.create_task(weather.run(load.enough))
            last = await self._kill_all(load, started + self._wanted.max_seconds)
            load.enough.set()
            await last.go(None)
            await last.listening()
            load.up.set()
            await faults
            # By then the destination has processed late requests of dead servers: a profile's call has no id.
            await asyncio.sleep(MAX_SLOW_MS / 1000)
            load.settled.set()
            try:
                async with asyncio.timeout(DRAIN_S):
                    await sending
            except TimeoutError:
                self._surprises.append(f"posts were not acknowledged within {DRAIN_S} s")
            draining = time.monotonic()
            unfinished = await self._drain(http)
            drain_s = time.monotonic() - draining
            await last.stop()
            if last.process.returncode != 0:
                self._surprises.append(f"the last server ended with {last.process.returncode}")
            contents = await self._contents(http)
        left = Counter(self._todo)
        return Report(
            seed=self._wanted.seed,
            duration_s=round(time.monotonic() - started, 1),
            drain_s=round(drain_s, 1),
            kills={point.name: self._kills[point] for point in ALL_POINTS},
            put_off=self._put_off,
            faults=dict(weather.met),
            events=sum(len(item.events) for item in load.sent),
            acknowledged=sum(item.acknowledged for item in load.sent),
            posts=load.posts,
            answered_as_repeated=load.repeats,
            activities=len(contents["activities"]),
            left_out_by_id=sum(request["duplicates"] for request in contents["requests"]),
            unfinished=unfinished,
            orphans=self._orphans,
            verdict=judge(load.sent, contents["activities"], contents["people"]),
            surprises=(*self._surprises, *load.refusals[:10]),
            missed=tuple(f"{point.name}: {count} fewer" for point, count in left.items()),
        )

    async def _configure(self) -> str:
        """Writes and applies the configuration; returns the path of the source's address."""
        (self._directory / "nicobar.toml").write_text(CONFIGURATION.format(emulator=self._emulator))
        (self._directory / "handler.js").write_text(HANDLER)
        process = await asyncio.create_subprocess_exec(
            NICOBAR,
            "apply",
            # A server's database is new although there is a key.
            *(["--new-installation"] if self._wanted.database_url else []),
            str(self._directory / "nicobar.toml"),
            *self._where(),
            env=self._environment(),
            stdin=DEVNULL,
            stdout=PIPE,
        )
        out, _ = await process.communicate()
        found = re.search(r"(/in/\S+)$", out.decode().strip())
        if process.returncode != 0 or found is None:
            raise click.ClickException(f"The configuration was rejected: {out.decode()}")
        return found[1]

    def _where(self) -> list[str]:
        url = self._wanted.database_url
        return [f"--data-dir={self._directory / 'data'}", *([f"--database-url={url}"] if url else [])]

    def _environment(self) -> dict[str, str]:
        own = {"CHAOS_SECRET": self._secret, "CHAOS_SITE": "demo-site", "CHAOS_KEY": "demo-key"}
        own["NICOBAR_ALLOWED_ADDRESSES"] = self._emulator.removeprefix("http://")
        if self._wanted.database_url:
            own["NICOBAR_SECRET_KEY"] = self._key
        return {**{name: value for name, value in os.environ.items() if not name.startswith("NICOBAR_")}, **own}

    async def _load(self) -> Life:
        life = await Life.load(
            [*FLAGS, *self._where()],
            self._environment(),
            port=self._port,
            note=self._directory / f"note-{len(self._lives)}",
            log=self._log.fileno(),
        )
        self._lives.append(life)
        return life

    async def _kill_all(self, load: Load, until: float) -> Life:
        """Runs one server after the other until each point has had its kills, a bound is reached or a server exits
        without a kill; returns the last one, loaded and idle.
        """
        life = await self._load()
        while self._todo and not self._surprises and time.monotonic() < until and not load.exhausted:
            point = self._todo.popleft()
            # The next one loads while this one works.
            following = await self._load()
            died_at = await self._live(life, point, load)
            load.up.clear()
            self._kills[died_at] += 1
            if died_at != point:
                self._put_off += 1
                self._todo.append(point)
            if life.process.returncode not in ({0, -signal.SIGKILL} if died_at == STOP else {-signal.SIGKILL}):
                self._surprises.append(f"a server ended by itself with {life.process.returncode}")
            if sum(self._kills.values()) % SHOW_DEATHS == 0:
                acknowledged = sum(item.acknowledged for item in load.sent)
                click.echo(f"  {sum(self._kills.values())} kills, {acknowledged} events acknowledged", err=True)
            own = {self._emulator_pid, following.process.pid}
            self._orphans += await asyncio.to_thread(bury_orphans, own)
            life = following
        return life

    async def _live(self, life: Life, point: Point, load: Load) -> Point:
        """Lets the server run until it dies at the point; returns where it died."""
        outside = point in MAX_LIFE_S
        time_ = self._chance.randint(1, MAX_TIME.get(point.stage, MAX_TIME_ELSEWHERE))
        life_s = self._chance.uniform(0, MAX_LIFE_S[point]) if outside else LIFE_S
        await life.go(None if outside else Plan(point=point, time=time_))
        listening = asyncio.create_task(life.listening())
        if point == START:
            await life.dies_within(life_s)
            died_at = ANYWHERE if listening.done() else START
            await life.kill()
            await listening
            return died_at
        await listening
        if not life.dead:
            load.up.set()
        if not await life.dies_within(life_s) and point == STOP:
            life.process.terminate()
            await life.dies_within(self._chance.uniform(0, MAX_STOP_S))
            await life.kill()
            return STOP
        await life.kill()
        return life.died_at() or ANYWHERE

    async def _drain(self, http: aiohttp.ClientSession) -> int:
        """Waits until nothing is left to deliver; returns how much is."""
        base = f"http://127.0.0.1:{self._port}"
        until = time.monotonic() + DRAIN_S
        while True:
            async with http.get(f"{base}/readyz") as answer:
                ready = answer.status == 200
            async with http.get(f"{base}/metrics") as answer:
                found = re.findall(r"^nicobar_backlog_deliveries\{.*\} (\S+)$", await answer.text(), re.MULTILINE)
            left = int(sum(map(float, found)))
            if (ready and found and not left) or time.monotonic() > until:
                return left
            await asyncio.sleep(LOOK_S)

    async def _contents(self, http: aiohttp.ClientSession) -> dict[str, list[dict[str, Any]]]:
        contents = {}
        for name in ("activities", "people", "requests"):
            async with http.get(f"{self._emulator}/emulator/{name}?limit={MAX_ACTIVITIES}") as answer:
                contents[name] = (await answer.json())[name]
        if len(contents["activities"]) >= MAX_ACTIVITIES:
            self._surprises.append("the emulator dropped activities; lower --max-events")
        return contents


@asynccontextmanager
async def _emulator(directory: Path) -> AsyncIterator[tuple[str, int]]:
    """A running emulator: its address and its process id."""
    with (directory / "emulator.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            NICOBAR, "emulator", "--port=0", stdin=DEVNULL, stdout=PIPE, stderr=log
        )
    try:
        assert process.stdout is not None
        found = re.search(rb"http://\S+", await process.stdout.readline())
        if found is None:
            raise click.ClickException("The emulator did not start.")
        yield found[0].decode(), process.pid
    finally:
        process.terminate()
        await process.wait()


async def run(wanted: Wanted, directory: Path) -> Report:
    async with _emulator(directory) as (address, pid):
        return await Chaos(wanted, directory, address, pid).run()


def _free_port() -> int:
    """Below the range of outgoing connections, so that none uses it while the server is down."""
    for port in secrets.SystemRandom().sample(PORTS, k=len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise click.ClickException(f"No free port from {PORTS.start} to {PORTS.stop - 1}.")


def _print(report: Report) -> None:
    click.echo(f"\n{sum(report.kills.values())} kills ({report.put_off} postponed):")
    for name, count in report.kills.items():
        click.echo(f"  {count:4} {name}")
    click.echo("Requests with a fault:")
    for name, count in report.faults.items():
        click.echo(f"  {count:4} {name}")
    click.echo(
        f"{report.events} events sent in {report.posts} posts, {report.acknowledged} acknowledged "
        f"({report.answered_as_repeated} of them as duplicates); {report.activities} activities at the destination, "
        f"which ignored {report.left_out_by_id} calls with known ids"
    )
    for name, count in msgspec.structs.asdict(report.verdict).items():
        click.echo(f"  {count:4} {name.replace('_', ' ')}")
    click.echo(f"  {report.unfinished:4} unfinished\n  {report.orphans:4} orphaned processes")
    for line in (*report.surprises, *report.missed):
        click.echo(f"  ▲ {line}")
    click.echo(
        f"{'●' if report.ok else '▲'} seed {report.seed}, {report.duration_s} s, {report.drain_s} s of it draining"
    )


@click.command()
@click.option("--seed", type=int, default=None, help="Seed of the plan. [default: random]")
@click.option("--kills", type=click.IntRange(1, 1_000), default=20, show_default=True, help="Kills at each point.")
@click.option(
    "--customers", type=click.IntRange(1, 90), default=16, show_default=True, help="Customers that send concurrently."
)
@click.option(
    "--max-events", type=click.IntRange(1, 60_000), default=40_000, show_default=True, help="Maximum events to send."
)
@click.option(
    "--max-seconds", type=click.IntRange(1, 3_600), default=900, show_default=True, help="Time limit before draining."
)
@click.option("--database-url", default="", help="Database URL for the server. [default: SQLite in a new directory]")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(
    *,
    seed: int | None,
    kills: int,
    customers: int,
    max_events: int,
    max_seconds: int,
    database_url: str,
    as_json: bool,
) -> None:
    """Kill the server at every stage, again and again, and check that no event is lost, duplicated or reordered."""
    adopt_orphans()
    wanted = Wanted(
        seed=secrets.randbelow(1_000_000) if seed is None else seed,
        kills=kills,
        customers=customers,
        max_events=max_events,
        max_seconds=max_seconds,
        database_url=database_url,
    )
    WORK.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="chaos-", dir=WORK)).absolute()
    if not as_json:
        click.echo(f"seed {wanted.seed}: {kills} kills at each of {len(ALL_POINTS)} points, in {directory}")
    report = asyncio.run(run(wanted, directory))
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
    else:
        _print(report)
    if report.ok:
        shutil.rmtree(directory)
    raise SystemExit(0 if report.ok else 1)


if __name__ == "__main__":
    main()
