"""`/webhooks/{id}/deliveries`: the deliveries of an endpoint and the reason for each status."""

from __future__ import annotations

from nicobar.model import Delivery, DeliveryState, Message, Record
from nicobar.reasons import Reason
from nicobar.store.history import Attempted, MessageFilter
from nicobar.use_cases.delivery_waits import DeliveryWaits, Wait, read_waits
from nicobar.web.dashboard.context import Context, find_endpoint
from nicobar.web.dashboard.filters import PAGE, STATE_TITLES, STATES, Place, address, is_warned, known_state, listed
from nicobar.web.dashboard.logs import OfState, looked_until_ms
from nicobar.web.dashboard.pages import page
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.dashboard.warned import NO_WARNINGS, Warnings, first_warnings
from nicobar.web.operations import Response, get


class DeliveryRow(Record):
    """A message and its delivery to the endpoint. `wait` is the reason why it is pending, `warning` the first of its
    warnings.
    """

    message: Message
    delivery: Delivery
    wait: Wait | None
    warning: Reason | None = None


@get("/webhooks/{endpoint_id}/deliveries")
async def show(
    *,
    endpoint_id: str,
    context: Context,
    visitor: Visitor,
    of_state: OfState = "",
    before: str | None = None,
    after: str | None = None,
) -> Response[bytes]:
    """The endpoint's deliveries, newest message first."""
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    state = known_state(of_state)
    place = Place(before=before, after=after)
    found = await context.services.store.attempted(
        endpoint.id,
        MessageFilter(alerts=visitor.sees_alerts, warned=is_warned(state)),
        STATES[state],
        before=before,
        after=after,
        limit=PAGE,
    )
    path = f"/webhooks/{endpoint.id}/deliveries"

    def link(place: Place) -> str:
        return address(path, state=state, before=place.before, after=place.after)

    pages = listed(found, place, limit=PAGE, key=lambda item: item.message.id, link=link)
    waits = await read_waits(context.services.store, [endpoint], context.now_ms())
    warnings = await first_warnings(context, [(item.message, (item.delivery,)) for item in pages.items])
    return page(
        visitor,
        "endpoint_deliveries.html",
        endpoint=endpoint,
        rows=[await row_of(context, item, waits, warnings) for item in pages.items],
        pages=pages,
        looked_until_ms=await looked_until_ms(context, pages.next),
        state=state,
        states={state: address(path, state=state) for state in STATES},
        state_titles=STATE_TITLES,
        is_newest=place == Place(),
        now_ms=context.now_ms(),
    )


async def row_of(
    context: Context, attempted: Attempted, waits: DeliveryWaits, warnings: Warnings = NO_WARNINGS
) -> DeliveryRow:
    """Lists omit the message that a delivery is queued after; it is looked up for those that wait for one."""
    delivery = attempted.delivery
    if delivery.state is DeliveryState.PENDING and delivery.due_at_ms is None:
        every = await context.services.store.deliveries(attempted.message.id)
        delivery = next((each for each in every if each.endpoint_id == delivery.endpoint_id), delivery)
    return DeliveryRow(
        message=attempted.message,
        delivery=delivery,
        wait=waits.of(delivery),
        warning=warnings.get(attempted.message.id, {}).get(delivery.endpoint_id),
    )


OPERATIONS = (show,)
