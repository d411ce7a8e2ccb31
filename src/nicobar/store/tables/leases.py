"""Leases and the workers that hold them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nicobar.store.leases import Beats, Lease, endpoint_of
from nicobar.store.session import Session
from nicobar.store.tables.base import Tables, existing

# Each endpoint's queue is locked until the transaction ends, and a server has room for a bounded number of locks.
MAX_LEASES = 50


class LeaseTables(Tables):
    """`Leases` over a database."""

    async def add_worker(self, worker_id: str, *, alone: bool) -> None:
        def add(session: Session) -> None:
            session.run("add_worker", {"id": worker_id})
            if alone:
                session.run("remove_other_workers", {"id": worker_id})

        await self._database.write(add)

    async def beat(self, worker_id: str, *, leaving: bool = False) -> Beats:
        def say(session: Session) -> Beats:
            session.run("beat", {"id": worker_id, "leaving": leaving})
            (version,) = existing(session.row("leases_version"))
            rows = session.rows("workers")
            ending = frozenset(name for name, _, is_leaving in rows if is_leaving)
            return Beats(by_worker={name: beat for name, beat, _ in rows}, leaving=ending, version=version)

        # Under load it would come too late behind other writes.
        return await self._database.write_ahead(say)

    async def remove_silent_worker(self, worker_id: str, *, beat: int) -> bool:
        return await self._run("remove_silent_worker", {"id": worker_id, "beat": beat}) > 0

    async def remove_worker(self, worker_id: str) -> None:
        await self._run("remove_worker", {"id": worker_id})

    async def leases(self) -> Sequence[Lease]:
        return [Lease(name=name, holder=holder, term=term) for name, holder, term in await self._rows("leases")]

    async def take_leases(self, names: Sequence[str], worker_id: str, *, sent_again_at_ms: int) -> Sequence[Lease]:
        def take(session: Session, some: Sequence[str]) -> list[Lease]:
            session.run("add_lease", [{"name": name} for name in some])
            taken = _change(session, "take_lease", some, worker_id, holder=worker_id)
            of = {"endpoint_seqs": _endpoints(taken), "due_at_ms": sent_again_at_ms}
            session.run("take_over_deliveries", of)
            return taken

        return await self._by_some(names, take)

    async def give_up_leases(self, names: Sequence[str], worker_id: str, *, after_ms: int) -> Sequence[Lease]:
        def give_up(session: Session, some: Sequence[str]) -> list[Lease]:
            given_up = _change(session, "give_up_lease", some, worker_id, holder="")
            session.run("release_deliveries", {"endpoint_seqs": _endpoints(given_up), "after_ms": after_ms})
            return given_up

        return await self._by_some(names, give_up)

    async def _by_some(
        self, names: Sequence[str], change: Callable[[Session, Sequence[str]], list[Lease]]
    ) -> Sequence[Lease]:
        changed: list[Lease] = []
        for start in range(0, len(names), MAX_LEASES):
            some = sorted(names[start : start + MAX_LEASES])

            def work(session: Session, some: Sequence[str] = some) -> list[Lease]:
                # A claim reads the lease under the lock of its queue: it sees the change, or this sees the claim.
                session.lock(*_seqs(some))
                return change(session, some)

            changed += await self._database.write(work)
        return changed


def _change(session: Session, query: str, names: Sequence[str], worker_id: str, *, holder: str) -> list[Lease]:
    # What is locked first is then seen as the transaction that had the lock before left it.
    session.rows("lock_leases", {"names": list(names)})
    changed = []
    for name in names:
        row = session.row(query, {"name": name, "worker_id": worker_id})
        if row is not None:
            changed.append(Lease(name=name, holder=holder, term=row[0]))
    return changed


def _seqs(names: Sequence[str]) -> list[int]:
    return [seq for seq in map(endpoint_of, names) if seq is not None]


def _endpoints(leases: Sequence[Lease]) -> list[int]:
    return _seqs([lease.name for lease in leases])
