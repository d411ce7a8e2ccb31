"""`/api/v1/app/{app_id}/msg`: events that were accepted."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, field

from nicobar.model import Application
from nicobar.pipeline.receive import Posted, event_id_exists
from nicobar.store.history import MessageFilter
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Needs
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
from nicobar.web.api.message_bodies import MessageOut, Payload, message_of, shown
from nicobar.web.api.paging import DEFAULT_LIMIT, MAX_LIMIT, Iterator, Limit, names, read_iterator, write_iterator
from nicobar.web.api.shapes import Channel, EventTypeName, Moment, Page, Shape, Tag, Uid, Unsupported
from nicobar.web.operations import Response, ResponseSpec, get, post

TAGS = ["Message"]
MINUTE_MS = 60_000
MAX_DELAY_MS = 24 * 60 * MINUTE_MS
SENT_BY_OLDER_CLIENTS_DAYS = 90
# Where the public clients' `message_in_raw` puts the body; its `payload` is empty.
RAW_PAYLOAD = "rawPayload"
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
        earlier = None if data.event_id is None else await services.store.find_message(application.id, data.event_id)
        if earlier is not None:
            raise event_id_exists(earlier.event_id, earlier.id)
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


OPERATIONS = (
    list_messages,
    create_message,
    precheck_message,
    search_messages,
    message_events,
    get_message,
)
