"""Repeats the newest values of a person where calls that set them were sent shortly after one another: the
destination may have processed them in another order.

Which calls were sent is known from memory, by the steady clock. What is to be repeated is stored with the
result of the delivery that sent the newest call, so that it survives a crash at any point. After a crash, the
attempts tell what was sent before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import msgspec

from nicobar.clock import Clock
from nicobar.connectors import Blocked, Deferred, Delivered, Gone, Outcome, ReadyCall, Refused
from nicobar.connectors.people_calls import Effect, PeopleCalls, kind_of
from nicobar.errors import StoreError
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.model import DeliveryState
from nicobar.people import outline
from nicobar.pipeline import batching, half_sent
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.gate import Gate
from nicobar.pipeline.recent_calls import DISORDER_MS, RecentCalls, Sent, Workspaces, name_of
from nicobar.pipeline.retry import Settled
from nicobar.pipeline.sender import SENDING_MS, Sender
from nicobar.pipeline.work import Work
from nicobar.store import DueRepeat, KeptRepeat, RecentOrders, RepeatChange, RepeatEnd, Repeats, RepeatSteps
from nicobar.store.repeats import REPEAT_AFTER_MS

# By how much the clocks of two workers, or one before and after a crash, may differ.
MAX_CLOCK_SKEW_MS = 300_000
# One step sends so many calls.
STEP_CALLS = 100
# After the destination did not accept a call, or deliveries in its order are unfinished.
BACK_OFF_MS = 60_000
LOOK_AGAIN_MS = 5_000


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
class _Steps:
    """`RepeatSteps` of one delivery. `hasty` says of each call whether another one was sent shortly before it."""

    target: OpenEndpoint
    people_calls: PeopleCalls
    order_key: str | None
    beside: Sequence[int]
    due_at_ms: int
    steps: Sequence[_Step]
    hasty: Sequence[bool]

    @property
    def place(self) -> str:
        return _place(self.target)

    @property
    def people(self) -> frozenset[str]:
        return frozenset(person for step in self.steps for person in step.effect.people)

    def changes(self, kept: Mapping[str, KeptRepeat]) -> Sequence[RepeatChange]:
        known, found = dict(kept), dict[str, RepeatChange]()
        for step, is_hasty in zip(self.steps, self.hasty, strict=True):
            for change in self._changes(step, list(known.values()), is_hasty=is_hasty):
                found[change.person] = change
                known.pop(change.person, None)
                if change.content is not None:
                    known[change.person] = KeptRepeat(
                        person=change.person, order_key=change.order_key, is_sent=False, content=change.content
                    )
        return list(found.values())

    def _changes(self, step: _Step, known: Sequence[KeptRepeat], *, is_hasty: bool) -> Iterator[RepeatChange]:
        if not step.is_accepted and step.result.state is DeliveryState.PENDING:
            return  # it is sent again, and before anything is repeated
        effect = step.effect
        if not (step.is_accepted and effect.sets):
            for other in known:
                if other.person in effect.people or (effect.is_anyone and other.order_key == self.order_key):
                    yield RepeatChange(person=other.person)
            return
        (person,) = effect.people
        before = next((item for item in known if item.person == person), None)
        for other in known:
            # Another kind of identifier may name the same person: nothing newer is overwritten.
            is_same_order = self.order_key is not None and other.order_key == self.order_key
            if is_same_order and kind_of(other.person) != kind_of(person):
                yield RepeatChange(person=other.person)
        if before is not None or is_hasty:
            content = half_sent.packed(self.target, _made_for(self.target), self._joined(before, step.call))
            yield RepeatChange(person=person, order_key=self.order_key, due_at_ms=self.due_at_ms, content=content)

    def _joined(self, before: KeptRepeat | None, call: ReadyCall) -> ReadyCall:
        """The newest call with what is kept from before; what was repeated is not sent again."""
        if before is None or before.is_sent or self.order_key is None or before.order_key != self.order_key:
            return call
        earlier = half_sent.unpacked(self.target, _made_for(self.target), before.content)
        return call if earlier is None else self.people_calls.joined(earlier, call) or call


class Repeating:
    """The calls of one endpoint that are repeated, under one term of its lease."""

    def __init__(
        self, *, repeats: Repeats, workspaces: Workspaces, clock: Clock, metrics: Metrics, term: int
    ) -> None:
        self._repeats = repeats
        self._workspaces = workspaces
        self._clock = clock
        self._metrics = metrics
        self._term = term
        self._began_ms = clock.steady_ms()
        # What an earlier process has attempted; None until it is needed.
        self._earlier: RecentOrders | None = None
        # When to look at what is stored, by the steady clock; None while nothing is. What an earlier process has left
        # is looked at first.
        self._look_at_ms: int | None = self._began_ms

    # --- what deliveries send ---

    async def steps(
        self, target: OpenEndpoint, settled: Sequence[tuple[Work, Settled]], *, began_ms: int, now_ms: int
    ) -> Mapping[int, RepeatSteps]:
        """What the results of deliveries change of what is repeated, by the `id` of the work. They were sent
        after `began_ms`, by the steady clock; `now_ms` is the time from which the next attempt counts.
        """
        people = target.destination.people_calls
        steps = [] if people is None else list(_steps(people, settled))
        if people is None or not steps:
            return {}
        recent, beside = self._workspaces.calls(target), self._workspaces.beside(target)
        await self._follow_earlier([target.endpoint.seq, *beside], steps)
        recent.parcels += 1
        # What another process sends to the workspace is not known.
        is_shared = not all(map(self._workspaces.holds, beside))
        hasty = [self._is_hasty(recent, step, began_ms, is_shared=is_shared) for step in steps]
        if not any(hasty) and self._look_at_ms is None and not beside:
            return {}
        self._look_within(REPEAT_AFTER_MS)
        found: dict[int, RepeatSteps] = {}
        for key, pairs in groupby(zip(steps, hasty, strict=True), key=lambda pair: id(pair[0].work)):
            own, are_hasty = zip(*pairs, strict=True)
            work = own[0].work
            if any(is_hasty and step.is_accepted for step, is_hasty in zip(own, are_hasty, strict=True)):
                work.verdicts.append(people.repeated)
            found[key] = _Steps(
                target=target,
                people_calls=people,
                order_key=work.claimed.order_key,
                beside=beside,
                due_at_ms=now_ms + REPEAT_AFTER_MS,
                steps=own,
                hasty=are_hasty,
            )
        return found

    async def _follow_earlier(self, endpoint_seqs: Sequence[int], steps: Sequence[_Step]) -> None:
        """Within a minute after an earlier process has sent something, its calls count."""
        is_new = self._clock.steady_ms() - self._began_ms <= DISORDER_MS
        if not is_new or self._earlier is not None or not any(step.effect.sets for step in steps):
            return
        since_ms = self._clock.now_ms() - DISORDER_MS - MAX_CLOCK_SKEW_MS
        try:
            found = [await self._repeats.recent_orders(seq, since_ms=since_ms) for seq in endpoint_seqs]
        except StoreError as error:
            log.warning("recent attempts not read", code=error.code)
            return
        order_keys = frozenset(order_key for orders in found for order_key in orders.order_keys)
        self._earlier = RecentOrders(order_keys=order_keys, is_whole=all(orders.is_whole for orders in found))

    def _is_hasty(self, recent: RecentCalls, step: _Step, began_ms: int, *, is_shared: bool) -> bool:
        """Remembers a call that sets attributes; whether another one of the person was sent shortly before."""
        if not step.effect.sets:
            return False
        (person,) = step.effect.people
        message_seq = step.work.claimed.message.seq
        sent = Sent(person=person, message_seq=message_seq, call=step.sent, parcel=recent.parcels, began_ms=began_ms)
        now_ms = self._clock.steady_ms()
        return recent.add(sent, now_ms, may_be_recent=self._may_be_recent(step, began_ms)) or is_shared

    def _may_be_recent(self, step: _Step, began_ms: int) -> bool:
        """Whether an earlier process may have sent someone a call shortly before."""
        if began_ms - self._began_ms > DISORDER_MS:
            return False
        earlier, order_key = self._earlier, step.work.claimed.order_key
        if earlier is None or not earlier.is_whole:
            return True
        # An event without an order may be about anyone.
        return order_key in earlier.order_keys or (order_key is None and bool(earlier.order_keys))

    # --- what is repeated ---

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
        beside = self._workspaces.beside(target)
        found = await self._repeats.due_repeats(
            endpoint_seq, term=self._term, now_ms=now_ms, limit=STEP_CALLS, beside=beside
        )
        if not found:
            await self._settle(target, [])
        return found

    async def send(self, target: OpenEndpoint, gate: Gate, sender: Sender, due: Sequence[DueRepeat]) -> None:
        """Repeats calls, in as few requests as possible. Raises StoreError if the results are not stored:
        then they are sent again.
        """
        calls = [(item, half_sent.unpacked(target, _made_for(target), item.content)) for item in due]
        ready = [(item, call) for item, call in calls if call is not None]
        # The endpoint leads elsewhere now, or identifies people otherwise.
        ended = [_end(item) for item, call in calls if call is None]
        deadline_ms = self._clock.steady_ms() + SENDING_MS
        for start, end in batching.requests([call for _, call in ready], target.destination.batch_bounds):
            some = ready[start:end]
            outcomes = await sender.send_calls(target, [call for _, call in some], gate, deadline_ms)
            # What was not sent stays due.
            ended += [self._ended(target, item, outcome) for (item, _), outcome in zip(some, outcomes, strict=False)]
        await self._settle(target, ended)

    def _ended(self, target: OpenEndpoint, item: DueRepeat, outcome: Outcome) -> RepeatEnd:
        endpoint, now_ms = target.endpoint, self._clock.now_ms()
        end = _end(item)
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


def _end(item: DueRepeat) -> RepeatEnd:
    return RepeatEnd(place=item.place, person=item.person, turn=item.turn)


def _place(target: OpenEndpoint) -> str:
    return hashlib.sha256(name_of(target).encode("utf-8", "surrogatepass")).hexdigest()


def _made_for(target: OpenEndpoint) -> str:
    """Changes with the workspace and with what identifies people: then a call may be about other people. The secret
    variables of another endpoint cannot be put in their places.
    """
    of_secrets = target.endpoint.id if target.hidden else ""
    return f"{_place(target)} {outline(target.destination.identity_rule)} {of_secrets}"
