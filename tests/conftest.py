"""How property tests run: the same examples each time, so that a change alone decides whether the checks pass.
`make test ARGS=--hypothesis-profile=search` looks for new ones.
"""

from __future__ import annotations

import socket

import aiohttp
import pytest
from hypothesis import HealthCheck, settings

from support.shared import SANDBOX, close_all

settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, max_examples=2_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture(scope="session", autouse=True)
async def _shared():
    yield
    await close_all()


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
