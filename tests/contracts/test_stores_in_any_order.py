"""Whatever happens in whatever order: nothing is lost, nothing is held twice, no customer's order is broken."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts.test_stores import claim, done, endpoint, message
from nicobar.model import DeliveryState
from nicobar.reasons import reason
from nicobar.store import Claimed, NewTask, ReplayFilter, Resent, Shares, Store, Task, TaskKind, TaskStatus
from nicobar.store.leases import endpoint_lease
from support.store import STORES, asking, clean_store, drop_store, open_store

FINAL = [DeliveryState.SUCCESS, DeliveryState.FAILED, DeliveryState.CANCELED]
CANCELED = reason("canceled_by_hand", "canceled by hand")
FINISHED = ReplayFilter(states=tuple(FINAL))


@dataclass
class Expected:
    """What the store has to know of one delivery. `ended` is how it ended last. `was` is set while the latest
    replay has moved it and nothing of it was sent since: the tries that it had before; `was_canceled` is that once
    the replay was canceled while the delivery was held.
    """

    message_id: str
    customer: str | None
    due_at_ms: int
    position: int
    tries: int = 0
    finished: bool = False
    ended: DeliveryState | None = None
    was: int | None = None
    was_canceled: int | None = None
    held: Claimed | None = None
    ends_at_ms: int = 0


class Place:
    """A database that is new for each story. A server's is cleaned, and its connections are kept: a new one costs
    more than the rest of a story.
    """

    def __init__(self, database: str) -> None:
        self.database = database
        self.runner = asyncio.Runner()
        self.stack = ExitStack()
        self.stores: list[Store] = []

    def begin(self) -> None:
        """Two processes open it."""
        if self.database == "postgres" and self.stores:
            assert clean_store(self.directory)
            return
        self.end()
        self.directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.stack.callback(drop_store, self.directory)
        self.stores = [self.opened(), self.opened()]
        self.rows = self.stack.enter_context(asking(self.directory))

    def opened(self) -> Store:
        return self.runner.run(open_store(self.directory, database=self.database))

    def reopen(self, store: Store) -> Store:
        """What a process that ends leaves to the next one: with a server, nothing of its own."""
        if self.database == "postgres":
            return store
        self.runner.run(store.close())
        self.stores.remove(store)
        self.stores.append(self.opened())
        return self.stores[-1]

    def end(self) -> None:
        for store in self.stores:
            self.runner.run(store.close())
        self.stores = []
        self.stack.close()


class AnyOrder(RuleBasedStateMachine):
    place: Place

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 1_000
        self.expected: list[Expected] = []
        self.leases: list[tuple[Expected, Claimed]] = []
        self.attempts = 0
        self.asked = 0
        self.workers = 0
        self.replay: Task | None = None

    def ask(self, awaitable):
        return self.place.runner.run(awaitable)

    @initialize()
    def start(self) -> None:
        self.place.begin()
        self.store, self.other = self.place.stores
        self.ask(self.store.change([self.ask(endpoint(self.store, "ep_1"))]))
        (self.app,) = self.ask(self.store.snapshot()).applications

    def heads(self) -> list[Expected]:
        """The unfinished deliveries, of each customer only the first."""
        heads: dict[object, Expected] = {}
        for entry in sorted(self.expected, key=lambda item: item.position):
            if not entry.finished:
                heads.setdefault(entry.customer or entry.message_id, entry)
        return list(heads.values())

    def claimable(self) -> list[Expected]:
        """Those that are due and that nobody holds."""
        return [head for head in self.heads() if (head.ends_at_ms if head.held else head.due_at_ms) <= self.now_ms]

    @rule(customer=st.sampled_from(["a", "b", None]))
    def append(self, customer) -> None:
        number = len(self.expected)
        new = msgspec.structs.replace(message(number, customer, accepted_at_ms=self.now_ms), app_id=self.app.id)
        assert not self.ask(self.store.append(new)).duplicate
        self.expected.append(Expected(f"msg_{number}", customer, self.now_ms, self.next_position()))

    def next_position(self) -> int:
        self.asked += 1
        return self.asked

    def put_back(self, expected: Expected) -> None:
        expected.finished, expected.tries, expected.due_at_ms, expected.position = (
            False,
            0,
            self.now_ms,
            self.next_position(),
        )

    def state_of(self, expected: Expected) -> DeliveryState:
        (delivery,) = self.ask(self.store.deliveries(expected.message_id))
        return delivery.state

    def add_replay(self) -> Task:
        finished = sum(item.finished for item in self.expected)
        assert self.ask(self.store.count_replay(1, FINISHED)).deliveries == finished
        task = NewTask(
            id=f"qtask_{self.next_position()}",
            app_id=self.app.id,
            endpoint_seq=1,
            endpoint_id="ep_1",
            kind=TaskKind.BULK_REPLAY,
            filter=FINISHED,
            new_ids=False,
            expected=finished,
            created_at_ms=self.now_ms,
        )
        return self.ask(self.store.add_task(task))

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def resend(self, data) -> None:
        item = data.draw(st.sampled_from(self.expected))
        resent = self.ask(self.store.resend(item.message_id, "ep_1", now_ms=self.now_ms, new_ids=False))
        if item.finished:
            assert resent is Resent.QUEUED
            self.put_back(item)
        elif item.held:
            assert resent is Resent.SENDING
        elif item in self.heads():
            assert resent is Resent.HASTENED
            item.due_at_ms, item.was = self.now_ms, None
        else:
            assert resent is Resent.BEHIND

    @precondition(lambda self: not self.a_replay_runs())
    @rule(limit=st.integers(1, 3), crashes=st.booleans())
    def replay_what_is_finished(self, limit, crashes) -> None:
        finished = [item for item in self.expected if item.finished]
        task = self.add_replay()
        while self.ask(self.store.open_tasks()):
            if crashes:
                self.the_process_ends_and_another_takes_over()
            self.ask(self.store.work_on_task(task.id, now_ms=self.now_ms, limit=limit))
        assert self.ask(self.store.task(task.id)).moved == len(finished)
        for entry in finished:
            self.put_back(entry)

    def a_replay_runs(self) -> bool:
        return self.replay is not None and self.replay.status is TaskStatus.RUNNING

    @precondition(lambda self: not self.a_replay_runs())
    @rule()
    def begin_a_replay(self) -> None:
        self.forget_the_replay()
        self.replay = self.add_replay()

    @precondition(a_replay_runs)
    @rule(limit=st.integers(1, 3))
    def go_on_with_the_replay(self, limit) -> None:
        finished = [item for item in self.expected if item.finished]
        task = self.ask(self.store.work_on_task(self.replay.id, now_ms=self.now_ms, limit=limit))
        moved = [item for item in finished if self.state_of(item) is DeliveryState.PENDING]
        assert task.moved == self.replay.moved + len(moved)
        for entry in moved:
            entry.was = entry.tries
            self.put_back(entry)
        self.replay = task

    @precondition(lambda self: self.replay is not None)
    @rule(limit=st.integers(1, 3))
    def cancel_the_replay(self, limit) -> None:
        untried = [item for item in self.expected if item.was is not None and not item.held]
        task = self.ask(self.store.cancel_task(self.replay.id, now_ms=self.now_ms))
        if not self.a_replay_runs() and all(item.was is None for item in self.expected):
            assert task.status is TaskStatus.FINISHED
            return
        while task.status is TaskStatus.CANCELING:
            task = self.ask(self.store.work_on_task(task.id, now_ms=self.now_ms, limit=limit))
        assert (task.status, task.moved) == (TaskStatus.CANCELED, self.replay.moved - len(untried))
        for entry in untried:
            assert self.state_of(entry) is entry.ended
            entry.finished, entry.tries = True, entry.was
        for one in self.expected:
            one.was_canceled = one.was if one.held else None
        self.forget_the_replay()

    def forget_the_replay(self) -> None:
        self.replay = None
        for item in self.expected:
            item.was = None

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def append_again(self, data) -> None:
        number = data.draw(st.integers(0, len(self.expected) - 1))
        again = msgspec.structs.replace(message(f"{number}_again", event_id=f"evt_{number}"), app_id=self.app.id)
        appended = self.ask(self.store.append(again))
        assert (appended.message_id, appended.duplicate) == (f"msg_{number}", True)

    def chain(self, head: Expected) -> list[Expected]:
        """A delivery that may be claimed, and those that may be claimed with it."""
        if head.customer is None or head.tries:
            return [head]
        mine = [item for item in self.expected if item.customer == head.customer and not item.finished]
        return sorted(mine, key=lambda item: item.position)

    @rule(limit=st.integers(1, 4), lease_ms=st.integers(1, 500), chains=st.booleans(), new=st.integers(0, 1))
    def claim(self, limit, lease_ms, chains, new) -> None:
        shares = Shares(oldest_new=new, newest_new=new, chains=chains)
        bounds = {"limit": limit, "lease_ms": lease_ms, "shares": shares}
        groups = [self.chain(head) if chains else [head] for head in self.claimable()]
        claimed = self.ask(claim(self.store, term=self.workers, now_ms=self.now_ms, **bounds))
        ids = [item.message.id for item in claimed]
        for group in groups:
            wanted = [item.message_id for item in group]
            found = [message_id for message_id in ids if message_id in wanted]
            assert found == wanted[: len(found)], "of each customer the first ones, in order"
        put_behind = self.put_behind(ids)
        by_id = {item.message_id: item for group in groups for item in group}
        assert len(set(ids)) == len(ids) <= min(limit, len(by_id))
        assert len(ids) == min(limit, len(by_id)) or put_behind
        for held in claimed:
            entry = by_id[held.message.id]
            assert held.attempts_used == entry.tries
            if entry.held:
                entry.was = entry.was_canceled = None
            entry.held, entry.ends_at_ms = held, self.now_ms + lease_ms
            self.leases.append((entry, held))

    def put_behind(self, claimed: list[str]) -> bool:
        """Whether a claim has put deliveries back whose lease had ended, behind the first of their customer."""
        back = [item for item in self.expected if item.held and item.message_id not in claimed]
        back = [item for item in back if self.state_of(item) is DeliveryState.PENDING]
        for entry in back:
            assert entry not in self.heads()
            entry.held = entry.was = entry.was_canceled = None
        return bool(back)

    @precondition(lambda self: self.leases)
    @rule(
        data=st.data(),
        state=st.sampled_from([*FINAL, DeliveryState.PENDING]),
        wait_ms=st.integers(0, 400),
        sent=st.booleans(),
    )
    def record(self, data, state, wait_ms, sent) -> None:
        one, held = data.draw(st.sampled_from(self.leases))
        is_behind = one not in self.heads()
        sent = state in FINAL or (sent and not is_behind)
        self.attempts += 1
        later_ms = self.now_ms + wait_ms if state is DeliveryState.PENDING and not is_behind else None
        ended = done(held, state, due_at_ms=later_ms, attempt=f"atmpt_{self.attempts}", at_ms=self.now_ms, spent=sent)
        kept = ended if sent else msgspec.structs.replace(ended, attempt=None)
        # A lease that has run out still holds until somebody else has taken the delivery.
        assert self.ask(self.store.record([kept])) == (one.held is held)
        if one.held is held:
            one.held = None
            one.tries += sent
            one.finished, one.due_at_ms = state in FINAL, one.due_at_ms if later_ms is None else later_ms
            if sent:
                one.was, one.ended = None, state
            elif one.was_canceled is not None:
                assert self.state_of(one) is one.ended
                one.finished, one.tries = True, one.was_canceled
            one.was_canceled = None

    @rule(by_ms=st.integers(1, 600))
    def time_passes(self, by_ms) -> None:
        self.now_ms += by_ms

    @rule()
    def the_process_ends_and_another_takes_over(self) -> None:
        self.store = self.place.reopen(self.store)
        self.workers += 1
        worker_id = f"worker_{self.workers}"
        self.ask(self.store.add_worker(worker_id, alone=True))
        due_at_ms = self.now_ms + 300
        taken = self.ask(self.store.take_leases([endpoint_lease(1)], worker_id, sent_again_at_ms=due_at_ms))
        assert [lease.term for lease in taken] == [self.workers]
        for entry in self.expected:
            if entry.held:
                # It may have been sent; the results of the process that has ended are ignored.
                entry.held = msgspec.structs.replace(entry.held, lease=entry.held.lease + 1)
                entry.ends_at_ms = min(entry.ends_at_ms, due_at_ms)

    @rule()
    def another_process_goes_on(self) -> None:
        self.store, self.other = self.other, self.store

    @precondition(lambda self: self.expected)
    @rule(limit=st.integers(1, 3))
    def cancel_some(self, limit) -> None:
        canceled = self.ask(self.store.cancel_pending(1, now_ms=self.now_ms, limit=limit, reason=CANCELED))
        waiting = [item for item in self.expected if not item.finished and not item.held]
        assert canceled == min(limit, len(waiting))
        for entry in waiting:
            if self.state_of(entry) is DeliveryState.CANCELED:
                self.cancel(entry)

    def cancel(self, entry: Expected) -> None:
        entry.finished, entry.ended, entry.held = True, DeliveryState.CANCELED, None
        entry.was = entry.was_canceled = None

    @invariant()
    def the_counters_are_what_there_is(self) -> None:
        sums = "SELECT endpoint_seq, sum(pending), sum(sending) FROM queue_counts GROUP BY endpoint_seq"
        kept = {row[0]: row[1:] for row in self.place.rows(sums) if any(row[1:])}
        counted = """SELECT endpoint_seq, count(CASE state WHEN 'pending' THEN 1 END),
            count(CASE state WHEN 'sending' THEN 1 END)
            FROM deliveries WHERE state IN ('pending', 'sending') GROUP BY endpoint_seq"""
        assert kept == {row[0]: row[1:] for row in self.place.rows(counted)}

    @invariant()
    def the_store_knows_what_is_left(self) -> None:
        if not self.expected:
            return
        left = sum(not item.finished for item in self.expected)
        assert sum(item.unfinished for item in self.ask(self.store.backlog())) == left
        due_at_ms = self.ask(self.store.next_due_at_ms(1))
        assert (due_at_ms is None) == (left == 0)
        assert not self.claimable() or due_at_ms <= self.now_ms


@pytest.mark.slow
@pytest.mark.parametrize("database", STORES)
def test_nothing_is_lost_doubled_or_out_of_order(database):
    place = Place(database)
    machine = type(f"AnyOrder_{database}", (AnyOrder,), {"place": place})
    machine.TestCase.settings = settings(
        max_examples=max(1, settings.default.max_examples // 4), stateful_step_count=40, deadline=None
    )
    try:
        machine.TestCase("runTest").runTest()
    finally:
        place.end()
        place.runner.close()
