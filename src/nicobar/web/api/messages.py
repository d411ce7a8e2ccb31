"""`/api/v1/app/{app_id}/msg`: events that were accepted."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, field

from nicobar.model import Application, Message
from nicobar.pipeline.receive import Posted, event_id_exists
from nicobar.store import NewMessage
from nicobar.store.history import MessageFilter
from nicobar.use_cases import erase
from nicobar.use_cases.deliveries import count_unfinished
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.deletion_preview import DELETED, WOULD, DryRun, DryRunOut, done, effect, would
from nicobar.web.api.errors import Invalid, not_found
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
from nicobar.web.api.paging import DEFAULT_LIMIT, MAX_LIMIT, Iterator, Limit, names, read_iterator, write_iterator
from nicobar.web.api.shapes import (
    Channel,
    EventTypeName,
    MessageId,
    Moment,
    Page,
    Shape,
    Tag,
    Uid,
    Unsupported,
    moment,
)
from nicobar.web.api.tasks import TaskStartedOut, started
from nicobar.web.operations import Response, ResponseSpec, delete, get, post

TAGS = ["Message"]
MINUTE_MS = 60_000
MAX_DELAY_MS = 24 * 60 * MINUTE_MS
MAX_EXPUNGED_AT_ONCE = 100
SENT_BY_OLDER_CLIENTS_DAYS = 90
# Where the public clients' `message_in_raw` puts the body; its `payload` is empty.
RAW_PAYLOAD = "rawPayload"
# What stands in a payload's place once it was expunged, as in the public Svix API.
EXPUNGED = b'{"expired":true}'

# A dictionary for whoever reads it; at run time the very bytes that were kept.
Payload: TypeAlias = Annotated[
    dict[str, Any], Meta(examples=[{"type": "payment.succeeded", "data": {"total_amount": 4990}}])
]
Channels: TypeAlias = Annotated[list[Channel], Meta(min_length=1, max_length=10)]


class MessageIn(Shape):
    """An event. `deliverAt` is between a minute and a day away. The setting `retention_days` says how long payloads
    are kept; of `payloadRetentionPeriod` only 90 is accepted, which older clients always send.
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
    """The part of a `MessageIn` that is kept as it was sent."""

    payload: msgspec.Raw


class MessageOut(Shape):
    """A message. `eventId` is null where its sender gave none. The payload is empty where it was not asked for, and
    `{"expired":true}` once it was expunged. Ours: `sourceId`, `customerKey` and `occurredAt`.
    """

    id: MessageId
    event_type: str
    event_id: str | None
    payload: Payload
    channels: list[str] | None
    tags: list[str] | None
    timestamp: Moment
    deliver_at: Moment | None
    source_id: str
    customer_key: str | None
    occurred_at: Moment


class MessageRawPayloadOut(Shape):
    """A payload as it was sent, byte for byte."""

    payload: str


class PrecheckIn(Shape):
    """What a message would be."""

    event_type: EventTypeName
    channels: Channels | None = None


class PrecheckOut(Shape):
    """Whether an endpoint would get it."""

    active: bool


class MessageSearchIn(Shape):
    """Which messages."""

    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    iterator: str | None = None
    channel: Channel | None = None
    tag: Tag | None = None
    before: Moment | None = None
    after: Moment | None = None
    with_content: bool = field(name="with_content", default=False)
    event_types: list[EventTypeName] | None = field(name="event_types", default=None)


class MessageEventsOut(Shape):
    """Messages, the oldest first. `iterator` asks for what came after them; `done` says that nothing has yet."""

    data: list[MessageOut]
    iterator: str
    done: bool


class ExpungeStatus(StrEnum):
    EXPUNGED = "expunged"
    NOT_FOUND = "not-found"


class BulkExpungeIn(Shape):
    """Ids of messages, or their `eventId`s."""

    ids: Annotated[list[Uid], Meta(max_length=MAX_EXPUNGED_AT_ONCE)] = []


