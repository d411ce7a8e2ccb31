"""A sender as Dodo is one: signed events, each posted again under its `webhook-id` until it is acknowledged. A
customer's next event is posted only then, so that the order of sending is the order of acceptance.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from dataclasses import dataclass, field

import aiohttp
import msgspec

from nicobar.model import Customer
from nicobar.sources.samples import fresh
from support.server import DODO, TYPES

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
MAX_PAUSE_S = 0.3
AGAIN_S = 0.02
POST_TIMEOUT_S = 10


@dataclass(slots=True)
class Sent:
    """What one customer did. `events` are the types in their order; the first `acknowledged` of them are promised."""

    customer: Customer
    events: list[str] = field(default_factory=list)
    acknowledged: int = 0


class Load:
    """`up` is set while it is worth trying. `enough` ends the steady load, and then `settled` lets each customer have
    one last word on the profile. Answers that a sender would not wait out are kept in `refusals`.
    """

    def __init__(self, *, url: str, secret: str, customers: int, max_events: int, seed: int) -> None:
        self._url = url
        self._secret = secret
        self._seed = seed
        self._left = max_events
        # No customer of an earlier run in the same database.
        run = secrets.token_hex(4)
        self.sent = [
            Sent(
                Customer(key=f"cus_{run}_{number:02}", email=f"c{number:02}@shop.example", name=f"Buyer {number:02}")
            )
            for number in range(customers)
        ]
        self.posts = 0
        self.repeats = 0
        self.refusals: list[str] = []
        self.up = asyncio.Event()
        self.enough = asyncio.Event()
        self.settled = asyncio.Event()

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=POST_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            await asyncio.gather(*(self._customer(http, number, event) for number, event in enumerate(self.sent)))

    @property
    def exhausted(self) -> bool:
        return self._left <= 0

    async def _customer(self, http: aiohttp.ClientSession, number: int, sent: Sent) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        while not self.enough.is_set() and self._left > 0:
            self._left -= 1
            sent.events.append(chance.choice(tuple(STEPS)))
            await self._until_acknowledged(http, sent)
            await _first(self.enough, chance.uniform(0, MAX_PAUSE_S))
        await self.settled.wait()
        sent.events.append(PROFILE_TYPE)
        await self._until_acknowledged(http, sent)

    async def _until_acknowledged(self, http: aiohttp.ClientSession, sent: Sent) -> None:
        place = len(sent.events) - 1
        event_id = f"evt_{sent.customer.key}_{place:06}"
        body = _body(sent.events[place], sent.customer, place)
        while True:
            await self.up.wait()
            headers = DODO.sign(event_id, body, self._secret, _now_ms())
            self.posts += 1
            try:
                async with http.post(self._url, data=body, headers=headers) as answer:
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
