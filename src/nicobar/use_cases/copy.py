"""Copying an installation to another database, and switching to it.

Every table is compared with its copy, batch by batch, and only the differences are written. So a run continues where
an earlier one ended, however that ended: what it compares again is equal already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import msgspec

from nicobar.clock import Clock
from nicobar.errors import ConfigurationError, NicobarError, StoreUnusable, UserError
from nicobar.model import Record
from nicobar.store.copy import ONE_SIDED, TOGETHER, Batch, Contents, CopiedRow, Key, Move, MoveState, Table

BATCH_MAX_ROWS = 1_000
BATCH_MAX_BYTES = 8 * 1024 * 1024
# A delivery that is being sent ends within its lease; see `pipeline/lane.py`.
MAX_DRAIN_MS = 11 * 60_000
DRAIN_POLL_MS = 200
# A new database has these rows already.
_OF_MIGRATIONS = frozenset({"applications", "catalogue", "erasure_keys"})


class Phase(StrEnum):
    """`COPYING`: the source is in use. `DRAINING`: deliveries that are being sent end. `COMPLETING`: the rest is
    copied, and everything is compared.
    """

    COPYING = "copying"
    DRAINING = "draining"
    COMPLETING = "completing"


class Progress(Record):
    """How far a table is. `written` rows were not in the copy. `checksum` is that of both at the end of the table, if
    nothing is written to it any more.
    """

    table: str
    rows: int
    written: int
    checksum: str | None = None


class Listener(Protocol):
    """Follows a run."""

    def begin(self, phase: Phase) -> None: ...

    def copied(self, progress: Progress, *, is_complete: bool) -> None:
        """After each batch, and when the table is complete."""
        ...

    def wait(self, under_way: int) -> None:
        """That many deliveries are being sent."""
        ...


@dataclass(frozen=True, slots=True)
class End:
    """One of the two databases; `name` is for a person, without a password."""

    name: str
    contents: Contents


class _Copied:
    """What has been compared of one table."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.rows = 0
        self.written = 0
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, rows: Sequence[CopiedRow]) -> None:
        self.rows += len(rows)
        for row in rows:
            self._hash.update(msgspec.msgpack.encode(row))

    def progress(self, *, with_checksum: bool = False) -> Progress:
        checksum = self._hash.hexdigest() if with_checksum else None
        return Progress(table=self.table.name, rows=self.rows, written=self.written, checksum=checksum)


