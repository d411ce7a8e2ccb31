"""Why a pending delivery has not been sent yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

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
    endpoint is paused or its destination failing, or why the last attempt failed. `on_hold` says that Nicobar stopped
    the endpoint; otherwise a user paused it. `overtaken_at_ms` is since when later deliveries of the customer
    no longer wait for this one.
    """

    cause: WaitCause
    until_ms: int | None = None
    behind: str | None = None
    reason: Reason | None = None
    on_hold: bool = False
    overtaken_at_ms: int | None = None


def wait_of(delivery: Delivery, endpoint: Endpoint | None, breaker: Breaker | None, now_ms: int) -> Wait | None:
    """None for a finished delivery."""
    wait = _wait_of(delivery, endpoint, breaker, now_ms)
    return None if wait is None else msgspec.structs.replace(wait, overtaken_at_ms=delivery.overtaken_at_ms)


def _wait_of(  # noqa: PLR0911 - a cause a line
    delivery: Delivery, endpoint: Endpoint | None, breaker: Breaker | None, now_ms: int
) -> Wait | None:
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
        why, on_hold = endpoint.paused_reason, endpoint.on_hold
        return Wait(cause=WaitCause.PAUSED, reason=why, until_ms=until_ms, on_hold=on_hold)
    if delivery.due_at_ms is None:
        return Wait(cause=WaitCause.BEHIND, behind=delivery.behind, until_ms=delivery.behind_until_ms)
    if breaker is not None and breaker.state is not BreakerState.CLOSED:
        return Wait(cause=WaitCause.FAILING, reason=breaker.reason, until_ms=breaker.probe_at_ms)
    if delivery.due_at_ms <= now_ms:
        return Wait(cause=WaitCause.TURN)
    # One that was answered 429, or waits for the end of an outage, has used up no attempt.
    cause = WaitCause.LATER if delivery.reason is None else WaitCause.RETRY
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