class BulkExpungeOut(Shape):
    """What became of each."""

    results: dict[str, ExpungeStatus]


def shown(message: Message | NewMessage, *, with_content: bool) -> MessageOut:
    return MessageOut(**fields_of(message, with_content=with_content))


def fields_of(message: Message | NewMessage, *, with_content: bool) -> dict[str, Any]:
    """What every shape that is a message has."""
    body = payload_of(message) if with_content else b"{}"
    return {
        "id": message.id,
        "event_type": message.event_type,
        "event_id": None if message.event_id == message.id else message.event_id,
        "payload": msgspec.Raw(body),
        "channels": list(message.channels) or None,
        "tags": list(message.tags) or None,
        "timestamp": moment(message.accepted_at_ms),
        "deliver_at": None if message.deliver_at_ms is None else moment(message.deliver_at_ms),
        "source_id": message.source_id,
        "customer_key": message.customer_key,
        "occurred_at": moment(message.occurred_at_ms),
    }


def payload_of(message: Message | NewMessage) -> bytes:
    expunged = isinstance(message, Message) and message.expunged_at_ms is not None
    return EXPUNGED if expunged else message.body


async def message_of(services: Services, application: Application, key: str) -> Message:
    """Raises Refusal 404."""
    found = await services.store.find_message(application.id, key)
    if found is None:
        raise not_found("message")
    return found


