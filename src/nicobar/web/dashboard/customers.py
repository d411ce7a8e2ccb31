"""`/customers`: the list of customers, and one customer's events in order with the calls that were sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from nicobar.model import Attempt, Delivery, DeliveryState, Message, Record, RequestRecord
from nicobar.people import Identifier, Person
from nicobar.reasons import Reason
from nicobar.store import Snapshot
from nicobar.store.history import MessageDeliveries, MessageFilter, Page, Seen
from nicobar.use_cases import erase
from nicobar.use_cases.delivery_waits import DeliveryWaits, Wait, read_waits
from nicobar.use_cases.lookup import FoundCustomer, find_customers, known_customers
from nicobar.use_cases.people_merges import IdentifiedCustomer, identified_customer, masked_identifier
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context, current_application
from nicobar.web.dashboard.customer_ledgers import STATUSES, shown_ledgers
from nicobar.web.dashboard.filters import MAX_CHARS, PAGE, Place, address, listed
from nicobar.web.dashboard.logs import Text, endpoint_names
from nicobar.web.dashboard.pages import page, redirect
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

MAX_SHOWN_CALLS = 20
# A number that both databases can store.
MAX_SEQ_DIGITS = 18


class SentCall(Record):
    """A call that was sent: a short title and its body."""

    title: str
    body: str


class TimelineDelivery(Record):
    """A delivery of one of the customer's messages. `calls` are those of its last attempt, `warning` what that was
    warned about first.
    """

    delivery: Delivery
    wait: Wait | None
    warning: Reason | None
    calls: tuple[SentCall, ...]


class TimelineRow(Record):
    """A message of the timeline."""

    message: Message
    steps: tuple[TimelineDelivery, ...]


class CustomerRow(Record):
    """A customer in the list: the latest message, what is known of the customer, and the object that was sought."""

    seen: Seen
    known: FoundCustomer | None
    found_by: FoundCustomer | None


@get("/customers")
async def show_all(
    context: Context, visitor: Visitor, prefix: Text = "", after: str | None = None
) -> Response[bytes]:
    """The customers by their latest events; or those found by an email address or an id, or its beginning."""
    app = current_application(await context.snapshot())
    store, redaction = context.services.store, context.services.settings.redaction
    text = prefix.strip()
    looked_up = await find_customers(context.services, app.id, text, redaction, sees_payloads=visitor.may_change)
    if looked_up:
        latest = await store.latest_of_customers(app.id, [item.key for item in looked_up])
        seen: Page[Seen] = Page(items=tuple(latest), next=None)
    elif text:
        seen = await store.customers(app.id, text, after=after, limit=PAGE)
    else:
        seen = await store.latest_customers(app.id, before=_number(after), limit=PAGE)
    known = await known_customers(
        context.services,
        app.id,
        [item.customer_key for item in seen.items],
        redaction,
        sees_payloads=visitor.may_change,
    )
    found_by = {item.key: item for item in looked_up}
    return page(
        visitor,
        "customers.html",
        customers=[
            CustomerRow(seen=item, known=known.get(item.customer_key), found_by=found_by.get(item.customer_key))
            for item in seen.items
        ],
        prefix=prefix,
        first=address("/customers", prefix=prefix) if after else None,
        following=address("/customers", prefix=prefix, after=seen.next) if seen.next else None,
        by_text=address("/logs", q=prefix),
        now_ms=context.now_ms(),
    )


def _number(text: str | None) -> int | None:
    """Where a page begins; the first page for anything else."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) <= MAX_SEQ_DIGITS else None


@get("/customers/timeline")
async def show(
    context: Context,
    visitor: Visitor,
    key: Text = "",
    before: str | None = None,
    after: str | None = None,
) -> Response[bytes]:
    """One customer's messages, newest first, with their deliveries."""
    snapshot = await context.snapshot()
    app = current_application(snapshot)
    place = Place(before=before, after=after)
    which = MessageFilter(customer_key=key)
    found = await context.services.store.moments(app.id, which, before=before, after=after, limit=PAGE)

    def link(place: Place) -> str:
        return address("/customers/timeline", key=key, before=place.before, after=place.after)

    pages = listed(found, place, limit=PAGE, key=lambda item: item.message.id, link=link)
    waits = await read_waits(context.services.store, snapshot.endpoints, context.now_ms())
    attempts = await context.services.store.attempts_of_deliveries([item.message.id for item in pages.items])
    rows = [_row(context, item, waits, attempts) for item in pages.items]
    redaction = context.services.settings.redaction
    known = await known_customers(context.services, app.id, [key], redaction, sees_payloads=visitor.may_change)
    return page(
        visitor,
        "customer.html",
        key=key,
        known=known.get(key),
        rows=rows,
        pages=pages,
        names=endpoint_names(snapshot),
        is_newest=place == Place(),
        is_live=place == Place() and any(step.wait for row in rows for step in row.steps),
        people=await _people(context, snapshot, app.id, key) if rows and place == Place() else (),
        ledgers=await shown_ledgers(context, app.id, key) if rows and place == Place() else (),
        status_names=STATUSES,
        expunge_link=address("/customers/expunge", key=key),
        now_ms=context.now_ms(),
    )


