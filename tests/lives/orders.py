"""In which order, how late and how often Dodo's webhooks arrive."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from lives.oracle import Delivered
from lives.shop import DAY_MS, HOUR_MS, Life, Webhook

# Dodo's own schedule: how long after the event a webhook arrives that failed so many times.
_RETRIED_MS = [0, 5_000, 305_000, 2_105_000, 9_305_000, 27_305_000, 63_305_000, 99_305_000]


class Order(StrEnum):
    IN_ORDER = "in order"  # each at once
    LATE = "late"  # three of ten are retried, each by Dodo's schedule
    SHUFFLED = "shuffled"  # any order, when all has happened; each body as it was
    NEWEST = "newest"  # any order, when all has happened; each body as it is now


@dataclass(frozen=True)
class Arrival:
    """A request: which webhook, under which id, with what body."""

    life: Life
    at_ms: int
    event_id: str
    body: bytes
    delivered: Delivered


def arrivals(life: Life, order: Order, draw: random.Random, *, duplicates: float) -> list[Arrival]:
    """All requests of a life, in the order in which they arrive."""
    end_ms = life.now_ms + 2 * DAY_MS
    moments: list[tuple[int, float, Webhook, str]] = []
    for webhook in life.webhooks:
        moments.append((_arrives(webhook, order, end_ms, draw), draw.random(), webhook, webhook.id))
        if draw.random() < duplicates:
            # Delivered again under its own id, or by another endpoint of Dodo's under a second one.
            event_id = draw.choice([webhook.id, f"{webhook.id}_2"])
            later_ms = draw.choice([1_000, HOUR_MS, 3 * DAY_MS])
            again_ms = _arrives(webhook, order, end_ms, draw) + later_ms * (order is not Order.IN_ORDER)
            moments.append((again_ms, draw.random(), webhook, event_id))
    if order is Order.IN_ORDER:
        moments.sort(key=lambda it: (it[0], it[2].at_ms))
    else:
        moments.sort(key=lambda it: it[:2])
    return [_arrival(life, at_ms, webhook, event_id, order) for at_ms, _, webhook, event_id in moments]


def _arrives(webhook: Webhook, order: Order, end_ms: int, draw: random.Random) -> int:
    if order is Order.IN_ORDER:
        return webhook.at_ms
    if order is Order.LATE:
        return webhook.at_ms + (draw.choice(_RETRIED_MS) if draw.random() < 0.3 else 0)
    return end_ms


def _arrival(life: Life, at_ms: int, webhook: Webhook, event_id: str, order: Order) -> Arrival:
    shown_ms = webhook.at_ms if order in {Order.IN_ORDER, Order.SHUFFLED} else at_ms
    version_ms, data = webhook.of.at(shown_ms)
    delivered = Delivered(webhook, version_ms, {**data, **webhook.only}, at_ms)
    return Arrival(life, at_ms, event_id, webhook.body(shown_ms), delivered)
