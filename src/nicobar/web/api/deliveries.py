"""Deliveries: lists by endpoint and by message, and resending."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from nicobar.model import Application, Delivery, DeliveryState, Endpoint
from nicobar.store import Snapshot
from nicobar.store.history import Attempted, MessageFilter
from nicobar.store.history import Page as Found
from nicobar.use_cases.deliveries import resend
from nicobar.use_cases.delivery_waits import Wait, WaitCause, read_waits
from nicobar.use_cases.services import Services
from nicobar.web.api.attempt_bodies import url_of
from nicobar.web.api.attempts import TAGS, StatusFilter
from nicobar.web.api.auth import Caller
from nicobar.web.api.deletion_preview import WOULD, DryRun, DryRunOut, effect
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
from nicobar.web.api.message_bodies import MessageOut, fields_of, message_of, redactor_for
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, Ordering, names, page_of_all, read_iterator
from nicobar.web.api.shapes import EndpointId, MessageId, Moment, Page, Shape, moment, text_of_reason
from nicobar.web.api.status import MessageStatus, states_of, status_of, text_of
from nicobar.web.operations import Response, ResponseSpec, get, post


class WaitingOut(Shape):
    """Why a delivery has not been sent yet. `cause`: `sending` (in progress), `removed`, `disabled` or `paused` (the
    endpoint), `behind` (queued after an earlier message of the same customer), `failing` (the destination), `retry`
    (scheduled), `later` (`deliverAt` is in the future) or `turn` (queued). `until` is null if the end is unknown.
    `overtakenAt` is set if the delivery has been failing for so long that later messages of the same customer no
    longer wait for it; it then sends only events.
    """

    cause: WaitCause
    until: Moment | None
    behind: MessageId | None
    reason: str | None
    overtaken_at: Moment | None


class EndpointMessageOut(MessageOut):
    """A message and its delivery to one endpoint. Additions to the Svix API: `reason`, `waiting` and `hasWarnings`.
    The latter is true if it was delivered and its last attempt has a verdict of level `warning`; it is false for
    deliveries of earlier versions of Nicobar.
    """

    status: MessageStatus
    status_text: str
    has_warnings: bool
    next_attempt: Moment | None
    reason: str | None
    waiting: WaitingOut | None


class MessageEndpointOut(Shape):
    """An endpoint and the delivery of a message to it. Additions to the Svix API: `reason`, `waiting`, `hasWarnings`
    (it was delivered, with warnings) and `behind` (the earlier message of the same customer that this delivery is
    queued after).
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
    has_warnings: bool
    next_attempt: Moment | None
    reason: str | None
    behind: str | None
    waiting: WaitingOut | None
    version: int = 1
    filter_types: list[str] | None = None
    rate_limit: int | None = None


class EmptyResponse(Shape):
    """An empty object."""


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
        overtaken_at=None if wait.overtaken_at_ms is None else moment(wait.overtaken_at_ms),
    )


@get(
    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/msg",
    id="v1.message-attempt.list-attempted-messages",
    tags=TAGS,
    summary="List messages by endpoint",
)
async def list_attempted_messages(
    *,
    endpoint: Endpoint,
    services: Services,
    caller: Caller,
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
    has_warnings: Annotated[
        bool | None,
        Meta(
            description="Only deliveries that succeeded with warnings (true), or only others (false). An addition to "
            "the Svix API."
        ),
    ] = None,
) -> Page[EndpointMessageOut]:
    """Lists the messages for an endpoint, newest first, with the status of each delivery. A short page is not
    necessarily the last: check `done`.
    """
    place = read_iterator(iterator)
    which = MessageFilter(
        since_ms=since(after),
        until_ms=until(before),
        event_types=names(event_types),
        channels=() if channel is None else (channel,),
        tag=tag,
        warned=has_warnings,
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
            **fields_of(
                attempted.message, redactor_for(services, caller, attempted.message), with_content=with_content
            ),
            status=status,
            status_text=text_of(status),
            has_warnings=attempted.delivery.warned,
            next_attempt=next_attempt_of(attempted.delivery),
            reason=text_of_reason(attempted.delivery.reason),
            waiting=waiting_shown(waits.of(attempted.delivery)),
        )

    return page_of_found(found, place=place, key=lambda item: item.message.id, shape=shape)


@get(
    "/api/v1/app/{app_id}/msg/{msg_id}/endpoint",
    id="v1.message-attempt.list-attempted-destinations",
    tags=TAGS,
    summary="List endpoints by message",
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
    """Lists the endpoints of a message, by ID, with the status of each delivery. Deleted endpoints are not listed."""
    message = await message_of(services, application, msg_id)
    endpoints = {endpoint.id: endpoint for endpoint in snapshot.endpoints}
    waits = await read_waits(services.store, snapshot.endpoints, services.clock.now_ms())
    deliveries = [
        delivery for delivery in await services.store.deliveries(message.id) if delivery.endpoint_id in endpoints
    ]
    return page_of_all(
        deliveries,
        iterator=iterator,
        limit=limit,
        order=Ordering.ASCENDING,
        key=lambda delivery: delivery.endpoint_id,
        shape=lambda delivery: _destination(
            endpoints[delivery.endpoint_id],
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
        has_warnings=delivery.warned,
        next_attempt=next_attempt_of(delivery),
        reason=text_of_reason(delivery.reason),
        behind=delivery.behind,
        waiting=waiting_shown(wait),
        filter_types=list(endpoint.event_types) or None,
        rate_limit=endpoint.max_messages_per_s,
    )


@post(
    "/api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend",
    id="v1.message-attempt.resend",
    tags=TAGS,
    summary="Resend message",
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
            description="Use new event IDs: the destination processes the events again and may send duplicate "
            "emails. Defaults to false. An addition to the Svix API."
        ),
    ] = False,
    dry_run: DryRun = False,
) -> Response[EmptyResponse | DryRunOut]:
    """Resends a message to an endpoint. It is queued after the customer's pending messages. A delivery that is
    waiting for a retry is attempted immediately.
    """
    message = await message_of(services, application, msg_id)
    people = services.configuration
    await resend(services, caller, message, endpoint, people=people, new_ids=new_ids, dry_run=dry_run)
    answer = effect(deliveries=1) if dry_run else EmptyResponse()
    return Response(answer, status=200 if dry_run else 202)


OPERATIONS = (list_attempted_messages, list_attempted_destinations, resend_message)
