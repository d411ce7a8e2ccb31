"""`/api/v1/app/{app_id}/attempt` and what hangs on messages and endpoints: tries, and what became of messages."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from nicobar.model import ALERT_SOURCE_ID, Application, Attempt, Delivery, DeliveryState, Endpoint, Level, Verdict
from nicobar.store import Snapshot
from nicobar.store.history import Attempted, AttemptFilter, MessageAttempt, MessageFilter
from nicobar.store.history import Page as Found
from nicobar.use_cases import erase
from nicobar.use_cases.deliveries import resend
from nicobar.use_cases.delivery_waits import Wait, WaitCause, read_waits
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.deletion_preview import DELETED, WOULD, DryRun, DryRunOut, done, effect, would
from nicobar.web.api.errors import not_found
from nicobar.web.api.listing import (
    After,
    Before,
    ChannelFilter,
    EventTypes,
    Expanded,
    MessageKey,
    TagFilter,
    WithContent,
    page_of_found,
    since,
    span_of,
    until,
)
from nicobar.web.api.lookups import MAX_KEY_CHARS, endpoint_of
from nicobar.web.api.messages import MessageOut, fields_of, message_of, shown
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, Ordering, names, page_of_all, read_iterator
from nicobar.web.api.shapes import EndpointId, MessageId, Moment, Page, Shape, moment, text_of_reason
from nicobar.web.api.status import (
    MessageStatus,
    StatusCodeClass,
    attempt_states_of,
    states_of,
    status_of,
    status_of_attempt,
    text_of,
)
from nicobar.web.operations import Response, ResponseSpec, delete, get, post
from nicobar.web.parameters import Name

TAGS = ["Message Attempt"]
MASKED = "***"

AttemptId = Annotated[str, Meta(pattern=r"^atmpt_[A-Za-z0-9]{27}$", examples=["atmpt_2yZwUhtgs5Ai8T9yRQJXA0000aa"])]
AttemptKey = Annotated[str, Meta(description="The attempt's id.", max_length=MAX_KEY_CHARS)]
StatusFilter = Annotated[
    MessageStatus | None, Meta(description="Only this status: 0 success, 1 pending, 2 fail, 3 sending, 4 canceled.")
]
ClassFilter = Annotated[
    StatusCodeClass | None,
    Meta(description="Only answers of this class: 100 to 500, or 0 for those without an answer."),
]


class VerdictOut(Shape):
    """What the destination's contract says of a call: `path` points into it, `source` to where the fact stands."""

    level: Level
    rule: str
    path: str
    reason: str
    fix: str
    source: str


class RequestOut(Shape):
    """A request of a try. The body has the message's own calls, a line each; `others` counts the calls of other
    messages that travelled with them.
    """

    method: str
    url: str
    body: str
    others: int


class MessageAttemptOut(Shape):
    """A try. Ours: `reason`, `nextAttempt` where another one follows, `transformationVersion`, `console`, `verdicts`
    and `requests`; the last three are empty where the content was not asked for.
    """

    id: AttemptId
    msg_id: MessageId
    endpoint_id: EndpointId
    timestamp: Moment
    url: str
    response: str
    response_status_code: int
    response_duration_ms: int
    status: MessageStatus
    status_text: str
    trigger_type: Annotated[int, Meta(description="0 by the schedule, 1 asked for by somebody.")]
    reason: str | None
    next_attempt: Moment | None
    transformation_version: int | None
    console: list[str]
    verdicts: list[VerdictOut]
    requests: list[RequestOut]
    # Left out, not null, where it was not asked for: clients before 1.63 fail on null.
    msg: MessageOut | UnsetType = UNSET


class WaitingOut(Shape):
    """Why an unfinished delivery has not been sent yet: `sending` now; its endpoint is `disabled` or `paused`; it is
    queued `behind` an earlier message of its customer; its destination is `failing`; it waits for a `retry`, for
    `later`, or for its `turn`. `until` is when that ends, where it is known.
    """

    cause: WaitCause
    until: Moment | None
    behind: MessageId | None
    reason: str | None


