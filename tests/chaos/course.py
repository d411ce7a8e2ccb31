"""One run: the sender, the destinations' faults, the operators and all that happens to the servers; then everything
that was accepted is delivered, and judged.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import click

from chaos import memory, plan
from chaos.arena import Arena, Tally
from chaos.database_faults import DatabaseFaults
from chaos.disk import Disk
from chaos.faults import Weather
from chaos.judge import evidence, judge, total
from chaos.lives import Life
from chaos.load import Load
from chaos.operations import CANCELABLE, Operations, remade
from chaos.plan import Point, points, shuffled, times
from chaos.report import Report, Wanted
from chaos.scene import Scene
from chaos.site import Site, free_port
from chaos.slots import Slot
from chaos.takeovers import take_overs
from chaos.troubles import Troubles
from chaos.witness import Witness
from nicobar.emulator.state import MAX_ACTIVITIES
from nicobar.settings import Role

if TYPE_CHECKING:
    from support.postgres import Cluster

DRAIN_S = 120
LOOK_S = 0.1
MAX_SHOWN = 10


class Chaos:
    """One run in a site."""

    def __init__(self, wanted: Wanted, scene: Scene, site: Site, disk: Disk, cluster: Cluster | None) -> None:
        self._wanted = wanted
        self._scene = scene
        self._site = site
        self._cluster = cluster
        self._chance = random.Random(f"{wanted.seed}/plan")
        self._disk = disk
        self._left_out: list[str] = []
        # How often each point is to happen, by role; the slots of a role share its deck.
        self._planned = self._plan(wanted.kills)
        self._decks = {role: deque(shuffled(self._chance, planned)) for role, planned in self._planned.items()}
        self._tally = Tally()
        self._until_s = 0.0

    def _plan(self, kills: int) -> dict[Role | None, dict[Point, int]]:
        without: set[Point] = set()
        if not self._scene.many and not self._disk.can_fail:
            without |= {*plan.BY_DISK, plan.NEARLY_FULL}
            self._left_out.append("faults of the disk: no C compiler (cc) was found")
        if self._cluster is not None and not self._cluster.can_dump:
            without.add(plan.DB_RESTORED)
            self._left_out.append("a restored dump: pg_dump and pg_restore were not found")
        found: dict[Role | None, tuple[Point, ...]] = {
            role: points(role, many=self._scene.many, without=without) for role in dict.fromkeys(self._scene.roles)
        }
        if self._scene.many:
            found[None] = tuple(point for point in plan.BY_DATABASE if point not in without)
        if self._wanted.sample is not None:
            found = {
                role: tuple(self._chance.sample(all_of, k=min(self._wanted.sample, len(all_of))))
                for role, all_of in found.items()
            }
        return {role: {point: times(point, kills) for point in all_of} for role, all_of in found.items()}

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
        wanted = self._wanted
        self._load = load = Load(
            site=self._site,
            path=path,
            scene=self._scene,
            customers=wanted.customers,
            max_events=wanted.max_events,
            seed=wanted.seed,
        )
        self._until_s = time.monotonic() + wanted.max_seconds
        urls = self._site.destinations
        weather = [
            Weather(http, url, seed=f"{wanted.seed}/{place}", emulators=len(urls)) for place, url in enumerate(urls)
        ]
        witness = Witness(http)
        operations = Operations(
            http, self._site, load, self._scene, witness, token=token, seed=wanted.seed, sample=wanted.sample
        )
        troubles = Troubles(self._site, load, weather, witness, places=range(remade(self._scene)), seed=wanted.seed)
        arena = Arena(self._scene, self._site, load, weather, witness, self._disk, self._tally, self._is_over)
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(load.run())
            around = [group.create_task(each.run(load.enough)) for each in weather]
            around += [group.create_task(self._operate(operations)), group.create_task(troubles.run())]
            lives = await self._kill_all(arena)
            load.enough.set()
            await asyncio.gather(*around)
            # By then the destinations have processed late requests of dead servers: a profile's call has no id.
            await asyncio.sleep(max(0, max(each.quiet_at_s for each in weather) - time.monotonic()))
            await self._finish(operations, partial(self._drain, http))
            load.settled.set()
            _, late = await asyncio.wait([sending], timeout=DRAIN_S)
            if late:
                self._tally.surprises.append(f"posts were not acknowledged within {DRAIN_S} s")
                sending.cancel()
        draining_s = time.monotonic()
        unfinished = await self._drain(http)
        drain_s = time.monotonic() - draining_s
        overtaken = await operations.event_ids({item for life in self._tally.lives for item in life.overtaken()})
        await self._stop(lives)
        forgotten = await asyncio.to_thread(memory.differences, self._site)
        contents = [await self._contents(http, url) for url in urls]
        promises = [
            {
                "may_lose": place == CANCELABLE,
                "may_reorder": place == remade(self._scene),
                "overtaken": overtaken.get(place, ()),
            }
            for place in range(len(urls))
        ]
        verdicts = [
            judge(load.sent, each["activities"], each["people"], **promised)
            for each, promised in zip(contents, promises, strict=True)
        ]
        found = [
            f"endpoint {place}: {line}"
            for place, (each, promised) in enumerate(zip(contents, promises, strict=True))
            for line in evidence(load.sent, each["activities"], **promised)
        ]
        return Report(
            seed=wanted.seed,
            duration_s=round(time.monotonic() - started_s, 1),
            drain_s=round(drain_s, 1),
            kills={name(role, point): self._tally.kills[role, point] for role, point in self._happened()},
            postponed=self._tally.postponed,
            turned_away=self._tally.turned_away,
            faults=dict(sum((each.met for each in weather), Counter())),
            operations=dict(operations.done),
            events=sum(len(item.events) for item in load.sent),
            acknowledged=load.acknowledged,
            posts=load.posts,
            answered_as_repeated=load.repeats,
            redelivered=load.redelivered,
            activities=sum(len(each["activities"]) for each in contents),
            left_out_by_id=sum(request["duplicates"] for each in contents for request in each["requests"]),
            overtaken=sum(map(len, overtaken.values())),
            take_overs=take_overs(
                self._tally.losses,
                {life.number: life.sendings() for life in self._tally.lives},
                self._tally.outages_ns,
            ),
            unfinished=unfinished,
            orphans=self._tally.orphans,
            verdict=total(verdicts),
            seen={fault: dict(by) for fault, by in witness.seen.by.items()},
            silent=tuple(witness.seen.silent),
            surprises=(
                *found[:MAX_SHOWN],
                *forgotten[:MAX_SHOWN],
                *self._tally.surprises,
                *load.refusals[:MAX_SHOWN],
                *[line for life in self._tally.lives for line in life.internal_errors()][:MAX_SHOWN],
            ),
            missed=tuple(self._missed()),
            left_out=tuple(self._left_out),
        )

    def _happened(self) -> Iterator[tuple[Role | None, Point]]:
        """What was planned, and what happened besides."""
        planned = [(role, point) for role, wanted in self._planned.items() for point in wanted]
        return iter(dict.fromkeys([*planned, *self._tally.kills]))

    def _missed(self) -> Iterator[str]:
        for role, wanted in self._planned.items():
            for point, count in wanted.items():
                fewer = count - self._tally.kills[role, point]
                if fewer > 0:
                    yield f"{name(role, point)}: {fewer} fewer"

    def _is_over(self) -> bool:
        return bool(self._tally.surprises) or time.monotonic() > self._until_s or self._load.exhausted

    async def _operate(self, operations: Operations) -> None:
        try:
            await operations.run()
        except (click.ClickException, aiohttp.ClientResponseError) as error:
            self._tally.surprises.append(str(error))

    async def _finish(self, operations: Operations, drain: Callable[[], Awaitable[object]]) -> None:
        try:
            await operations.finish(drain)
        except (click.ClickException, aiohttp.ClientResponseError) as error:
            self._tally.surprises.append(str(error))

    async def _kill_all(self, arena: Arena) -> list[Life]:
        """Returns the last servers, which go on."""
        slots = [
            Slot(role, free_port(), self._decks[role], random.Random(f"{self._wanted.seed}/slot {number}"), arena)
            for number, role in enumerate(self._scene.roles)
        ]
        arena.gate.set()
        others = sum(len(deck) for role, deck in self._decks.items() if role is not None)
        running = asyncio.gather(*(slot.run() for slot in slots))
        try:
            if self._cluster is not None:
                chance = random.Random(f"{self._wanted.seed}/database")
                faults = DatabaseFaults(self._cluster, self._decks[None], arena, chance, others=others)
                await faults.run(running.done)
            await running
            return [slot.last for slot in slots if slot.last is not None]
        finally:
            running.cancel()

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

    async def _contents(self, http: aiohttp.ClientSession, url: str) -> Mapping[str, list[dict[str, Any]]]:
        contents = {}
        for kind in ("activities", "people", "requests"):
            async with http.get(f"{url}/emulator/{kind}?limit={MAX_ACTIVITIES}") as answer:
                contents[kind] = (await answer.json())[kind]
        if len(contents["activities"]) >= MAX_ACTIVITIES:
            self._tally.surprises.append("an emulator dropped activities; lower --max-events")
        return contents


def name(role: Role | None, point: Point) -> str:
    return point.name if role in {None, Role.ALL} else f"{role}: {point.name}"
