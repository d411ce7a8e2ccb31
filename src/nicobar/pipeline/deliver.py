"""`transform → check → batch → send → record`: takes one page of claimed deliveries of one endpoint all the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from nicobar.clock import Clock
from nicobar.connectors import (
    Blocked,
    Deferred,
    Delivered,
    NoResponse,
    Outcome,
    ReadyCall,
    Refused,
    Request,
    Response,
    Transport,
)
from nicobar.errors import SandboxError, StoreError
from nicobar.ids import IdFactory
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.model import Attempt, BreakerState, DeliveryState, Endpoint, Message, RequestRecord
from nicobar.pipeline import batching
from nicobar.pipeline.alerts import Alert, Alerts, AlertType
from nicobar.pipeline.clock_changes import Watch
from nicobar.pipeline.configuration import Configuration, OpenEndpoint
from nicobar.pipeline.gate import Gate
from nicobar.pipeline.retry import HELD, NOT_SENT, Settled, failure_key, settle
from nicobar.pipeline.transform import Ready, Stopped, Subject, transform
from nicobar.reasons import Reason, reason
from nicobar.sandbox import Sandbox
from nicobar.store import Claimed, Finished, Queue

MAX_PARALLEL_PARCELS = 16
# A page's requests leave within this time; what is left over is tried later, long before its lease ends.
SENDING_MS = 120_000
# A delivery that was blocked alone waits at least so long, so that others are likely to be accepted before its retry.
SET_ASIDE_MS = 60_000
MAX_RECORD_TRIES = 60
RECORD_AGAIN_MS = 1_000
SANDBOX_AGAIN_MS = 5_000
MAX_RECORDED_BODY_CHARS = 65_536
MAX_RECORDED_RESPONSE_CHARS = 4_096
NO_ALERTS = reason("not_an_alert_endpoint", "an alert; this is not the alert endpoint")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A try as it was kept, for whoever watches."""

    message: Message
    endpoint: Endpoint
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Passed:
    """What a page says about its endpoint. `is_sent`: a delivery was tried; `is_accepted`: one was accepted whole.
    `hold_reason` is why the endpoint has to go on hold, `disable_reason` why it has to be disabled; None otherwise.
    """

    is_sent: bool = False
    is_accepted: bool = False
    hold_reason: Reason | None = None
    disable_reason: Reason | None = None


@dataclass(slots=True)
class _Try:
    """One delivery on its way through a page."""

    claimed: Claimed
    started_at_ms: int
    ready: Ready | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    requests: list[RequestRecord] = field(default_factory=list)
    status: int | None = None
    response: str = ""


