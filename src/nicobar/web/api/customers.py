"""`/api/v1/app/{app_id}/customer` (an addition to the Svix API): customers and their messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from nicobar.model import Application, Delivery
from nicobar.store import Snapshot
from nicobar.store.erasure import Place
from nicobar.store.history import MessageDeliveries, MessageFilter
from nicobar.use_cases import erase
from nicobar.use_cases.delivery_waits import DeliveryWaits, read_waits
from nicobar.use_cases.erase_report import Report
from nicobar.use_cases.lookup import MIN_CHARS, find_customers
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.deletion_preview import DryRun, DryRunOut, effect
from nicobar.web.api.deliveries import WaitingOut, next_attempt_of, waiting_shown
from nicobar.web.api.errors import Invalid
from nicobar.web.api.listing import After, Before, EventTypes, page_of_found, since, span_of, until
from nicobar.web.api.message_bodies import MessageOut, fields_of
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, names, read_iterator
from nicobar.web.api.shapes import EndpointId, MessageId, Moment, Page, Shape, moment, text_of_reason
from nicobar.web.api.status import MessageStatus, status_of, text_of
from nicobar.web.operations import get, post

TAGS = ["Customer"]
MAX_KEY_CHARS = 256

Key = Annotated[str, Meta(min_length=1, max_length=MAX_KEY_CHARS, description="The sender's ID for the customer.")]


class CustomerOut(Shape):
    """A customer: the sender's ID and the latest message about the customer."""

    key: str
    latest_message_id: MessageId
    latest_event_type: str
    latest_at: Moment


class FoundCustomerOut(Shape):
    """A customer that was found, and the object by which it was found."""

    key: str
    email: str | None
    name: str | None
    kind: str
    id: str


class FoundCustomersOut(Shape):
    """The customers that were found."""

    data: list[FoundCustomerOut]


class DeliveryOut(Shape):
    """The delivery of a message to an endpoint. `tries` is the number of attempts in the retry schedule. `behind` is
    the earlier message of the same customer that this delivery is queued after; its next attempt is at `behindUntil`.
    `overtakenAt` as in `waiting`. `hasWarnings`: it was delivered, with warnings.
    """

    endpoint_id: EndpointId
    status: MessageStatus
    status_text: str
    has_warnings: bool
    tries: int
    next_attempt: Moment | None
    ended_at: Moment | None
    reason: str | None
    behind: MessageId | None
    behind_until: Moment | None
    overtaken_at: Moment | None
    waiting: WaitingOut | None


class MomentOut(MessageOut):
    """A message about a customer, without its payload, and its deliveries."""

    deliveries: list[DeliveryOut]


class CustomerIn(Shape):
    """The customer to delete."""

    key: Annotated[str, Meta(min_length=1, max_length=MAX_KEY_CHARS, examples=["cus_8FzYfU2mLQ3pB5x1nV0aT"])]


class PlaceOut(Shape):
    """A table or a file of the database, and how many rows or places in it still have a value."""

    name: str
    count: int


class KeptBackupOut(Shape):
    """A backup made by `nicobar backup`. `path` is null for tokens of one application."""

    path: str | None
    taken_at: Moment


class ErasureReportOut(Shape):
    """What remains after the deletion. `values` is the number of values that were searched for: the key, email
    addresses, phone numbers and license keys. `withoutCustomer` messages named the customer without being
    about one; their payloads were deleted too. `tables` and `files` still contain a value: `clean` is true if there
    are none. `files` is null for PostgreSQL, and if `tables` is not empty. `otherMessages` are messages about other
    customers that contain a value. Maximum 20. `backups` are known ones that may still contain the data.
    """

    clean: bool
    values: int
    without_customer: int
    tables: list[PlaceOut]
    files: list[PlaceOut] | None
    other_messages: list[MessageId]
    backups: list[KeptBackupOut]


class ExpungedOut(Shape):
    """The number of messages whose payload was deleted. `done` is true if none remain. `report` is null before."""

    messages: int
    done: bool
    report: ErasureReportOut | None


def delivery_shown(delivery: Delivery, waits: DeliveryWaits) -> DeliveryOut:
    status = status_of(delivery.state, expanded=True)
    return DeliveryOut(
        endpoint_id=delivery.endpoint_id,
        status=status,
        status_text=text_of(status),
        has_warnings=delivery.warned,
        tries=delivery.attempts_used,
        next_attempt=next_attempt_of(delivery),
        ended_at=None if delivery.ended_at_ms is None else moment(delivery.ended_at_ms),
        reason=text_of_reason(delivery.reason),
        behind=delivery.behind,
        behind_until=None if delivery.behind_until_ms is None else moment(delivery.behind_until_ms),
        overtaken_at=None if delivery.overtaken_at_ms is None else moment(delivery.overtaken_at_ms),
        waiting=waiting_shown(waits.of(delivery)),
    )


