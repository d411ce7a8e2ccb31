"""What is known of a customer at the endpoints: payments, subscriptions and totals, as handlers read them."""

from __future__ import annotations

import msgspec

from nicobar.ledger import Snapshot
from nicobar.model import Endpoint, Record
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.use_cases.customer_ledger import customer_ledgers, masked_snapshot
from nicobar.web.dashboard.context import Context
from nicobar.web.dashboard.language import noop

# Endpoints whose view of a customer is shown.
MAX_ENDPOINTS = 5
STATUSES = {
    "active": noop("active"),
    "trialing": noop("in trial"),
    "past_due": noop("past due"),
    "on_hold": noop("charge failed"),
    "paused": noop("paused"),
    "cancelled": noop("ended"),
    "expired": noop("expired"),
    "none": noop("no subscription"),
}


class ShownLedger(Record):
    """A view of a customer, and the endpoints that have it. `json` is what a handler reads."""

    endpoints: tuple[Endpoint, ...]
    mode: str
    snapshot: Snapshot
    json: str


async def shown_ledgers(context: Context, app_id: str, key: str) -> list[ShownLedger]:
    """Endpoints with the same view share it: they may identify people differently, or take other events."""
    services = context.services
    own = [item for item in services.configuration.endpoints.values() if _is_shown(item, app_id)]
    views: dict[tuple[str, str], tuple[Snapshot, list[Endpoint]]] = {}
    for target in own[:MAX_ENDPOINTS]:
        for item in await customer_ledgers(services, target, app_id, key):
            snapshot = masked_snapshot(services.settings.redaction, item.snapshot)
            view = item.mode, msgspec.json.encode(snapshot).decode()
            views.setdefault(view, (snapshot, []))[1].append(target.endpoint)
    return [
        ShownLedger(endpoints=tuple(endpoints), mode=mode, snapshot=snapshot, json=json)
        for (mode, json), (snapshot, endpoints) in views.items()
    ]


def _is_shown(target: OpenEndpoint, app_id: str) -> bool:
    return target.endpoint.app_id == app_id and not target.endpoint.disabled