@dataclass(frozen=True, slots=True)
class _Item:
    """A call and the try that it belongs to."""

    call: ReadyCall
    owner: _Try


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A request, its answer, and what that means for each call."""

    request: Request
    answer: Response | NoResponse
    outcomes: Sequence[Outcome]


class Deliverer:
    """Knows how a page is delivered; holds nothing of one between pages. `jitter` gives a number from -1 to 1."""

    def __init__(
        self,
        *,
        queue: Queue,
        configuration: Configuration,
        sandbox: Sandbox,
        transport: Transport,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
        jitter: Callable[[], float],
        alerts: Alerts,
        on_recorded: Callable[[Recorded], None] | None = None,
    ) -> None:
        self._queue = queue
        self._configuration = configuration
        self._sandbox = sandbox
        self._transport = transport
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self.jitter = jitter
        self._alerts = alerts
        self._on_recorded = on_recorded
        self.watch = Watch(queue, clock)

    async def check(self, target: OpenEndpoint) -> bool:
        """Makes the destination's harmless call: whether a delivery may be tried. Only a finding that says no is one
        against it, so that a destination that cannot be asked is tried.
        """
        checkup = await target.destination.check_credentials(self._transport)
        log.info("destination asked", endpoint_id=target.endpoint.id, ok=checkup.ok, detail=str(checkup.reason))
        return checkup.ok

    async def deliver(self, target: OpenEndpoint, page: Sequence[Claimed], gate: Gate) -> Passed:
        """Raises StoreError when a result could not be kept for a minute; those deliveries are taken up again when
        their lease ends.
        """
        page = await self._without_strays(target, page)
        tries = [_Try(claimed=claimed, started_at_ms=self._clock.now_ms()) for claimed in page]
        subjects = [
            Subject(
                message=claimed.message,
                customer=self._configuration.customer(claimed.message),
                edition=claimed.edition,
                app_uid=self._configuration.app_uid(target.endpoint.app_id),
                replay_key=claimed.replay_key,
            )
            for claimed in page
        ]
        try:
            transformed = await transform(self._sandbox, target, subjects, self._clock.now_ms())
        except SandboxError as error:
            log.error("handlers cannot run", endpoint_id=target.endpoint.id, code=error.code, detail=error.detail)
            gate.throttle.hold(self._clock.steady_ms(), SANDBOX_AGAIN_MS)
            await self._give_back(target, tries, error.reason)
            return Passed()
        now_ms = await self._now_ms()
        stopped: list[tuple[_Try, Settled]] = []
        ready: list[_Try] = []
        for one, result in zip(tries, transformed, strict=True):
            self._metrics.handler_seconds.labels(target.endpoint.name).observe(result.duration_us / 1_000_000)
            if isinstance(result, Stopped):
                one.ready = Ready(asked=result.asked, calls=(), console=result.console, verdicts=result.verdicts)
                stopped.append((one, self._stopped(one, result, now_ms)))
            else:
                one.ready = result
                ready.append(one)
        if stopped:
            await self._record(target, stopped)
        return await self._send_all(target, ready, gate)

    async def _without_strays(self, target: OpenEndpoint, page: Sequence[Claimed]) -> list[Claimed]:
        """Cancels alerts that wait for an endpoint that gets none, such as one that got them before the setting
        changed; returns the rest.
        """
        strays = [item for item in page if self._alerts.is_stray(item.message, target.endpoint)]
        if strays:
            now_ms = self._clock.now_ms()
            settled = Settled(state=DeliveryState.CANCELED, code=NO_ALERTS.code, reason=NO_ALERTS)
            await self._record(target, [(_Try(claimed=stray, started_at_ms=now_ms), settled) for stray in strays])
        return [item for item in page if item not in strays]

    async def postpone(self, target: OpenEndpoint, claimed: Claimed, error: Exception) -> None:
        """Keeps a try that our own fault ended; it is tried again on the schedule, and fails visibly in the end."""
        item = _Try(claimed=claimed, started_at_ms=self._clock.now_ms())
        settled = settle([_internal(error)], claimed.tries, await self._now_ms(), self.jitter())
        await self._record(target, [(item, settled)])

    async def _now_ms(self) -> int:
        """The time from which the next try counts. A clock that was set is followed first, or what is recorded now
        would be moved along with what was recorded before; where that cannot be, it has to be moved along later.
        """
        try:
            await self.watch.follow()
        except StoreError as error:
            log.error("the clock was set, and not followed yet", code=error.code, detail=error.detail)
            return self.watch.followed_ms()
        return self._clock.now_ms()

    def _stopped(self, work: _Try, result: Stopped, now_ms: int) -> Settled:
        if result.may_pass:
            return settle([Deferred(reason=result.reason)], work.claimed.tries, now_ms, self.jitter())
        return Settled(state=result.state, code=result.code, reason=result.reason)

    async def _give_back(self, target: OpenEndpoint, tries: Sequence[_Try], why: Reason) -> None:
        """Back to the queue, as if nothing had been tried."""
        now_ms = await self._now_ms()
        settled = Settled(
            state=DeliveryState.PENDING,
            code="sandbox_unavailable",
            reason=why,
            due_at_ms=now_ms + SANDBOX_AGAIN_MS,
            spent=False,
        )
        await self._keep(target, [self._finished(attempt, settled, None, now_ms) for attempt in tries])

    async def _send_all(self, target: OpenEndpoint, ready: Sequence[_Try], gate: Gate) -> Passed:
        calls = [item.ready.calls if item.ready else () for item in ready]
        parcels = batching.plan(calls, target.destination.batch_bounds)
        deadline_ms = self._clock.steady_ms() + SENDING_MS
        places = asyncio.Semaphore(MAX_PARALLEL_PARCELS)

        async def send(parcel: batching.Parcel) -> Sequence[Settled]:
            async with places:
                members = [ready[member] for member in parcel.members]
                return await self._send_parcel(target, members, gate, deadline_ms)

        settled: list[Settled] = []
        # One parcel's failure is raised only after the others are through.
        for results in await asyncio.gather(*(send(parcel) for parcel in parcels), return_exceptions=True):
            if isinstance(results, BaseException):
                raise results
            settled += results
        return Passed(
            is_sent=any(result.code != NOT_SENT for result in settled),
            is_accepted=any(result.state is DeliveryState.SUCCESS for result in settled),
            hold_reason=next((result.hold_reason for result in settled if result.hold_reason), None),
            disable_reason=next((result.disable_reason for result in settled if result.disable_reason), None),
        )

    async def _send_parcel(
        self, target: OpenEndpoint, tries: Sequence[_Try], gate: Gate, deadline_ms: int
    ) -> Sequence[Settled]:
        """Sends what travels together and records it at once, whatever else the page waits for."""
        items = [_Item(call, attempt) for attempt in tries if attempt.ready for call in attempt.ready.calls]
        cuts = batching.requests([item.call for item in items], target.destination.batch_bounds)
        for start, end in cuts:
            try:
                outcomes = await self._send(target, items[start:end], gate, deadline_ms)
            except Exception as error:  # noqa: BLE001 - our own fault, and no other parcel's
                log.exception("request broken", endpoint_id=target.endpoint.id)
                for candidate in tries:
                    if candidate.ready and len(candidate.outcomes) < len(candidate.ready.calls):
                        candidate.outcomes.append(_internal(error))
                break
            # What comes after a call that has to wait waits with it; after a refused one it need not.
            if not _through(outcomes):
                break
        now_ms = await self._now_ms()
        held = not gate.is_closed
        settled = [
            (attempt, settle(attempt.outcomes, attempt.claimed.tries, now_ms, self.jitter(), held=held))
            for attempt in tries
        ]
        if any(result.code == HELD for _, result in settled):
            gate.unanswered(now_ms, self.jitter())
        await self._record(target, settled)
        return [result for _, result in settled]

    async def _send(
        self, target: OpenEndpoint, items: Sequence[_Item], gate: Gate, deadline_ms: int
    ) -> list[Outcome]:
        """One request; where its answer does not say which call is to blame, two with half of the calls each."""
        calls = [item.call for item in items]
        request = target.destination.pack(calls)
        late = await self._wait_for_turn(gate, deadline_ms)
        if late is not None:
            for item in items:
                item.owner.outcomes.append(msgspec.structs.replace(late, sent=bool(item.owner.requests)))
            return [late]
        answer = await self._transport.send(request)
        self._count(target, answer)
        outcomes = target.destination.read(calls, answer)
        if any(isinstance(outcome, Deferred) and outcome.throttled for outcome in outcomes):
            waits = [outcome.retry_after_ms for outcome in outcomes if isinstance(outcome, Deferred)]
            gate.throttle.slow_down(self._clock.steady_ms(), max((wait for wait in waits if wait), default=None))
        if isinstance(answer, Response) or answer.refused is None:
            self._note(gate, items, outcomes, await self._now_ms())
        if len(items) > 1 and all(isinstance(outcome, Deferred) and outcome.alone for outcome in outcomes):
            half = _middle(items)
            first = await self._send(target, items[:half], gate, deadline_ms)
            if items[half - 1].owner is items[half].owner and not _through(first):
                return first
            return [*first, *await self._send(target, items[half:], gate, deadline_ms)]
        return await self._read_blocked(target, items, gate, deadline_ms, _Exchange(request, answer, outcomes))

    async def _read_blocked(
        self, target: OpenEndpoint, items: Sequence[_Item], gate: Gate, deadline_ms: int, exchange: _Exchange
    ) -> list[Outcome]:
        """What the answer to these calls becomes; what was blocked together is sent again by halves where single
        deliveries may be to blame.
        """
        outcomes = exchange.outcomes
        if not self._is_suspect(gate, items, outcomes):
            return _noted(exchange, items, items, outcomes)
        if len(_owners(items)) == 1:
            if not gate.suspects.blocked(items[0].owner.claimed.message.id):
                outcomes = [_set_aside(outcome) for outcome in outcomes]
            return _noted(exchange, items, items, outcomes)
        half = _middle(items)
        first = await self._send(target, items[:half], gate, deadline_ms)
        if any(isinstance(outcome, Blocked) for outcome in first):
            # The endpoint goes on hold, so that the others are not sent again.
            return [*first, *_noted(exchange, items, items[half:], outcomes[half:])]
        return [*first, *await self._send(target, items[half:], gate, deadline_ms)]

    def _is_suspect(self, gate: Gate, items: Sequence[_Item], outcomes: Sequence[Outcome]) -> bool:
        """Whether what was blocked may be to blame itself, rather than the configuration: the destination accepted
        something a short time ago, or what was blocked was blocked before while other deliveries were accepted.
        """
        if gate.breaker.hold is not None or not all(isinstance(outcome, Blocked) for outcome in outcomes):
            return False
        ids = [owner.claimed.message.id for owner in _owners(items)]
        return gate.suspects.are_asked(ids, self._clock.steady_ms())

    def _note(self, gate: Gate, items: Sequence[_Item], outcomes: Sequence[Outcome], now_ms: int) -> None:
        """Tells the breaker. One request has one answer, so that its first outcome says whether the destination
        fails; one that has to wait for another reason says nothing of it.
        """
        first = outcomes[0]
        pairs = zip(items, outcomes, strict=True)
        gate.suspects.accepted([it.owner.claimed.message.id for it, got in pairs if isinstance(got, Delivered)])
        if isinstance(first, Deferred) and first.failing:
            message_ids = [item.owner.claimed.message.id for item in items]
            gate.failed(first.reason, message_ids, now_ms, self.jitter(), foreign=first.foreign)
        elif isinstance(first, Delivered | Refused) or (isinstance(first, Deferred) and first.reached):
            gate.answered()

    async def _wait_for_turn(self, gate: Gate, deadline_ms: int) -> Deferred | None:
        """Waits until a request may leave; why not, if that would be after the deadline."""
        now_ms = self._clock.steady_ms()
        throttle = gate.throttle
        if gate.breaker.state is BreakerState.OPEN:
            why = gate.breaker.reason or reason("failures", "only failures")
            return Deferred(
                reason=reason("not_sent", "Not sent, since the destination fails: %(reason)s", reason=why)
            )
        if now_ms + throttle.held_ms(now_ms) > deadline_ms:
            return Deferred(
                reason=reason(
                    "not_sent_in_time",
                    "Not sent within %(sending_s)s s; the destination is slow, or asked to be left alone.",
                    sending_s=SENDING_MS // 1000,
                ),
                retry_after_ms=throttle.held_ms(now_ms),
            )
        wait_ms = throttle.take(now_ms)
        if wait_ms:
            await self._clock.wait(asyncio.Event(), wait_ms)
        return None

    def _count(self, target: OpenEndpoint, answer: Response | NoResponse) -> None:
        name = target.endpoint.name
        status = str(answer.status) if isinstance(answer, Response) else "none"
        self._metrics.requests.labels(name, status).inc()
        self._metrics.request_seconds.labels(name).observe(answer.duration_ms / 1000)

    async def _record(self, target: OpenEndpoint, settled: Sequence[tuple[_Try, Settled]]) -> None:
        """Keeps what was tried, and gives back what never left: that leaves no attempt."""
        now_ms = self._clock.now_ms()
        kept = [
            (one, result, None if result.code == NOT_SENT else self._attempt(target, one, result, now_ms))
            for one, result in settled
        ]
        await self._keep(target, [self._finished(one, result, attempt, now_ms) for one, result, attempt in kept])
        for one, result, attempt in kept:
            if attempt is None:
                continue
            self._tell(target, one.claimed.message, result, attempt, now_ms)
            if result.state is DeliveryState.FAILED and result.reason is not None:
                await self._alerts.tell(
                    Alert(
                        type=AlertType.EXHAUSTED,
                        endpoint=target.endpoint,
                        reason=result.reason,
                        message_id=one.claimed.message.id,
                        cause=failure_key(result),
                    )
                )

    async def _keep(self, target: OpenEndpoint, finished: Sequence[Finished]) -> None:
        for tried in range(MAX_RECORD_TRIES):
            try:
                await self._queue.record(finished)
                break
            except StoreError as error:
                # What was sent was sent: it is worth waiting for the disk rather than sending it again.
                log.error(
                    "results not kept yet", endpoint_id=target.endpoint.id, code=error.code, detail=error.detail
                )
                if tried == MAX_RECORD_TRIES - 1:
                    raise
                await self._clock.wait(asyncio.Event(), RECORD_AGAIN_MS)

    def _attempt(self, target: OpenEndpoint, work: _Try, result: Settled, now_ms: int) -> Attempt:
        version = target.endpoint.transformation
        return Attempt(
            id=self._ids.new("atmpt"),
            started_at_ms=work.started_at_ms,
            duration_ms=max(0, now_ms - work.started_at_ms),
            state=result.state,
            reason=result.reason,
            transformation_version=version.version if version else None,
            requests=tuple(work.requests),
            status=work.status,
            response=work.response,
            console=work.ready.console if work.ready else (),
            verdicts=work.ready.verdicts if work.ready else (),
            next_try_at_ms=result.due_at_ms,
            manual=work.claimed.manual,
        )

    def _finished(self, work: _Try, result: Settled, attempt: Attempt | None, now_ms: int) -> Finished:
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
                self._metrics.latency_seconds.labels(name).observe(max(0, now_ms - message.accepted_at_ms) / 1000)
                log.info("delivered", **about)
            case DeliveryState.FAILED:
                self._metrics.failed.labels(name, result.code).inc()
                log.error("failed", reason=str(attempt.reason), **about)
            case DeliveryState.CANCELED:
                self._metrics.canceled.labels(name).inc()
                log.info("canceled", reason=str(attempt.reason), **about)
            case _:
                self._metrics.retried.labels(name).inc()
                log.warning(
                    "waiting for another try", reason=str(attempt.reason), due_at_ms=result.due_at_ms, **about
                )
        if self._on_recorded:
            self._on_recorded(Recorded(message=message, endpoint=target.endpoint, attempt=attempt))


def _start_of(body: bytes) -> str:
    """The first characters of an answer; the rest of a large one is not decoded."""
    # A character of UTF-8 has at most four bytes.
    return body[: 4 * MAX_RECORDED_RESPONSE_CHARS].decode("utf-8", "replace")[:MAX_RECORDED_RESPONSE_CHARS]


def _internal(error: Exception) -> Deferred:
    why = reason("internal_error", "An internal error, %(name)s; the log says more.", name=type(error).__name__)
    return Deferred(reason=why)


def _set_aside(outcome: Outcome) -> Outcome:
    """What is blocked alone while others are accepted is retried on the schedule and fails in the end."""
    return Deferred(reason=outcome.reason, retry_after_ms=SET_ASIDE_MS) if isinstance(outcome, Blocked) else outcome


def _through(outcomes: Sequence[Outcome]) -> bool:
    """Whether what comes after these may go out."""
    return all(isinstance(outcome, Delivered | Refused) for outcome in outcomes)


def _middle(items: Sequence[_Item]) -> int:
    """Where to cut so that a delivery's calls stay together while there is more than one delivery."""
    half = len(items) // 2
    starts = [index for index in range(1, len(items)) if items[index].owner is not items[index - 1].owner]
    return min(starts, key=lambda start: abs(start - half), default=half)


def _noted(
    exchange: _Exchange, all_items: Sequence[_Item], items: Sequence[_Item], outcomes: Sequence[Outcome]
) -> list[Outcome]:
    """Keeps with each delivery of `items` what became of it, and of the request its own part."""
    answer = exchange.answer
    for item, outcome in zip(items, outcomes, strict=True):
        item.owner.outcomes.append(outcome)
    for owner in _owners(items):
        owner.requests.append(_recorded_request(exchange.request, all_items, owner))
        if isinstance(answer, Response):
            owner.status = answer.status
            owner.response = _start_of(answer.body)
    return [*outcomes]


def _owners(items: Sequence[_Item]) -> list[_Try]:
    return list({id(item.owner): item.owner for item in items}.values())


def _recorded_request(request: Request, items: Sequence[_Item], work: _Try) -> RequestRecord:
    """The request as this delivery's attempt shows it: its own calls only, a line each."""
    own = [item.call.body for item in items if item.owner is work]
    return RequestRecord(
        method=request.method,
        url=request.url,
        headers=request.shown_headers,
        body=b"\n".join(own).decode("utf-8", "replace")[:MAX_RECORDED_BODY_CHARS],
        others=len(items) - len(own),
    )
