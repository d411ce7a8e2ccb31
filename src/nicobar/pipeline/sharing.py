"""Which leases a worker acquires and releases, so that all are held and none has more than its share. Plain
functions; every worker decides for itself, and workers that know the same decide alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from nicobar.model import Record


class Plan(Record):
    """The names of leases."""

    take: tuple[str, ...] = ()
    give_up: tuple[str, ...] = ()


def share_out(
    worker_id: str,
    worker_ids: Collection[str],
    holders: Mapping[str, str],
    names: Collection[str],
    leaving: Collection[str] = (),
) -> Plan:
    """What this worker, one of those that share, does about these leases. `holders` are workers by lease, as far as
    a worker has one. Workers that are `leaving` keep theirs until they release them, and get no share. A lease
    whose holder does not run is free.
    """
    held: dict[str, list[str]] = {worker: [] for worker in sorted(worker_ids)}
    free: list[str] = []
    for name in sorted(names):
        holder = holders.get(name, "")
        if holder not in leaving:
            held.get(holder, free).append(name)
    # A lease of a leaving worker is shared once it is free; none is released only to be acquired again then.
    give_up = held[worker_id][_shares(held, len(names))[worker_id] :]
    shares = _shares(held, len(free) + sum(map(len, held.values())))
    for worker, has in held.items():
        wanted = max(0, shares[worker] - len(has))
        if worker == worker_id:
            return Plan(take=tuple(free[:wanted]), give_up=tuple(give_up))
        free = free[wanted:]
    raise AssertionError("the worker is not one of those that share")


def _shares(held: Mapping[str, Collection[str]], count: int) -> dict[str, int]:
    """How many of so many leases each gets. Those that have most get one more while the division leaves any."""
    share, left = divmod(count, len(held))
    by_count = sorted(held, key=lambda worker: (-len(held[worker]), worker))
    return {worker: share + (place < left) for place, worker in enumerate(by_count)}
