"""Dry runs of a transformation on stored messages (an addition to the Svix API)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from nicobar.model import DeliveryState, Endpoint, Json
from nicobar.sandbox import Bounds
from nicobar.use_cases.chosen_ledgers import LedgerChoice
from nicobar.use_cases.dry_run_messages import MAX_MESSAGES, MessageDryRun, run_messages
from nicobar.use_cases.ledger_states import LedgerState
from nicobar.use_cases.services import Services
from nicobar.web.api.attempt_bodies import snapshot_shown
from nicobar.web.api.shapes import EventTypeName, LedgerCustomerId, MessageId, Shape, text_of_reason
from nicobar.web.api.verdicts import VerdictOut, verdict_shown
from nicobar.web.operations import post

TAGS = ["Transformation"]


class MessageDryRunIn(Shape):
    """The dry run. `code` defaults to the published code of the endpoint. `messages` is the number of latest
    messages; defaults to 20. `eventTypes` defaults to those of the endpoint. `ledgerState` (a typical state) or
    `ledgerCustomerId` (the sender's ID of another customer; it has priority) selects the ledger that the handler
    reads instead of the stored one of each message's customer.
    """

    code: Annotated[str, Meta(min_length=1, max_length=Bounds().code_chars)] | None = None
    messages: Annotated[int, Meta(ge=1, le=MAX_MESSAGES)] = 20
    event_types: Annotated[list[EventTypeName], Meta(max_length=100)] = []
    ledger_state: LedgerState | None = None
    ledger_customer_id: LedgerCustomerId | None = None


class WouldCallOut(Shape):
    """A call that would be sent, without credentials. `added` is true for a call that the connector adds."""

    method: str
    url: str
    body: str
    added: bool


class MessageDryRunResult(Shape):
    """The result for one message. `outcome` is `sent`, `failed` or `canceled`. `sent` has the bodies that were last
    sent for this message, null if none were. `appears` and `disappears` are the bodies that only the dry run or only
    the earlier delivery has. `snapshot` is what the handler read of the ledger, null for nothing.
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
    snapshot: dict[str, Json] | None
    sent: list[str] | None
    differs: bool | None
    appears: list[str]
    disappears: list[str]


class MessageDryRunOut(Shape):
    """The results, newest message first, and the number of messages that would be sent, would fail and differ from
    what was sent. `stopped` is true if the time limit was reached.
    """

    results: list[MessageDryRunResult]
    sending: int
    failed: int
    differing: int
    stopped: bool


def shown(dry_run: MessageDryRun) -> MessageDryRunResult:
    return MessageDryRunResult(
        message_id=dry_run.message_id,
        event_type=dry_run.event_type,
        outcome="sent" if dry_run.state is DeliveryState.PENDING else dry_run.state.value,
        code=dry_run.code,
        reason=text_of_reason(dry_run.reason),
        line=dry_run.line,
        calls=[WouldCallOut(**msgspec.structs.asdict(call)) for call in dry_run.calls],
        verdicts=[verdict_shown(verdict) for verdict in dry_run.verdicts],
        console=list(dry_run.console),
        snapshot=snapshot_shown(dry_run.snapshot),
        sent=None if dry_run.sent is None else list(dry_run.sent),
        differs=dry_run.differs,
        appears=list(dry_run.appears),
        disappears=list(dry_run.disappears),
    )


@post(
    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/transformation/test",
    id="nicobar.transformation.test",
    tags=TAGS,
    summary="Dry-run transformation",
    status=200,
)
async def test_transformation(*, endpoint: Endpoint, services: Services, data: MessageDryRunIn) -> MessageDryRunOut:
    """Runs a transformation on stored messages and returns the calls, the contract's verdicts and the differences
    from what was sent. Nothing is sent.
    """
    choice = LedgerChoice(state=data.ledger_state, customer_key=data.ledger_customer_id or "")
    found = await run_messages(
        services, endpoint, data.code, messages=data.messages, event_types=data.event_types, choice=choice
    )
    return MessageDryRunOut(
        results=[shown(result) for result in found.results],
        sending=sum(result.state is DeliveryState.PENDING for result in found.results),
        failed=sum(result.state is DeliveryState.FAILED for result in found.results),
        differing=sum(bool(result.differs) for result in found.results),
        stopped=found.stopped,
    )


OPERATIONS = (test_transformation,)