class EndpointMessageOut(MessageOut):
    """A message and how it fares with one endpoint. Ours: `reason` and `waiting`."""

    status: MessageStatus
    status_text: str
    next_attempt: Moment | None
    reason: str | None
    waiting: WaitingOut | None


class MessageEndpointOut(Shape):
    """An endpoint and how a message fares with it. Ours: `reason`, `waiting`, and `behind`: the message of the same
    customer that this one waits for.
    """

    id: EndpointId
    uid: str | None
    url: str
    description: str
    throttle_rate: int | None
    disabled: bool
    event_types: list[str] | None
    channels: list[str] | None
    created_at: Moment
    updated_at: Moment
    status: MessageStatus
    status_text: str
    next_attempt: Moment | None
    reason: str | None
    behind: str | None
    waiting: WaitingOut | None
    version: int = 1
    filter_types: list[str] | None = None
    rate_limit: int | None = None


class MessageAttemptHeadersOut(Shape):
    """The headers of a try's last request; those that carry credentials are masked, and named in `sensitive`. The
    answer's headers are not kept.
    """

    sent_headers: dict[str, str]
    response_headers: list[list[str]] | None
    sensitive: list[str]


class CountOut(Shape):
    """How many there are; `approximated` where there may be more than were counted."""

    count: int
    approximated: bool


class EmptyResponse(Shape):
    """Nothing to say."""


def attempt_shown(
    tried: MessageAttempt, url: str, *, with_content: bool, with_message: bool = False, expanded: bool
) -> MessageAttemptOut:
    """`url` is where the endpoint posts to, for a try that sent nothing."""
    attempt = tried.attempt
    status = status_of_attempt(attempt.state, expanded=expanded)
    return MessageAttemptOut(
        id=attempt.id,
        msg_id=tried.message.id,
        endpoint_id=tried.endpoint_id,
        timestamp=moment(attempt.started_at_ms),
        url=attempt.requests[0].url if attempt.requests else url,
        response=attempt.response if with_content else "",
        response_status_code=attempt.status or 0,
        response_duration_ms=attempt.duration_ms,
        status=status,
        status_text=text_of(status),
        trigger_type=int(attempt.manual),
        msg=shown(tried.message, with_content=False) if with_message else UNSET,
        reason=text_of_reason(attempt.reason),
        next_attempt=None if attempt.next_try_at_ms is None else moment(attempt.next_try_at_ms),
        transformation_version=attempt.transformation_version,
        console=list(attempt.console) if with_content else [],
        verdicts=[verdict_shown(verdict) for verdict in attempt.verdicts] if with_content else [],
        requests=_requests(attempt) if with_content else [],
    )


def verdict_shown(verdict: Verdict) -> VerdictOut:
    return VerdictOut(
        level=verdict.level,
        rule=verdict.rule,
        path=verdict.path,
        reason=verdict.reason.detail(),
        fix=verdict.reason.fix(),
        source=verdict.source,
    )


def _requests(attempt: Attempt) -> list[RequestOut]:
    return [
        RequestOut(method=request.method, url=request.url, body=request.body, others=request.others)
        for request in attempt.requests
    ]


def next_attempt_of(delivery: Delivery) -> datetime | None:
    waits = delivery.state is DeliveryState.PENDING and delivery.due_at_ms is not None
    return moment(delivery.due_at_ms) if waits and delivery.due_at_ms is not None else None


def waiting_shown(wait: Wait | None) -> WaitingOut | None:
    if wait is None:
        return None
    return WaitingOut(
        cause=wait.cause,
        until=None if wait.until_ms is None else moment(wait.until_ms),
        behind=wait.behind,
        reason=text_of_reason(wait.reason) or None,
    )


def url_of(services: Services, endpoint_id: str) -> str:
    """Where an endpoint posts to; a name of ours for one that is gone or cannot be opened."""
    for endpoint in services.configuration.endpoints.values():
        if endpoint.endpoint.id == endpoint_id:
            return endpoint.destination.url
    return f"urn:nicobar:{endpoint_id}"


