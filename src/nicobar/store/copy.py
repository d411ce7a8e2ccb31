"""What copying asks of a database: whole tables in batches, whatever their columns, and the state of a move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Protocol, TypeAlias

from nicobar.model import Record
from nicobar.store.queries import load_templates

Value: TypeAlias = int | str | bytes | None
CopiedRow: TypeAlias = tuple[Value, ...]
Key: TypeAlias = tuple[Value, ...]

# Tables about this database or its processes, not about its data, and what each database keeps of other rows as
# they change.
NOT_COPIED = frozenset({"migrations", "moves", "workers", "leases", "queue_counts", "metadata_ids"})
# Tables that only some databases have; their rows follow from others. They are copied between two that have them.
ONE_SIDED = frozenset({"event_ids"})
# These refer to one another, or have values that only one row may have: they are replaced together. Each comes after
# those it refers to.
TOGETHER = (
    "installation",
    "replaced_keys",
    "erasure_keys",
    "catalogue",
    "applications",
    "sources",
    "endpoints",
    "transformations",
    "event_types",
    "tokens",
    "users",
    "links",
    "alert_targets",
)


class Table(Record):
    """A table that is copied. Columns are in alphabetical order; the key is what its rows are sorted by."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def key_of(self, row: CopiedRow) -> Key:
        return tuple(row[self.columns.index(name)] for name in self.key)


class Batch(Record):
    """Rows of a range of keys. `is_whole`: there are no more in the range."""

    rows: tuple[CopiedRow, ...]
    is_whole: bool


class MoveState(StrEnum):
    """`FILLING`: a copy that is not complete. `DRAINING`: stores no new events and sends nothing. `CLOSED`: stores
    nothing. `MOVED`: another database is in use.
    """

    FILLING = "filling"
    DRAINING = "draining"
    CLOSED = "closed"
    MOVED = "moved"


class Move(Record):
    """`place` is the other database, without a password, `installation_id` that of the database that is moving."""

    state: MoveState
    place: str
    installation_id: str
    changed_at_ms: int


class Contents(Protocol):
    """A database's tables. All of it blocks and raises StoreError; reads are within `reading`, changes within
    `writing`, which commits at its end.
    """

    def reading(self) -> AbstractContextManager[None]:
        """All reads within are as of one moment."""
        ...

    def writing(self) -> AbstractContextManager[None]: ...

    def tables(self) -> list[Table]:
        """Those that are copied: first those of `TOGETHER`, in that order."""
        ...

    def count(self, table: Table) -> int: ...

    def read(self, table: Table, after: Key | None, until: Key | None, *, max_rows: int, max_bytes: int) -> Batch:
        """The first rows whose key is above `after` and at most `until`, at least one if there is one."""
        ...

    def remove(self, table: Table, keys: Sequence[Key]) -> None: ...

    def remove_range(self, table: Table, after: Key | None, until: Key | None) -> None: ...

    def add(self, table: Table, rows: Sequence[CopiedRow]) -> None:
        """Raises ConfigurationError where another row has a value that only one may have, or for a value that the
        database cannot store.
        """
        ...

    def last_numbers(self) -> Mapping[str, int]:
        """By table: the last number that the database has given to a row."""
        ...

    def continue_numbers(self, last: Mapping[str, int]) -> None: ...

    def analyze(self, tables: Sequence[Table]) -> None:
        """Prepares the database for queries over copied rows."""
        ...

    def installation_id(self) -> str | None: ...

    def count_under_way(self, now_ms: int) -> int:
        """How many deliveries are being sent."""
        ...

    def move(self, *, to_change: bool = False) -> Move | None:
        """`to_change`: no other process changes it until the transaction ends."""
        ...

    def put_move(self, move: Move | None) -> None: ...

    def stop(self, move: Move) -> None:
        """Rejects what the state of the move rules out, whichever process writes it, and stores the move. Outside of
        `writing`. Raises StoreMoving if the data was moved already.
        """
        ...

    def accept_again(self) -> None:
        """Ends what `stop` began. Outside of `writing`."""
        ...

    def close(self) -> None: ...


class TableSql:
    """The statements about any table, from the templates of a database."""

    def __init__(self, database: str) -> None:
        self._templates = load_templates(database)

    def compose(self, name: str, **parts: str) -> str:
        return self._templates[name].format_map(parts)

    def of(
        self, name: str, table: Table, *, after: Key | None = None, until: Key | None = None, octets: str = ""
    ) -> str:
        key = _listed(table.key)
        bounds = [f"({key}) > ({_named('after', table.key)})"] if after is not None else []
        bounds += [f"({key}) <= ({_named('until', table.key)})"] if until is not None else []
        return self.compose(
            name,
            table=_listed([table.name]),
            columns=_listed(table.columns),
            values=_named("value", table.columns),
            key=key,
            key_values=_named("key", table.key),
            range=" AND ".join(bounds) or "TRUE",
            octets=octets,
        )


def range_values(after: Key | None, until: Key | None) -> dict[str, Value]:
    """The values that the range of a statement refers to."""
    return numbered("after", after or ()) | numbered("until", until or ())


def numbered(prefix: str, values: Sequence[Value]) -> dict[str, Value]:
    return {f"{prefix}_{number}": value for number, value in enumerate(values)}


def in_order(tables: Mapping[str, Mapping[str, int]]) -> list[Table]:
    """The tables to copy, of all: by table, its columns, each with its place in the key, 0 for none."""
    copied = sorted(
        (name for name in tables if name not in NOT_COPIED),
        key=lambda name: (TOGETHER.index(name) if name in TOGETHER else len(TOGETHER), name),
    )
    found = []
    for name in copied:
        columns = tables[name]
        key = sorted((column for column in columns if columns[column]), key=columns.__getitem__)
        found.append(Table(name=name, columns=tuple(sorted(columns)), key=tuple(key or sorted(columns))))
    return found


def size_bytes(row: CopiedRow) -> int:
    return sum(len(value) for value in row if isinstance(value, (str, bytes)))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _named(prefix: str, columns: Sequence[str]) -> str:
    return ", ".join(f":{prefix}_{number}" for number in range(len(columns)))
