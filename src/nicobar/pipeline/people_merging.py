"""Carries out merges of people that users asked for, one step of each in turn: the primary is identified, and merged
with the secondary a while later, since a destination may not find a person that it has just accepted.

Each step is repeated after a crash: an identify without attributes changes no person, and merging one who is gone
does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from nicobar.clock import Clock
from nicobar.connectors import Blocked, Deferred, Delivered, Destination, Gone, ReadyCall, Refused, Transport
from nicobar.connectors.inspection import Profile, Unanswered
from nicobar.errors import StoreError
from nicobar.logs import log
from nicobar.model import Endpoint
from nicobar.people import IdentityRule
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.reasons import Reason, reason
from nicobar.store import Merge, MergeStatus, Pair, PairState, Store

# The destination needs this long to find a person that it has just accepted.
SETTLE_MS = 60_000
# A step of a merge, and the time between two steps: at most so many people a second.
MAX_STEP_PAIRS = 50
# Pairs whose primary is looked up first, at one request each.
MAX_LOOKED_UP_PAIRS = 5
STEP_MS = 1_000
# After a destination did not accept, or could not be reached.
BACK_OFF_MS = 60_000


class PeopleMerger:
    """Works on the open merges. `endpoints` are those that can be used; `may_send` says whether this process still
    may send something.
    """

    def __init__(
        self,
        *,
        store: Store,
        endpoints: Callable[[], Mapping[int, OpenEndpoint]],
        transport: Transport,
        asking: Transport,
        clock: Clock,
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._endpoints = endpoints
        self._transport = transport
        self._asking = asking
        self._clock = clock
        self._may_send = may_send
        # When each merge goes on, by steady time.
        self._resting: dict[int, int] = {}
        # When what was identified last has settled, by steady time: a clock that is set changes no wait. What another
        # process identified counts as identified when this one first sees the merge.
        self._settled: dict[int, int] = {}
        # Merges of which the destination rejected a whole request: each call has one of its own.
        self._alone: set[int] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set. A restart continues where this process stopped."""
        while not await self._clock.wait(stop, STEP_MS):
            try:
                await self.turn()
            except StoreError as error:
                log.error("merging people failed", code=error.code, detail=error.detail)
            except Exception:  # noqa: BLE001 - an unexpected error must not end all merges
                log.exception("merging people failed")

    async def turn(self) -> None:
        """One step of each open merge. Raises StoreError."""
        open_merges = await self._store.open_merges()
        for merge in open_merges:
            if merge.seq not in self._resting and merge.counts.get(PairState.IDENTIFIED):
                self._settled[merge.seq] = self._clock.steady_ms() + SETTLE_MS
        self._resting = {merge.seq: self._resting.get(merge.seq, 0) for merge in open_merges}
        self._alone &= self._resting.keys()
        self._settled = {seq: at_ms for seq, at_ms in self._settled.items() if seq in self._resting}
        for merge in open_merges:
            if self._resting[merge.seq] <= self._clock.steady_ms() and self._may_send():
                await self._step(merge)

    async def _step(self, merge: Merge) -> None:
        opened = self._endpoints().get(merge.endpoint_seq)
        if opened is None:
            # The configuration of this process may be a moment old.
            known = (await self._store.snapshot()).endpoints
            if all(endpoint.seq != merge.endpoint_seq for endpoint in known):
                why = reason("endpoint_removed", "The endpoint of this merge was deleted.")
                await self._end(merge, MergeStatus.STOPPED, why)
            return
        if opened.endpoint.disabled or opened.endpoint.paused_reason is not None:
            return
        destination = opened.destination
        if destination.people_merging is None or rule_text(destination.identity_rule) != merge.rule:
            why = reason(
                "rule_changed",
                "What identifies people was changed after the merge began (%(rule)s).",
                "Preview and start a new merge.",
                rule=merge.rule,
            )
            await self._end(merge, MergeStatus.STOPPED, why)
            return
        limit = 1 if merge.seq in self._alone else step_pairs(opened.endpoint)
        if waiting := await self._store.pairs_to_do(merge.seq, PairState.WAITING, limit=limit):
            await self._identify(merge, destination, waiting)
            self._settled[merge.seq] = self._clock.steady_ms() + SETTLE_MS
        elif self._settled.get(merge.seq, 0) > self._clock.steady_ms():
            return
        elif ready := await self._store.pairs_to_do(merge.seq, PairState.IDENTIFIED, limit=limit):
            await self._merge_people(merge, destination, ready)
        elif not any(merge.counts.get(state) for state in (PairState.WAITING, PairState.IDENTIFIED)):
            await self._end(merge, MergeStatus.FINISHED, None)

    async def _identify(self, merge: Merge, destination: Destination, pairs: Sequence[Pair]) -> None:
        merging = destination.people_merging
        if merging is None:
            raise AssertionError(merge.id)
        calls = [(pair, merging.identify_call(pair.primary)) for pair in pairs]
        done = [_rejected(pair, call) for pair, call in calls if isinstance(call, Reason)]
        ready = [(pair, call) for pair, call in calls if not isinstance(call, Reason)]
        await self._send(merge, destination, ready, done, PairState.IDENTIFIED)

    async def _merge_people(self, merge: Merge, destination: Destination, pairs: Sequence[Pair]) -> None:
        merging = destination.people_merging
        if merging is None:
            raise AssertionError(merge.id)
        unfinished = await self._store.unfinished_among(merge.endpoint_seq, [pair.secondary.value for pair in pairs])
        done = [_skipped(pair, _UNFINISHED) for pair in pairs if pair.secondary.value in unfinished]
        ready: list[tuple[Pair, ReadyCall]] = []
        looked_up = 0
        for pair in pairs:
            if pair.secondary.value in unfinished:
                continue
            if needs_look(pair):
                if looked_up == MAX_LOOKED_UP_PAIRS:
                    continue  # with a later step
                looked_up += 1
                why_not = await self._why_not(destination, pair)
                if isinstance(why_not, Unanswered):
                    await self._rest(merge, why_not.reason)
                    break
                if why_not is not None:
                    # One person already is as good as merged: no later merge is about them.
                    state = PairState.MERGED if why_not.code == ONE_PERSON else PairState.SKIPPED
                    done.append(msgspec.structs.replace(pair, state=state, reason=why_not))
                    continue
            call = merging.merge_call(pair.primary, pair.secondary)
            if isinstance(call, Reason):
                done.append(_rejected(pair, call))
            else:
                ready.append((pair, call))
        await self._send(merge, destination, ready, done, PairState.MERGED)

    async def _why_not(self, destination: Destination, pair: Pair) -> Reason | Unanswered | None:
        """Why a pair of which one is identified by email is not merged; None if it is. The person with the address
        may be the other one. What a merge of a person with itself does is documented nowhere.
        """
        inspection = destination.inspection
        if inspection is None:
            return NEEDS_LOOK
        people = await inspection.people(self._asking, address_of(pair))
        return people if isinstance(people, Unanswered) else why_not_merged(pair, people)

    async def _send(
        self,
        merge: Merge,
        destination: Destination,
        ready: Sequence[tuple[Pair, ReadyCall]],
        done: list[Pair],
        state: PairState,
    ) -> None:
        """Sends the calls in one request and stores what came of each. Those that may pass later stay as they are."""
        rest: tuple[Reason, int] | None = None
        if ready and self._may_send():
            calls = [call for _, call in ready]
            answer = await self._transport.send(destination.pack(calls))
            for (pair, _), outcome in zip(ready, destination.read(calls, answer), strict=True):
                match outcome:
                    case Delivered():
                        done.append(
                            msgspec.structs.replace(
                                pair, state=state, changed_at_ms=self._clock.now_ms(), reason=None
                            )
                        )
                    case Refused(reason=why):
                        done.append(_rejected(pair, why))
                    case Deferred(alone=True):
                        self._alone.add(merge.seq)
                    case Deferred(reason=why, retry_after_ms=retry_after_ms):
                        rest = why, max(retry_after_ms or 0, BACK_OFF_MS)
                    case Blocked(reason=why) | Gone(reason=why):
                        rest = why, BACK_OFF_MS
        await self._store.put_pairs(merge.seq, done, now_ms=self._clock.now_ms())
        if rest is not None:
            await self._rest(merge, *rest)

    async def _rest(self, merge: Merge, why: Reason, wait_ms: int = BACK_OFF_MS) -> None:
        self._resting[merge.seq] = self._clock.steady_ms() + wait_ms
        await self._store.put_merge(merge.seq, MergeStatus.RUNNING, why, now_ms=self._clock.now_ms())

    async def _end(self, merge: Merge, status: MergeStatus, why: Reason | None) -> None:
        await self._store.put_merge(merge.seq, status, why, now_ms=self._clock.now_ms())
        log.info("merge of people ended", merge_id=merge.id, endpoint_id=merge.endpoint_id, status=status.value)


