"""The seam below the protocols: what the rules in `tables/` ask of a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias, TypeVar

from nicobar.errors import NicobarError, StoreUnavailable
from nicobar.facts import StatedFact
from nicobar.store.catalogue import Audited
from nicobar.store.condition import Condition
from nicobar.store.erasure import KeptBackup, Place
from nicobar.store.queue import Appended, Claim, Claimed, Finished, NewMessage

T = TypeVar("T")

Row: TypeAlias = Sequence[Any]
# A fact, and the stored message that states it if it counts only while that has its payload.
Stating: TypeAlias = tuple[int | None, StatedFact]
Values: TypeAlias = Mapping[str, object]


class Session(Protocol):
    """One transaction, used by one thread. Queries and values have names; a tuple or list is a list to SQL."""

    def rows(self, name: str, values: Values = ...) -> list[Row]: ...

    def row(self, name: str, values: Values = ...) -> Row | None:
        """The first row."""
        ...

    def run(self, name: str, values: Values | Sequence[Values] = ...) -> int:
        """How many rows were changed; with a sequence, once for each of it, which costs one round trip."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """A failure within undoes only the changes within."""
        ...

    def lock(self, *endpoint_seqs: int, order_all: bool = False) -> bool:
        """Locks these endpoints' queues until the transaction ends, and puts appended deliveries in order: as many as
        one step allows, or with `order_all` as many as one transaction allows. Returns whether all were put in order;
        if not, the next transaction continues. Precedes every decision by the order of a customer's deliveries. An
        event that is committed meanwhile is not in order yet.
        """
        ...


class Database(Protocol):
    """Runs work in transactions. All of it raises StoreUnavailable; what writes returns after the commit, and raises
    StoreBusy when too much is waiting.
    """

    async def write(self, work: Callable[[Session], T]) -> T: ...

    async def write_ahead(self, work: Callable[[Session], T]) -> T:
        """The same without waiting for other writes, as far as the database can."""
        ...

    async def read(self, work: Callable[[Session], T]) -> T:
        """Runs work that only reads, all of it as of one moment."""
        ...

    async def survey(self, work: Callable[[Session], T]) -> T:
        """The same for work that may read all there is: one at a time, and no other read waits for it."""
        ...

    async def append(self, message: NewMessage, audit_line: Audited | None) -> Appended: ...

    async def claim(self, asked: Claim) -> list[Claimed]: ...

    async def record(self, finished: Sequence[Finished]) -> int: ...

    async def put_facts(self, app_id: str, stated: Sequence[Stating]) -> None: ...

    async def give_back_space(self, *, max_pages: int) -> int: ...

    async def clear_log(self) -> bool: ...

    async def tables_with(self, values: Sequence[str], *, exactly: bool = True) -> tuple[Place, ...]: ...

    async def files_with(self, values: Sequence[str]) -> tuple[Place, ...] | None: ...

    async def copies(self) -> tuple[KeptBackup, ...]:
        """Other files of this database beside it."""
        ...

    async def rewrite(self) -> bool: ...

    async def probe(self) -> None: ...

    def condition(self) -> Condition: ...

    async def close(self) -> None: ...


def closed() -> NicobarError:
    return StoreUnavailable("store_closed", "The store is closed.", "Start Nicobar again.")
