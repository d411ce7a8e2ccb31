"""Sends the calls of deliveries that share requests: one request, or several if a response does not say which call
failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    is_credential,
)
from nicobar.connectors.people_calls import PeopleCalls
from nicobar.logs import log
from nicobar.masking import MASK, MIN_CREDENTIAL_CHARS
from nicobar.metrics import Metrics
from nicobar.model import BreakerState, DeliveryState, RequestRecord
from nicobar.pipeline import batching
from nicobar.pipeline.clock_changes import Watch
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.gate import Gate
from nicobar.pipeline.retry import Settled
from nicobar.pipeline.work import Work, in_order, internal_error
from nicobar.reasons import Reason, reason
from nicobar.redaction import Redactor, SharedRedactor

# A page's requests are sent within this time; the rest is retried later, long before the lease expires.
SENDING_MS = 120_000
# A delivery that was blocked alone waits at least this long, so that others are likely to be accepted first.
SET_ASIDE_MS = 60_000
# How often a request that may not be sent yet looks whether it may.
UNCONFIRMED_MS = 250
MAX_RECORDED_BODY_CHARS = 65_536
MAX_RECORDED_RESPONSE_CHARS = 4_096
_CLOSING = Deferred(
    reason=reason("not_sent_closing", "Not sent because this process stops delivering for the endpoint.")
)
# A delivery with something to send.
_NOTHING = Settled(state=DeliveryState.SUCCESS, code="", reason=None)


@dataclass(frozen=True, slots=True)
class _Item:
    """A call and its delivery."""

    call: ReadyCall
    owner: Work


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A request, its response, and the outcome of each call."""

    target: OpenEndpoint
    request: Request
    answer: Response | NoResponse
    outcomes: Sequence[Outcome]
    # Which calls were rejected as a part of a merged one.
    refused: Sequence[bool]
    # For the personal data of all calls.
    redactor: Redactor


