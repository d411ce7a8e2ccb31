"""A sender as Dodo is one: signed events, each posted again under its `webhook-id` until it is acknowledged. A
customer's next event is posted only then, so that the order of sending is the order of acceptance.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
import msgspec

from chaos.scene import Scene
from nicobar.model import Customer
from nicobar.sources.samples import fresh
from support.server import DODO, TYPES

if TYPE_CHECKING:
    from chaos.site import Site

# How many events the handler sends for each type; several types, so that deliveries are sent in shared requests, in
# requests of their own, or never.
STEPS = {
    "payment.succeeded": 1,
    "payment.failed": 2,
    "subscription.active": 1,
    "subscription.renewed": 1,
    "subscription.updated": 1,
    "subscription.plan_changed": 0,
    "payment.processing": 0,
}
HANDLER = """
function handler(webhook) {
  const { customer, metadata } = webhook.payload.data;
  const step = (part) => nicobar.event("step", { place: metadata.place, part });
  switch (webhook.eventType) {
    case "payment.failed":
      webhook.payload = [step(0), step(1)];
      break;
    case "subscription.renewed":
      webhook.url = webhook.url.replace("/api/v2/entity", `/api/v1/customers/${customer.customer_id}/events`);
      webhook.payload = { name: "step", data: { place: metadata.place, part: 0 } };
      break;
    case "subscription.updated":
      webhook.payload = [nicobar.identify({ place: metadata.place }), step(0)];
      break;
    case "subscription.plan_changed":
      break; // not handled, so the delivery is canceled
    case "payment.processing":
      throw new Error("on purpose");
    default:
      webhook.payload = step(0);
  }
  return webhook;
}
"""
PROFILE_TYPE = "subscription.updated"
AGAIN_S = 0.02


class Doors:
    """The addresses of the servers that receive now, as a load balancer knows them."""

    def __init__(self) -> None:
        self._urls: list[str] = []
        self._some = asyncio.Event()

    def open(self, url: str) -> None:
        self._urls.append(url)
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


@dataclass(slots=True)
class Sent:
    """What one customer did. `events` are the types in their order; the first `acknowledged` of them are promised."""

    customer: Customer
    events: list[str] = field(default_factory=list)
    acknowledged: int = 0


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

    async def _customer(self, http: aiohttp.ClientSession, number: int, sent: Sent) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        # Where its events go depends on the time, so it must not change what they are.
        ways = random.Random(f"{self._seed}/{number}/ways")
        while not self.enough.is_set() and self._left > 0:
            self._left -= 1
            sent.events.append(chance.choice(tuple(STEPS)))
            await self._until_acknowledged(http, sent, ways)
            await _first(self.enough, chance.uniform(0, self._scene.max_pause_s))
        await self.settled.wait()
        sent.events.append(PROFILE_TYPE)
        await self._until_acknowledged(http, sent, ways)

    async def _until_acknowledged(self, http: aiohttp.ClientSession, sent: Sent, ways: random.Random) -> None:
        place = len(sent.events) - 1
        event_id = f"evt_{sent.customer.key}_{place:06}"
        body = _body(sent.events[place], sent.customer, place)
        while True:
            url = await self.doors.any(ways) + self._path
            self.posts += 1
            try:
                async with http.post(url, data=body, headers=self._signed(event_id, body)) as answer:
                    status, text = answer.status, await answer.text()
            except (aiohttp.ClientError, OSError, TimeoutError):
                status, text = 503, "no answer"
            if status in {200, 202}:
                sent.acknowledged += 1
                self.repeats += status == 200
                return
            if status != 503:
                self.refusals.append(f"{status} {text[:200]}")
            await asyncio.sleep(AGAIN_S)

    def _signed(self, event_id: str, body: bytes) -> dict[str, str]:
        now_ms = _now_ms()
        each = [DODO.sign(event_id, body, key, now_ms) for key in self._site.keys]
        return each[0] | {"webhook-signature": " ".join(headers["webhook-signature"] for headers in each)}


async def _first(event: asyncio.Event, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


def _body(name: str, customer: Customer, place: int) -> bytes:
    body = msgspec.json.decode(fresh(TYPES[name], _now_ms(), customer))
    body["data"]["metadata"] = {"place": place}
    return msgspec.json.encode(body)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