@get("/api/v1/app/{app_id}/msg", id="v1.message.list", tags=TAGS, summary="List Messages")
async def list_messages(
    *,
    application: Application,
    services: Services,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    channel: ChannelFilter = None,
    tag: TagFilter = None,
    before: Before = None,
    after: After = None,
    event_types: EventTypes = None,
    with_content: WithContent = True,
    customer: Annotated[str, Meta(max_length=256, description="Ours: only this customer's.")] | None = None,
    contains: Annotated[
        str, Meta(max_length=256, description="Ours: only those whose payload has this text, such as an e-mail.")
    ]
    | None = None,
) -> Page[MessageOut]:
    """Messages, the newest first. Where little fits, a page can be short, even empty, and not be the last one:
    `done` says so.
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
    return await _page(services, application, which, iterator, limit, with_content=with_content)


async def _page(
    services: Services,
    application: Application,
    which: MessageFilter,
    iterator: str | None,
    limit: int,
    *,
    with_content: bool,
) -> Page[MessageOut]:
    place = read_iterator(iterator)
    found = await services.store.messages(
        application.id, which, **span_of(place), limit=limit, with_body=with_content
    )
    return page_of_found(
        found, place=place, key=lambda item: item.id, shape=lambda item: shown(item, with_content=with_content)
    )


@post(
    "/api/v1/app/{app_id}/msg",
    id="v1.message.create",
    tags=TAGS,
    summary="Create Message",
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
    with_content: WithContent = True,
    dry_run: DryRun = False,
) -> Response[MessageOut | DryRunOut]:
    """Accepts an event for all endpoints that want it. When the answer comes, it is on disk. Whom it is about, which
    keeps its order, is read as the kind of the application's first source reads it.
    """
    _check_supported(data)
    now_ms = services.clock.now_ms()
    deliver_at_ms = None if data.deliver_at is None else ms_of(data.deliver_at, "body.deliverAt")
    if deliver_at_ms is not None and not now_ms + MINUTE_MS <= deliver_at_ms <= now_ms + MAX_DELAY_MS:
        raise Invalid("body.deliverAt", "It is not between a minute and 24 hours away.", "Choose a time in between.")
    await services.snapshot()
    if dry_run:
        known = None if data.event_id is None else await services.store.find_message(application.id, data.event_id)
        if known is not None:
            raise event_id_exists(known.event_id, known.id)
        wanting = services.configuration.wanting(application.id, data.event_type, _unique(data.channels))
        return Response(effect(messages=1, deliveries=len(wanting)), status=200)
    taken = await services.receiver.take(
        Posted(
            app_id=application.id,
            event_type=data.event_type,
            body=bytes(msgspec.json.decode(body, type=_Sent).payload),
            event_id=data.event_id,
            channels=_unique(data.channels),
            tags=_unique(data.tags),
            params=data.transformations_params,
            deliver_at_ms=deliver_at_ms,
        )
    )
    return Response(shown(taken, with_content=with_content), status=202)


def _check_supported(data: MessageIn) -> None:
    """Raises Invalid for what would be lost if it were accepted."""
    if data.payload_retention_period not in {None, SENT_BY_OLDER_CLIENTS_DAYS}:
        raise Invalid(
            "body.payloadRetentionPeriod",
            "A message has no retention period of its own.",
            "Omit the field. The setting retention_days applies to all messages.",
        )
    if RAW_PAYLOAD in (data.transformations_params or {}):
        raise Invalid(
            f"body.transformationsParams.{RAW_PAYLOAD}",
            "Raw payloads (message_in_raw) are not supported: endpoints would receive an empty payload.",
            "Send the event as a JSON object in `payload`. For text in another format, put it into a field of "
            "`payload`.",
        )


def _unique(values: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values or ()))


@post(
    "/api/v1/app/{app_id}/msg/precheck/active",
    id="v1.message.precheck",
    tags=TAGS,
    summary="Message Precheck",
    status=200,
    needs=Needs.READING,
)
async def precheck_message(*, application: Application, services: Services, data: PrecheckIn) -> PrecheckOut:
    """Whether any endpoint that is not disabled would get such a message."""
    await services.snapshot()
    wanting = services.configuration.wanting(application.id, data.event_type, _unique(data.channels))
    return PrecheckOut(active=bool(wanting))


@post(
    "/api/v1/app/{app_id}/msg/search",
    id="v1.message.search",
    tags=TAGS,
    summary="Search Messages",
    status=200,
    needs=Needs.READING,
)
async def search_messages(*, application: Application, services: Services, data: MessageSearchIn) -> Page[MessageOut]:
    """The list of messages, with its filters in the body."""
    which = MessageFilter(
        since_ms=since(data.after),
        until_ms=until(data.before),
        event_types=_unique(data.event_types),
        channels=() if data.channel is None else (data.channel,),
        tag=data.tag,
    )
    return await _page(services, application, which, data.iterator, data.limit, with_content=data.with_content)


@get("/api/v1/app/{app_id}/events", id="v1.message.events", tags=TAGS, summary="Read Message Stream")
async def message_events(
    *,
    application: Application,
    services: Services,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    event_types: EventTypes = None,
    channels: Annotated[
        list[Annotated[str, Meta(max_length=16_384)]] | None,
        Meta(description="Only these channels: repeated, or separated by commas."),
    ] = None,
    after: After = None,
) -> MessageEventsOut:
    """Messages in the order of their acceptance, from the oldest on; `iterator` goes on from there at any time."""
    place = read_iterator(iterator)
    if place.backwards:
        raise Invalid("query.iterator", "A stream goes forward only.", "Give the `iterator` of another answer.")
    which = MessageFilter(since_ms=since(after), event_types=names(event_types), channels=names(channels))
    found = await services.store.messages(
        application.id, which, after=place.key or _START, limit=limit, with_body=True
    )
    last = found.next or (found.items[-1].id if found.items else place.key or _START)
    return MessageEventsOut(
        data=[shown(item, with_content=True) for item in found.items],
        iterator=write_iterator(last, backwards=False),
        done=found.next is None,
    )


# Before every message's id.
_START = "msg_"


@get("/api/v1/app/{app_id}/msg/{msg_id}", id="v1.message.get", tags=TAGS, summary="Get Message")
async def get_message(
    *, application: Application, services: Services, msg_id: MessageKey, with_content: WithContent = True
) -> MessageOut:
    """One message."""
    return shown(await message_of(services, application, msg_id), with_content=with_content)


@get(
    "/api/v1/app/{app_id}/msg/{msg_id}/raw",
    id="v1.message.get-raw-payload",
    tags=TAGS,
    summary="Get Raw Message Payload",
)
async def get_raw_payload(
    *, application: Application, services: Services, msg_id: MessageKey
) -> MessageRawPayloadOut:
    """A message's payload as text, byte for byte as it came."""
    found = await message_of(services, application, msg_id)
    return MessageRawPayloadOut(payload=payload_of(found).decode("utf-8", "replace"))