@get(
    "/api/v1/app/{app_id}/customer",
    id="nicobar.customer.list",
    tags=TAGS,
    summary="List customers",
)
async def list_customers(
    *,
    application: Application,
    services: Services,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    prefix: Annotated[str, Meta(max_length=MAX_KEY_CHARS, description="Filter by the beginning of the key.")] = "",
) -> Page[CustomerOut]:
    """Lists customers by key. Only forward pagination is supported. `customer/lookup` finds them by email address and
    by the ids of their payments.
    """
    place = read_iterator(iterator)
    if place.backwards:
        raise Invalid(
            "query.iterator", "This list does not support `prevIterator`.", "Use the `iterator` of a previous page."
        )
    found = await services.store.customers(application.id, prefix, after=place.key, limit=limit)
    page = page_of_found(
        found,
        place=place,
        key=lambda item: item.customer_key,
        shape=lambda item: CustomerOut(
            key=item.customer_key,
            latest_message_id=item.message_id,
            latest_event_type=item.event_type,
            latest_at=moment(item.accepted_at_ms),
        ),
    )
    return Page(data=page.data, iterator=page.iterator, prev_iterator=None, done=page.done)


@get(
    "/api/v1/app/{app_id}/customer/lookup",
    id="nicobar.customer.lookup",
    tags=TAGS,
    summary="Look up customers",
)
async def lookup_customers(
    *,
    application: Application,
    services: Services,
    caller: Caller,
    text: Annotated[
        str,
        Meta(
            min_length=MIN_CHARS,
            max_length=MAX_KEY_CHARS,
            description="An email address, or the ID of a customer, payment, subscription, refund or dispute, or how "
            "it begins.",
        ),
    ],
) -> FoundCustomersOut:
    """Finds up to 20 customers by an email address or an ID, or the beginning of one. `kind` and `id` are those of
    the object by which a customer was found. `email` and `name` are null if they are not known, or if the
    token may not see them.
    """
    await services.snapshot()
    found = await find_customers(
        services, application.id, text, services.settings.redaction, sees_payloads=caller.sees_payloads
    )
    return FoundCustomersOut(
        data=[
            FoundCustomerOut(key=item.key, email=item.email, name=item.name, kind=item.kind.value, id=item.id)
            for item in found
        ]
    )


@get(
    "/api/v1/app/{app_id}/customer/timeline",
    id="nicobar.customer.timeline",
    tags=TAGS,
    summary="Get customer timeline",
)
async def customer_timeline(
    *,
    application: Application,
    snapshot: Snapshot,
    services: Services,
    key: Key,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    before: Before = None,
    after: After = None,
    event_types: EventTypes = None,
) -> Page[MomentOut]:
    """Lists all messages about a customer, newest first, each with its deliveries: status, reason of a failure, and
    the message that a pending delivery is queued after.
    """
    place = read_iterator(iterator)
    which = MessageFilter(
        since_ms=since(after), until_ms=until(before), event_types=names(event_types), customer_key=key
    )
    found = await services.store.moments(application.id, which, **span_of(place), limit=limit)

    waits = await read_waits(services.store, snapshot.endpoints, services.clock.now_ms())

    def shape(happened: MessageDeliveries) -> MomentOut:
        return MomentOut(
            **fields_of(happened.message, with_content=False),
            deliveries=[delivery_shown(delivery, waits) for delivery in happened.deliveries],
        )

    return page_of_found(found, place=place, key=lambda item: item.message.id, shape=shape)


@post(
    "/api/v1/app/{app_id}/customer/expunge",
    id="nicobar.customer.expunge",
    tags=TAGS,
    summary="Delete customer data",
    status=200,
)
async def expunge_customer(
    *,
    application: Application,
    services: Services,
    caller: Caller,
    data: CustomerIn,
    dry_run: DryRun = False,
) -> ExpungedOut | DryRunOut:
    """Deletes a customer's data: payloads, the copies in attempts, and the key. Unfinished deliveries are canceled.
    Then the customer's values are masked and searched for in the whole database, which can take minutes. Each request
    deletes at most 10,000 messages: repeat it until `done` is true. With `dryRun`, returns the number of
    messages and deliveries, and deletes nothing.
    """
    if dry_run:
        count = await services.store.count_expunge(application.id, data.key)
        return effect(messages=count.messages, deliveries=count.deliveries)
    erased = await erase.expunge_customer(services, caller, application.id, data.key)
    report = None if erased.report is None else _report(erased.report, sees_paths=caller.app_id is None)
    return ExpungedOut(messages=erased.messages, done=report is not None, report=report)


def _report(report: Report, *, sees_paths: bool) -> ErasureReportOut:
    return ErasureReportOut(
        clean=report.is_clean,
        values=report.values,
        without_customer=report.without_customer,
        tables=_places(report.tables),
        files=None if report.files is None else _places(report.files),
        other_messages=list(report.other_messages),
        backups=[
            KeptBackupOut(path=backup.path if sees_paths else None, taken_at=moment(backup.taken_at_ms))
            for backup in report.backups
        ],
    )


def _places(places: Iterable[Place]) -> list[PlaceOut]:
    return [PlaceOut(name=place.name, count=place.count) for place in places]


OPERATIONS = (list_customers, lookup_customers, customer_timeline, expunge_customer)
