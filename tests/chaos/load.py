"""A sender as Dodo is one: signed events, each posted again under its `webhook-id` until it is acknowledged. A
customer's next event is posted only then, so that the order of sending is the order of acceptance. After a restored
backup it posts again what is not in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
import msgspec

from chaos.clocks import Clock
from chaos.editions import PROFILE_TYPE, TYPES
from chaos.scene import Scene
from nicobar.model import Customer
from nicobar.sources.samples import fresh
from support.server import DODO
from support.server import TYPES as SAMPLES

if TYPE_CHECKING:
    from chaos.site import Site

AGAIN_S = 0.02


class Doors:
    """The addresses of the servers that receive now, as a load balancer knows them."""

    def __init__(self) -> None:
        self._urls: list[str] = []
        self._clocks: dict[str, Clock] = {}
        self._some = asyncio.Event()

    def open(self, url: str, clock: Clock) -> None:
        self._urls.append(url)
        self._clocks[url] = clock
        self._some.set()

    def close(self, url: str) -> None:
        if url in self._urls:
            self._urls.remove(url)
        if not self._urls:
            self._some.clear()

    async def any(self, chance: random.Random) -> str:
        """One of them, as soon as there is one."""
        await self._some.wait()
        return chance.choice(self._urls)

    def clock(self, url: str) -> Clock:
        """The machine's clock of the server that has or had this address."""
        return self._clocks[url]


@dataclass(slots=True)
class Sent:
    """What one customer did. `events` are the types in their order; the first `acknowledged` of them are promised.
    `rewinds` counts how often an acknowledgement was lost with the data.
    """

    customer: Customer
    events: list[str] = field(default_factory=list)
    acknowledged: int = 0
    rewinds: int = 0


class Load:
    """`enough` ends the steady load, and then `settled` lets each customer have one last word on the profile. Answers
    that a sender would not wait out are kept in `refusals`.
    """

    def __init__(self, *, site: Site, path: str, scene: Scene, customers: int, max_events: int, seed: int) -> None:
        self._site = site
        self._path = path
        self._scene = scene
        self._seed = seed
        self._left = max_events
        self.sent = [
            Sent(Customer(key=f"cus_{number:02}", email=f"c{number:02}@shop.example", name=f"Buyer {number:02}"))
            for number in range(customers)
        ]
        self.posts = 0
        self.repeats = 0
        self.redelivered = 0
        self.refusals: list[str] = []
        self.doors = Doors()
        self.enough = asyncio.Event()
        self.settled = asyncio.Event()

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=self._scene.post_timeout_s)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            await asyncio.gather(*(self._customer(http, number, event) for number, event in enumerate(self.sent)))

    @property
    def exhausted(self) -> bool:
        return self._left <= 0

    @property
    def acknowledged(self) -> int:
        return sum(item.acknowledged for item in self.sent)

    def marks(self) -> list[int]:
        """How much of each customer is acknowledged."""
        return [item.acknowledged for item in self.sent]

    def rewind(self, marks: Sequence[int]) -> None:
        """What was acknowledged since then was lost with the data; it is posted again, under the same ids."""
        for item, mark in zip(self.sent, marks, strict=True):
            self.redelivered += item.acknowledged - mark
            item.acknowledged = mark
            item.rewinds += 1

    async def _customer(self, http: aiohttp.ClientSession, number: int, sent: Sent) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        # Where its events go depends on the time, so it must not change what they are.
        ways = random.Random(f"{self._seed}/{number}/ways")
        while not self.enough.is_set() and self._left > 0:
            self._left -= 1
            sent.events.append(chance.choice(TYPES))
            await self._until_acknowledged(http, sent, ways)
            await _first(self.enough, chance.uniform(0, self._scene.max_pause_s))
        await self.settled.wait()
        sent.events.append(PROFILE_TYPE)
        await self._until_acknowledged(http, sent, ways)

    async def _until_acknowledged(self, http: aiohttp.ClientSession, sent: Sent, ways: random.Random) -> None:
        """All of its events, in their order."""
        while sent.acknowledged < len(sent.events):
            place, rewinds = sent.acknowledged, sent.rewinds
            again = await self._post(http, sent, place, ways)
            # An answer from before the data was lost promises nothing any more.
            if sent.rewinds == rewinds:
                sent.acknowledged = place + 1
                self.repeats += again

    async def _post(self, http: aiohttp.ClientSession, sent: Sent, place: int, ways: random.Random) -> bool:
        """Until it is accepted, or earlier ones have to be posted again; returns whether as a duplicate."""
        own_id = event_id(sent.customer.key, place)
        body = _body(sent.events[place], sent.customer, place)
        # A server whose clock is wrong refuses what is signed now. Another sender's clock may be as wrong.
        follows = False
        rewinds = sent.rewinds
        while True:
            url = await self.doors.any(ways)
            if sent.rewinds != rewinds:
                return False
            clock, started_s = self.doors.clock(url), time.monotonic()
            now_ms = _now_ms() + clock.ahead_ms * follows
            self.posts += 1
            try:
                async with http.post(
                    url + self._path, data=body, headers=self._signed(own_id, body, now_ms)
                ) as answer:
                    status, text = answer.status, await answer.text()
            except (aiohttp.ClientError, OSError, TimeoutError):
                status, text = 503, "no answer"
            if status in {200, 202}:
                return status == 200
            if status == 401 and clock.was_wrong(started_s):
                follows = not follows
            elif status != 503:
                self.refusals.append(f"{status} {text[:200]}")
            await asyncio.sleep(AGAIN_S)

    def _signed(self, event_id: str, body: bytes, now_ms: int) -> dict[str, str]:
        each = [DODO.sign(event_id, body, key, now_ms) for key in self._site.keys]
        return each[0] | {"webhook-signature": " ".join(headers["webhook-signature"] for headers in each)}


async def _first(event: asyncio.Event, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


def event_id(customer_key: str, place: int) -> str:
    """What a customer's event is posted under."""
    return f"evt_{customer_key}_{place:06}"


def _body(name: str, customer: Customer, place: int) -> bytes:
    body = msgspec.json.decode(fresh(SAMPLES[name], _now_ms(), customer))
    body["data"]["metadata"] = {"place": place}
    return msgspec.json.encode(body)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