@delete(
    "/api/v1/app/{app_id}/msg/{msg_id}/content",
    id="v1.message.expunge-content",
    tags=TAGS,
    summary="Delete message payload",
    status=200,
    responses=DELETED,
)
async def expunge_message(
    *,
    application: Application,
    services: Services,
    caller: Caller,
    msg_id: MessageKey,
    dry_run: DryRun = False,
) -> Response[DryRunOut | None]:
    """Deletes a message's payload and what its attempts quote of it, and cancels its unfinished deliveries."""
    found = await message_of(services, application, msg_id)
    if dry_run:
        return would(messages=_has_payload(found), deliveries=await count_unfinished(services.store, found))
    await erase.expunge_message(services, caller, found)
    return done()


def _has_payload(message: Message) -> int:
    return int(message.expunged_at_ms is None)


@post(
    "/api/v1/app/{app_id}/msg/bulk-expunge",
    id="v1.message.bulk-expunge-content",
    tags=TAGS,
    summary="Bulk delete message payloads",
    status=200,
)
async def expunge_messages(
    *,
    application: Application,
    services: Services,
    caller: Caller,
    data: BulkExpungeIn,
    dry_run: DryRun = False,
) -> BulkExpungeOut | DryRunOut:
    """Deletes the payloads of up to a hundred messages. With `dryRun` nothing is deleted, and the answer counts the
    messages.
    """
    if dry_run:
        named = [await services.store.find_message(application.id, key) for key in data.ids]
        found_ones = {item.id: item for item in named if item is not None}.values()
        return effect(
            messages=sum(map(_has_payload, found_ones)),
            deliveries=sum([await count_unfinished(services.store, found_one) for found_one in found_ones]),
        )
    results: dict[str, ExpungeStatus] = {}
    for key in dict.fromkeys(data.ids):
        found = await services.store.find_message(application.id, key)
        results[key] = ExpungeStatus.EXPUNGED if found else ExpungeStatus.NOT_FOUND
        if found is not None:
            await erase.expunge_message(services, caller, found)
    return BulkExpungeOut(results=results)


@post(
    "/api/v1/app/{app_id}/msg/expunge-all-contents",
    id="v1.message.expunge-all-contents",
    tags=TAGS,
    summary="Delete all message payloads",
    status=202,
    responses={
        202: ResponseSpec(TaskStartedOut, description="The task has started."),
        200: WOULD,
    },
)
async def expunge_all_messages(
    *, application: Application, services: Services, caller: Caller, dry_run: DryRun = False
) -> Response[TaskStartedOut | DryRunOut]:
    """Takes out the payloads of all messages that an application has now, as a background task; what is not delivered
    is canceled. The task's `messagesPurged` says how many were.
    """
    if dry_run:
        count = await services.store.count_expunge(application.id)
        return Response(effect(messages=count.messages, deliveries=count.deliveries), status=200)
    task = await erase.expunge_application(services, caller, application.id)
    return Response(started(task), status=202)


OPERATIONS = (
    list_messages,
    create_message,
    precheck_message,
    search_messages,
    message_events,
    get_message,
    get_raw_payload,
    expunge_message,
    expunge_messages,
    expunge_all_messages,
)
