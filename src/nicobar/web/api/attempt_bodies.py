"""The body that shows an attempt."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nicobar.model import Json, RequestRecord
from nicobar.store.history import MessageAttempt
from nicobar.use_cases.services import Services
from nicobar.web.api.message_bodies import MessageOut, shown
from nicobar.web.api.shapes import EndpointId, MessageId, Moment, Shape, moment, text_of_reason
from nicobar.web.api.status import MessageStatus, status_of_attempt, text_of
from nicobar.web.api.verdicts import VerdictOut, verdict_shown

AttemptId = Annotated[str, Meta(pattern=r"^atmpt_[A-Za-z0-9]{27}$", examples=["atmpt_2yZwUhtgs5Ai8T9yRQJXA0000aa"])]


class RequestOut(Shape):
    """A request of an attempt. `body` has this message's calls, one per line. `others` is the number of calls of
    other messages in the same batch.
    """

    method: str
    url: str
    body: str
    others: int


class MessageAttemptOut(Shape):
    """An attempt. Nicobar adds these fields to the Svix API: `reason`, `nextAttempt` (null if no retry is scheduled),
    `transformationVersion`, `hasWarnings`, `console`, `verdicts`, `requests` and `snapshot`: what the handler read of
    the ledger, `webhook.customer` and `webhook.facts`; null if it read nothing. The last four are empty without
    `with_content`.
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
    trigger_type: Annotated[int, Meta(description="0: scheduled. 1: manual.")]
    reason: str | None
    next_attempt: Moment | None
    transformation_version: int | None
    has_warnings: bool
    console: list[str]
    verdicts: list[VerdictOut]
    requests: list[RequestOut]
    snapshot: dict[str, Json] | None
    # Omitted, not null, unless requested: clients before 1.63 fail on null.
    msg: MessageOut | UnsetType = UNSET


def attempt_shown(
    services: Services,
    found: MessageAttempt,
    url: str,
    *,
    with_content: bool,
    with_message: bool = False,
    expanded: bool,
) -> MessageAttemptOut:
    """`url` is that of the endpoint, shown for an attempt that sent nothing."""
    # Attempts of earlier versions were stored with personal data.
    attempt = services.configuration.redactor(found.message).attempt(found.attempt)
    status = status_of_attempt(attempt.state, expanded=expanded)
    return MessageAttemptOut(
        id=attempt.id,
        msg_id=found.message.id,
        endpoint_id=found.endpoint_id,
        timestamp=moment(attempt.started_at_ms),
        url=attempt.requests[0].url if attempt.requests else url,
        response=attempt.response if with_content else "",
        response_status_code=attempt.status or 0,
        response_duration_ms=attempt.duration_ms,
        status=status,
        status_text=text_of(status),
        trigger_type=int(attempt.manual),
        msg=shown(found.message, with_content=False) if with_message else UNSET,
        reason=text_of_reason(attempt.reason),
        next_attempt=None if attempt.next_try_at_ms is None else moment(attempt.next_try_at_ms),
        transformation_version=attempt.transformation_version,
        has_warnings=attempt.is_warned,
        console=list(attempt.console) if with_content else [],
        verdicts=[verdict_shown(verdict) for verdict in attempt.verdicts] if with_content else [],
        requests=[_request_shown(request) for request in attempt.requests] if with_content else [],
        snapshot=snapshot_shown(attempt.snapshot) if with_content else None,
    )


def snapshot_shown(snapshot: str) -> dict[str, Json] | None:
    """What a handler has read of the ledger; None if it has read nothing."""
    if not snapshot:
        return None
    try:
        return msgspec.json.decode(snapshot, type=dict[str, Json])
    except msgspec.DecodeError:  # A number was masked when a customer's data was deleted.
        return {"text": snapshot}


def _request_shown(request: RequestRecord) -> RequestOut:
    return RequestOut(method=request.method, url=request.url, body=request.body, others=request.others)


def url_of(services: Services, endpoint_id: str) -> str:
    """The URL of an endpoint; a URN for one that was deleted or cannot be opened."""
    for endpoint in services.configuration.endpoints.values():
        if endpoint.endpoint.id == endpoint_id:
            return endpoint.destination.url
    return f"urn:nicobar:{endpoint_id}"