def _filter(
    *,
    before: str | None,
    after: str | None,
    event_types: list[str] | None,
    channel: str | None,
    tag: str | None,
    states: tuple[DeliveryState, ...],
    status_code_class: StatusCodeClass | None,
) -> AttemptFilter:
    return AttemptFilter(
        since_ms=since(after),
        until_ms=until(before),
        event_types=names(event_types),
        channels=() if channel is None else (channel,),
        tag=tag,
        states=states,
        status_class=None if status_code_class is None else status_code_class // 100,
    )


@get(
    "/api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}",
    id="v1.message-attempt.list-by-endpoint",
    tags=TAGS,
    summary="List Attempts By Endpoint",
)
async def list_by_endpoint(
    *,
    endpoint: Endpoint,
    services: Services,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    status: StatusFilter = None,
    status_code_class: ClassFilter = None,
    channel: ChannelFilter = None,
    tag: TagFilter = None,
    before: Before = None,
    after: After = None,
    with_content: WithContent = True,
    with_msg: Annotated[bool, Meta(description="Whether each has its message, without payload.")] = False,
    expanded_statuses: Expanded = False,
    event_types: EventTypes = None,
) -> Page[MessageAttemptOut]:
    """An endpoint's tries, the newest first. A page can be short and not be the last one: `done` says so."""
    place = read_iterator(iterator)
    states = () if status is None else attempt_states_of(status, expanded=expanded_statuses)
    found: Found[MessageAttempt] = Found(items=(), next=None)
    if status is None or states:
        which = _filter(
            before=before,
            after=after,
            event_types=event_types,
            channel=channel,
            tag=tag,
            states=states,
            status_code_class=status_code_class,
        )
        found = await services.store.attempts_of_endpoint(endpoint.id, which, **span_of(place), limit=limit)
    url = url_of(services, endpoint.id)
    return page_of_found(
        found,
        place=place,
        key=lambda item: item.attempt.id,
        shape=lambda item: attempt_shown(
            item, url, with_content=with_content, with_message=with_msg, expanded=expanded_statuses
        ),
    )


@get(
    "/api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}/count",
    id="v1.message-attempt.count-by-endpoint",
    tags=TAGS,
    summary="Count Attempts By Endpoint",
)
async def count_by_endpoint(
    *,
    endpoint: Endpoint,
    services: Services,
    status: StatusFilter = None,
    status_code_class: ClassFilter = None,
    channel: ChannelFilter = None,
    tag: TagFilter = None,
    before: Before = None,
    after: After = None,
    event_types: EventTypes = None,
) -> CountOut:
    """How many of an endpoint's latest 100,000 tries fit. What was canceled counts under its own status."""
    states = () if status is None else attempt_states_of(status, expanded=True)
    if status is not None and not states:
        return CountOut(count=0, approximated=False)
    which = _filter(
        before=before,
        after=after,
        event_types=event_types,
        channel=channel,
        tag=tag,
        states=states,
        status_code_class=status_code_class,
    )
    count, more = await services.store.count_attempts(endpoint.id, which)
    return CountOut(count=count, approximated=more)


@get(
    "/api/v1/app/{app_id}/attempt/msg/{msg_id}",
    id="v1.message-attempt.list-by-msg",
    tags=TAGS,
    summary="List Attempts By Msg",
)
async def list_by_message(
    *,
    application: Application,
    snapshot: Snapshot,
    services: Services,
    msg_id: MessageKey,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    status: StatusFilter = None,
    status_code_class: ClassFilter = None,
    channel: ChannelFilter = None,
    tag: TagFilter = None,
    of_endpoint: Annotated[
        Annotated[str, Meta(max_length=MAX_KEY_CHARS, description="Only those of this endpoint.")] | None,
        Name("endpoint_id"),
    ] = None,
    before: Before = None,
    after: After = None,
    with_content: WithContent = True,
    expanded_statuses: Expanded = False,
    event_types: EventTypes = None,
) -> Page[MessageAttemptOut]:
    """A message's tries, the newest first."""
    message = await message_of(services, application, msg_id)
    place = read_iterator(iterator)
    states = () if status is None else attempt_states_of(status, expanded=expanded_statuses)
    found: Found[MessageAttempt] = Found(items=(), next=None)
    if status is None or states:
        which = _filter(
            before=before,
            after=after,
            event_types=event_types,
            channel=channel,
            tag=tag,
            states=states,
            status_code_class=status_code_class,
        )
        endpoint_id = None if of_endpoint is None else endpoint_of(snapshot, application, of_endpoint).id
        found = await services.store.attempts_of_message(
            message.id, which, endpoint_id=endpoint_id, **span_of(place), limit=limit
        )
    return page_of_found(
        found,
        place=place,
        key=lambda item: item.attempt.id,
        shape=lambda item: attempt_shown(
            item, url_of(services, item.endpoint_id), with_content=with_content, expanded=expanded_statuses
        ),
    )


