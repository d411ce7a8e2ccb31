"""`/api/v1/app/{app_id}/attempt` and `…/msg/{msg_id}/attempt`: the attempts of endpoints and of messages."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from nicobar.model import ALERT_SOURCE_ID, Application, Endpoint, RequestRecord
from nicobar.store import Snapshot
from nicobar.store.history import AttemptFilter, MessageAttempt
from nicobar.store.history import Page as Found
from nicobar.use_cases import erase
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.deletion_preview import DELETED, DryRun, DryRunOut, done, would
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
from nicobar.web.api.message_bodies import MessageOut, message_of, shown
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, names, read_iterator
from nicobar.web.api.shapes import EndpointId, MessageId, Moment, Page, Shape, moment, text_of_reason
from nicobar.web.api.status import MessageStatus, StatusCodeClass, attempt_states_of, status_of_attempt, text_of
from nicobar.web.api.verdicts import VerdictOut, verdict_shown
from nicobar.web.operations import Response, delete, get
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
        requests=[_request_shown(request) for request in attempt.requests] if with_content else [],
    )


def _request_shown(request: RequestRecord) -> RequestOut:
    return RequestOut(method=request.method, url=request.url, body=request.body, others=request.others)


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
    status: MessageStatus | None,
    status_code_class: StatusCodeClass | None,
    expanded: bool,
) -> AttemptFilter | None:
    """None where no attempt can have the status."""
    states = () if status is None else attempt_states_of(status, expanded=expanded)
    if status is not None and not states:
        return None
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
    which = _filter(
        before=before,
        after=after,
        event_types=event_types,
        channel=channel,
        tag=tag,
        status=status,
        status_code_class=status_code_class,
        expanded=expanded_statuses,
    )
    found: Found[MessageAttempt] = Found(items=(), next=None)
    if which is not None:
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
    which = _filter(
        before=before,
        after=after,
        event_types=event_types,
        channel=channel,
        tag=tag,
        status=status,
        status_code_class=status_code_class,
        expanded=True,
    )
    if which is None:
        return CountOut(count=0, approximated=False)
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
    which = _filter(
        before=before,
        after=after,
        event_types=event_types,
        channel=channel,
        tag=tag,
        status=status,
        status_code_class=status_code_class,
        expanded=expanded_statuses,
    )
    found: Found[MessageAttempt] = Found(items=(), next=None)
    if which is not None:
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


async def attempt_of(services: Services, application: Application, msg_id: str, attempt_id: str) -> MessageAttempt:
    """Raises Refusal 404."""
    found = await services.store.attempt(attempt_id)
    if (
        found is None
        or found.message.app_id != application.id
        or found.message.source_id == ALERT_SOURCE_ID
        or msg_id not in {found.message.id, found.message.event_id}
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


OPERATIONS = (
    list_by_endpoint,
    count_by_endpoint,
    list_by_message,
    get_attempt,
    get_attempt_headers,
    expunge_attempt,
)
