"""Databases of earlier versions keep what they have, and processes of an earlier version work on a newer database."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec
import psycopg
import pytest

from contracts.test_stores import claim, done, message
from nicobar.errors import StoreUnusable
from nicobar.model import UserRole
from nicobar.store import Store
from nicobar.store.migrations import Applied, Migration, load_migrations, plan
from nicobar.store.postgres import PostgresStore
from nicobar.store.postgres.migrate import apply_migrations as migrate_postgres
from nicobar.store.sqlite import SqliteStore
from nicobar.store.sqlite.connection import APPLICATION_ID
from nicobar.store.sqlite.location import SqliteLocation
from nicobar.store.sqlite.migrate import apply_migrations as migrate_sqlite
from support import postgres
from support.store import NOW_MS

# A migration that was released never changes: databases know its checksum.
RELEASED = {
    "sqlite": {
        1: "c15686bd423d685e",
        2: "d9158915341be936",
        3: "05449f23aa6bff83",
        4: "eb7db4664f193141",
        5: "4aaa445a8af1168b",
        6: "2f0bd03e42d6b4fc",
        7: "56c7f7c11da0e825",
        8: "0511ae279584314b",
        9: "dc5fe1c1111d090b",
        10: "c44782b16fe58c2e",
        11: "57166b4a3ea88e47",
        12: "cbe00943f114164c",
        13: "20e57f87520ecebf",
        14: "29e94040a4fd1e84",
    },
    "postgres": {
        10: "731f2ffc3f97ddd2",
        11: "15b4a226e207de11",
        12: "97740bb104dca345",
        13: "e8c49574e35faeb4",
        14: "b84b86a11fdfb656",
    },
}
GENERATIONS = [("sqlite", 1), ("sqlite", 5), ("sqlite", 10), ("postgres", 10)]
LATEST = load_migrations("sqlite")[-1].number


class _Sqlite:
    """A SQLite file, as SQL sees it."""

    name = "sqlite"

    def __init__(self, path: Path) -> None:
        self._path = path

    def run(self, script: str) -> None:
        with closing(sqlite3.connect(self._path)) as connection:
            connection.executescript(f"BEGIN; {script}; COMMIT")

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self._path)) as connection:
            return connection.execute(query).fetchall()

    def claim_ownership(self) -> None:
        self.run(f"PRAGMA application_id = {APPLICATION_ID}")

    def migrate(self) -> tuple[int, ...]:
        return migrate_sqlite(self._path, NOW_MS).newer

    def open(self) -> Store:
        return SqliteStore(self._path)

    def columns(self) -> dict[str, dict[str, object]]:
        """By table and column: the type, and whether a new row needs a value."""
        tables = self.rows("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return {
            table: {
                column: (kind, bool(needed) and default is None)
                for _, column, kind, needed, default, _ in self.rows(f"PRAGMA table_info({table})")
            }
            for (table,) in tables
        }

    def unique(self) -> set[tuple[str, ...]]:
        """Table and columns of each unique index, and its condition."""
        query = """
            SELECT t.name, (SELECT group_concat(name) FROM pragma_index_info(i.name)),
                (SELECT sql FROM sqlite_schema WHERE name = i.name)
            FROM sqlite_schema AS t, pragma_index_list(t.name) AS i WHERE t.type = 'table' AND i."unique"
        """
        return {tuple(str(value) for value in row) for row in self.rows(query)}


class _Postgres:
    """A database of a server, as SQL sees it."""

    name = "postgres"

    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, script: str) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(re.sub(r"x'([0-9a-f]*)'", r"'\\x\1'::bytea", script))

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()

    def claim_ownership(self) -> None:
        self.run("COMMENT ON TABLE migrations IS 'nicobar'")

    def migrate(self) -> tuple[int, ...]:
        return migrate_postgres(self.url, NOW_MS).newer

    def open(self) -> Store:
        return PostgresStore(self.url)

    def columns(self) -> dict[str, dict[str, object]]:
        found: dict[str, dict[str, object]] = {}
        query = """
            SELECT table_name, column_name, data_type, coalesce(collation_name, ''),
                is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'
            FROM information_schema.columns WHERE table_schema = 'public'
        """
        for table, column, *rest in self.rows(query):
            found.setdefault(str(table), {})[str(column)] = tuple(rest)
        return found

    def unique(self) -> set[tuple[str, ...]]:
        query = """
            SELECT i.indrelid::regclass::text, pg_get_indexdef(i.indexrelid)
            FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
            WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace
        """
        return {tuple(str(value) for value in row) for row in self.rows(query)}


@pytest.fixture
def create(tmp_path) -> Iterator[Callable[..., _Sqlite | _Postgres]]:
    """Creates a database with the tables of a version, as that version left them."""
    made: list[str] = []

    def database(name: str, number: int) -> _Sqlite | _Postgres:
        if name == "sqlite":
            place: _Sqlite | _Postgres = _Sqlite(tmp_path / f"{number}.db")
        else:
            made.append(postgres.cluster().create_database())
            place = _Postgres(made[-1])
        place.run(
            "CREATE TABLE migrations (number bigint PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, "
            "applied_at_ms bigint NOT NULL)"
        )
        place.claim_ownership()
        for migration in load_migrations(name):
            if migration.number <= number:
                place.run(migration.sql)
                place.run(
                    f"INSERT INTO migrations VALUES ({migration.number}, '{migration.name}', '{migration.sha256}', 1)"
                )
        return place

    yield database
    for url in made:
        postgres.cluster().drop_database(url)


@pytest.fixture
def fill(create) -> Callable[..., _Sqlite | _Postgres]:
    """The same, with a row or more in each table."""

    def database(name: str, number: int) -> _Sqlite | _Postgres:
        place = create(name, number)
        place.run(Path(__file__).with_name("generations").joinpath(f"{number}.sql").read_text("utf-8"))
        if name == "postgres":
            for (table,) in place.rows("SELECT table_name FROM information_schema.columns WHERE column_name = 'seq'"):
                place.rows(f"SELECT setval(pg_get_serial_sequence('{table}', 'seq'), max(seq)) FROM {table}")
        return place

    return database


def content(place: _Sqlite | _Postgres) -> dict[str, list[dict[str, object]]]:
    """The rows of each table."""
    return {
        table: [
            dict(zip(columns, row, strict=True)) for row in place.rows(f"SELECT {', '.join(columns)} FROM {table}")
        ]
        for table, columns in place.columns().items()
        if table != "migrations"
    }


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_released_migrations_never_change(database):
    *before, _ = load_migrations(database)
    assert {migration.number: migration.sha256[:16] for migration in before} == RELEASED[database]


@pytest.mark.parametrize(("database", "number"), GENERATIONS)
def test_a_database_of_before_keeps_what_it_has(fill, database, number):
    place = fill(database, number)
    before = content(place)
    assert all(before.values()), "the test fills each table"
    place.migrate()
    after, columns = content(place), place.columns()
    assert set(before) - set(after) <= {"setup_links"}, "links took its place"
    for table, rows in before.items():
        kept = [{name: row[name] for name in columns[table] if name in row} for row in rows if table in after]
        assert sorted(map(repr, kept)) == sorted(
            repr({name: row[name] for name in kept[0]}) for row in after.get(table, [])
        ), table


@pytest.mark.parametrize(("database", "number"), GENERATIONS)
async def test_a_database_of_before_works_on(fill, database, number):
    place = fill(database, number)
    place.migrate()
    store = place.open()
    try:
        snapshot = await store.snapshot()
        assert [app.uid for app in snapshot.applications] == ["default"]
        assert [(endpoint.id, endpoint.transformation.version) for endpoint in snapshot.endpoints] == [("ep_1", 1)]
        assert [str(attempt.state) for attempt in await store.attempts("msg_2", "ep_1")] == ["failed"]
        rebuild = await store.rebuild()
        assert rebuild is not None, "its messages are to be read for what they state"
        assert rebuild.ended_at_ms is None
        again = await store.append(msgspec.structs.replace(message(8, event_id="evt_1"), app_id="app_1"))
        assert (again.message_id, again.duplicate) == ("msg_1", True)
        (third,) = await claim(store)
        assert third.message.id == "msg_3"
        await store.record([done(third, attempt="atmpt_3")])
        assert [item.message.id for item in await claim(store)] == ["msg_4"]
        new = await store.append(message(9, "cus_9"))
        assert not new.duplicate
        assert [item.message.id for item in await claim(store)] == ["msg_9"]
    finally:
        await store.close()


def test_version_1_rows_are_placed_and_named(fill):
    place = fill("sqlite", 1)
    place.migrate()
    assert place.rows("SELECT position, failure FROM deliveries LIMIT 2") == [(1 << 20, None), (2 << 20, "HTTP 404")]
    assert place.rows("SELECT state FROM attempts ORDER BY id") == [("success",), ("failed",)]
    assert place.rows("SELECT name, scope FROM tokens ORDER BY name") == [("ci", "admin"), ("old", "admin")]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_retry_that_waits_keeps_when_it_failed(fill, database):
    place = fill(database, 10)
    place.run("UPDATE attempts SET message_seq = 3 WHERE id = 'atmpt_2'")
    place.migrate()
    found = place.rows("SELECT message_seq, failing_since_ms, failed_at_ms FROM deliveries ORDER BY message_seq")
    assert [row for row in found if row[1] is not None] == [(3, 20, 20)]


async def test_the_owner_s_setup_link_survives_the_upgrade(fill):
    place = fill("sqlite", 5)
    place.migrate()
    store = place.open()
    link = await store.link("cc", now_ms=99)
    assert (link.name, link.role) == ("owner", UserRole.OWNER)
    await store.close()


@pytest.mark.parametrize(
    ("database", "migration"),
    [
        pytest.param(database, migration, id=f"{database} {migration.number}")
        for database in ("sqlite", "postgres")
        for migration in load_migrations(database)
        if migration.oldest < migration.number
    ],
)
def test_an_older_version_finds_all_it_needs(create, database, migration):
    """Its statements name tables, columns and unique indexes, and give no value to columns it does not know."""
    older, newer = create(database, migration.oldest), create(database, migration.number)
    before, after = older.columns(), newer.columns()
    for table, columns in before.items():
        assert columns.items() <= after[table].items(), table
        needed = [column for column, kind in after[table].items() if column not in columns and kind[-1]]
        assert not needed, "an older process stores no value there"
    assert older.unique() == {index for index in newer.unique() if index[0] in before}


def migration(number: int, *, oldest: int | None = None, sha256: str = "a") -> Migration:
    return Migration(number=number, name="m", sql="", sha256=sha256, oldest=number if oldest is None else oldest)


def test_a_version_runs_on_migrations_that_allow_it():
    known = [migration(11), migration(12)]
    applied = [Applied(number=number, sha256="a", oldest=12) for number in (11, 12, 13, 14)]
    planned = plan(known, applied)
    assert (planned.todo, planned.newer) == ((), (13, 14))


@pytest.mark.parametrize("oldest", [13, None])
def test_a_version_refuses_migrations_that_need_a_newer_one(oldest):
    applied = [Applied(number=12, sha256="a", oldest=12), Applied(number=13, sha256="a", oldest=oldest)]
    with pytest.raises(StoreUnusable) as caught:
        plan([migration(12)], applied)
    assert caught.value.code == "database_newer"
    assert "13" in str(caught.value)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_a_process_starts_on_a_newer_database_that_allows_it(create, database):
    place = create(database, LATEST)
    assert place.migrate() == ()
    place.run(f"INSERT INTO migrations VALUES (99, 'later', 'x', 1, {LATEST})")
    assert place.migrate() == (99,)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_the_oldest_version_is_stored_with_its_migration(create, database):
    place = create(database, 10)
    place.migrate()
    newest = load_migrations(database)[-1]
    stored = place.rows(f"SELECT oldest FROM migrations WHERE number = {newest.number}")
    assert stored == [(newest.oldest,)]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_tables_do_not_change_under_a_version_too_old_for_them(create, tmp_path, database):
    """The lock of a process that delivers: of version 10, which may run on migration 11, but not on 12."""
    place = create(database, 10)
    with ExitStack() as delivering:
        if database == "sqlite":
            delivering.enter_context(SqliteLocation(tmp_path / "10.db").worker_place())
        else:
            older = delivering.enter_context(psycopg.connect(place.url, autocommit=True))
            older.execute("SELECT pg_advisory_lock(1851941235)")
        with pytest.raises(StoreUnusable) as caught:
            place.migrate()
        assert caught.value.code == "older_version_runs"
        assert place.rows("SELECT max(number) FROM migrations") == [(10,)]
    place.migrate()
    assert place.rows("SELECT max(number) FROM migrations") == [(LATEST,)]


def test_the_next_version_migrates_while_this_one_delivers(create, tmp_path):
    place = create("sqlite", LATEST - 1)
    with SqliteLocation(tmp_path / f"{LATEST - 1}.db").worker_place():
        place.migrate()
    assert place.rows("SELECT max(number) FROM migrations") == [(LATEST,)]


# What a process of version 10 does for an event.
APPEND_OF_10 = """
    INSERT INTO messages (id, app_id, source_id, event_id, event_type, customer_key, occurred_at_ms, accepted_at_ms,
        body, channels, tags, params, deliver_at_ms)
    VALUES ('{id}', 'app_1', 'src', '{event_id}', 'a.b', 'cus_9', 1, 1, x'7b7d', '[]', '[]', NULL, NULL)
    ON CONFLICT (app_id, event_id) DO NOTHING
