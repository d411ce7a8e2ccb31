"""A PostgreSQL server of this test process's own: an installed server, or the server in a package of the development
environment. It listens on a socket in a directory of its own, and ends with the process, however that ends.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import psycopg

from nicobar.cli.postgres_server import find_programs, locale_options, unprivileged_user
from nicobar.store.postgres import apply_migrations

_TEMPLATE = "template_nicobar"
# The server ends with whoever holds the other end of its standard input, even if that is killed.
UNTIL_EOF = '"$@" & pid=$!; read -r _; kill -INT $pid; wait $pid'
# Tests need no data that outlives the machine.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "autovacuum_naptime": "1h",
}
# What a standby must have on its disk before a commit is acknowledged.
SYNCHRONOUS = _SETTINGS | {"synchronous_commit": "on"}


class Cluster:
    """A server of its own; it runs until it is stopped, or until the test process ends. A standby follows its
    `primary`.
    """

    def __init__(
        self, settings: Mapping[str, str] | None = None, *, primary: Cluster | None = None, within: Path | None = None
    ) -> None:
        self._settings = _SETTINGS if settings is None else settings
        self._directory = Path(tempfile.mkdtemp(prefix="nicobar-pg-", dir=within))
        atexit.register(shutil.rmtree, self._directory, ignore_errors=True)
        self._programs = find_programs(self._directory)
        self._user = unprivileged_user()
        if self._user is not None:
            shutil.chown(self._directory, self._user)
        self._data = self._directory / "data"
        self._numbers = itertools.count(1)
        self._clean: list[str] = []
        if primary is None:
            command = [self._programs / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
            command += ["--no-sync", *locale_options(self._programs)]
        else:
            command = [self._programs / "pg_basebackup", "-D", self._data, "-h", primary.directory, "-U", "postgres"]
            command += ["--no-sync", "--checkpoint=fast", "--write-recovery-conf"]
        subprocess.run(command, user=self._user, check=True, stdout=subprocess.DEVNULL, cwd=self._directory)
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop)
        self.start()

    def start(self) -> None:
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        server = [self._programs / "postgres", "-D", self._data, "-k", self._directory, *settings]
        self._process = subprocess.Popen(
            ["sh", "-c", UNTIL_EOF, "sh", *server],
            user=self._user,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._directory,
            start_new_session=True,
        )
        self._reader = _wait_until_ready(self._process)

    @property
    def pid(self) -> int:
        """Of the process that all of the running server's processes descend from."""
        assert self._process is not None
        return self._process.pid

    @property
    def postmaster(self) -> int:
        """Of the server's first process, which starts all others."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def stop(self) -> None:
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process = None

    def crash(self) -> None:
        """Ends the server as a power cut does."""
        os.kill(self.postmaster, signal.SIGKILL)
        self.stop()
        # Its processes end soon after it, and hold their output until then.
        self._reader.join()

    def standby(self) -> Cluster:
        """A server that follows this one; from now on each commit here waits until the standby has it on its disk."""
        made = Cluster(self._settings, primary=self)
        self.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.ask("SELECT pg_reload_conf()")
        while self.ask("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
            pass
        return made

    def promote(self) -> None:
        """Makes a standby a primary; returns once it may be written to."""
        assert self.ask("SELECT pg_promote()") == [(True,)]

    def demote(self) -> None:
        """From the next start on, a standby, which may not be written to."""
        signal_file = self._data / "standby.signal"
        signal_file.touch()
        if self._user is not None:
            shutil.chown(signal_file, self._user)

    @property
    def directory(self) -> Path:
        """Where its socket is."""
        return self._directory

    def quit(self) -> None:
        """Ends the server at once: it writes nothing any more, and has to recover when it starts."""
        os.kill(self.postmaster, signal.SIGQUIT)
        self.stop()

    def url(self, database: str) -> str:
        return f"postgresql:///{database}?host={self._directory}&user=postgres"

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


def _wait_until_ready(process: subprocess.Popen[bytes]) -> threading.Thread:
    """Returns what reads the server's output from then on."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if b"ready to accept" in line:  # "connections", "read-only connections"
            reader = threading.Thread(target=drain, args=[process], daemon=True)
            reader.start()
            return reader
    raise AssertionError(b"".join(lines).decode())


def drain(process: subprocess.Popen[bytes]) -> None:
    """Unread output would stop the server once the pipe is full."""
    with process.stderr:
        for _ in process.stderr:
            pass
