"""`/api/v1/app/{app_id}/attempt` and `…/msg/{msg_id}/attempt`: the attempts of endpoints and of messages."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from nicobar.model import ALERT_SOURCE_ID, Application, Endpoint
from nicobar.store import Snapshot
from nicobar.store.history import AttemptFilter, MessageAttempt
from nicobar.store.history import Page as Found
from nicobar.use_cases import erase
from nicobar.use_cases.services import Services
from nicobar.web.api.attempt_bodies import MessageAttemptOut, attempt_shown, url_of
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
from nicobar.web.api.message_bodies import message_of
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, names, read_iterator
from nicobar.web.api.shapes import Page, Shape
from nicobar.web.api.status import MessageStatus, StatusCodeClass, attempt_states_of
from nicobar.web.operations import Response, delete, get
from nicobar.web.parameters import Name

TAGS = ["Message Attempt"]
MASKED = "***"
AttemptKey = Annotated[str, Meta(description="The attempt's ID.", max_length=MAX_KEY_CHARS)]
StatusFilter = Annotated[
    MessageStatus | None, Meta(description="Filter by status: 0 success, 1 pending, 2 fail, 3 sending, 4 canceled.")
]
ClassFilter = Annotated[
    StatusCodeClass | None,
    Meta(description="Filter by class of the response status: 100, 200, 300, 400, 500, or 0 for no response."),
]


class MessageAttemptHeadersOut(Shape):
    """The headers of the attempt's last request and of its response. Credentials are masked; `sensitive` lists the
    names of masked headers. `responseHeaders` is null without a response, and has at most 50 headers.
    """

    sent_headers: dict[str, str]
    response_headers: list[list[str]] | None
    sensitive: list[str]


class CountOut(Shape):
    """The number of attempts. `approximated` is true if there may be more."""

    count: int
    approximated: bool


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
    """None if no attempt can have the status."""
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
    summary="List attempts by endpoint",
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
    with_msg: Annotated[
        bool, Meta(description="Include the message, without its payload. Defaults to false.")
    ] = False,
    expanded_statuses: Expanded = False,
    event_types: EventTypes = None,
) -> Page[MessageAttemptOut]:
    """Lists the attempts of an endpoint, newest first. A short page is not necessarily the last: check `done`."""
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
            services, item, url, with_content=with_content, with_message=with_msg, expanded=expanded_statuses
        ),
    )


@get(
    "/api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}/count",
    id="v1.message-attempt.count-by-endpoint",
    tags=TAGS,
    summary="Count attempts by endpoint",
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
    """Counts the matching attempts among the latest 100,000 of an endpoint. Canceled attempts have the status 4."""
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
    summary="List attempts by message",
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
        Annotated[str, Meta(max_length=MAX_KEY_CHARS, description="Filter by endpoint, by ID or uid.")] | None,
        Name("endpoint_id"),
    ] = None,
    before: Before = None,
    after: After = None,
    with_content: WithContent = True,
    expanded_statuses: Expanded = False,
    event_types: EventTypes = None,
) -> Page[MessageAttemptOut]:
    """Lists the attempts of a message, newest first."""
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
            services, item, url_of(services, item.endpoint_id), with_content=with_content, expanded=expanded_statuses
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
        raise not_found("attempt", attempt_id)
    return found


@get(
    "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}",
    id="v1.message-attempt.get",
    tags=TAGS,
    summary="Get attempt",
)
async def get_attempt(
    *,
    application: Application,
    services: Services,
    msg_id: MessageKey,
    attempt_id: AttemptKey,
    expanded_statuses: Expanded = False,
) -> MessageAttemptOut:
    """Returns an attempt with its requests and the response."""
    found = await attempt_of(services, application, msg_id, attempt_id)
    url = url_of(services, found.endpoint_id)
    return attempt_shown(services, found, url, with_content=True, expanded=expanded_statuses)


@get(
    "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/headers",
    id="v1.message-attempt.get-headers",
    tags=TAGS,
    summary="Get attempt headers",
)
async def get_attempt_headers(
    *, application: Application, services: Services, msg_id: MessageKey, attempt_id: AttemptKey
) -> MessageAttemptHeadersOut:
    """Returns the request and response headers of an attempt."""
    found = await attempt_of(services, application, msg_id, attempt_id)
    sent = found.attempt.requests[-1].headers if found.attempt.requests else {}
    received = found.attempt.response_headers
    return MessageAttemptHeadersOut(
        sent_headers=sent,
        response_headers=[[name, value] for name, value in received.items()] or None,
        sensitive=list(dict.fromkeys(name for name, value in (*sent.items(), *received.items()) if value == MASKED)),
    )


@delete(
    "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content",
    id="v1.message-attempt.expunge-content",
    tags=TAGS,
    summary="Delete attempt response",
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