"""


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_an_event_of_an_older_process_is_known_to_newer_ones(fill, database):
    place = fill(database, 10)
    place.migrate()
    store = place.open()
    try:
        place.run(APPEND_OF_10.format(id="msg_old", event_id="evt_9"))
        for number in (8, 9):
            new = msgspec.structs.replace(message(number, event_id="evt_9"), app_id="app_1")
            answers = await asyncio.gather(store.append(new), store.append(message(f"1{number}", "cus_9")))
            assert [(answer.message_id, answer.duplicate) for answer in answers] == [
                ("msg_old", True),
                (f"msg_1{number}", False),
            ]
    finally:
        await store.close()


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_an_event_of_a_newer_process_is_known_to_older_ones(fill, database):
    place = fill(database, 10)
    place.migrate()
    store = place.open()
    try:
        await store.append(msgspec.structs.replace(message(8, event_id="evt_9"), app_id="app_1"))
        place.run(APPEND_OF_10.format(id="msg_old", event_id="evt_9"))
        assert place.rows("SELECT id FROM messages WHERE event_id = 'evt_9'") == [("msg_8",)]
    finally:
        await store.close()


# What a process of version 10 does to erase a customer: it does not know the columns of later versions.
ERASE_OF_10 = """
    UPDATE messages SET body = x'', params = NULL, tags = '[]', expunged_at_ms = 5, customer_key = NULL
    WHERE event_id = 'evt_9'