class Copier:
    """Copies from a database to another one, which holds nothing or an earlier, incomplete copy. Blocks."""

    def __init__(
        self,
        source: End,
        target: End,
        *,
        clock: Clock,
        sleep_ms: Callable[[int], None],
        listener: Listener,
    ) -> None:
        self._source = source
        self._target = target
        self._clock = clock
        self._sleep_ms = sleep_ms
        self._listener = listener

    def copy(self) -> None:
        """Copies while the source is in use. Raises NicobarError."""
        move = self._move(self._source)
        if move is not None:
            self._check_going_here(move)
            raise UserError(
                "switch_under_way",
                "A switch from %(source)s to %(target)s has begun.",
                "Complete it with --switch, or end it with --cancel.",
                source=self._source.name,
                target=self._target.name,
            )
        self._prepare_target()
        self._listener.begin(Phase.COPYING)
        self._copy_all(is_final=False)

    def switch(self) -> None:
        """Stops the source, copies the rest, and hands over. Where that fails the source is in use again; where the
        process is killed, the next run continues. Raises NicobarError.
        """
        move = self._move(self._source)
        if move is None or move.state is not MoveState.MOVED:
            if move is None:
                self.copy()
            else:
                self._check_going_here(move)
                self._prepare_target()
            try:
                self._complete()
            except (NicobarError, KeyboardInterrupt):
                self._accept_again()
                raise
        else:
            self._check_going_here(move)
        with self._target.contents.writing():
            self._target.contents.put_move(None)

    def _complete(self) -> None:
        self._listener.begin(Phase.DRAINING)
        self._source.contents.stop(self._to_target(MoveState.DRAINING))
        self._wait_until_drained()
        self._listener.begin(Phase.COMPLETING)
        closed = self._to_target(MoveState.CLOSED)
        self._source.contents.stop(closed)
        self._copy_all(is_final=True)
        with self._source.contents.reading():
            last = self._source.contents.last_numbers()
        with self._filling():
            self._target.contents.continue_numbers(last)
            self._target.contents.analyze(self._target.contents.tables())
        with self._source.contents.writing():
            if self._source.contents.move(to_change=True) != closed:
                raise UserError(
                    "switch_interrupted",
                    "Another run has changed the state of %(source)s.",
                    "Run one copy at a time, then run the command again.",
                    source=self._source.name,
                )
            # From here on only the copy is used.
            self._source.contents.put_move(msgspec.structs.replace(closed, state=MoveState.MOVED))

    def _accept_again(self) -> None:
        """Unless another run has completed the switch."""
        move = self._move(self._source)
        if move is not None and move.state is not MoveState.MOVED:
            self._source.contents.accept_again()

    def _wait_until_drained(self) -> None:
        until_ms = self._clock.steady_ms() + MAX_DRAIN_MS
        while True:
            with self._source.contents.reading():
                under_way = self._source.contents.count_under_way(self._clock.now_ms())
            if not under_way:
                return
            self._listener.wait(under_way)
            if self._clock.steady_ms() > until_ms:
                raise UserError(
                    "switch_timeout",
                    "%(deliveries)s deliveries were still being sent after %(minutes)s minutes.",
                    "The old database is in use again. Check its workers' logs, then run the command again.",
                    deliveries=under_way,
                    minutes=MAX_DRAIN_MS // 60_000,
                )
            self._sleep_ms(DRAIN_POLL_MS)

    def _prepare_target(self) -> None:
        """Marks the target as incomplete, so that no process uses it. Raises StoreUnusable if it has other data."""
        source, target = self._source.contents, self._target.contents
        with source.reading():
            installation_id, tables = source.installation_id(), source.tables()
        with target.writing():
            found = target.tables()
            if _essential(found) != _essential(tables):
                raise StoreUnusable(
                    "schema_differs",
                    f"The tables of {self._target.name} are not those of {self._source.name}.",
                    "Use the same version of Nicobar for both.",
                )
            known = target.move()
            if known is None and not any(target.count(it) for it in found if it.name not in _OF_MIGRATIONS):
                filling = Move(
                    state=MoveState.FILLING,
                    place=self._source.name,
                    installation_id=str(installation_id),
                    changed_at_ms=self._clock.now_ms(),
                )
                target.put_move(filling)
            elif known is None or (known.state, known.installation_id) != (MoveState.FILLING, installation_id):
                raise StoreUnusable(
                    "target_not_empty",
                    f"{self._target.name} has data of its own, or of another installation.",
                    "Create an empty database for the copy.",
                )

    @contextmanager
    def _filling(self) -> Iterator[None]:
        """A change of the copy, as long as it is one. Raises UserError where another run has completed the switch, so
        that the database is in use.
        """
        with self._target.contents.writing():
            move = self._target.contents.move(to_change=True)
            if move is None or move.state is not MoveState.FILLING:
                raise UserError(
                    "copied_already",
                    "Another run has completed the copy to %(target)s.",
                    "Use that database.",
                    target=self._target.name,
                )
            yield

    def _copy_all(self, *, is_final: bool) -> None:
        tables = self._common_tables()
        together = [table for table in tables if table.name in TOGETHER]
        self._copy_together(together, is_final=is_final)
        for table in tables:
            if table.name not in TOGETHER:
                self._copy_table(table, is_final=is_final)
        if is_final:
            self._compare_counts(tables)

    def _common_tables(self) -> list[Table]:
        with self._target.contents.reading():
            found = self._target.contents.tables()
        with self._source.contents.reading():
            return [table for table in self._source.contents.tables() if table in found]

    def _copy_together(self, tables: Sequence[Table], *, is_final: bool) -> None:
        """Replaces all of them in one transaction, unless they are equal."""
        source, target = self._source.contents, self._target.contents
        with source.reading():
            wanted = [self._read_whole(source, table) for table in tables]
            with self._filling():
                found = [self._read_whole(target, table) for table in tables]
                if found != wanted:
                    for table in reversed(tables):
                        target.remove_range(table, None, None)
                    for table in tables:
                        after: Key | None = None
                        while (batch := _next(source, table, after)).rows:
                            target.add(table, batch.rows)
                            after = table.key_of(batch.rows[-1])
                    if [self._read_whole(target, table) for table in tables] != wanted:
                        raise _differs(tables[0].name)
        for progress, before in zip(wanted, found, strict=True):
            written = 0 if progress == before else progress.rows
            checksum = progress.checksum if is_final else None
            shown = msgspec.structs.replace(progress, written=written, checksum=checksum)
            self._listener.copied(shown, is_complete=True)

    def _read_whole(self, contents: Contents, table: Table) -> Progress:
        copied = _Copied(table)
        after: Key | None = None
        while (batch := _next(contents, table, after)).rows:
            copied.add(batch.rows)
            after = table.key_of(batch.rows[-1])
        return copied.progress(with_checksum=True)

    def _copy_table(self, table: Table, *, is_final: bool) -> None:
        copied = _Copied(table)
        after: Key | None = None
        is_whole = False
        while not is_whole:
            with self._source.contents.reading():
                batch = _next(self._source.contents, table, after)
            until = None if batch.is_whole else table.key_of(batch.rows[-1])
            try:
                copied.written += self._copy_batch(table, batch.rows, after, until)
            except ConfigurationError as error:
                # While the source is in use, a row that was copied may have lost its unique value to one that is read
                # later: the next run finds both.
                if is_final or error.code != "conflict":
                    raise
            copied.add(batch.rows)
            self._listener.copied(copied.progress(), is_complete=False)
            after, is_whole = until, batch.is_whole
        self._listener.copied(copied.progress(with_checksum=is_final), is_complete=True)

    def _copy_batch(self, table: Table, rows: Sequence[CopiedRow], after: Key | None, until: Key | None) -> int:
        """Makes the copy of a range of keys equal to these rows; returns how many were written."""
        target = self._target.contents
        with target.reading():
            found = _read(target, table, after, until)
        if found.is_whole and found.rows == rows:
            return 0
        with self._filling():
            if found.is_whole:
                wanted, there = set(rows), set(found.rows)
                target.remove(table, [table.key_of(row) for row in found.rows if row not in wanted])
                missing = [row for row in rows if row not in there]
            else:
                target.remove_range(table, after, until)
                missing = list(rows)
            target.add(table, missing)
        with target.reading():
            if _read(target, table, after, until) != Batch(rows=tuple(rows), is_whole=True):
                raise _differs(table.name)
        return len(missing)

    def _compare_counts(self, tables: Sequence[Table]) -> None:
        for table in tables:
            counts = []
            for contents in (self._source.contents, self._target.contents):
                with contents.reading():
                    counts.append(contents.count(table))
            if counts[0] != counts[1]:
                raise _differs(table.name)

    def _move(self, end: End) -> Move | None:
        with end.contents.reading():
            return end.contents.move()

    def _to_target(self, state: MoveState) -> Move:
        with self._source.contents.reading():
            installation_id = self._source.contents.installation_id()
        return Move(
            state=state,
            place=self._target.name,
            installation_id=str(installation_id),
            changed_at_ms=self._clock.now_ms(),
        )

    def _check_going_here(self, move: Move) -> None:
        if move.place != self._target.name:
            raise UserError(
                "moving_elsewhere",
                "The data of %(source)s is being moved to %(target)s, or was moved there.",
                "Use that database, or end a switch that is not complete with --cancel.",
                source=self._source.name,
                target=move.place,
            )


