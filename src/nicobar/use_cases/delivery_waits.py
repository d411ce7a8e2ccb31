"""Why a pending delivery has not been sent yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from nicobar.model import Breaker, BreakerState, Delivery, DeliveryState, Endpoint, Record
from nicobar.reasons import Reason
from nicobar.store import Queue


class WaitCause(StrEnum):
    """What a delivery is waiting for; the outermost of several causes."""

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
    """The cause, until when if that is known, and the earlier message that it is queued after. `reason` is why the
    endpoint is paused or its destination failing, or why the last attempt failed. `by_hand` says that a user paused
    the endpoint; otherwise a paused one is on hold.
    """

    cause: WaitCause
    until_ms: int | None = None
    behind: str | None = None
    reason: Reason | None = None
    by_hand: bool = False


def wait_of(  # noqa: PLR0911 - a cause a line
    delivery: Delivery, endpoint: Endpoint | None, breaker: Breaker | None, now_ms: int
) -> Wait | None:
    """None for a finished delivery."""
    if delivery.state is DeliveryState.SENDING:
        return Wait(cause=WaitCause.SENDING)
    if delivery.state is not DeliveryState.PENDING:
        return None
    if endpoint is None:
        return Wait(cause=WaitCause.REMOVED)
    if endpoint.disabled:
        return Wait(cause=WaitCause.DISABLED, reason=endpoint.disabled_reason)
    if endpoint.paused_reason is not None:
        until_ms = breaker.hold.probe_at_ms if breaker is not None and breaker.hold is not None else None
        by_hand = endpoint.paused_by_hand
        return Wait(cause=WaitCause.PAUSED, reason=endpoint.paused_reason, until_ms=until_ms, by_hand=by_hand)
    if delivery.due_at_ms is None:
        return Wait(cause=WaitCause.BEHIND, behind=delivery.behind, until_ms=delivery.behind_until_ms)
    if breaker is not None and breaker.state is not BreakerState.CLOSED:
        return Wait(cause=WaitCause.FAILING, reason=breaker.reason, until_ms=breaker.probe_at_ms)
    if delivery.due_at_ms <= now_ms:
        return Wait(cause=WaitCause.TURN)
    cause = WaitCause.RETRY if delivery.tries else WaitCause.LATER
    return Wait(cause=cause, until_ms=delivery.due_at_ms, reason=delivery.reason)


class DeliveryWaits:
    """Explains why deliveries are waiting, by the current endpoints and breakers."""

    def __init__(self, endpoints: Iterable[Endpoint], breakers: Mapping[int, Breaker], now_ms: int) -> None:
        self._endpoints = {endpoint.id: endpoint for endpoint in endpoints}
        self._breakers = breakers
        self._now_ms = now_ms

    def of(self, delivery: Delivery) -> Wait | None:
        """None for a finished delivery."""
        endpoint = self._endpoints.get(delivery.endpoint_id)
        breaker = self._breakers.get(endpoint.seq) if endpoint else None
        return wait_of(delivery, endpoint, breaker, self._now_ms)


async def read_waits(queue: Queue, endpoints: Iterable[Endpoint], now_ms: int) -> DeliveryWaits:
    return DeliveryWaits(endpoints, await queue.breakers(), now_ms)
