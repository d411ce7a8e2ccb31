"""PgBouncer between a test and its PostgreSQL server, in transaction mode: a server's connection belongs to a client
for one transaction.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from nicobar.cli.postgres_server import unprivileged_user
from support.postgres import UNTIL_EOF, drain

# So few that the transactions of a process meet the connections of each other.
SERVER_CONNECTIONS = 2
_MISSING = "PgBouncer is not installed. As root, `make test` installs Debian's package; elsewhere install pgbouncer."


@contextmanager
def pgbouncer(url: str) -> Iterator[str]:
    """The URL of the same database through PgBouncer."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip(_MISSING)
    parts = conninfo_to_dict(url)
    directory = Path(tempfile.mkdtemp(prefix="nicobar-pgb-"))
    settings = {
        "listen_addr": "",
        "listen_port": 6432,
        "unix_socket_dir": directory,
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": SERVER_CONNECTIONS,
        "max_client_conn": 200,
        "ignore_startup_parameters": "",
    }
    file = directory / "pgbouncer.ini"
    target = f"host={parts['host']} dbname={parts['dbname']} user={parts['user']}"
    lines = ["[databases]", f"{parts['dbname']} = {target}", "[pgbouncer]"]
    file.write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in settings.items())]) + "\n")
    user = unprivileged_user()
    if user is not None:
        for path in (directory, file):
            shutil.chown(path, user)
    process = subprocess.Popen(
        ["sh", "-c", UNTIL_EOF, "sh", program, file],
        user=user,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=directory,
        start_new_session=True,
    )
    try:
        _wait_until_ready(process)
        yield f"postgresql:///{parts['dbname']}?host={directory}&port=6432&user=nicobar"
    finally:
        process.stdin.close()
        process.wait()
        shutil.rmtree(directory)


def _wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    lines = []
    for line in process.stderr:
        lines.append(line)
        if b"process up" in line:
            threading.Thread(target=drain, args=[process], daemon=True).start()
            return
    raise AssertionError(b"".join(lines).decode())
