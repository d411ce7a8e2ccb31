"""Sends the newest values of a person once more where calls that set them were sent shortly after one another: the
destination may have processed them in another order.

Which calls were sent is known from memory, by the steady clock. What is to be sent once more is stored with the
result of the delivery that sent the newest call, so that it survives a crash at any point. After a crash, the
attempts tell what was sent before.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from nicobar.clock import Clock
from nicobar.connectors import Blocked, Deferred, Delivered, Gone, Outcome, ReadyCall, Refused
from nicobar.connectors.people_calls import Effect, PeopleCalls, kind_of
from nicobar.errors import StoreError
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.model import DeliveryState
from nicobar.pipeline import batching, half_sent
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.gate import Gate
from nicobar.pipeline.retry import Settled
from nicobar.pipeline.sender import SENDING_MS, Sender
from nicobar.pipeline.work import Work
from nicobar.store import DueRepeat, KeptRepeat, RecentOrders, RepeatChange, RepeatEnd, Repeats
from nicobar.store.repeats import REPEAT_AFTER_MS

# Calls that were sent within this time may be processed in another order.
DISORDER_MS = 60_000
# People whose last call is remembered, of one endpoint.
MAX_RECENT_PEOPLE = 100_000
# By how much the clocks of two workers, or one before and after a crash, may differ.
MAX_CLOCK_SKEW_MS = 300_000
# One step sends so many calls.
STEP_CALLS = 100
# After the destination did not accept a call, or deliveries in its order are unfinished.
BACK_OFF_MS = 60_000
LOOK_AGAIN_MS = 5_000


@dataclass(frozen=True, slots=True)
class _Last:
    """The last call that set a person's attributes: when it was sent, with which parcel, and the hash of its body.
    `other_ms` is when the last one was sent that was another one. Repetitions of one call need no order.
    """

    at_ms: int
    parcel: int
    message_seq: int
    body: int
    other_ms: int | None


@dataclass(frozen=True, slots=True)
class _Step:
    """A call of a delivery that changes people, and may have been processed; `is_accepted` says that it was. `sent`
    is the call that it was sent as, which may be joined from several. The people of the effect are digests.
    """

    work: Work
    result: Settled
    call: ReadyCall
    sent: ReadyCall
    effect: Effect
    is_accepted: bool


@dataclass(frozen=True, slots=True)
class _Pending:
    """What is to be sent once more about a person. `joined` includes what is stored with `turn`, `alone` does not.
    `work` is the delivery with whose result it is stored; None for what is stored already.
    """

    order_key: str | None
    turn: int
    joined: ReadyCall | None
    alone: ReadyCall | None
    work: Work | None = None


class Repeating:
    """The calls of one endpoint that are sent once more, under one term of its lease."""

    def __init__(self, *, repeats: Repeats, clock: Clock, metrics: Metrics, term: int) -> None:
        self._repeats = repeats
        self._clock = clock
        self._metrics = metrics
        self._term = term
        self._began_ms = clock.steady_ms()
        self._parcels = 0
        # In the order of their last calls.
        self._recent: OrderedDict[str, _Last] = OrderedDict()
        # Until then, someone who is not remembered may have been sent a call, by the steady clock.
        self._unsure_until_ms = 0
        # What an earlier process has attempted; None until it is needed.
        self._earlier: RecentOrders | None = None
        # When to look at what is stored, by the steady clock; None while nothing is. What an earlier process has left
        # is looked at first.
        self._look_at_ms: int | None = self._began_ms

    # --- what deliveries send ---

    async def changes(
        self, target: OpenEndpoint, settled: Sequence[tuple[Work, Settled]], *, began_ms: int, now_ms: int
    ) -> Mapping[int, tuple[RepeatChange, ...]]:
        """What the results of deliveries change of what is sent once more, by the `id` of the work. They were sent
        after `began_ms`, by the steady clock; `now_ms` is the time from which the next attempt counts.
        """
        people = target.destination.people_calls
        steps = [] if people is None else list(_steps(people, settled))
        if people is None or not steps:
            return {}
        self._parcels += 1
        await self._follow_earlier(target, steps)
        hasty = [self._is_hasty(step, began_ms) for step in steps]
        if not any(hasty) and self._look_at_ms is None:
            return {}
        place = _place(target)
        pending = await self._stored(target, place, steps)
        for step, is_hasty in zip(steps, hasty, strict=True):
            _advance(people, pending, step, is_hasty=is_hasty)
        found: dict[int, list[RepeatChange]] = {}
        for person, item in pending.items():
            if item.work is not None:
                found.setdefault(id(item.work), []).append(_change(target, place, person, item, now_ms))
                if item.alone is not None and people.repeated not in item.work.verdicts:
                    item.work.verdicts.append(people.repeated)
        if found:
            self._look_within(REPEAT_AFTER_MS)
        return {work: tuple(changes) for work, changes in found.items()}

    async def _follow_earlier(self, target: OpenEndpoint, steps: Sequence[_Step]) -> None:
        """Within a minute after an earlier process has sent something, its calls count."""
        is_new = self._clock.steady_ms() - self._began_ms <= DISORDER_MS
        if is_new and self._earlier is None and any(step.effect.sets for step in steps):
            since_ms = self._clock.now_ms() - DISORDER_MS - MAX_CLOCK_SKEW_MS
            try:
                self._earlier = await self._repeats.recent_orders(target.endpoint.seq, since_ms=since_ms)
            except StoreError as error:
                log.warning("recent attempts not read", endpoint_id=target.endpoint.id, code=error.code)

    def _is_hasty(self, step: _Step, began_ms: int) -> bool:
        """Remembers a call that sets attributes; whether another one of the person was sent shortly before."""
        if not step.effect.sets:
            return False
        now_ms = self._clock.steady_ms()
        (person,) = step.effect.people
        message_seq, body = step.work.claimed.message.seq, hash(step.sent.body)
        last = self._recent.get(person)
        if last is None:
            other_ms = began_ms if self._may_be_recent(step, began_ms) else None
        elif last.body == body and (last.parcel == self._parcels or last.message_seq == message_seq):
            other_ms = last.other_ms
        else:
            other_ms = last.at_ms
        self._recent[person] = _Last(now_ms, self._parcels, message_seq, body, other_ms)
        self._recent.move_to_end(person)
        self._forget(now_ms)
        return other_ms is not None and began_ms - other_ms <= DISORDER_MS

    def _may_be_recent(self, step: _Step, began_ms: int) -> bool:
        """Whether someone who is not remembered may have been sent a call shortly before."""
        if began_ms <= self._unsure_until_ms:
            return True
        if began_ms - self._began_ms > DISORDER_MS:
            return False
        earlier, order_key = self._earlier, step.work.claimed.order_key
        # An event without an order may be about anyone.
        return (
            earlier is None
            or not earlier.is_whole
            or order_key in earlier.order_keys
            or (order_key is None and bool(earlier.order_keys))
        )

    def _forget(self, now_ms: int) -> None:
        while self._recent:
            last = next(iter(self._recent.values()))
            if last.at_ms + DISORDER_MS >= now_ms:
                if len(self._recent) <= MAX_RECENT_PEOPLE:
                    return
                self._unsure_until_ms = last.at_ms + DISORDER_MS
            self._recent.popitem(last=False)

    async def _stored(self, target: OpenEndpoint, place: str, steps: Sequence[_Step]) -> dict[str, _Pending]:
        """What is stored of the people of some calls, and of others in the same order, by person. Nothing if it
        cannot be read: what was sent now is stored alone.
        """
        people = {person for step in steps for person in step.effect.people}
        orders = {step.work.claimed.order_key for step in steps}
        try:
            rows = await self._repeats.repeats_of_people(
                target.endpoint.seq, people, [order_key for order_key in orders if order_key is not None]
            )
        except StoreError as error:
            log.warning("repeats not read", endpoint_id=target.endpoint.id, code=error.code)
            return {}
        return {row.person: _kept(target, place, row) for row in rows}

    # --- what is sent once more ---

    def _look_within(self, wait_ms: int) -> None:
        at_ms = self._clock.steady_ms() + wait_ms
        if self._look_at_ms is None or at_ms < self._look_at_ms:
            self._look_at_ms = at_ms

    def set_clock(self) -> None:
        """The machine's clock was set, and what is stored moved along."""
        self._look_within(0)

    @property
    def is_due(self) -> bool:
        """Whether there may be something to send now."""
        return self._look_at_ms is not None and self._look_at_ms <= self._clock.steady_ms()

    @property
    def wait_ms(self) -> int | None:
        """The milliseconds until there may be something to send; None if nothing is stored."""
        if self._look_at_ms is None:
            return None
        return self._look_at_ms - self._clock.steady_ms() if not self.is_due else LOOK_AGAIN_MS

    async def due(self, target: OpenEndpoint) -> list[DueRepeat]:
        """What is to be sent now. Raises StoreError."""
        endpoint_seq, now_ms = target.endpoint.seq, self._clock.now_ms()
        self._look_at_ms = self._clock.steady_ms() + LOOK_AGAIN_MS
        next_at_ms = await self._repeats.next_repeat_at_ms(endpoint_seq)
        if next_at_ms is None or next_at_ms > now_ms:
            self._look_at(next_at_ms, now_ms)
            return []
        found = await self._repeats.due_repeats(endpoint_seq, term=self._term, now_ms=now_ms, limit=STEP_CALLS)
        if not found:
            await self._settle(target, [])
        return found

    async def send(self, target: OpenEndpoint, gate: Gate, sender: Sender, due: Sequence[DueRepeat]) -> None:
        """Sends calls once more, in as few requests as possible. Raises StoreError if the results are not stored:
        then they are sent again.
        """
        place = _place(target)
        calls = [(item, half_sent.unpacked(target, place, item.content)) for item in due]
        ready = [(item, call) for item, call in calls if call is not None]
        # The endpoint leads elsewhere now, or identifies people otherwise.
        ended = [RepeatEnd(person=item.person, turn=item.turn) for item, call in calls if call is None]
        deadline_ms = self._clock.steady_ms() + SENDING_MS
        for start, end in batching.requests([call for _, call in ready], target.destination.batch_bounds):
            some = ready[start:end]
            outcomes = await sender.send_calls(target, [call for _, call in some], gate, deadline_ms)
            ended += [self._ended(target, item, outcome) for (item, _), outcome in zip(some, outcomes, strict=True)]
        await self._settle(target, ended)

    def _ended(self, target: OpenEndpoint, item: DueRepeat, outcome: Outcome) -> RepeatEnd:
        endpoint, now_ms = target.endpoint, self._clock.now_ms()
        end = RepeatEnd(person=item.person, turn=item.turn)
        match outcome:
            case Delivered():
                self._metrics.repeated.labels(endpoint.name).inc()
                # Until then, the next call may still be processed before this one.
                return msgspec.structs.replace(end, due_at_ms=now_ms + DISORDER_MS, sent_at_ms=now_ms)
            case Refused(reason=why):
                log.warning("repeat rejected", endpoint_id=endpoint.id, reason=why.without_texts().text())
                return end
            case Deferred(retry_after_ms=retry_after_ms):
                return msgspec.structs.replace(end, due_at_ms=now_ms + max(retry_after_ms or 0, BACK_OFF_MS))
            case Blocked() | Gone():
                return msgspec.structs.replace(end, due_at_ms=now_ms + BACK_OFF_MS)

    async def _settle(self, target: OpenEndpoint, ended: Sequence[RepeatEnd]) -> None:
        """Stores results, and finds out when to look again."""
        endpoint_seq, now_ms = target.endpoint.seq, self._clock.now_ms()
        await self._repeats.settle_repeats(endpoint_seq, term=self._term, now_ms=now_ms, ended=ended)
        next_at_ms = await self._repeats.next_repeat_at_ms(endpoint_seq)
        if ended or next_at_ms is None or next_at_ms > now_ms:
            self._look_at(next_at_ms, now_ms)
        # What is due, and was not found, waits for deliveries.

    def _look_at(self, next_at_ms: int | None, now_ms: int) -> None:
        wait_ms = None if next_at_ms is None else max(0, next_at_ms - now_ms)
        self._look_at_ms = None if wait_ms is None else self._clock.steady_ms() + wait_ms


