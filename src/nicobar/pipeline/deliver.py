"""`transform → check → batch → send → record`: delivers one page of claimed deliveries of one endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from nicobar.clock import Clock
from nicobar.connectors import Deferred, Finding, Transport
from nicobar.errors import NicobarError, SandboxError
from nicobar.ids import IdFactory
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.model import DeliveryState
from nicobar.pipeline import already_sent, batching, half_sent
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.clock_changes import Watch
from nicobar.pipeline.configuration import Configuration, OpenEndpoint
from nicobar.pipeline.customers import completed
from nicobar.pipeline.gate import Gate
from nicobar.pipeline.ledgers import Ledgers
from nicobar.pipeline.recorder import Recorded, Recorder
from nicobar.pipeline.repeating import Repeating
from nicobar.pipeline.retry import HELD, NOT_SENT, THROTTLED, Settled, settle
from nicobar.pipeline.sender import SENDING_MS, Sender
from nicobar.pipeline.transform import Ready, Stopped, Subject, Transformed, transform, without_attributes
from nicobar.pipeline.work import BEHIND, Work, in_order, internal_error
from nicobar.reasons import Reason, reason
from nicobar.sandbox import Sandbox
from nicobar.store import Claimed, Facts, Queue

MAX_PARALLEL_PARCELS = 16
SANDBOX_AGAIN_MS = 5_000
NO_ALERTS = reason("not_an_alert_endpoint", "this endpoint does not receive alerts")


@dataclass(frozen=True, slots=True)
class Passed:
    """The result of a page for its endpoint. `is_sent`: a delivery was attempted; `is_accepted`: one was accepted
    completely. `hold_reason` says why the endpoint must go on hold, `disable_reason` why it must be disabled.
    `awaits_identity`: one ended because no person was identified.
    """

    is_sent: bool = False
    is_accepted: bool = False
    hold_reason: Reason | None = None
    disable_reason: Reason | None = None
    awaits_identity: bool = False


class PageError(Exception):
    """An internal error, its cause, broke a part of a page: `left` are the deliveries without a result."""

    def __init__(self, left: Sequence[Claimed]) -> None:
        super().__init__(f"{len(left)} deliveries without a result")
        self.left = left


class Deliverer:
    """Delivers pages; keeps no state between them. `jitter` returns a number from -1 to 1; `may_send` says whether
    this process alone delivers.
    """

    def __init__(
        self,
        *,
        queue: Queue,
        facts: Facts,
        configuration: Configuration,
        sandbox: Sandbox,
        transport: Transport,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
        jitter: Callable[[], float],
        alerts: Alerts,
        on_recorded: Callable[[Recorded], None] | None = None,
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:
        self._queue = queue
        self._facts = facts
        self._ledgers = Ledgers(facts, configuration)
        self._configuration = configuration
        self._sandbox = sandbox
        self._transport = transport
        self._clock = clock
        self._metrics = metrics
        self.jitter = jitter
        self._alerts = alerts
        self.watch = Watch(queue, clock)
        self._may_send = may_send
        self.sender = Sender(
            transport=transport, clock=clock, watch=self.watch, metrics=metrics, jitter=jitter, may_send=may_send
        )
        self._recorder = Recorder(
            queue=queue, clock=clock, ids=ids, metrics=metrics, alerts=alerts, on_recorded=on_recorded
        )

    async def check(self, target: OpenEndpoint) -> bool:
        """Makes the destination's harmless call; returns whether a delivery may be attempted. A destination that
        cannot be checked is attempted.
        """
        if not self._may_send():
            return False
        checkup = await target.destination.check_credentials(self._transport)
        detail = checkup.reason.without_texts().text()
        log.info("destination checked", endpoint_id=target.endpoint.id, ok=checkup.ok, detail=detail)
        return checkup.ok

    async def responds(self, target: OpenEndpoint) -> bool:
        """Makes the destination's harmless call; returns whether it was answered well. A destination that cannot be
        checked does not respond.
        """
        if not target.connector.has_contract or not self._may_send():
            return False
        return (await target.destination.check_credentials(self._transport)).finding is Finding.GOOD

    async def deliver(
        self, target: OpenEndpoint, page: Sequence[Claimed], gate: Gate, repeating: Repeating
    ) -> Passed:
        """Raises StoreError if a result could not be stored for a minute; those deliveries are claimed again when
        their lease expires. Raises PageError after an internal error in one request.
        """
        page = await self._without_strays(target, page)
        works = self._works(page)
        try:
            transformed = await self._transform(target, works)
        except SandboxError as error:
            log.error("handlers cannot run", endpoint_id=target.endpoint.id, code=error.code, detail=error.detail)
            gate.throttle.hold(self._clock.steady_ms(), SANDBOX_AGAIN_MS)
            await self._give_back(target, works, error.reason)
            return Passed()
        now_ms = await self.watch.now_ms()
        repeated = already_sent.about_to_be_sent(works, transformed)
        for place, (work, whole) in enumerate(zip(works, transformed, strict=True)):
            if place in repeated:
                # The next page knows whether the event was sent.
                work.stopped = msgspec.structs.replace(BEHIND, due_at_ms=now_ms)
                continue
            result = without_attributes(whole) if work.claimed.setbacks.overtaken_at_ms is not None else whole
            work.redactor = work.redactor.also(result.snapshot)
            self._metrics.handler_seconds.labels(target.endpoint.name).observe(result.duration_us / 1_000_000)
            if isinstance(result, Stopped):
                work.ready = Ready(
                    requested=result.requested,
                    calls=(),
                    console=result.console,
                    verdicts=result.verdicts,
                    snapshot=result.snapshot,
                )
                work.stopped = self._stopped(target, work, result, now_ms)
            else:
                work.ready = result
        passed = await self._send_all(target, await self._record_stopped(target, works), gate, repeating)
        awaits = any(work.stopped is not None and work.stopped.awaits is not None for work in works)
        return replace(passed, awaits_identity=awaits)

    async def _record_stopped(self, target: OpenEndpoint, works: Sequence[Work]) -> list[Work]:
        """Records customers' deliveries without anything to send; returns the others."""
        left: list[Work] = []
        stopped: list[tuple[Work, Settled | None]] = []
        for members in batching.chains(work.order for work in works):
            chain = [works[index] for index in members]
            if all(work.stopped for work in chain):
                stopped += [(work, work.stopped) for work in chain]
            else:
                left += chain
        if stopped:
            await self._recorder.record(target, in_order(stopped))
        return left

    def _work(self, claimed: Claimed) -> Work:
        return Work(
            claimed=claimed,
            started_at_ms=self._clock.now_ms(),
            watch=self.watch,
            redactor=self._configuration.redactor(claimed.message),
        )

    def _subject(self, target: OpenEndpoint, claimed: Claimed) -> Subject:
        message, unreadable = self._configuration.reread(claimed.message)
        return Subject(
            message=message,
            customer=self._configuration.customer(message),
            customer_id_attribute=self._configuration.customer_id_attribute(message),
            unreadable=unreadable,
            reread=message is not claimed.message,
            is_outside=not self._configuration.takes(target.endpoint, message),
            edition=claimed.edition,
            app_uid=self._configuration.app_uid(target.endpoint.app_id),
            replay_key=claimed.replay_key,
        )

    async def _transform(self, target: OpenEndpoint, works: Sequence[Work]) -> list[Transformed]:
        """Runs the handler where nothing of an attempt before may have arrived, and leaves out what other messages
        have sent. Raises SandboxError and StoreError.
        """
        now_ms = self._clock.now_ms()
        subjects = await completed(
            self._facts,
            self._configuration,
            target,
            target.endpoint.app_id,
            [self._subject(target, work.claimed) for work in works],
        )
        repeats: list[Ready | None] = []
        for work, subject in zip(works, subjects, strict=True):
            work.subject = subject
            repeats.append(half_sent.repeated(target, work.claimed, subject, now_ms))
        fresh = [subject for subject, ready in zip(subjects, repeats, strict=True) if ready is None]
        ran = iter(await transform(self._sandbox, target, fresh, now_ms, self._ledgers) if fresh else ())
        transformed = [next(ran) if ready is None else ready for ready in repeats]
        return await already_sent.without_sent(self._queue, target, works, transformed)

    async def _without_strays(self, target: OpenEndpoint, page: Sequence[Claimed]) -> list[Claimed]:
        """Cancels alerts for an endpoint that no longer receives alerts, such as after a change of the setting;
        returns the other deliveries.
        """
        strays = [item for item in page if self._alerts.is_stray(item.message, target.endpoint)]
        if strays:
            settled = Settled(state=DeliveryState.CANCELED, code=NO_ALERTS.code, reason=NO_ALERTS)
            await self._recorder.record(target, [(self._work(stray), settled) for stray in strays])
        return [item for item in page if item not in strays]

    async def postpone(self, target: OpenEndpoint, claimed: Claimed, error: BaseException) -> None:
        """Records an attempt that an internal error ended; it is retried on the schedule and finally fails."""
        item = self._work(claimed)
        item.outcomes.append(internal_error(error))
        settled = self._settled(target, item, await self.watch.now_ms())
        await self._recorder.record(target, [(item, settled)])

    async def put_behind(self, target: OpenEndpoint, page: Sequence[Claimed]) -> None:
        """Deliveries that were not sent wait for earlier ones of their customers again."""
        await self._recorder.record(target, [(work, BEHIND) for work in self._works(page)])

    async def put_back(self, target: OpenEndpoint, page: Sequence[Claimed]) -> None:
        """Requeues deliveries that were not sent, as if they had not been claimed."""
        settled = msgspec.structs.replace(BEHIND, due_at_ms=await self.watch.now_ms())
        await self._recorder.record(target, in_order((work, settled) for work in self._works(page)))

    def _works(self, page: Sequence[Claimed]) -> list[Work]:
        return [self._work(claimed) for claimed in page]

    def _settled(self, target: OpenEndpoint, work: Work, now_ms: int, *, on_hold: bool = False) -> Settled:
        """The next state of a delivery after its outcomes, by the schedule that applies to it now."""
        claimed = work.claimed
        schedule = self._configuration.retry_after_ms(target.endpoint, claimed.message.event_type)
        return settle(
            work.outcomes,
            claimed.attempts_used,
            now_ms,
            self.jitter(),
            on_hold=on_hold,
            setbacks=work.setbacks,
            schedule=schedule,
        )

    def _stopped(self, target: OpenEndpoint, work: Work, result: Stopped, now_ms: int) -> Settled:
        if result.may_pass:
            work.outcomes.append(Deferred(reason=result.reason))
            return self._settled(target, work, now_ms)
        return Settled(state=result.state, code=result.code, reason=result.reason, awaits=result.awaits)

    async def _give_back(self, target: OpenEndpoint, works: Sequence[Work], why: Reason) -> None:
        """Requeues the deliveries, as if they had not been attempted."""
        due_at_ms = await self.watch.now_ms() + SANDBOX_AGAIN_MS
        settled = Settled(state=DeliveryState.PENDING, code=NOT_SENT, reason=why, due_at_ms=due_at_ms, spent=False)
        await self._recorder.record(target, in_order((work, settled) for work in works))

    async def _send_all(
        self, target: OpenEndpoint, ready: Sequence[Work], gate: Gate, repeating: Repeating
    ) -> Passed:
        calls = [item.ready.calls if item.ready else () for item in ready]
        parcels = batching.plan(calls, target.destination.batch_bounds, [work.order for work in ready])
        deadline_ms = self._clock.steady_ms() + SENDING_MS
        places = asyncio.Semaphore(MAX_PARALLEL_PARCELS)

        async def send(parcel: batching.Parcel) -> Sequence[Settled]:
            async with places:
                members = [ready[member] for member in parcel.members]
                return await self._send_parcel(target, members, gate, repeating, deadline_ms)

        settled: list[Settled] = []
        left: list[Claimed] = []
        broken: Exception | None = None
        # A parcel's failure is raised after the others have finished.
        ended = await asyncio.gather(*(send(parcel) for parcel in parcels), return_exceptions=True)
        for parcel, results in zip(parcels, ended, strict=True):
            if isinstance(results, Exception) and not isinstance(results, NicobarError):
                broken = results
                left += [ready[member].claimed for member in parcel.members]
            elif isinstance(results, BaseException):
                raise results
            else:
                settled += results
        if broken is not None:
            raise PageError(left) from broken
        return Passed(
            is_sent=any(result.code != NOT_SENT for result in settled),
            is_accepted=any(result.state is DeliveryState.SUCCESS for result in settled),
            hold_reason=next((result.hold_reason for result in settled if result.hold_reason), None),
            disable_reason=next((result.disable_reason for result in settled if result.disable_reason), None),
        )

    async def _send_parcel(
        self, target: OpenEndpoint, works: Sequence[Work], gate: Gate, repeating: Repeating, deadline_ms: int
    ) -> Sequence[Settled]:
        """Sends one parcel and records its results at once, whatever the rest of the page waits for."""
        began_ms = self._clock.steady_ms()
        await self.sender.send(target, works, gate, deadline_ms)
        now_ms = await self.watch.now_ms()
        on_hold = not gate.is_closed

        def result(work: Work) -> Settled | None:
            if work.stopped is not None or not work.outcomes:
                return work.stopped
            return self._settled(target, work, now_ms, on_hold=on_hold)

        settled = in_order((work, result(work)) for work in works)
        if any(result.code in {HELD, THROTTLED} for _, result in settled):
            gate.unanswered(now_ms, self.jitter())
        repeats = await repeating.steps(target, settled, began_ms=began_ms, now_ms=now_ms)
        await self._recorder.record(target, settled, repeats)
        return [result for _, result in settled]
