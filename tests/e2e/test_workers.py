"""Several worker processes on one PostgreSQL."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack

import pytest

from cli.test_commands import environment
from nicobar.settings import Role
from support import postgres
from support.cli import Started
from support.patience import PATIENCE_S
from support.server import running

KEY = "ab" * 32
HANDLER = "function handler(webhook) { webhook.payload = nicobar.event('paid', {}); return webhook; }"


@pytest.fixture
def database():
    server = postgres.cluster()
    url = server.create_database()
    yield {"database_url": url, "secret_key": KEY}
    server.drop_database(url)


def wait_until_running(process: Started) -> None:
    lines = []
    for line in process.stdout:
        lines.append(line)
        if '"running"' in line:
            return
    raise AssertionError(lines)


async def delivered(nicobar, event_id: str, count: int) -> None:
    assert (await nicobar.send_sample("payment.succeeded", event_id))[0] == 202
    async with asyncio.timeout(PATIENCE_S):
        while len(nicobar.state.activities) < count:
            await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
async def test_another_worker_process_takes_over_from_one_that_ends(tmp_path, database, end):
    variables = environment(NICOBAR_DATABASE_URL=database["database_url"], NICOBAR_SECRET_KEY=KEY)
    async with running(tmp_path / "web", HANDLER, role=Role.WEB, new_installation=True, **database) as web:
        with ExitStack() as stack:
            for name in ("first", "second"):
                directory = tmp_path / name
                directory.mkdir()
                process = Started(directory, ("serve", "--role", "worker"), variables)
                stack.callback(process.stdout.close)
                await asyncio.to_thread(wait_until_running, process)
                stack.callback(process.wait)
                stack.callback(process.send_signal, signal.SIGKILL)
                if name == "first":
                    first = process
                    await delivered(web, "evt_1", 1)
            first.send_signal(end)
            await delivered(web, "evt_2", 2)
            assert len(web.state.activities) == 2