"""


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_what_an_older_process_erases_leaves_no_name(fill, database):
    place = fill(database, 10)
    place.migrate()
    store = place.open()
    try:
        known = {"customer_email": "a@shop.example", "customer_name": "A"}
        await store.append(msgspec.structs.replace(message(8, event_id="evt_9"), app_id="app_1", **known))
        place.run(ERASE_OF_10)
        walk = {"before_ms": 0, "now_ms": 9, "limit": 10, "full": True}
        assert (await store.expunge_old(after_seq=0, **walk)).done == 1
        assert (await store.expunge_old(after_seq=0, **walk)).done == 0
        query = "SELECT customer_email, customer_name, expunged_at_ms FROM messages WHERE event_id = 'evt_9'"
        assert place.rows(query) == [(None, None, 5)]
    finally:
        await store.close()


def test_a_migration_that_waits_lets_others_go_first(create, monkeypatch):
    """Whatever wants a table waits behind a migration that waits for it, here for a transaction that goes on."""
    place = create("postgres", 10)
    with psycopg.connect(place.url) as reading:
        reading.execute("SELECT count(*) FROM messages")

        def pause(_seconds: float) -> None:
            place.run("SET lock_timeout = '10s'; " + APPEND_OF_10.format(id="msg_old", event_id="evt_9"))
            reading.rollback()

        monkeypatch.setattr("nicobar.store.postgres.migrate._LOCK_MS", 10)
        monkeypatch.setattr("nicobar.store.postgres.migrate.time.sleep", pause)
        place.migrate()
    assert place.rows("SELECT id FROM messages") == [("msg_old",)]
    assert place.rows("SELECT max(number) FROM migrations") == [(LATEST,)]
