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
from psycopg import sql

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
        self._cleaners: dict[str, psycopg.Connection] = {}
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
        while self._cleaners:
            self._cleaners.popitem()[1].close()
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

    def program(self, name: str) -> str:
        """The path of a program of this server's version."""
        return str(self._programs / name)

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
        try:
            is_clean = self.clean(url, _END_OTHERS)
        except psycopg.OperationalError:  # a test has ended its connections
            self._cleaners.pop(url).close()
            is_clean = self.clean(url, _END_OTHERS)
        if is_clean:
            self._clean.append(url)
        else:
            self.drop_database(url)

    def clean(self, url: str, first: str = "SELECT") -> bool:
        """Whether it was only to be cleaned. Over a connection that is kept: a new one has to learn about each table
        first, which takes most of the time.
        """
        clean = _template_contents()
        if url not in self._cleaners:
            self._cleaners[url] = psycopg.connect(url, autocommit=True, application_name="tests")
        connection = self._cleaners[url]
        connection.execute(first)
        if connection.execute(_STRUCTURE).fetchone() != (clean.structure,):
            return False
        connection.execute(clean.restore)
        return True

    def drop_database(self, url: str) -> None:
        if url in self._cleaners:
            self._cleaners.pop(url).close()
        self.ask(f"DROP DATABASE {_name_of(url)} WITH (FORCE)")

    @property
    def can_dump(self) -> bool:
        """Whether the client programs are there as well."""
        return all((self._programs / name).exists() for name in ("pg_dump", "pg_restore"))

    def dump(self, url: str) -> Path:
        """The database as it is now, in a file."""
        path = self._directory / f"dump_{next(self._numbers)}"
        self._run("pg_dump", "--format=custom", f"--file={path}", f"--dbname={url}")
        return path

    def restore(self, url: str, dump: Path) -> None:
        """The dump takes the database's place; who is connected to it is cut off."""
        self.drop_database(url)
        self.ask(f"CREATE DATABASE {_name_of(url)} TEMPLATE template0")
        self._run("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={url}", str(dump))

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run([self._programs / program, *arguments], user=self._user, check=True, cwd=self._directory)

    def ask(self, query: str, database: str = "postgres") -> list[tuple[object, ...]]:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(query)
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


def _name_of(url: str) -> str:
    return url.removeprefix("postgresql:///").partition("?")[0]


_END_OTHERS = """SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""
# One text for all that a test may have changed of the tables.
_STRUCTURE = """SELECT md5(string_agg(line, chr(10) ORDER BY line)) FROM (
    SELECT concat_ws(' ', a.attrelid::regclass, a.attname, a.atttypid::regtype, a.attnotnull) AS line
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT concat_ws(' ', pg_get_constraintdef(oid), conrelid::regclass) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', relname, reloptions) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
    UNION ALL SELECT concat_ws(' ', tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT setconfig::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
    WHERE d.datname = current_database()
) AS lines"""
_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
_SEQUENCES = "SELECT sequencename, start_value, last_value FROM pg_sequences WHERE schemaname = 'public'"


class _Contents:
    """What the migrations leave in a new database: its structure, and what restores its rows, in one round trip."""

    def __init__(self, connection: psycopg.Connection) -> None:
        (self.structure,) = connection.execute(_STRUCTURE).fetchone()
        tables = [table for (table,) in connection.execute(_TABLES).fetchall()]
        steps = ["BEGIN", "SET LOCAL session_replication_role = replica"]  # no order between the tables
        steps += [f"DELETE FROM {table}" for table in tables]
        for table in tables:
            (rows,) = connection.execute(f"SELECT json_agg(t)::text FROM {table} AS t").fetchone()
            if rows is not None:
                literal = sql.Literal(rows).as_string(connection)
                steps.append(f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, {literal})")
        for name, start, last in connection.execute(_SEQUENCES).fetchall():
            steps.append(f"SELECT setval('{name}', {last or start}, {last is not None})")
        self.restore = "; ".join([*steps, "COMMIT"])


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
