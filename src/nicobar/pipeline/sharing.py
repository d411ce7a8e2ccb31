"""Which leases a worker takes and gives up, so that all are held and none has more than its share. Plain functions;
every worker decides for itself, and workers that know the same decide alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from nicobar.model import Record


class Plan(Record):
    """The names of leases."""

    take: tuple[str, ...] = ()
    give_up: tuple[str, ...] = ()


def share_out(
    worker_id: str, worker_ids: Collection[str], holders: Mapping[str, str], names: Collection[str]
) -> Plan:
    """What this worker, one of those that run, does about these leases. `holders` are workers by lease, as far as
    a worker has one. A lease whose holder does not run is free.
    """
    held: dict[str, list[str]] = {worker: [] for worker in sorted(worker_ids)}
    free: list[str] = []
    for name in sorted(names):
        held.get(holders.get(name, ""), free).append(name)
    share, left = divmod(len(names), len(held))
    # Those that have most keep the leases that are left after the division.
    by_count = sorted(held, key=lambda worker: (-len(held[worker]), worker))
    shares = {worker: share + (place < left) for place, worker in enumerate(by_count)}
    for worker, has in held.items():
        wanted = max(0, shares[worker] - len(has))
        if worker == worker_id:
            return Plan(take=tuple(free[:wanted]), give_up=tuple(has[shares[worker] :]))
        free = free[wanted:]
    raise AssertionError("the worker is not one of those that run")