@get(
    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/msg",
    id="v1.message-attempt.list-attempted-messages",
    tags=TAGS,
    summary="List Attempted Messages",
)
async def list_attempted_messages(
    *,
    endpoint: Endpoint,
    services: Services,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    channel: ChannelFilter = None,
    tag: TagFilter = None,
    status: StatusFilter = None,
    before: Before = None,
    after: After = None,
    with_content: WithContent = True,
    expanded_statuses: Expanded = False,
    event_types: EventTypes = None,
) -> Page[EndpointMessageOut]:
    """The messages that an endpoint got or is to get, each with how far it is, the newest first. A page can be short
    and not be the last one: `done` says so.
    """
    place = read_iterator(iterator)
    which = MessageFilter(
        since_ms=since(after),
        until_ms=until(before),
        event_types=names(event_types),
        channels=() if channel is None else (channel,),
        tag=tag,
    )
    states = () if status is None else states_of(status, expanded=expanded_statuses)
    found: Found[Attempted] = Found(items=(), next=None)
    if status is None or states:
        found = await services.store.attempted(
            endpoint.id, which, states, **span_of(place), limit=limit, with_body=with_content
        )

    waits = await read_waits(services.store, [endpoint], services.clock.now_ms())

    def shape(attempted: Attempted) -> EndpointMessageOut:
        status = status_of(attempted.delivery.state, expanded=expanded_statuses)
        return EndpointMessageOut(
            **fields_of(attempted.message, with_content=with_content),
            status=status,
            status_text=text_of(status),
            next_attempt=next_attempt_of(attempted.delivery),
            reason=text_of_reason(attempted.delivery.reason),
            waiting=waiting_shown(waits.of(attempted.delivery)),
        )

    return page_of_found(found, place=place, key=lambda item: item.message.id, shape=shape)


@get(
    "/api/v1/app/{app_id}/msg/{msg_id}/endpoint",
    id="v1.message-attempt.list-attempted-destinations",
    tags=TAGS,
    summary="List Attempted Destinations",
)
async def list_attempted_destinations(
    *,
    application: Application,
    snapshot: Snapshot,
    services: Services,
    msg_id: MessageKey,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
) -> Page[MessageEndpointOut]:
    """The endpoints that a message goes to, by id. Those that were taken out are not among them."""
    message = await message_of(services, application, msg_id)
    known = {endpoint.id: endpoint for endpoint in snapshot.endpoints}
    waits = await read_waits(services.store, snapshot.endpoints, services.clock.now_ms())
    deliveries = [
        delivery for delivery in await services.store.deliveries(message.id) if delivery.endpoint_id in known
    ]
    return page_of_all(
        deliveries,
        iterator=iterator,
        limit=limit,
        order=Ordering.ASCENDING,
        key=lambda delivery: delivery.endpoint_id,
        shape=lambda delivery: _destination(
            known[delivery.endpoint_id],
            delivery,
            url_of(services, delivery.endpoint_id),
            waits.of(delivery),
        ),
    )


def _destination(endpoint: Endpoint, delivery: Delivery, url: str, wait: Wait | None) -> MessageEndpointOut:
    status = status_of(delivery.state, expanded=True)
    return MessageEndpointOut(
        id=endpoint.id,
        uid=endpoint.uid,
        url=url,
        description=endpoint.details.description,
        throttle_rate=endpoint.max_messages_per_s,
        disabled=endpoint.disabled,
        event_types=list(endpoint.event_types) or None,
        channels=list(endpoint.channels) or None,
        created_at=moment(endpoint.details.created_at_ms),
        updated_at=moment(endpoint.details.updated_at_ms),
        status=status,
        status_text=text_of(status),
        next_attempt=next_attempt_of(delivery),
        reason=text_of_reason(delivery.reason),
        behind=delivery.behind,
        waiting=waiting_shown(wait),
        filter_types=list(endpoint.event_types) or None,
        rate_limit=endpoint.max_messages_per_s,
    )


