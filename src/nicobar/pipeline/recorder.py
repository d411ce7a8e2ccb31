"""Stores the results of deliveries with their attempts, and reports them: log, metrics, alerts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from nicobar.clock import Clock
from nicobar.errors import StoreError
from nicobar.ids import IdFactory
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.model import Attempt, DeliveryState, Endpoint, Message
from nicobar.people import FALLBACK_USED
from nicobar.pipeline import already_sent, half_sent
from nicobar.pipeline.alert_types import Alert, AlertType
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.retry import NOT_SENT, Settled, failure_key
from nicobar.pipeline.transform import masked_verdict
from nicobar.pipeline.work import Work
from nicobar.reasons import Reason
from nicobar.store import Finished, Queue, RepeatSteps

MAX_RECORD_TRIES = 60
RECORD_AGAIN_MS = 1_000
NOTHING_REPEATED: Mapping[int, RepeatSteps] = {}


@dataclass(frozen=True, slots=True)
class Recorded:
    """A stored attempt, for observers."""

    message: Message
    endpoint: Endpoint
    attempt: Attempt


class Recorder:
    """Stores the results of deliveries of any endpoint."""

    def __init__(
        self,
        *,
        queue: Queue,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
        alerts: Alerts,
        on_recorded: Callable[[Recorded], None] | None,
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._alerts = alerts
        self._on_recorded = on_recorded

    async def record(
        self,
        target: OpenEndpoint,
        settled: Sequence[tuple[Work, Settled]],
        repeats: Mapping[int, RepeatSteps] = NOTHING_REPEATED,
    ) -> None:
        """Stores attempts, and requeues deliveries that were not sent, which leave no attempt. `repeats` are what
        their calls change of what is repeated, by the `id` of the work. Raises StoreError if that failed for a
        minute.
        """
        now_ms = self._clock.now_ms()
        masked = [(work, _masked(work, result)) for work, result in settled]
        kept = [
            (work, result, self._attempt(target, work, result, now_ms) if _is_shown(result) else None)
            for work, result in masked
        ]
        finished = [
            msgspec.structs.replace(
                self._finished(target, work, result, attempt, now_ms), repeats=repeats.get(id(work))
            )
            for work, result, attempt in kept
        ]
        await self._keep(target, finished)
        again = [work for work, result, _ in kept if result.state is DeliveryState.SUCCESS and work.claimed.manual]
        if again:
            await self._alerts.tell_sent_again(target.endpoint, [work.claimed.message.seq for work in again])
        for work, result, attempt in kept:
            if attempt is None:
                continue
            self._tell(target, work.claimed.message, result, attempt, now_ms)
            if result.state is DeliveryState.FAILED and result.reason is not None:
                await self._alerts.tell(
                    Alert(
                        type=AlertType.EXHAUSTED,
                        endpoint=target.endpoint,
                        reason=result.reason,
                        message_id=work.claimed.message.id,
                        cause=failure_key(result),
                    )
                )

    async def _keep(self, target: OpenEndpoint, finished: Sequence[Finished]) -> None:
        for tried in range(MAX_RECORD_TRIES):
            try:
                await self._queue.record(finished)
                break
            except StoreError as error:
                # The calls were sent: waiting for the disk is better than duplicate calls.
                log.error(
                    "results not stored yet", endpoint_id=target.endpoint.id, code=error.code, detail=error.detail
                )
                if tried == MAX_RECORD_TRIES - 1:
                    raise
                await self._clock.wait(asyncio.Event(), RECORD_AGAIN_MS)

    def _attempt(self, target: OpenEndpoint, work: Work, result: Settled, now_ms: int) -> Attempt:
        verdicts = (*work.ready.verdicts, *work.verdicts) if work.ready else ()
        current, repeated = target.endpoint.transformation, work.ready.version if work.ready else None
        attempt = Attempt(
            id=self._ids.new("atmpt"),
            started_at_ms=work.started_at_ms,
            duration_ms=max(0, now_ms - work.started_at_ms),
            state=result.state,
            reason=result.reason,
            transformation_version=(current.version if current else None) if repeated is None else repeated,
            requests=tuple(work.requests),
            status=work.status,
            response=work.response,
            response_headers=work.response_headers,
            console=work.ready.console if work.ready else (),
            verdicts=tuple(masked_verdict(target.hidden, verdict) for verdict in verdicts),
            next_try_at_ms=result.due_at_ms,
            manual=work.claimed.manual,
            snapshot=work.ready.snapshot if work.ready else "",
        )
        return work.redactor.attempt(attempt, bodies_masked=True)

    def _finished(
        self, target: OpenEndpoint, work: Work, result: Settled, attempt: Attempt | None, now_ms: int
    ) -> Finished:
        return Finished(
            message_seq=work.claimed.message.seq,
            endpoint_seq=work.claimed.endpoint_seq,
            lease=work.claimed.lease,
            state=result.state,
            due_at_ms=result.due_at_ms,
            spent=result.spent,
            reason=result.reason,
            ended_at_ms=now_ms,
            attempt=attempt,
            failure=failure_key(result) if result.state is DeliveryState.FAILED else None,
            accepted_ids=already_sent.accepted_ids(work),
            half_sent=half_sent.kept(target, work) if result.state is DeliveryState.PENDING else None,
            sent_keys=already_sent.sent_keys(target, work, now_ms),
            left=work.left,
            setbacks=work.setbacks if result.setbacks is None else result.setbacks,
            awaits=result.awaits,
        )

    def _tell(self, target: OpenEndpoint, message: Message, result: Settled, attempt: Attempt, now_ms: int) -> None:
        name = target.endpoint.name
        about = {
            "message_id": message.id,
            "endpoint_id": target.endpoint.id,
            "delivery_id": f"{message.id}/{target.endpoint.id}",
            "attempt_id": attempt.id,
            "event_type": message.event_type,
            "status": attempt.status,
        }
        match result.state:
            case DeliveryState.SUCCESS:
                self._metrics.delivered.labels(name).inc()
                if any(verdict.rule == FALLBACK_USED for verdict in attempt.verdicts):
                    self._metrics.identity_fallbacks.labels(name).inc()
                self._metrics.latency_seconds.labels(name).observe(max(0, now_ms - message.accepted_at_ms) / 1000)
                log.info("delivered", **about)
            case DeliveryState.FAILED:
                self._metrics.failed.labels(name, result.code).inc()
                log.error("failed", reason=_for_logs(attempt.reason), **about)
            case DeliveryState.CANCELED:
                self._metrics.canceled.labels(name).inc()
                log.info("canceled", reason=_for_logs(attempt.reason), **about)
            case _:
                self._metrics.retried.labels(name).inc()
                log.warning("retry scheduled", reason=_for_logs(attempt.reason), due_at_ms=result.due_at_ms, **about)
        if self._on_recorded:
            self._on_recorded(Recorded(message=message, endpoint=target.endpoint, attempt=attempt))


def _masked(work: Work, result: Settled) -> Settled:
    """Reasons quote events, handlers' errors and responses."""
    if result.reason is None:
        return result
    return msgspec.structs.replace(result, reason=work.redactor.why(result.reason))


def _for_logs(why: Reason | None) -> str:
    """Logs leave the machine, and deleting a customer's data does not reach them."""
    return "" if why is None else why.without_texts().text()


def _is_shown(result: Settled) -> bool:
    return result.shown and result.code != NOT_SENT
