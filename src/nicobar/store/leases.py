"""Leases: which worker delivers for an endpoint, and which one runs what only one may run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from nicobar.model import Record

_ENDPOINT = "endpoint/"


def endpoint_lease(endpoint_seq: int) -> str:
    """The name of the lease of an endpoint."""
    return f"{_ENDPOINT}{endpoint_seq}"


def endpoint_of(name: str) -> int | None:
    """The endpoint's `seq`, if it is an endpoint's lease."""
    return int(name.removeprefix(_ENDPOINT)) if name.startswith(_ENDPOINT) else None


class Lease(Record):
    """`holder` is a worker's id, empty where no worker has the lease. A holder that is no longer a worker does not
    hold it. `term` rises with each change of the holder, so it stands for one holder only.
    """

    name: str
    holder: str
    term: int


class Beats(Record):
    """The beats of all workers by their ids, those of them that are about to end, and a number that changes with
    every change of a lease.
    """

    by_worker: Mapping[str, int]
    leaving: frozenset[str]
    version: int


class Leases(Protocol):
    """Workers and what they hold. A worker that another one has removed holds nothing, and never does again: it
    returns under a new id.
    """

    async def add_worker(self, worker_id: str, *, alone: bool) -> None:
        """With `alone` it is certain that no other worker runs: all others are removed."""
        ...

    async def beat(self, worker_id: str, *, leaving: bool = False) -> Beats:
        """Says that the worker runs, and whether it is about to end. The result lacks it if it was removed."""
        ...

    async def remove_silent_worker(self, worker_id: str, *, beat: int) -> bool:
        """Removes a worker whose beat is still this one; returns whether it did. From then on others may acquire its
        leases.
        """
        ...

    async def remove_worker(self, worker_id: str) -> None:
        """Removes a worker that ends."""
        ...

    async def leases(self) -> Sequence[Lease]:
        """All leases that any worker ever had."""
        ...

    async def take_leases(self, names: Sequence[str], worker_id: str, *, sent_again_at_ms: int) -> Sequence[Lease]:
        """Acquires those that no worker holds. Deliveries that another worker was sending for an endpoint become due
        at `sent_again_at_ms`, and its results no longer change anything. Acquires none for a removed worker.
        """
        ...

    async def give_up_leases(self, names: Sequence[str], worker_id: str, *, after_ms: int) -> Sequence[Lease]:
        """Gives up those that the worker holds, and makes what it was sending for the endpoints due at once, except
        what becomes due by `after_ms`: that may be under way at the worker from which it was taken over. Returns
        those that it gave up.
        """
        ...