async def attempt_of(services: Services, application: Application, msg_id: str, attempt_id: str) -> MessageAttempt:
    """Raises Refusal 404."""
    found = await services.store.attempt(attempt_id)
    if (
        found is None
        or found.message.app_id != application.id
        or found.message.source_id == ALERT_SOURCE_ID
        or msg_id
        not in {
            found.message.id,
            found.message.event_id,
        }
    ):
        raise not_found("attempt")
    return found


@get(
    "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}",
    id="v1.message-attempt.get",
    tags=TAGS,
    summary="Get Attempt",
)
async def get_attempt(
    *,
    application: Application,
    services: Services,
    msg_id: MessageKey,
    attempt_id: AttemptKey,
    expanded_statuses: Expanded = False,
) -> MessageAttemptOut:
    """One try, with what was sent and what was answered."""
    found = await attempt_of(services, application, msg_id, attempt_id)
    url = url_of(services, found.endpoint_id)
    return attempt_shown(found, url, with_content=True, expanded=expanded_statuses)


@get(
    "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/headers",
    id="v1.message-attempt.get-headers",
    tags=TAGS,
    summary="Get Attempt Headers",
)
async def get_attempt_headers(
    *, application: Application, services: Services, msg_id: MessageKey, attempt_id: AttemptKey
) -> MessageAttemptHeadersOut:
    """The headers that a try sent."""
    found = await attempt_of(services, application, msg_id, attempt_id)
    sent = found.attempt.requests[-1].headers if found.attempt.requests else {}
    return MessageAttemptHeadersOut(
        sent_headers=sent,
        response_headers=None,
        sensitive=[name for name, value in sent.items() if value == MASKED],
    )


@delete(
    "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content",
    id="v1.message-attempt.expunge-content",
    tags=TAGS,
    summary="Delete attempt response body",
    status=200,
    responses=DELETED,
)
async def expunge_attempt(
    *,
    application: Application,
    services: Services,
    caller: Caller,
    msg_id: MessageKey,
    attempt_id: AttemptKey,
    dry_run: DryRun = False,
) -> Response[DryRunOut | None]:
    """Deletes the destination's response to an attempt."""
    found = await attempt_of(services, application, msg_id, attempt_id)
    if dry_run:
        return would()
    await erase.expunge_attempt(services, caller, application.id, found.attempt.id)
    return done()


@post(
    "/api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend",
    id="v1.message-attempt.resend",
    tags=TAGS,
    summary="Resend Webhook",
    status=202,
    responses={202: ResponseSpec(EmptyResponse, description="Queued."), 200: WOULD},
)
async def resend_message(
    *,
    application: Application,
    endpoint: Endpoint,
    services: Services,
    caller: Caller,
    msg_id: MessageKey,
    new_ids: Annotated[
        bool,
        Meta(
            description="Ours: with ids that the destination has not seen, so that it takes the events for new ones "
            "and emails go out again."
        ),
    ] = False,
    dry_run: DryRun = False,
) -> Response[EmptyResponse | DryRunOut]:
    """Sends a message to an endpoint again, behind what the same customer has waiting. One that waits for its next
    try is tried at once.
    """
    message = await message_of(services, application, msg_id)
    await resend(services, caller, message, endpoint, new_ids=new_ids, dry_run=dry_run)
    answer = effect(deliveries=1) if dry_run else EmptyResponse()
    return Response(answer, status=200 if dry_run else 202)


OPERATIONS = (
    list_by_endpoint,
    count_by_endpoint,
    list_by_message,
    list_attempted_messages,
    list_attempted_destinations,
    get_attempt,
    get_attempt_headers,
    expunge_attempt,
    resend_message,
)