def digest(person: str) -> str:
    """Identifies a person in the database: the kind of identifier, and a digest of its value."""
    return f"{kind_of(person)}:{hashlib.blake2b(person.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def _steps(people: PeopleCalls, settled: Sequence[tuple[Work, Settled]]) -> Iterator[_Step]:
    """The calls that change people, in the order in which they were sent."""
    for work, result in settled:
        if work.ready is None or not (work.accepted or work.left):
            continue
        accepted = {id(call) for call in work.accepted}
        is_open = not all(isinstance(outcome, Delivered | Refused) for outcome in work.outcomes)
        for call in work.ready.calls:
            is_accepted = id(call) in accepted
            # Without an answer, it may have been processed.
            if is_accepted or (is_open and work.left):
                effect = people.effect(call)
                if effect.changes:
                    effect = msgspec.structs.replace(effect, people=tuple(map(digest, effect.people)))
                    yield _Step(work, result, call, work.sent_as.get(id(call), call), effect, is_accepted)


def _advance(people: PeopleCalls, pending: dict[str, _Pending], step: _Step, *, is_hasty: bool) -> None:
    """What is to be sent once more after a call."""
    order_key = step.work.claimed.order_key
    if not step.is_accepted and step.result.state is DeliveryState.PENDING:
        return  # it is sent again, and before anything is sent once more
    if step.is_accepted and step.effect.sets:
        (person,) = step.effect.people
        for other, item in pending.items():
            # Another kind of identifier may name the same person: nothing newer is overwritten.
            if kind_of(other) != kind_of(person) and item.order_key == order_key:
                pending[other] = _dropped(item, step.work)
        before = pending.get(person)
        if before is None and not is_hasty:
            return
        joined = alone = step.call
        if before is not None and before.order_key == order_key and order_key is not None:
            joined = _joined(people, before.joined, step.call)
            alone = _joined(people, before.alone, step.call) if before.work is not None else step.call
        pending[person] = _Pending(order_key, before.turn if before else 0, joined, alone, step.work)
        return
    for person, item in pending.items():
        if person in step.effect.people or (step.effect.is_anyone and item.order_key == order_key):
            pending[person] = _dropped(item, step.work)


