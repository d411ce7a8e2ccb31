"""Ours: a transformation tried on messages that are kept, before it runs on new ones."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from nicobar.model import DeliveryState, Endpoint
from nicobar.sandbox import Bounds
from nicobar.use_cases.dry_run_messages import MAX_MESSAGES, Rehearsed, Rehearser
from nicobar.use_cases.services import Services
from nicobar.web.api.attempts import VerdictOut, verdict_shown
from nicobar.web.api.shapes import EventTypeName, MessageId, Shape
from nicobar.web.operations import post

TAGS = ["Transformation"]


class RehearsalIn(Shape):
    """Which code on which messages: the endpoint's own where `code` is left out, the latest of its event types."""

    code: Annotated[str, Meta(min_length=1, max_length=Bounds().code_chars)] | None = None
    messages: Annotated[int, Meta(ge=1, le=MAX_MESSAGES)] = 20
    event_types: Annotated[list[EventTypeName], Meta(max_length=100)] = []


class WouldCallOut(Shape):
    """A call that would go out, without credentials; `added` is one that the handler did not ask for."""

    method: str
    url: str
    body: str
    added: bool


class RehearsedOut(Shape):
    """What would become of a message. `outcome` is `sent`, `failed` or `canceled`; `sent` are the bodies that went
    out last, null where none did. `appears` and `disappears` are the bodies by which both differ.
    """

    message_id: MessageId
    event_type: str
    outcome: str
    code: str | None
    reason: str | None
    line: int | None
    calls: list[WouldCallOut]
    verdicts: list[VerdictOut]
    console: list[str]
    sent: list[str] | None
    differs: bool | None
    appears: list[str]
    disappears: list[str]


class RehearsalOut(Shape):
    """Message by message, the newest first, and how many of them would be sent, fail and differ. `stopped` where the
    time was up.
    """

    results: list[RehearsedOut]
    sending: int
    failed: int
    differing: int
    stopped: bool


def shown(rehearsed: Rehearsed) -> RehearsedOut:
    return RehearsedOut(
        message_id=rehearsed.message_id,
        event_type=rehearsed.event_type,
        outcome="sent" if rehearsed.state is DeliveryState.PENDING else rehearsed.state.value,
        code=rehearsed.code,
        reason=rehearsed.reason,
        line=rehearsed.line,
        calls=[WouldCallOut(**msgspec.structs.asdict(call)) for call in rehearsed.calls],
        verdicts=[verdict_shown(verdict) for verdict in rehearsed.verdicts],
        console=list(rehearsed.console),
        sent=None if rehearsed.sent is None else list(rehearsed.sent),
        differs=rehearsed.differs,
        appears=list(rehearsed.appears),
        disappears=list(rehearsed.disappears),
    )


@post(
    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/transformation/test",
    id="nicobar.transformation.test",
    tags=TAGS,
    summary="Test Transformation",
    status=200,
)
async def test_transformation(*, endpoint: Endpoint, services: Services, data: RehearsalIn) -> RehearsalOut:
    """Runs a transformation on stored messages: what it would send now, what the contract says of that, and how it
    differs from what was sent. Nothing goes out.
    """
    rehearser = Rehearser(
        store=services.store,
        configuration=services.configuration,
        vault=services.vault,
        sandbox=services.sandbox,
        clock=services.clock,
    )
    found = await rehearser.rehearse(endpoint, data.code, messages=data.messages, event_types=data.event_types)
    return RehearsalOut(
        results=[shown(result) for result in found.results],
        sending=sum(result.state is DeliveryState.PENDING for result in found.results),
        failed=sum(result.state is DeliveryState.FAILED for result in found.results),
        differing=sum(bool(result.differs) for result in found.results),
        stopped=found.stopped,
    )


OPERATIONS = (test_transformation,)