async def _people(context: Context, snapshot: Snapshot, app_id: str, key: str) -> tuple[IdentifiedCustomer, ...]:
    own = [endpoint for endpoint in snapshot.endpoints if endpoint.app_id == app_id and not endpoint.disabled]
    found = await identified_customer(context.services, own, key)
    return tuple(_masked(context, item) for item in found)


def _masked(context: Context, item: IdentifiedCustomer) -> IdentifiedCustomer:
    """Addresses are shown as in events."""

    def shown(value: str) -> str:
        kind = "email" if "@" in value else "id"
        return masked_identifier(context.services.settings.redaction, Identifier(kind=kind, value=value)).value

    person = item.person
    if isinstance(person, Person):
        person = msgspec.structs.replace(person, value=shown(person.value))
    return msgspec.structs.replace(item, person=person, earlier=tuple(map(shown, item.earlier)))


@get("/customers/expunge", needs=Needs.CHANGING)
async def ask_expunge(context: Context, visitor: Visitor, key: Text = "") -> Response[bytes]:
    """Explains the deletion of a customer's data and asks for confirmation."""
    app = current_application(await context.snapshot())
    found = await context.services.store.moments(app.id, MessageFilter(customer_key=key), limit=PAGE)
    unfinished = sum(
        each.state in {DeliveryState.PENDING, DeliveryState.SENDING}
        for item in found.items
        for each in item.deliveries
    )
    return page(
        visitor,
        "customer_expunge.html",
        key=key,
        count=len(found.items),
        more=found.next is not None,
        unfinished=unfinished,
        back=address("/customers/timeline", key=key),
    )


@post("/customers/expunge", status=200)
async def expunged(context: Context, visitor: Visitor) -> Response[bytes]:
    """Deletes the customer's data, and shows what is left of it."""
    key = visitor.form.get("key", "")[:MAX_CHARS]
    app = current_application(await context.snapshot())
    erased = await erase.expunge_customer(context.services, visitor, app.id, key)
    if erased.report is None:
        return redirect(address("/customers/expunge", key=key))
    return page(
        # The form's own address asks again: a chosen language leads to the customers.
        msgspec.structs.replace(visitor, path="/customers"),
        "customer_erased.html",
        erased=erased,
        report=erased.report,
        sees_paths=visitor.user is not None,
    )


def _row(
    context: Context,
    happened: MessageDeliveries,
    waits: DeliveryWaits,
    attempts: Mapping[tuple[str, str], Sequence[Attempt]],
) -> TimelineRow:
    redactor = context.services.configuration.redactor(happened.message)
    steps: list[TimelineDelivery] = []
    for delivery in happened.deliveries:
        tried = attempts.get((happened.message.id, delivery.endpoint_id))
        last = redactor.attempt(tried[-1]) if tried else None
        steps.append(
            TimelineDelivery(
                delivery=delivery,
                wait=waits.of(delivery),
                warning=last.first_warning if last and delivery.warned else None,
                calls=tuple(sent_calls(last.requests)) if last else (),
            )
        )
    return TimelineRow(message=happened.message, steps=tuple(steps))


def sent_calls(requests: tuple[RequestRecord, ...]) -> list[SentCall]:
    """The calls of an attempt with short titles: `identify`, `event payment_succeeded`, `POST /hook`."""
    found: list[SentCall] = []
    for request in requests:
        lines = [line for line in request.body.split("\n") if line]
        found += [SentCall(title=_title(line) or f"{request.method} {request.url}", body=line) for line in lines]
    return found[:MAX_SHOWN_CALLS]


def _title(line: str) -> str:
    try:
        call = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
    if not isinstance(call, dict) or not isinstance(call.get("action"), str):
        return ""
    name = call.get("name")
    return f"{call['action']} {name}" if isinstance(name, str) and name else str(call["action"])


OPERATIONS = (show_all, show, ask_expunge, expunged)
