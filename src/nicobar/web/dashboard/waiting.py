"""Why a delivery that is not finished has not gone out yet. Plain functions over plain values."""

from __future__ import annotations

from enum import StrEnum

from nicobar.model import Breaker, BreakerState, Delivery, DeliveryState, Endpoint, Record
from nicobar.reasons import Reason
from nicobar.web.dashboard.language import noop

# The reasons that Nicobar itself gives are translated; others stand as the code or the destination said them.
_REASONS = (
    noop("canceled by the handler"),
    noop("canceled by hand"),
    noop("endpoint removed"),
    noop("replay canceled"),
    noop("expunged"),
    noop("an alert; this is not the alert endpoint"),
)


class Cause(StrEnum):
    """What holds a delivery; the first that holds it, from the outside in."""

    SENDING = "sending"
    REMOVED = "removed"
    DISABLED = "disabled"
    PAUSED = "paused"
    BEHIND = "behind"
    FAILING = "failing"
    RETRY = "retry"
    LATER = "later"
    TURN = "turn"


class Wait(Record):
    """Why, until when where that is known, and of which message it waits for; `reason` is what paused the endpoint,
    what its destination said, or why the last try failed.
    """

    cause: Cause
    until_ms: int | None = None
    behind: str | None = None
    reason: Reason | None = None


def wait_of(  # noqa: PLR0911 - a cause a line
    delivery: Delivery, endpoint: Endpoint | None, breaker: Breaker | None, now_ms: int
) -> Wait | None:
    """None for what is finished."""
    if delivery.state is DeliveryState.SENDING:
        return Wait(cause=Cause.SENDING)
    if delivery.state is not DeliveryState.PENDING:
        return None
    if endpoint is None:
        return Wait(cause=Cause.REMOVED)
    if endpoint.disabled:
        return Wait(cause=Cause.DISABLED, reason=endpoint.disabled_reason)
    if endpoint.paused_reason is not None:
        until_ms = breaker.hold.probe_at_ms if breaker is not None and breaker.hold is not None else None
        return Wait(cause=Cause.PAUSED, reason=endpoint.paused_reason, until_ms=until_ms)
    if delivery.due_at_ms is None:
        return Wait(cause=Cause.BEHIND, behind=delivery.behind, until_ms=delivery.behind_until_ms)
    if breaker is not None and breaker.state is not BreakerState.CLOSED:
        return Wait(cause=Cause.FAILING, reason=breaker.reason, until_ms=breaker.probe_at_ms)
    if delivery.due_at_ms <= now_ms:
        return Wait(cause=Cause.TURN)
    cause = Cause.RETRY if delivery.tries else Cause.LATER
    return Wait(cause=cause, until_ms=delivery.due_at_ms, reason=delivery.reason)
