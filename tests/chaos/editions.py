"""What the handler makes of each event, in its editions. One event type's calls come, go and change places with the
edition; those of all others stay the same.
"""

from __future__ import annotations

from collections.abc import Sequence

Step = tuple[int, int]

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
PROFILE_TYPE = "subscription.updated"
EDITED_TYPE = "subscription.on_hold"
TYPES = (*STEPS, EDITED_TYPE)
# The parts of the edited type. The last edition has them all, and what was delivered before is then replayed: each
# has to be there once, whenever it came first.
EDITIONS: Sequence[tuple[int, ...]] = ((0, 1), (2, 0, 1), (1, 0), (0, 3, 1), (1, 2, 0))
LAST_EDITION = (3, 1, 2, 0)
# The one part that every edition sends.
STEADY_PART = 0
_CALLS = (
    'nicobar.event("step", { place: metadata.place, part: 0 }, { key: "first" })',
    'nicobar.event("step", { place: metadata.place, part: 1 }, { key: "second" })',
    'nicobar.event("receipt", { place: metadata.place, part: 2 })',
    'nicobar.event("reminder", { place: metadata.place, part: 3 })',
)
_HANDLER = """
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
    case "subscription.on_hold":
      webhook.payload = [EDITED];
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


def handler(parts: Sequence[int], number: int) -> str:
    """An edition's code; no two numbers have the same."""
    return _HANDLER.replace("EDITED", ", ".join(_CALLS[part] for part in parts)) + f"// edition {number}\n"


def wanted_steps(events: Sequence[str]) -> set[Step]:
    """The activities of these events, each by the event's place and the part."""
    return {(place, part) for place, name in enumerate(events) for part in _parts(name)}


def in_order(steps: Sequence[Step], events: Sequence[str]) -> list[Step]:
    """Those whose order is promised: a part that came with another edition may come late."""
    return [
        step
        for step in steps
        if not (step[0] < len(events) and events[step[0]] == EDITED_TYPE and step[1] != STEADY_PART)
    ]


def _parts(name: str) -> Sequence[int]:
    return LAST_EDITION if name == EDITED_TYPE else range(STEPS[name])