def _joined(people: PeopleCalls, earlier: ReadyCall | None, later: ReadyCall) -> ReadyCall:
    """The call with the effect of both; the later one if there is none."""
    return later if earlier is None else people.joined(earlier, later) or later


def _dropped(item: _Pending, work: Work) -> _Pending:
    return replace(item, joined=None, alone=None, work=work)


def _place(target: OpenEndpoint) -> str:
    """Changes with the workspace and every setting of the endpoint."""
    settings = msgspec.json.encode(target.endpoint.settings, order="deterministic")
    return f"{target.destination.workspaces[-1:]} {hashlib.sha256(settings).hexdigest()}"


def _kept(target: OpenEndpoint, place: str, row: KeptRepeat) -> _Pending:
    call = None if row.is_sent else half_sent.unpacked(target, place, row.content)
    return _Pending(row.order_key, row.turn, call, None)


def _change(target: OpenEndpoint, place: str, person: str, item: _Pending, now_ms: int) -> RepeatChange:
    if item.joined is None or item.alone is None:
        return RepeatChange(person=person)
    return RepeatChange(
        person=person,
        order_key=item.order_key,
        due_at_ms=now_ms + REPEAT_AFTER_MS,
        turn=item.turn,
        joined=half_sent.packed(target, place, item.joined),
        alone=half_sent.packed(target, place, item.alone),
    )
