"""`/logs`: the received messages with their deliveries, and a search in their payloads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from nicobar.ids import is_id
from nicobar.model import ALERT_SOURCE_ID, Delivery, Message, Record
from nicobar.reasons import Reason
from nicobar.store import Snapshot
from nicobar.store.history import MessageDeliveries, MessageFilter
from nicobar.ulid import is_ulid
from nicobar.use_cases.lookup import FoundCustomer, find_customers
from nicobar.use_cases.sample_events import Samples
from nicobar.use_cases.sent_events import MAX_SEARCHED, find_sender
from nicobar.web.dashboard.context import Context, current_application
from nicobar.web.dashboard.filters import (
    MAX_CHARS,
    PAGE,
    STATE_TITLES,
    STATES,
    Place,
    address,
    day_ms,
    is_warned,
    known_state,
    listed,
    zone_of,
)
from nicobar.web.dashboard.pages import page, redirect
from nicobar.web.dashboard.search import Snippet, Sought, read_search, snippet
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.dashboard.warned import Warnings, first_warnings
from nicobar.web.operations import Response, get
from nicobar.web.parameters import Name

# Customers that are named above the messages.
MAX_NAMED = 5
Text = Annotated[str, Meta(max_length=MAX_CHARS)]
OfEndpoint = Annotated[str, Meta(max_length=MAX_CHARS), Name("endpoint")]
OfState = Annotated[str, Meta(max_length=MAX_CHARS), Name("state")]


class LogRow(Record):
    """A message in the list; `found` is the search result in its payload, `warnings` the first one by endpoint."""

    message: Message
    deliveries: tuple[Delivery, ...]
    found: Snippet | None
    warnings: Mapping[str, Reason]
    operational: bool


@get("/logs")
async def show_all(
    *,
    context: Context,
    visitor: Visitor,
    q: Text = "",
    event_type: Annotated[str, Meta(max_length=MAX_CHARS), Name("type")] = "",
    of_state: OfState = "",
    endpoint: Text = "",
    customer: Text = "",
    since: Text = "",
    until: Text = "",
    zone: Text = "",
    operational: bool = False,
    before: str | None = None,
    after: str | None = None,
) -> Response[bytes]:
    """Messages, newest first. Searching for the id of a message, of the sender's event or of a sent event opens the
    message; customers with the text as their address, or as an id of theirs, are named above.
    """
    snapshot = await context.snapshot()
    app = current_application(snapshot)
    named = await _named(context, visitor, app.id, q.strip(), customer.strip())
    if named is not None:
        return redirect(f"/logs/{named.id}")
    place = Place(before=before, after=after)
    state = known_state(of_state)
    sought = read_search(q)
    clock, clock_name = zone_of(zone)
    found = await context.services.store.moments(
        app.id,
        MessageFilter(
            since_ms=day_ms(since, clock),
            until_ms=day_ms(until, clock, end=True),
            event_types=(event_type.strip(),) if event_type.strip() else (),
            customer_key=customer.strip() or None,
            states=STATES[state],
            warned=is_warned(state),
            endpoint_id=endpoint or None,
            contains=sought.contains,
            path=sought.path,
            value=sought.value,
            alerts=operational and visitor.sees_alerts,
        ),
        before=before,
        after=after,
        limit=PAGE,
        with_body=sought.inside,
    )
    filters = {
        "q": q,
        "type": event_type,
        "state": state,
        "endpoint": endpoint,
        "customer": customer,
        "since": since,
        "until": until,
        "zone": zone if since or until else "",
        "operational": "1" if operational else "",
    }

    def link(place: Place) -> str:
        return address("/logs", **filters, before=place.before, after=place.after)

    customers: list[FoundCustomer] = []
    if place == Place() and not sought.path:
        redaction = context.services.settings.redaction
        customers = await find_customers(
            context.services, app.id, sought.text, redaction, sees_payloads=visitor.may_change
        )
    rows = listed(found, place, limit=PAGE, key=lambda item: item.message.id, link=link, inside=sought.inside)
    warnings = await first_warnings(context, [(item.message, item.deliveries) for item in rows.items])
    return page(
        visitor,
        "logs.html",
        rows=[row for item in rows.items if (row := _row(context, visitor, item, sought, warnings)) is not None],
        pages=rows,
        looked_until_ms=await looked_until_ms(context, rows.next),
        filters=filters,
        sought=sought,
        customers=customers[:MAX_NAMED],
        unknown_event=MAX_SEARCHED if is_ulid(q.strip()) else None,
        zone_name=clock_name,
        is_filtered=any(filters.values()),
        is_newest=place == Place(),
        states={state: address("/logs", **(filters | {"state": state})) for state in STATES},
        state_titles=STATE_TITLES,
        endpoints=own_endpoints(snapshot, app.id),
        names=endpoint_names(snapshot),
        types=known_types(snapshot, await context.samples()),
        now_ms=context.now_ms(),
    )


async def _named(context: Context, visitor: Visitor, app_id: str, query: str, customer: str) -> Message | None:
    """The message that a search names: by its id, the sender's event id, or the id of an event that was sent."""
    if query and not any(character.isspace() for character in query):
        found = await context.services.store.find_message(app_id, query, alerts=visitor.sees_alerts)
        if found is not None or is_id(query, "msg"):
            return found
    return await find_sender(context.services, app_id, query, customer) if is_ulid(query) else None


def _row(
    context: Context, visitor: Visitor, moment: MessageDeliveries, sought: Sought, warnings: Warnings
) -> LogRow | None:
    """None for a message that a viewer must not find: searching would tell a value that is masked."""
    found = None
    if sought.inside:
        found = snippet(context.services.configuration.redactor(moment.message).event(moment.message.body), sought)
        if found is None and not visitor.may_change:
            return None
    return LogRow(
        message=moment.message,
        deliveries=moment.deliveries,
        found=found,
        warnings=warnings.get(moment.message.id, {}),
        operational=moment.message.source_id == ALERT_SOURCE_ID,
    )


async def looked_until_ms(context: Context, message_id: str | None) -> int | None:
    """When the last searched message was received."""
    last = None if message_id is None else await context.services.store.message(message_id)
    return None if last is None else last.accepted_at_ms


def own_endpoints(snapshot: Snapshot, app_id: str) -> list[tuple[str, str]]:
    """Ids and names of the application's endpoints, by name."""
    own = [(endpoint.id, endpoint.name) for endpoint in snapshot.endpoints if endpoint.app_id == app_id]
    return sorted(own, key=lambda item: item[1].casefold())


def endpoint_names(snapshot: Snapshot) -> dict[str, str]:
    return {endpoint.id: endpoint.name for endpoint in snapshot.endpoints}


def known_types(snapshot: Snapshot, samples: Samples) -> list[str]:
    """The event types to choose from; other names are accepted too."""
    return sorted(
        {*samples.types, *(event_type.name for event_type in snapshot.event_types if not event_type.archived)}
    )


OPERATIONS = (show_all,)