ONE_PERSON = "merge_one_person"
NEEDS_LOOK = reason(
    "merge_needs_look",
    "People are identified by email, so the two may already be one person, which only the destination knows.",
    "Add an App API key in the endpoint's settings.",
)
_UNFINISHED = reason(
    "merge_unfinished",
    "Deliveries of this customer under the old identifier are still waiting.",
    "Start another merge when they are finished.",
)


def rule_text(rule: IdentityRule | None) -> str:
    """A rule with its fallback, to tell whether it was changed."""
    return "" if rule is None else f"{rule} {rule.fallback.value}"


def step_pairs(endpoint: Endpoint) -> int:
    """How many people a step is about: not more than the endpoint may be sent in the time of a step."""
    return max(1, min(MAX_STEP_PAIRS, endpoint.max_messages_per_s or MAX_STEP_PAIRS))


def needs_look(pair: Pair) -> bool:
    """Whether only the destination knows that these are two people: an id and an email may belong to one."""
    return pair.primary.kind != pair.secondary.kind


def address_of(pair: Pair) -> str:
    """The email address of a pair of which one is identified by it."""
    return (pair.primary if pair.primary.kind == "email" else pair.secondary).value


def why_not_merged(pair: Pair, people: Sequence[Profile]) -> Reason | None:
    """Why a pair is not merged, from the people with the one's address; None if it is."""
    other = pair.secondary if pair.primary.kind == "email" else pair.primary
    if any(person.id == other.value for person in people):
        return reason(ONE_PERSON, "They are already one person at the destination.")
    if len(people) > 1:
        return reason("merge_ambiguous", "Several people at the destination have the email address.")
    if not people:
        return reason("merge_nobody", "No person at the destination has the email address.")
    if pair.secondary.kind == "email" and people[0].id not in {"", pair.customer_key}:
        return reason(
            "merge_other_person",
            "The person at the destination with the email address has an ID of your app, and may be another "
            "customer.",
        )
    return None


def _rejected(pair: Pair, why: Reason) -> Pair:
    return msgspec.structs.replace(pair, state=PairState.REJECTED, reason=why)


def _skipped(pair: Pair, why: Reason) -> Pair:
    return msgspec.structs.replace(pair, state=PairState.SKIPPED, reason=why)
