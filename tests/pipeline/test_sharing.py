"""Workers that decide for themselves come to an even spread."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nicobar.pipeline.sharing import Plan, share_out

NAMES = [f"endpoint/{number}" for number in range(12)]
WORKERS = ["a", "b", "c", "d", "e"]


class Table:
    """The leases as the database has them: a lease is given only if no running worker has it."""

    def __init__(self, worker_ids, holders) -> None:
        self.worker_ids = worker_ids
        self.holders = dict(holders)

    def follow(self, worker: str, plan: Plan) -> None:
        for name in plan.give_up:
            assert self.holders[name] == worker, "no worker gives up what another one has"
            del self.holders[name]
        for name in plan.take:
            if self.holders.get(name) not in self.worker_ids:
                self.holders[name] = worker

    def counts(self, names) -> list[int]:
        held = [self.holders[name] for name in names]
        return sorted(held.count(worker) for worker in self.worker_ids)


@st.composite
def tables(draw):
    worker_ids = draw(st.lists(st.sampled_from(WORKERS), min_size=1, unique=True))
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    holders = draw(st.dictionaries(st.sampled_from(names), st.sampled_from([*WORKERS, ""]))) if names else {}
    return Table(worker_ids, holders), names


@given(tables(), st.randoms(use_true_random=False))
def test_an_even_spread_is_reached_in_two_rounds_and_kept(made, random):
    table, names = made
    for _ in range(2):
        for worker in random.sample(table.worker_ids, len(table.worker_ids)):
            table.follow(worker, share_out(worker, table.worker_ids, table.holders, names))
    assert set(names) <= table.holders.keys()
    counts = table.counts(names)
    assert counts[-1] - counts[0] <= 1
    assert all(share_out(worker, table.worker_ids, table.holders, names) == Plan() for worker in table.worker_ids)


@given(tables())
def test_workers_that_look_at_once_want_different_leases(made):
    table, names = made
    plans = [share_out(worker, table.worker_ids, table.holders, names) for worker in table.worker_ids]
    for worker, plan in zip(table.worker_ids, plans, strict=True):
        table.follow(worker, plan)
    taken = [name for plan in plans for name in plan.take]
    assert len(taken) == len(set(taken))


@given(tables(), st.data())
def test_views_that_differ_for_a_while_do_no_lasting_harm(made, data):
    table, names = made
    for _ in range(3):
        for worker in table.worker_ids:
            seen = data.draw(st.lists(st.sampled_from(WORKERS), unique=True)) if data.draw(st.booleans()) else []
            table.follow(worker, share_out(worker, {*seen, worker}, dict(table.holders), names))
    for _ in range(2):
        for worker in table.worker_ids:
            table.follow(worker, share_out(worker, table.worker_ids, table.holders, names))
    counts = table.counts(names)
    assert counts[-1] - counts[0] <= 1


@given(tables(), st.data())
def test_what_a_leaving_worker_has_stays_and_the_rest_is_spread(made, data):
    table, names = made
    leaving = set(data.draw(st.lists(st.sampled_from(table.worker_ids), max_size=len(table.worker_ids) - 1)))
    others = [worker for worker in table.worker_ids if worker not in leaving]
    kept = {name: holder for name, holder in table.holders.items() if holder in leaving}
    for _ in range(2):
        for worker in others:
            plan = share_out(worker, others, table.holders, names, leaving)
            assert not kept.keys() & {*plan.take, *plan.give_up}
            table.follow(worker, plan)
    assert set(names) <= table.holders.keys()
    for name in kept:
        del table.holders[name]
    # Each takes what is given up, in turn, and gives up nothing that it has.
    before = dict(table.holders)
    for worker in others:
        table.follow(worker, share_out(worker, others, table.holders, names))
    assert before.items() <= table.holders.items()
    table.worker_ids = others
    counts = table.counts(names)
    assert counts[-1] - counts[0] <= 1


def test_nobody_gives_up_what_nobody_else_lacks():
    holders = {"one": "a", "two": "a", "three": "b"}
    assert share_out("a", ["a", "b"], holders, list(holders)) == Plan()
    assert share_out("a", ["a"], holders, list(holders)) == Plan(take=("three",))
