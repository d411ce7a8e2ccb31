"""The PostgreSQL server of this test process, and databases on it."""

from __future__ import annotations

import atexit
import itertools
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import psycopg

from nicobar.cli.postgres_server import PostgresServer
from nicobar.store.postgres import apply_migrations

_TEMPLATE = "template_nicobar"
# Tests need no data that outlives the machine.
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "autovacuum_naptime": "1h",
}


class Cluster(PostgresServer):
    """A server of its own; it runs until it is stopped, or until the test process ends."""

    def __init__(self, settings: Mapping[str, str] | None = None, *, within: Path | None = None) -> None:
        directory = Path(tempfile.mkdtemp(prefix="nicobar-pg-", dir=within))
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        self._numbers = itertools.count(1)
        self._clean: list[str] = []
        atexit.register(self.stop)
        super().__init__(directory, _SETTINGS if settings is None else settings)

    @property
    def pid(self) -> int:
        """Of the process that all of the running server's processes descend from."""
        assert self._process is not None
        return self._process.pid

    def create_database(self, *, template: str = "template0") -> str:
        """The URL of a new, empty database, or of a copy of another one."""
        name = f"test_{next(self._numbers)}"
        self.ask(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def take_database(self) -> str:
        """The URL of a database with our tables, as the migrations leave them."""
        return self._clean.pop() if self._clean else self.create_database(template=template())

    def give_back(self, url: str) -> None:
        """Cleans a taken database for the next test; one whose structure was changed is dropped. To create a database
        costs ten times as much.
        """
        clean = _template_contents()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_END_OTHERS)
            if _structure(connection) == clean.structure:
                clean.restore(connection)
                self._clean.append(url)
                return
        self.drop_database(url)

    def drop_database(self, url: str) -> None:
        name = url.removeprefix("postgresql:///").partition("?")[0]
        self.ask(f"DROP DATABASE {name} WITH (FORCE)")

    def ask(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []


@cache
def cluster() -> Cluster:
    """The server of this process, started when the first test asks for it."""
    return Cluster()


@cache
def template() -> str:
    """A database with our tables, to be copied."""
    server = cluster()
    server.ask(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
    apply_migrations(server.url(_TEMPLATE), 1)
    return _TEMPLATE


_END_OTHERS = """SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""
_STRUCTURE = (
    """SELECT a.attrelid::regclass::text, a.attname, a.atttypid::regtype::text, a.attnotnull
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 ORDER BY 1, 2""",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    """SELECT pg_get_constraintdef(oid), conrelid::regclass::text FROM pg_constraint
WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""",
    """SELECT relname, reloptions::text FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL ORDER BY 1""",
    "SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
    """SELECT setconfig::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
WHERE d.datname = current_database()""",
)
_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
_SEQUENCES = "SELECT sequencename, start_value, last_value FROM pg_sequences WHERE schemaname = 'public'"


def _structure(connection: psycopg.Connection) -> list[list[tuple[object, ...]]]:
    return [connection.execute(query).fetchall() for query in _STRUCTURE]


class _Contents:
    """What the migrations leave in a new database."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.structure = _structure(connection)
        self._rows: dict[str, bytes] = {}
        for (table,) in connection.execute(_TABLES).fetchall():
            with connection.cursor().copy(f"COPY {table} TO STDOUT") as copy:
                self._rows[table] = b"".join(bytes(part) for part in copy)
        self._sequences = connection.execute(_SEQUENCES).fetchall()

    def restore(self, connection: psycopg.Connection) -> None:
        with connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")  # no order between the tables
            connection.execute("; ".join(f"DELETE FROM {table}" for table in self._rows))
            for table, rows in self._rows.items():
                if rows:
                    with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                        copy.write(rows)
            for name, start, last in self._sequences:
                connection.execute("SELECT setval(%s, %s, %s)", (name, last or start, last is not None))


@cache
def _template_contents() -> _Contents:
    with psycopg.connect(cluster().url(template())) as connection:
        return _Contents(connection)
