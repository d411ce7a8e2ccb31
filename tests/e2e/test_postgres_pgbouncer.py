"""Nicobar behind PgBouncer in transaction mode."""

from __future__ import annotations

import asyncio
import contextlib

import psycopg
import pytest

from nicobar.runtime import run
from nicobar.settings import Role, Settings
from support import postgres
from support.patience import PATIENCE_S
from support.pgbouncer import SERVER_CONNECTIONS, pgbouncer
from support.server import DEFAULTS, running
from support.shared import SANDBOX

KEY = "ab" * 32
HANDLER = "function handler(webhook) { webhook.payload = nicobar.event('paid', {}); return webhook; }"
MAX_EVENTS = 40
# What a session of the server may have kept: the pooler gives it to other clients. PgBouncer itself follows the first
# ones, which each client announces.
LEFT_BEHIND = """
    SELECT 'setting ' || name FROM pg_settings WHERE source = 'session' AND name NOT IN
        ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')
    UNION ALL SELECT 'statement ' || statement FROM pg_prepared_statements
    UNION ALL SELECT 'lock ' || objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
    UNION ALL SELECT 'channel ' || channel FROM pg_listening_channels() AS channel
    UNION ALL SELECT 'temporary tables' WHERE pg_my_temp_schema() <> 0
"""


@pytest.fixture
def url():
    """An empty database."""
    made = postgres.cluster().create_database()
    yield made
    postgres.cluster().drop_database(made)


async def test_processes_behind_pgbouncer_deliver_and_leave_nothing_behind(tmp_path, url):
    with pgbouncer(url) as pooled:
        database = {"database_url": pooled, "secret_key": KEY}
        web = running(tmp_path / "web", HANDLER, role=Role.WEB, new_installation=True, **database)
        listening = database | {"database_listen_url": url}
        worker = Settings(**DEFAULTS | listening | {"data_dir": tmp_path / "worker", "role": Role.WORKER})
        recorded: asyncio.Queue = asyncio.Queue()
        async with web as nicobar, run(worker, recorded.put_nowait, sandbox=await SANDBOX.get()):
            sent = {f"evt_{number}" for number in range(MAX_EVENTS)}
            answers = await asyncio.gather(*(nicobar.send_sample("payment.succeeded", each) for each in sent))
            assert {status for status, _ in answers} == {202}
            async with asyncio.timeout(PATIENCE_S):
                while sent:
                    sent.discard((await recorded.get()).message.event_id)
            assert await asyncio.to_thread(left_behind, pooled) == set()


def left_behind(pooled: str) -> set[str]:
    """Looks into each of the server's sessions: as many transactions at once as there are of them."""
    found: set[str] = set()
    with contextlib.ExitStack() as stack:
        for _ in range(SERVER_CONNECTIONS):
            session = stack.enter_context(psycopg.connect(pooled, prepare_threshold=None))
            found |= {what for (what,) in session.execute(LEFT_BEHIND)}
    return found
