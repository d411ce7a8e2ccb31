"""`/queue`: pending deliveries per endpoint, their age, and why they are waiting."""

from __future__ import annotations

from nicobar.model import DeliveryState, Record
from nicobar.store.history import MessageFilter, Waits
from nicobar.use_cases.delivery_waits import DeliveryWaits, read_waits
from nicobar.web.dashboard.context import Context, current_application
from nicobar.web.dashboard.endpoint_deliveries import DeliveryRow, row_of
from nicobar.web.dashboard.endpoints import EndpointRow, rows_of
from nicobar.web.dashboard.pages import page
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get

SHOWN = 5


class Lane(Record):
    """An endpoint with its pending deliveries; `first` are the oldest ones."""

    row: EndpointRow
    waits: Waits
    first: tuple[DeliveryRow, ...]


@get("/queue")
async def show(context: Context, visitor: Visitor) -> Response[bytes]:
    """The endpoints with pending deliveries, longest lag first."""
    snapshot = await context.snapshot()
    rows = await rows_of(context, snapshot, current_application(snapshot).id)
    now_ms = context.now_ms()
    causes = await read_waits(context.services.store, [row.endpoint for row in rows], now_ms)
    waiting = sorted((row for row in rows if row.unfinished), key=lambda row: row.oldest_ms or 0)
    return page(
        visitor,
        "queue.html",
        has_endpoints=bool(rows),
        lanes=[await _lane(context, visitor, item, causes) for item in waiting],
        idle=[row for row in rows if not row.unfinished],
        unfinished=sum(row.unfinished for row in rows),
        oldest_ms=min((row.oldest_ms for row in rows if row.oldest_ms is not None), default=None),
        now_ms=now_ms,
    )


async def _lane(context: Context, visitor: Visitor, row: EndpointRow, causes: DeliveryWaits) -> Lane:
    store = context.services.store
    which = MessageFilter(alerts=visitor.sees_alerts)
    unfinished = (DeliveryState.PENDING, DeliveryState.SENDING)
    found = await store.attempted(row.endpoint.id, which, unfinished, after="", limit=SHOWN)
    return Lane(
        row=row,
        waits=await store.waits(row.endpoint.id, now_ms=context.now_ms()),
        first=tuple([await row_of(context, item, causes) for item in found.items]),
    )


OPERATIONS = (show,)