def cancel_switch(source: End) -> None:
    """Ends a switch that is not complete: the source is in use again. Raises UserError."""
    with source.contents.reading():
        move = source.contents.move()
    if move is None or move.state not in {MoveState.DRAINING, MoveState.CLOSED}:
        raise UserError(
            "no_switch",
            "No switch of %(source)s is under way.",
            "A completed switch cannot be canceled: copy the data back into a new database instead.",
            source=source.name,
        )
    source.contents.accept_again()


def _essential(tables: Sequence[Table]) -> list[Table]:
    return [table for table in tables if table.name not in ONE_SIDED]


def _next(contents: Contents, table: Table, after: Key | None) -> Batch:
    return contents.read(table, after, None, max_rows=BATCH_MAX_ROWS, max_bytes=BATCH_MAX_BYTES)


def _read(contents: Contents, table: Table, after: Key | None, until: Key | None) -> Batch:
    """As many rows as a batch of the other database can have."""
    return contents.read(table, after, until, max_rows=BATCH_MAX_ROWS + 1, max_bytes=2 * BATCH_MAX_BYTES)


def _differs(table: str) -> StoreUnusable:
    return StoreUnusable(
        "copy_differs",
        f"Table {table} of the copy differs from its original.",
        "Make sure that no other program writes to the new database, then run the command again.",
    )