class Sender:
    """Sends for any endpoint, through its gate. `jitter` and `may_send` as in `Deliverer`."""

    def __init__(
        self,
        *,
        transport: Transport,
        clock: Clock,
        watch: Watch,
        metrics: Metrics,
        jitter: Callable[[], float],
        may_send: Callable[[], bool],
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._watch = watch
        self._metrics = metrics
        self._jitter = jitter
        self._may_send = may_send

    async def send(self, target: OpenEndpoint, works: Sequence[Work], gate: Gate, deadline_ms: int) -> None:
        """Sends deliveries that share requests; each gets its outcomes and requests."""
        items = _without_blocked(works)
        cuts = batching.requests([item.call for item in items], target.destination.batch_bounds)
        for start, end in cuts:
            try:
                await self._send(target, _sendable(items[start:end], items), gate, deadline_ms)
            except Exception as error:  # noqa: BLE001 - our own fault, and no other parcel's
                log.exception("request broken by an internal error", endpoint_id=target.endpoint.id)
                for candidate in works:
                    if candidate.ready and len(candidate.outcomes) < len(candidate.ready.calls):
                        candidate.outcomes.append(internal_error(error))
                break

    async def _send(
        self, target: OpenEndpoint, items: Sequence[_Item], gate: Gate, deadline_ms: int
    ) -> list[Outcome]:
        """One request; where its answer does not say which call is to blame, two with half of the calls each."""
        if not items:
            return []
        merged = batching.merge([item.call for item in items], target.destination.people_calls)
        calls = [call.call for call in merged]
        cut = batching.conflict(merged, target.destination.people_calls) if len(merged) > 1 else None
        if cut is not None:
            first = await self._send(target, items[:cut], gate, deadline_ms)
            return [*first, *await self._send(target, _sendable(items[cut:], items), gate, deadline_ms)]
        request = target.destination.pack(calls)
        late = await self._wait_for_turn(gate, deadline_ms)
        if late is not None:
            for item in items:
                item.owner.outcomes.append(msgspec.structs.replace(late, sent=bool(item.owner.requests)))
            return [late]
        answer = await self._transport.send(request)
        self._count(target, answer)
        redactor = SharedRedactor([owner.redactor for owner in _owners(items)])
        read = _masked(target, target.destination.read(calls, answer), redactor)
        outcomes = _of_members(merged, read)
        self._follow_throttling(gate, outcomes)
        if isinstance(answer, Response) or answer.refused is None:
            for item in items:
                item.owner.left = True
            _note_joined(items, merged)
            self._note(gate, items, outcomes, await self._watch.now_ms())
        if len(items) > 1 and all(isinstance(outcome, Deferred) and outcome.alone for outcome in outcomes):
            half = _middle(items)
            first = await self._send(target, items[:half], gate, deadline_ms)
            return [*first, *await self._send(target, _sendable(items[half:], items), gate, deadline_ms)]
        exchange = _Exchange(target, request, answer, outcomes, _refused_together(merged, outcomes), redactor)
        if any(exchange.refused):
            return await self._send_apart(target, items, gate, deadline_ms, exchange)
        _note_merged(items, merged, target.destination.people_calls)
        return await self._read_blocked(target, items, gate, deadline_ms, exchange)

    async def send_calls(
        self, target: OpenEndpoint, calls: Sequence[ReadyCall], gate: Gate, deadline_ms: int
    ) -> list[Outcome]:
        """Sends calls of no delivery, in one request, or in halves if a response does not say which call it means.
        They neither open nor close the circuit breaker. Fewer outcomes than calls: the rest was not sent.
        """
        if await self._wait_for_turn(gate, deadline_ms) is not None:
            return []
        answer = await self._transport.send(target.destination.pack(calls))
        self._count(target, answer)
        outcomes = target.destination.read(calls, answer)
        self._follow_throttling(gate, outcomes)
        if len(calls) > 1 and all(isinstance(outcome, Deferred) and outcome.alone for outcome in outcomes):
            half = len(calls) // 2
            first = await self.send_calls(target, calls[:half], gate, deadline_ms)
            rest = await self.send_calls(target, calls[half:], gate, deadline_ms) if len(first) == half else []
            return [*first, *rest]
        return outcomes

    def _follow_throttling(self, gate: Gate, outcomes: Sequence[Outcome]) -> None:
        if any(isinstance(outcome, Deferred) and outcome.throttled for outcome in outcomes):
            waits = [outcome.retry_after_ms for outcome in outcomes if isinstance(outcome, Deferred)]
            gate.throttle.slow_down(self._clock.steady_ms(), max((wait for wait in waits if wait), default=None))

    async def _send_apart(
        self,
        target: OpenEndpoint,
        items: Sequence[_Item],
        gate: Gate,
        deadline_ms: int,
        exchange: _Exchange,
    ) -> list[Outcome]:
        """Repeats calls in halves that were merged and rejected: only one of them need be invalid."""
        pairs = list(zip(items, exchange.outcomes, exchange.refused, strict=True))
        known = [(item, outcome) for item, outcome, is_refused in pairs if not is_refused]
        noted = _noted(exchange, items, [item for item, _ in known], [outcome for _, outcome in known])
        again = [item for item, _, is_refused in pairs if is_refused]
        half = len(again) // 2
        first = await self._send(target, again[:half], gate, deadline_ms)
        return [*noted, *first, *await self._send(target, _sendable(again[half:], again), gate, deadline_ms)]

    async def _read_blocked(
        self, target: OpenEndpoint, items: Sequence[_Item], gate: Gate, deadline_ms: int, exchange: _Exchange
    ) -> list[Outcome]:
        """The outcomes of these calls. Calls blocked together are repeated in halves if single deliveries may be to
        blame.
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
            # The endpoint goes on hold, so the other calls are not repeated.
            return [*first, *_noted(exchange, items, items[half:], outcomes[half:])]
        return [*first, *await self._send(target, _sendable(items[half:], items), gate, deadline_ms)]

    def _is_suspect(self, gate: Gate, items: Sequence[_Item], outcomes: Sequence[Outcome]) -> bool:
        """Whether the blocked deliveries themselves may be the cause rather than the configuration: the destination
        accepted something a short time ago, or they were blocked before while other deliveries were accepted.
        """
        if gate.breaker.hold is not None or not all(isinstance(outcome, Blocked) for outcome in outcomes):
            return False
        ids = [owner.claimed.message.id for owner in _owners(items)]
        return gate.suspects.are_asked(ids, self._clock.steady_ms())

    def _note(self, gate: Gate, items: Sequence[_Item], outcomes: Sequence[Outcome], now_ms: int) -> None:
        """Updates the breaker. One request has one response, so its first outcome says whether the destination
        failed. A delivery that waits for another reason does not count.
        """
        first = outcomes[0]
        pairs = zip(items, outcomes, strict=True)
        gate.suspects.accepted([it.owner.claimed.message.id for it, got in pairs if isinstance(got, Delivered)])
        if isinstance(first, Deferred) and first.failing:
            gate.failed(first.reason, _firsts(items), now_ms, self._jitter(), foreign=first.foreign)
        elif isinstance(first, Delivered | Refused):
            gate.answered(now_ms)
        elif isinstance(first, Deferred) and first.reached:
            gate.reached()
            if not first.throttled:
                gate.put_off(first.reason, _firsts(items), now_ms)

    async def _wait_for_turn(self, gate: Gate, deadline_ms: int) -> Deferred | None:
        """Waits until a request may be sent; returns why not, if that would be after the deadline."""
        if gate.closing.is_set():
            return _CLOSING
        now_ms = self._clock.steady_ms()
        throttle = gate.throttle
        if gate.breaker.state is BreakerState.OPEN:
            why = gate.breaker.reason or reason("failures", "repeated failures")
            return Deferred(
                reason=reason("not_sent", "Not sent because the destination is failing: %(reason)s", reason=why)
            )
        if now_ms + throttle.held_ms(now_ms) > deadline_ms:
            return Deferred(
                reason=reason(
                    "not_sent_in_time",
                    "Not sent within %(sending_s)s s. The destination is slow or asked to wait.",
                    sending_s=SENDING_MS // 1000,
                ),
                retry_after_ms=throttle.held_ms(now_ms),
            )
        wait_ms = throttle.take(now_ms)
        if wait_ms:
            await self._clock.wait(gate.closing, wait_ms)
        return await self._wait_for_place(gate, deadline_ms)

    async def _wait_for_place(self, gate: Gate, deadline_ms: int) -> Deferred | None:
        """Waits until it is certain that no other process delivers; returns why not, if that takes too long."""
        while not self._may_send() and not gate.closing.is_set():
            if self._clock.steady_ms() >= deadline_ms:
                return Deferred(
                    reason=reason(
                        "not_sent_in_time",
                        "Not sent within %(sending_s)s s. Nicobar's database did not respond.",
                        sending_s=SENDING_MS // 1000,
                    )
                )
            await self._clock.wait(gate.closing, UNCONFIRMED_MS)
        return _CLOSING if gate.closing.is_set() else None

    def _count(self, target: OpenEndpoint, answer: Response | NoResponse) -> None:
        name = target.endpoint.name
        status = str(answer.status) if isinstance(answer, Response) else "none"
        self._metrics.requests.labels(name, status).inc()
        self._metrics.request_seconds.labels(name).observe(answer.duration_ms / 1000)


def _firsts(items: Sequence[_Item]) -> list[str]:
    """The message of each customer's first delivery: what waits behind it does not show that others fail, too."""
    firsts = {item.owner.order: item.owner for item in reversed(items)}
    return [owner.claimed.message.id for owner in firsts.values()]


def _masked(target: OpenEndpoint, outcomes: Sequence[Outcome], redactor: Redactor) -> list[Outcome]:
    """The outcomes without the secrets and the personal data that their reasons quote of the response, which may
    repeat what was sent: a reason is stored with the breaker and the endpoint too.
    """
    masked: list[Outcome] = []
    before: Reason | None = None
    after: Reason | None = None
    for outcome in outcomes:
        if isinstance(outcome, Delivered):
            masked.append(outcome)
            continue
        if after is None or outcome.reason != before:  # often the same one for a whole batch
            before = outcome.reason
            after = redactor.reason(before.with_texts(target.confidential.masked))
        masked.append(msgspec.structs.replace(outcome, reason=after))
    return masked


def _start_of(body: bytes) -> str:
    """The first characters of a response; the rest of a large one is not decoded."""
    # A character of UTF-8 has at most four bytes.
    return body[: 4 * MAX_RECORDED_RESPONSE_CHARS].decode("utf-8", "replace")[:MAX_RECORDED_RESPONSE_CHARS]


def _set_aside(outcome: Outcome) -> Outcome:
    """A call that is blocked alone while others are accepted is retried on the schedule and finally fails."""
    return Deferred(reason=outcome.reason, retry_after_ms=SET_ASIDE_MS) if isinstance(outcome, Blocked) else outcome


def _through(outcomes: Sequence[Outcome]) -> bool:
    """Whether the calls after these may be sent."""
    return all(isinstance(outcome, Delivered | Refused) for outcome in outcomes)


def _without_blocked(works: Sequence[Work]) -> list[_Item]:
    """The calls of deliveries, except those behind one that waits for another run of its handler."""
    ahead = in_order((work, work.stopped or _NOTHING) for work in works)
    return [
        _Item(call, work) for work, result in ahead if result is _NOTHING and work.ready for call in work.ready.calls
    ]


def _sendable(items: Sequence[_Item], among: Sequence[_Item]) -> list[_Item]:
    """Without the calls after one of `among` that may still succeed: of its delivery, and of those behind it. Calls
    after a rejected one are sent.
    """
    blocked = {item.owner.order for item in among if not _through(item.owner.outcomes)}
    return [item for item in items if item.owner.order not in blocked]


def _of_members(merged: Sequence[batching.Merged], values: Sequence[Outcome]) -> list[Outcome]:
    """The outcome of each call, by those of the calls that were sent."""
    of = {member: value for call, value in zip(merged, values, strict=True) for member in call.members}
    return [of[member] for member in sorted(of)]


def _note_joined(items: Sequence[_Item], merged: Sequence[batching.Merged]) -> None:
    for sent in merged:
        for item in (items[member] for member in sent.members):
            item.owner.sent_as[id(item.call)] = sent.call


def _refused_together(merged: Sequence[batching.Merged], outcomes: Sequence[Outcome]) -> list[bool]:
    together = {member for call in merged if len(call.members) > 1 for member in call.members}
    return [place in together and isinstance(outcome, Refused) for place, outcome in enumerate(outcomes)]


def _note_merged(items: Sequence[_Item], merged: Sequence[batching.Merged], people: PeopleCalls | None) -> None:
    """Tells the deliveries whose calls were joined, other than with one that Nicobar added to them."""
    for sent in merged:
        joined = [items[member] for member in sent.members]
        own = [item for item in joined if not item.call.added]
        if people is None or (len(own) < 2 and len(_owners(joined)) == 1):  # noqa: PLR2004 - one of its own
            continue
        for owner in _owners(joined):
            if people.merged not in owner.verdicts:
                owner.verdicts.append(people.merged)


def _middle(items: Sequence[_Item]) -> int:
    """Where to cut so that a delivery's calls stay together while there is more than one delivery."""
    half = len(items) // 2
    starts = [index for index in range(1, len(items)) if items[index].owner is not items[index - 1].owner]
    return min(starts, key=lambda start: abs(start - half), default=half)


def _noted(
    exchange: _Exchange, all_items: Sequence[_Item], items: Sequence[_Item], outcomes: Sequence[Outcome]
) -> list[Outcome]:
    """Adds outcomes and requests to the deliveries of `items`, each with its own calls only."""
    answer = exchange.answer
    for item, outcome in zip(items, outcomes, strict=True):
        item.owner.outcomes.append(outcome)
        if isinstance(outcome, Delivered):
            item.owner.accepted.append(item.call)
    own: dict[int, list[bytes]] = {}
    for item in all_items:
        own.setdefault(id(item.owner), []).append(item.call.body)
    headers = exchange.target.shown_headers(exchange.request.shown_headers)
    confidential = exchange.target.confidential
    response, response_headers = "", {}
    if isinstance(answer, Response):
        # It may quote any of the calls.
        response = confidential.masked(_without_echo(exchange))
        response_headers = confidential.masked_texts(answer.kept_headers)
        response = exchange.redactor.text(response)
        response_headers = exchange.redactor.headers(response_headers)
    for owner in _owners(items):
        calls = own[id(owner)]
        others = len(all_items) - len(calls)
        owner.requests.append(_recorded_request(exchange, headers, calls, others, owner.redactor))
        if isinstance(answer, Response):
            owner.status = answer.status
            owner.response = response
            owner.response_headers = response_headers
    return [*outcomes]


def _owners(items: Sequence[_Item]) -> list[Work]:
    return list({id(item.owner): item.owner for item in items}.values())


def _recorded_request(
    exchange: _Exchange, headers: dict[str, str], calls: Sequence[bytes], others: int, redactor: Redactor
) -> RequestRecord:
    """The request as shown in a delivery's attempt: its own calls only, one per line, without secrets and personal
    data.
    """
    hidden = exchange.target.hidden
    bodies = (redactor.text(hidden.masked(call.decode("utf-8", "replace"))) for call in calls)
    return RequestRecord(
        method=exchange.request.method,
        url=hidden.masked(exchange.request.url),
        headers=headers,
        body="\n".join(bodies)[:MAX_RECORDED_BODY_CHARS],
        others=others,
    )


def _without_echo(exchange: _Exchange) -> str:
    """The beginning of the response, without the credentials that it repeats of the request."""
    answer = exchange.answer
    text = _start_of(answer.body) if isinstance(answer, Response) else ""
    for name, value in exchange.request.headers.items():
        secret = value.rpartition(" ")[2]
        if is_credential(name) and len(secret) >= MIN_CREDENTIAL_CHARS:
            text = text.replace(secret, MASK)
    return text
