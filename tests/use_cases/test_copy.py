"""Copying to another database: nothing is lost, whatever interrupts it, and only one database is in use."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest

from contracts.test_stores import claim, done, endpoint, message
from nicobar.errors import NicobarError, StoreMoving
from nicobar.store.copy import NOT_COPIED, ONE_SIDED, TOGETHER, Contents, Move, MoveState, size_bytes
from nicobar.store.location import locate
from nicobar.use_cases import copy as copying
from nicobar.use_cases.copy import Copier, End, Phase, cancel_switch
from support import postgres
from support.clock import MovingClock
from support.store import _URLS

NOW_MS = 1_700_000_000_000
# Tables whose rows all refer to others, or of which there is one row.
SINGLE = {"catalogue", "clean_ups", "installation"}
ROWS = 7
PAIRS = ["sqlite to postgres", "postgres to sqlite", "file to file", "postgres to postgres"]
# A run has some 300 steps, and each kill costs two runs: together the pairs are killed at about nine of them.
STRIDE = 144


class Killed(BaseException):
    """The process ends here: nothing after it runs."""


class Mortal:
    """`Contents` whose process is killed at its n-th step: all later ones fail as well."""

    def __init__(self, contents: Contents, steps: Iterator[int], last: int) -> None:
        self._contents = contents
        self._steps = steps
        self._last = last
        if hasattr(contents, "_change"):
            # Some of its steps are several transactions.
            contents._change = self._mortal(contents._change)

    def __getattr__(self, name):
        return self._mortal(getattr(self._contents, name))

    def _mortal(self, work):
        def step(*arguments, **named):
            if next(self._steps) >= self._last:
                raise Killed
            return work(*arguments, **named)

        return step


def mortal_until(last):
    steps = itertools.count()
    return lambda contents: Mortal(contents, steps, last)


class Watch:
    """A listener that keeps what it was told."""

    def __init__(self) -> None:
        self.phases = []
        self.written = {}
        self.checksums = {}
        self.on_begin = {}
        self.on_wait = lambda: None
        self.on_checksum = lambda: None

    def begin(self, phase):
        self.phases.append(phase)
        self.on_begin.get(phase, lambda: None)()

    def copied(self, progress, *, is_complete):
        if is_complete:
            self.written[progress.table] = progress.written
            self.checksums[progress.table] = progress.checksum
            if progress.checksum and progress.table == "audit":
                self.on_checksum()

    def wait(self, _under_way):
        self.on_wait()


@contextmanager
def rejected(code):
    with pytest.raises(NicobarError) as caught:
        yield
    assert caught.value.code == code


def make_sqlite(directory, name):
    location = locate(f"sqlite:///{directory / name}")
    location.migrate(None, NOW_MS)
    return location


def make_postgres(directory, name):
    return locate(postgres.cluster().take_database())


MAKERS = {"sqlite": make_sqlite, "file": make_sqlite, "postgres": make_postgres}


@pytest.fixture(params=PAIRS)
def ends(request, tmp_path):
    """A filled database and an empty one."""
    kinds = request.param.split(" to ")
    locations = [MAKERS[kind](tmp_path, f"{number}.db") for number, kind in enumerate(kinds)]
    fill(locations[0].contents())
    yield locations
    for location in locations:
        if location.kind == "PostgreSQL":
            postgres.cluster().give_back(location._url)


def fill(contents: Contents) -> None:
    """Rows in every table, each with values of its own."""
    tables = contents.tables()
    with contents.writing():
        for table in reversed(tables):
            contents.remove_range(table, None, None)
        for table in tables:
            rows = [invented(contents, table, number) for number in range(1, 1 + (table.name in SINGLE or ROWS))]
            contents.add(table, rows)
    contents.close()


def invented(contents, table, number):
    kinds = KINDS[table.name]
    return tuple(value(kinds[column], column, number) for column in table.columns)


def value(kind, column, number):
    match kind:
        case "boolean":
            return number % 2
        case "bigint":
            return number
        case "bytea":
            return bytes([number, 0, 255]) * number
        case _:
            # References are to the object of the same number.
            return f"{'id' if column in {'app_id', 'id'} else column}_{number}_é"


class _Kinds(dict):
    def __missing__(self, table):
        with psycopg.connect(postgres.cluster().url(postgres.template())) as connection:
            query = "SELECT table_name, column_name, data_type FROM information_schema.columns"
            for name, column, kind in connection.execute(query + " WHERE table_schema = 'public'"):
                self.setdefault(name, {})[column] = kind
        return self[table]


KINDS = _Kinds()


@contextmanager
def opened(location, wrap=lambda contents: contents):
    contents = location.contents()
    try:
        yield End(name=location.name, contents=wrap(contents))
    finally:
        contents.close()


@contextmanager
def copier(locations, *, watch=None, clock=None, wrap=lambda contents: contents):
    clock = clock or MovingClock(NOW_MS)
    with opened(locations[0], wrap) as source, opened(locations[1], wrap) as target:
        yield Copier(source, target, clock=clock, sleep_ms=clock.move, listener=watch or Watch())


def common_rows(*locations) -> list[dict[str, tuple]]:
    """Of the tables that all of these databases have."""
    found = [rows_of(location) for location in locations]
    common = set.intersection(*(set(tables) for tables in found))
    assert set().union(*found) - common <= ONE_SIDED
    return [{name: rows for name, rows in tables.items() if name in common} for tables in found]


def rows_of(location) -> dict[str, tuple]:
    contents = location.contents()
    with closing(contents), contents.reading():
        return {
            table.name: contents.read(table, None, None, max_rows=10_000, max_bytes=10**9).rows
            for table in contents.tables()
        }


def assert_equal(ends):
    source, target = common_rows(*ends)
    assert target == source


def run(location, sql):
    """Changes the database as one of its processes does."""
    contents = location.contents()
    with closing(contents), contents.writing():
        contents._connection.execute(sql.encode() if location.kind == "PostgreSQL" else sql)


def ask(location, sql):
    contents = location.contents()
    with closing(contents), contents.reading():
        return contents._connection.execute(sql.encode() if location.kind == "PostgreSQL" else sql).fetchall()


def move_of(location):
    contents = location.contents()
    with closing(contents), contents.reading():
        return contents.move()


def test_every_table_is_copied_or_listed_as_not_copied(tmp_path):
    """A new table is copied; one that is not must be listed."""
    path = tmp_path / "a.db"
    contents = make_sqlite(tmp_path, "a.db").contents()
    copied = {table.name for table in contents.tables()}
    contents.close()
    with closing(sqlite3.connect(path)) as connection:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert copied == there - NOT_COPIED
    assert set(TOGETHER) <= copied


def test_both_databases_name_the_same_tables_columns_and_keys(tmp_path):
    found = []
    for make in (make_sqlite, make_postgres):
        location = make(tmp_path, "a.db")
        contents = location.contents()
        found.append([table for table in contents.tables() if table.name not in ONE_SIDED])
        contents.close()
    postgres.cluster().give_back(location._url)
    assert found[0] == found[1]


def test_tables_with_references_or_unique_values_are_replaced_together():
    """Except those whose rows are numbered: a later row never has the value of an earlier one that is still there."""
    with psycopg.connect(postgres.cluster().url(postgres.template())) as connection:
        references = connection.execute(
            "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
        ).fetchall()
        unique = connection.execute(
            """SELECT DISTINCT indrelid::regclass::text FROM pg_index JOIN pg_class c ON c.oid = indrelid
            WHERE indisunique AND NOT indisprimary AND relnamespace = 'public'::regnamespace
            AND NOT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = indrelid AND attidentity <> '')"""
        ).fetchall()
    assert all(TOGETHER.index(table) > TOGETHER.index(referred) for table, referred in references)
    assert {table for (table,) in unique} <= set(TOGETHER)


def test_a_copy_has_every_row_of_every_table(ends):
    watch = Watch()
    with copier(ends, watch=watch) as it:
        it.switch()
    _, copied = common_rows(*ends)
    assert_equal(ends)
    assert all(len(rows) == (1 if name in SINGLE else ROWS) for name, rows in copied.items())
    assert set(watch.checksums) == set(copied)
    assert all(watch.checksums.values())
    assert watch.phases == [Phase.COPYING, Phase.DRAINING, Phase.COMPLETING]


def test_counts_of_the_queue_are_those_of_the_copy(ends):
    run(ends[0], "UPDATE deliveries SET state = 'pending', endpoint_seq = 1 WHERE message_seq > 2")
    with copier(ends) as it:
        it.copy()
    run(ends[0], "UPDATE deliveries SET state = 'success' WHERE message_seq = 3")
    with copier(ends) as it:
        it.switch()
    query = "SELECT endpoint_seq, CAST(sum(pending) AS bigint) FROM queue_counts GROUP BY 1 HAVING sum(pending) > 0"
    assert ask(ends[1], query) == ask(ends[0], query) == [(1, ROWS - 3)]


def test_numbers_continue_after_the_copied_ones(ends):
    with copier(ends) as it:
        it.switch()
    run(ends[1], "INSERT INTO audit (at_ms, actor, action, subject, detail) VALUES (1, 'a', 'b', 'c', 'd')")
    columns = sorted(KINDS["audit"])
    assert max(row[columns.index("seq")] for row in rows_of(ends[1])["audit"]) == ROWS + 1


def test_a_second_run_writes_only_differences(ends):
    with copier(ends) as it:
        it.copy()
    run(ends[0], "UPDATE deliveries SET tries = 99 WHERE message_seq = 3")
    run(ends[0], "DELETE FROM messages WHERE seq = 2")
    run(ends[0], "UPDATE sources SET name = 'other' WHERE token = 'token_4_é'")
    watch = Watch()
    with copier(ends, watch=watch) as it:
        it.copy()
    assert_equal(ends)
    assert {table: written for table, written in watch.written.items() if written and table not in TOGETHER} == {
        "deliveries": 1
    }
    with copier(ends, watch=watch) as it:
        it.copy()
    assert not any(watch.written.values())


@pytest.mark.parametrize("bound", ["rows", "bytes"])
def test_batches_are_bounded(ends, monkeypatch, bound):
    monkeypatch.setattr(copying, "BATCH_MAX_ROWS", 2 if bound == "rows" else 1_000)
    monkeypatch.setattr(copying, "BATCH_MAX_BYTES", 10**6 if bound == "rows" else 60)
    sizes = []

    def watched(contents):
        read = contents.read

        def noting(*arguments, **named):
            batch = read(*arguments, **named)
            sizes.append(len(batch.rows) if bound == "rows" else sum(map(size_bytes, batch.rows[1:])))
            return batch

        contents.read = noting
        return contents

    with copier(ends, wrap=watched) as it:
        it.switch()
    assert_equal(ends)
    assert 0 < max(sizes) <= (3 if bound == "rows" else 2 * 60)


@pytest.mark.slow
def test_a_run_killed_at_any_step_continues(ends, monkeypatch, request):
    monkeypatch.setattr(copying, "BATCH_MAX_ROWS", 4)
    # Each pair of databases is killed at other steps.
    first = 1 + 36 * PAIRS.index(request.node.callspec.params["ends"])
    for last in itertools.count(first, STRIDE):
        try:
            with copier(ends, wrap=mortal_until(last)) as it:
                it.switch()
        except Killed:
            assert_at_most_one_in_use(ends)
        else:
            break
        with copier(ends) as it:
            it.switch()
        assert_equal(ends)
        assert (move_of(ends[0]).state, move_of(ends[1])) == (MoveState.MOVED, None)
        start_again(ends)
    assert last > 100


def assert_at_most_one_in_use(ends):
    """The source still is what counts, or the copy is complete."""
    source, target = map(move_of, ends)
    target_is_usable = target is None and bool(rows_of(ends[1])["installation"])
    assert not target_is_usable or source.state is MoveState.MOVED


def start_again(ends):
    """Empties the copy; the source is in use again."""
    with opened(ends[0]) as source:
        source.contents.accept_again()
    with opened(ends[1]) as target, target.contents.writing():
        for table in reversed(target.contents.tables()):
            target.contents.remove_range(table, None, None)
        target.contents.put_move(None)


def test_a_run_that_is_overtaken_by_another_changes_nothing(ends):
    def overtake():
        with copier(ends) as other:
            other.switch()
        run(ends[1], "UPDATE deliveries SET tries = 50")

    watch = Watch()
    watch.on_begin[Phase.COMPLETING] = overtake
    with copier(ends, watch=watch) as it, rejected("database_moving"):
        it.switch()
    assert {row[sorted(KINDS["deliveries"]).index("tries")] for row in rows_of(ends[1])["deliveries"]} == {50}
    assert (move_of(ends[0]).state, move_of(ends[1])) == (MoveState.MOVED, None)


def test_a_run_whose_source_was_reopened_does_not_complete(ends):
    def reopen():
        with opened(ends[0]) as source:
            cancel_switch(source)

    watch = Watch()
    watch.on_checksum = reopen
    with copier(ends, watch=watch) as it, rejected("switch_interrupted"):
        it.switch()
    assert move_of(ends[0]) is None


def test_a_failed_switch_leaves_the_source_in_use(ends, monkeypatch):
    monkeypatch.setattr(Copier, "_compare_counts", lambda *_: (_ for _ in ()).throw(copying._differs("messages")))
    with copier(ends) as it, rejected("copy_differs"):
        it.switch()
    assert move_of(ends[0]) is None
    run(ends[0], "UPDATE catalogue SET version = 5")
    assert move_of(ends[1]).state is MoveState.FILLING


def test_a_killed_switch_can_be_canceled(ends):
    watch = Watch()
    watch.on_begin[Phase.COMPLETING] = kill
    with copier(ends, watch=watch) as it, pytest.raises(Killed):
        it.switch()
    with copier(ends) as it, rejected("switch_under_way"):
        it.copy()
    with opened(ends[0]) as source:
        cancel_switch(source)
        with rejected("no_switch"):
            cancel_switch(source)
    run(ends[0], "UPDATE catalogue SET version = 5")


def kill():
    raise Killed


def test_a_source_that_drains_rejects_events_claims_and_changes(ends):
    run(ends[0], "UPDATE deliveries SET state = 'sending', due_at_ms = 1 WHERE message_seq = 1")
    watch = Watch()
    seen = []

    def look():
        for sql in (
            "INSERT INTO messages SELECT * FROM messages WHERE seq = 1",
            "UPDATE deliveries SET state = 'sending' WHERE message_seq = 2",
            "UPDATE catalogue SET version = 5",
        ):
            with pytest.raises(StoreMoving) as caught:
                run(ends[0], sql)
            seen.append(ends[1].name in caught.value.detail)
        # What is being sent is recorded.
        run(ends[0], "UPDATE deliveries SET state = 'success', due_at_ms = NULL WHERE message_seq = 1")

    watch.on_wait = look
    with copier(ends, watch=watch, clock=MovingClock(0)) as it:
        it.switch()
    assert seen == [True] * 3
    assert_equal(ends)


def test_a_switch_that_cannot_drain_gives_up(ends):
    run(ends[0], f"UPDATE deliveries SET state = 'sending', due_at_ms = {NOW_MS * 2} WHERE message_seq = 1")
    with copier(ends) as it, rejected("switch_timeout"):
        it.switch()
    assert move_of(ends[0]) is None


def test_a_moved_source_rejects_every_write(ends):
    with copier(ends) as it:
        it.switch()
    for table in rows_of(ends[0]):
        with pytest.raises(StoreMoving):
            run(ends[0], f"DELETE FROM {table}")
    with copier(ends) as it:
        it.switch()
        with rejected("switch_under_way"):
            it.copy()


def test_a_database_with_data_is_not_overwritten(ends, tmp_path):
    fill(ends[1].contents())
    before = rows_of(ends[1])
    with copier(ends) as it, rejected("target_not_empty"):
        it.copy()
    assert rows_of(ends[1]) == before
    with copier(ends[::-1]) as it, rejected("target_not_empty"):
        it.copy()


def test_a_copy_of_another_installation_is_not_continued(ends):
    with copier(ends) as it:
        it.copy()
    run(ends[0], "UPDATE installation SET installation_id = 'another'")
    with copier(ends) as it, rejected("target_not_empty"):
        it.copy()


def test_a_switch_to_a_third_database_is_rejected(ends, tmp_path):
    with copier(ends) as it:
        it.switch()
    third = make_sqlite(tmp_path, "third.db")
    with copier([ends[0], third]) as it, rejected("moving_elsewhere"):
        it.switch()
    assert move_of(third) is None


def test_another_schema_is_rejected(ends):
    run(ends[1], "ALTER TABLE audit ADD COLUMN later text")
    with copier(ends) as it, rejected("schema_differs"):
        it.copy()


def test_a_value_that_postgresql_cannot_store_is_named(tmp_path):
    ends = [make_sqlite(tmp_path, "0.db"), make_postgres(tmp_path, "")]
    fill(ends[0].contents())
    run(ends[0], "UPDATE messages SET event_id = 'a' || char(0) || 'b' WHERE seq = 3")
    with copier(ends) as it, pytest.raises(NicobarError) as caught:
        it.copy()
    assert "Column event_id of row 3 in table messages contains the character U+0000" in caught.value.detail
    postgres.cluster().give_back(ends[1]._url)


def test_memory_is_bounded_by_the_size_of_a_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(copying, "BATCH_MAX_BYTES", 2 * 1024 * 1024)
    ends = [make_sqlite(tmp_path, "0.db"), make_sqlite(tmp_path, "1.db")]
    body = "x" * 1024 * 1024
    run(ends[0], "INSERT INTO installation VALUES (1, 'inst_1', 'key_1')")
    for number in range(40):
        run(
            ends[0],
            "INSERT INTO audit (at_ms, actor, action, subject, detail) "
            f"VALUES ({number}, 'a', 'b', 'c', hex(zeroblob({len(body) // 2})))",
        )
    tracemalloc.start()
    with copier(ends) as it:
        it.copy()
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 15 * len(body), "far less than the 40 rows take"
    assert len(rows_of(ends[1])["audit"]) == 40


async def test_a_database_that_drains_stores_what_was_sent(store, tmp_path):
    """Writes of one process that are committed together succeed or fail one by one."""
    await store.change([await endpoint(store, "ep_1")])
    await store.append(message(1))
    (claimed,) = await claim(store)
    location = locate(_URLS.get(tmp_path, f"sqlite:///{tmp_path / 'nicobar.db'}"))
    draining = Move(state=MoveState.DRAINING, place="there", installation_id="inst_1", changed_at_ms=1)
    with opened(location) as end:
        end.contents.stop(draining)
        results = await asyncio.gather(
            store.append(message(2)), store.record([done(claimed)]), store.append(message(3)), return_exceptions=True
        )
        assert [type(result) for result in results] == [StoreMoving, int, StoreMoving]
        assert "there" in results[0].detail
        with pytest.raises(StoreMoving):
            await store.change([await endpoint(store, "ep_2")])
        end.contents.accept_again()
    await store.append(message(2))
