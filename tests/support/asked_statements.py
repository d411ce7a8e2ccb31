"""What a store asks of its database: how many statements."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nicobar.store import Store
from nicobar.store.session import Row, Session, Values
from nicobar.store.tables.base import NO_VALUES
from nicobar.store.tables.store import TableStore


class CountedSession:
    """A session that tells of each statement."""

    def __init__(self, session: Session, tell: Callable[[str], None]) -> None:
        self._session, self._tell = session, tell
        self.savepoint, self.lock = session.savepoint, session.lock

    def rows(self, name: str, values: Values = NO_VALUES) -> list[Row]:
        self._tell(name)
        return self._session.rows(name, values)

    def row(self, name: str, values: Values = NO_VALUES) -> Row | None:
        self._tell(name)
        return self._session.row(name, values)

    def run(self, name: str, values: Values | Sequence[Values] = NO_VALUES) -> int:
        for _ in values if isinstance(values, Sequence) else [values]:
            self._tell(name)
        return self._session.run(name, values)


class CountedDatabase:
    """The database of a store; what its rules ask is noted in `asked`, a name for each statement."""

    def __init__(self, store: Store) -> None:
        self._database = store._database
        self.asked: list[str] = []

    def __getattr__(self, name: str):
        return getattr(self._database, name)

    async def write(self, work):
        return await self._database.write(self._told(work))

    async def read(self, work):
        return await self._database.read(self._told(work))

    async def survey(self, work):
        return await self._database.survey(self._told(work))

    def _told(self, work):
        return lambda session: work(CountedSession(session, self.asked.append))


def counted(store: Store) -> tuple[TableStore, list[str]]:
    """The same store, and the statements that its rules ask for from here on."""
    database = CountedDatabase(store)
    return TableStore(database), database.asked
