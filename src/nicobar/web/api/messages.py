"""`/api/v1/app/{app_id}/msg`: messages."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta, field

from nicobar.errors import UserError
from nicobar.model import Application
from nicobar.pipeline.receive import Posted, event_id_exists, event_id_of
from nicobar.raw_payloads import RAW_PAYLOAD, raw_payload
from nicobar.store.history import MessageFilter
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.deletion_preview import WOULD, DryRun, DryRunOut, effect
from nicobar.web.api.errors import Invalid
from nicobar.web.api.listing import (
    After,
    Before,
    ChannelFilter,
    EventTypes,
    MessageKey,
    TagFilter,
    WithContent,
    ms_of,
    page_of_found,
    since,
    span_of,
    until,
)
from nicobar.web.api.message_bodies import MessageOut, Payload, message_of, payload_of, redactor_for, shown
from nicobar.web.api.paging import DEFAULT_LIMIT, MAX_LIMIT, Iterator, Limit, names, read_iterator, write_iterator
from nicobar.web.api.shapes import Channel, EventTypeName, Moment, Page, Shape, Tag, Uid, Unsupported, moment
from nicobar.web.operations import Response, ResponseSpec, get, post

TAGS = ["Message"]
MINUTE_MS = 60_000
MAX_DELAY_MS = 24 * 60 * MINUTE_MS
SENT_BY_OLDER_CLIENTS_DAYS = 90
Channels: TypeAlias = Annotated[list[Channel], Meta(min_length=1, max_length=10)]


class MessageIn(Shape):
    """The event to send. `eventId` must be unique in the application. `deliverAt` must be 1 minute to 24 hours from
    now, and defaults to now. `payloadRetentionPeriod` must be 90, which older clients always send: the setting
    `retention_days` applies.
    """

    event_type: EventTypeName
    payload: Payload
    event_id: Uid | None = None
    channels: Channels | None = None
    tags: Annotated[list[Tag], Meta(max_length=5)] | None = None
    transformations_params: dict[str, Any] | None = None
    deliver_at: Moment | None = None
    application: Unsupported = None
    payload_retention_period: int | None = None
    payload_retention_hours: Unsupported = None


class _Sent(msgspec.Struct):
    """The part of a `MessageIn` that is stored byte for byte."""

    payload: msgspec.Raw


class PrecheckIn(Shape):
    """The event type and channels to check."""

    event_type: EventTypeName
    channels: Channels | None = None


class PrecheckOut(Shape):
    """`active` is true if at least one enabled endpoint would receive the message."""

    active: bool


class MessageSearchIn(Shape):
    """The filters of the search. `limit` defaults to 50. Maximum 250."""

    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    iterator: str | None = None
    channel: Channel | None = None
    tag: Tag | None = None
    before: Moment | None = None
    after: Moment | None = None
    with_content: bool = field(name="with_content", default=False)
    event_types: list[EventTypeName] | None = field(name="event_types", default=None)


class Span(NamedTuple):
    """The part of a list that a request asks for."""

    iterator: str | None
    limit: int
    with_content: bool


class MessageEventsOut(Shape):
    """Messages, oldest first. Pass `iterator` to get later messages. `done` is true if there are none yet."""

    data: list[MessageOut]
    iterator: str
    done: bool


@get("/api/v1/app/{app_id}/msg", id="v1.message.list", tags=TAGS, summary="List messages")
async def list_messages(
    *,
    application: Application,
    services: Services,
    caller: Caller,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    channel: ChannelFilter = None,
    tag: TagFilter = None,
    before: Before = None,
    after: After = None,
    event_types: EventTypes = None,
    with_content: WithContent = True,
    customer: Annotated[str, Meta(max_length=256, description="Filter by customer key. An addition to the Svix API.")]
    | None = None,
    contains: Annotated[
        str,
        Meta(
            max_length=256,
            description="Filter by exact text in the payload, such as an email address. An addition to the Svix API.",
        ),
    ]
    | None = None,
) -> Page[MessageOut]:
    """Lists messages, newest first. If few messages match, a page can be short or empty without being the last: check
    `done`.
    """
    which = MessageFilter(
        since_ms=since(after),
        until_ms=until(before),
        event_types=names(event_types),
        channels=() if channel is None else (channel,),
        tag=tag,
        customer_key=customer,
        contains=contains.encode() if contains else None,
    )
    return await _page(services, caller, application.id, which, Span(iterator, limit, with_content))


async def _page(
    services: Services, caller: Caller, app_id: str, which: MessageFilter, span: Span
) -> Page[MessageOut]:
    place = read_iterator(span.iterator)
    # Who does not see a value must not find out about it by searching for it.
    sought = None if caller.sees_payloads else which.contains
    with_body = span.with_content or sought is not None
    found = await services.store.messages(app_id, which, **span_of(place), limit=span.limit, with_body=with_body)
    if sought is not None:
        redactor = services.configuration.redactor
        shown_too = tuple(item for item in found.items if sought in payload_of(item, redactor(item)))
        found = msgspec.structs.replace(found, items=shown_too)
    return page_of_found(
        found,
        place=place,
        key=lambda item: item.id,
        shape=lambda item: shown(item, redactor_for(services, caller, item), with_content=span.with_content),
    )


@post(
    "/api/v1/app/{app_id}/msg",
    id="v1.message.create",
    tags=TAGS,
    summary="Create message",
    status=202,
    needs=Needs.MESSAGES,
    responses={202: ResponseSpec(MessageOut, description="Accepted."), 200: WOULD},
)
async def create_message(
    *,
    application: Application,
    services: Services,
    data: MessageIn,
    body: bytes,
    idempotency_key: str,
    with_content: WithContent = True,
    dry_run: DryRun = False,
) -> Response[MessageOut | DryRunOut]:
    """Sends an event to all endpoints that subscribe to its event type. The message is stored on disk before the
    response is sent. The customer is read from the payload in the format of the application's first
    source.
    """
    await services.snapshot()
    posted = posted_of(services, application, data, body, idempotency_key)
    if dry_run:
        await check_new(services, posted)
        return Response(effect(messages=1, deliveries=len(services.receiver.subscribed(posted))), status=200)
    accepted = await services.receiver.take(posted)
    return Response(shown(accepted, with_content=with_content), status=202)


async def check_new(services: Services, posted: Posted) -> None:
    """Raises Conflict if another message has the event id."""
    event_id = event_id_of(posted)
    earlier = None if event_id is None else await services.store.find_message(posted.app_id, event_id)
    if earlier is not None:
        raise event_id_exists(posted, earlier.id)


def posted_of(
    services: Services, application: Application, data: MessageIn, body: bytes, idempotency_key: str
) -> Posted:
    """The event of a request. Raises Invalid for values that would be ignored."""
    _check_supported(data)
    now_ms = services.clock.now_ms()
    deliver_at_ms = None if data.deliver_at is None else ms_of(data.deliver_at, "body.deliverAt")
    if deliver_at_ms is not None and not now_ms + MINUTE_MS <= deliver_at_ms <= now_ms + MAX_DELAY_MS:
        raise Invalid(
            "body.deliverAt",
            f"deliverAt must be 1 minute to 24 hours from now, not {moment(deliver_at_ms).isoformat()}.",
            "Change or omit it.",
        )
    return Posted(
        app_id=application.id,
        event_type=data.event_type,
        body=bytes(msgspec.json.decode(body, type=_Sent).payload),
        event_id=data.event_id,
        idempotency_key=idempotency_key,
        channels=_unique(data.channels),
        tags=_unique(data.tags),
        params=data.transformations_params,
        deliver_at_ms=deliver_at_ms,
    )


def _check_supported(data: MessageIn) -> None:
    """Raises Invalid for values that would be ignored."""
    if data.payload_retention_period not in {None, SENT_BY_OLDER_CLIENTS_DAYS}:
        raise Invalid(
            "body.payloadRetentionPeriod",
            f"payloadRetentionPeriod {data.payload_retention_period} is not supported.",
            "Omit the field. The setting retention_days applies to all messages.",
        )
    try:
        raw_payload(data.transformations_params)
    except UserError as error:
        raise Invalid(f"body.transformationsParams.{RAW_PAYLOAD}", error.detail, error.fix) from error


def _unique(values: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values or ()))


@post(
    "/api/v1/app/{app_id}/msg/precheck/active",
    id="v1.message.precheck",
    tags=TAGS,
    summary="Check for active endpoints",
    status=200,
    needs=Needs.READING,
)
async def precheck_message(*, application: Application, services: Services, data: PrecheckIn) -> PrecheckOut:
    """Checks whether any enabled endpoint would receive a message with this event type and these channels."""
    await services.snapshot()
    subscribed = services.configuration.wanting(application.id, data.event_type, _unique(data.channels))
    return PrecheckOut(active=bool(subscribed))


@post(
    "/api/v1/app/{app_id}/msg/search",
    id="v1.message.search",
    tags=TAGS,
    summary="Search messages",
    status=200,
    needs=Needs.READING,
)
async def search_messages(
    *, application: Application, services: Services, caller: Caller, data: MessageSearchIn
) -> Page[MessageOut]:
    """Lists messages, newest first, with the filters in the request body."""
    which = MessageFilter(
        since_ms=since(data.after),
        until_ms=until(data.before),
        event_types=_unique(data.event_types),
        channels=() if data.channel is None else (data.channel,),
        tag=data.tag,
    )
    span = Span(data.iterator, data.limit, data.with_content)
    return await _page(services, caller, application.id, which, span)


@get("/api/v1/app/{app_id}/events", id="v1.message.events", tags=TAGS, summary="Read message stream")
async def message_events(
    *,
    application: Application,
    services: Services,
    caller: Caller,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    event_types: EventTypes = None,
    channels: Annotated[
        list[Annotated[str, Meta(max_length=16_384)]] | None,
        Meta(description="Filter by channel. Repeat the parameter or separate values with commas."),
    ] = None,
    after: After = None,
) -> MessageEventsOut:
    """Lists messages in order of acceptance, oldest first. Pass the last `iterator` at any time to get later
    messages.
    """
    place = read_iterator(iterator)
    if place.backwards:
        raise Invalid(
            "query.iterator",
            "This list does not support `prevIterator`.",
            "Use the `iterator` of a previous response.",
        )
    which = MessageFilter(since_ms=since(after), event_types=names(event_types), channels=names(channels))
    found = await services.store.messages(
        application.id, which, after=place.key or _START, limit=limit, with_body=True
    )
    last = found.next or (found.items[-1].id if found.items else place.key or _START)
    return MessageEventsOut(
        data=[shown(item, redactor_for(services, caller, item), with_content=True) for item in found.items],
        iterator=write_iterator(last, backwards=False),
        done=found.next is None,
    )


# Sorts before every message ID.
_START = "msg_"


@get("/api/v1/app/{app_id}/msg/{msg_id}", id="v1.message.get", tags=TAGS, summary="Get message")
async def get_message(
    *,
    application: Application,
    services: Services,
    caller: Caller,
    msg_id: MessageKey,
    with_content: WithContent = True,
) -> MessageOut:
    """Returns a message."""
    found = await message_of(services, application, msg_id)
    return shown(found, redactor_for(services, caller, found), with_content=with_content)


OPERATIONS = (
    list_messages,
    create_message,
    precheck_message,
    search_messages,
    message_events,
    get_message,
)
