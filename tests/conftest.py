"""How tests run. Property tests have the same examples each time, so that a change alone decides whether the checks
pass; `make test ARGS=--hypothesis-profile=search` looks for many new ones.
"""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import aiohttp
import pytest
import structlog
from argon2 import PasswordHasher
from hypothesis import HealthCheck, settings

from nicobar import crypto
from support.shared import SANDBOX, close_all
from support.store import STORES, drop_store, open_store

# Most of what tests wait for is the disk. Their files are in memory where it has room and may hold programs.
MEMORY = Path("/dev/shm")
MIN_FREE_BYTES = 4 * 1024**3


def _use_memory() -> None:
    if "TMPDIR" in os.environ or not MEMORY.is_dir():
        return
    space = os.statvfs(MEMORY)
    if space.f_bavail * space.f_frsize >= MIN_FREE_BYTES and not space.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # it is looked for again


_use_memory()

settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, max_examples=2_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


def pytest_collection_modifyitems(items):
    """Marks browser tests; slow tests run first, so that none of them runs alone at the end."""
    for item in items:
        if "browser" in item.function.__code__.co_names:
            item.add_marker("browser")
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session", autouse=True)
async def _shared():
    yield
    await close_all()


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords():
    """Passwords are hashed as always, with little work: the tests' passwords need no protection."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crypto, "_PASSWORDS", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


def _use_plain_logs() -> None:
    """Without the values of all variables in tracebacks: to format one of these takes seconds."""
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], renderer])


_use_plain_logs()


@pytest.fixture(autouse=True)
def _default_logs():
    """A command that ran in this process has configured its logs; the next test begins without."""
    yield
    structlog.reset_defaults()
    _use_plain_logs()


@pytest.fixture(params=[name if name == "sqlite" else pytest.param(name, marks=pytest.mark.slow) for name in STORES])
async def store(request, tmp_path):
    """An empty store of each database; `make check` runs on SQLite alone, a server's connections cost more."""
    opened = await open_store(tmp_path, database=request.param)
    yield opened
    await opened.close()
    drop_store(tmp_path)


@pytest.fixture
async def sandbox():
    """The test process's handler process."""
    return await SANDBOX.get()


@pytest.fixture(autouse=True)
def no_names(monkeypatch):
    """No test asks a name server: deliveries to invented hosts find that the name is not known."""

    async def resolve(_resolver, host, port=0, family=socket.AF_INET):
        if host != "localhost":
            raise OSError("tests resolve no names")
        found = {
            "hostname": host,
            "host": "127.0.0.1",
            "port": port,
            "family": socket.AF_INET,
            "proto": 0,
            "flags": 0,
        }
        return [found]

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
