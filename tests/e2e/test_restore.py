"""A backup taken under load, a restore and the redelivered gap: nothing is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
import subprocess
from collections import Counter

import pytest
from click.testing import CliRunner

from e2e.test_event_ids import ONE, customer_io, endpoint, installed, names
from nicobar.cli import group
from nicobar.pipeline import leases
from nicobar.sources.samples import fresh
from nicobar.store.location import locate
from support import postgres
from support.patience import PATIENCE_S
from support.server import ADA, TYPES, running

NOW_MS = 1_789_000_000_000
BACKED, ALL = 30, 36
BODY = fresh(TYPES["payment.succeeded"], NOW_MS, ADA)


async def command(*arguments: str, **environment: str) -> str:
    result = await asyncio.to_thread(CliRunner().invoke, group, arguments, env=environment)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.fixture
def server():
    made = postgres.Cluster()
    yield made
    made.stop()


async def arrived(state, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(state.activities) < count:
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_restore_and_redelivery_lose_and_double_nothing(tmp_path):
    data, backup = tmp_path / "data", tmp_path / "copy.db"
    async with customer_io() as (state, url):
        async with installed(data, ONE, url) as api:
            secrets = api.nicobar.secrets
            location = locate(f"sqlite:///{data / 'nicobar.db'}")
            copying: asyncio.Future | None = None
            for number in range(BACKED):
                assert (await api.nicobar.send(BODY, f"evt_{number}"))[0] == 202
                if number == 10:
                    copying = asyncio.ensure_future(
                        asyncio.to_thread(location.back_up, backup, force=False, now_ms=NOW_MS)
                    )
            assert copying is not None
            made = await copying
            for number in range(BACKED, ALL):
                assert (await api.nicobar.send(BODY, f"evt_{number}"))[0] == 202
            await arrived(state, ALL)
        assert 11 <= made.messages <= BACKED
        output = await command("restore", str(backup), "--force", "--data-dir", str(data))
        assert "customerio" in output
        async with installed(data, ONE, url) as api:
            api.nicobar.secrets = secrets
            held = endpoint(api)
            assert (str(held.paused_reason), held.paused_by_hand) == ("restored from a backup", True)
            listed = (await api.ask("GET", f"{api.app}/endpoint")).body["data"][0]
            assert listed["pausedReason"] == "restored from a backup"
            answers = Counter([(await api.nicobar.send(BODY, f"evt_{number}"))[0] for number in range(ALL)])
            assert answers == {200: made.messages, 202: ALL - made.messages}
            assert api.nicobar.recorded.empty(), "nothing is sent before it is resumed"
            await command("resume", "--all", "--data-dir", str(data))
            async with asyncio.timeout(PATIENCE_S):
                while await api.nicobar.runtime.store.backlog():
                    await asyncio.sleep(0.01)
        assert names(state) == {"step": ALL}


@pytest.mark.slow
async def test_a_dump_of_postgresql_is_restored_without_loss(tmp_path, server, monkeypatch):
    # What was being sent in the dump is sent again after it: no request of this test takes as long.
    monkeypatch.setattr(leases, "TIMEOUT_MS", 1_000)
    dump, key = tmp_path / "nicobar.dump", "ab" * 32
    url = server.create_database()
    database = {"database_url": url, "secret_key": key}
    named = {"NICOBAR_DATABASE_URL": url, "NICOBAR_SECRET_KEY": key}
    async with customer_io() as (state, base_url):
        settings = {"endpoint_settings": {"base_url": base_url}, **database}
        async with running(tmp_path, ONE, new_installation=True, **settings) as it:
            secrets = it.secrets
            for number in range(3):
                assert (await it.send(BODY, f"evt_{number}"))[0] == 202
            await run(server, "pg_dump", "--format=custom", f"--file={dump}", url)
            for number in range(3, 6):
                assert (await it.send(BODY, f"evt_{number}"))[0] == 202
            await arrived(state, 6)
            refused = await asyncio.to_thread(CliRunner().invoke, group, ["restore"], env=named)
            assert "A worker delivers" in str(refused.exception)
        restored = server.create_database()
        settings["database_url"] = named["NICOBAR_DATABASE_URL"] = restored
        await run(server, "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={restored}", str(dump))
        assert "Nothing is sent" in await command("restore", **named)
        async with running(tmp_path, ONE, **settings) as it:
            it.secrets = secrets
            answers = [(await it.send(BODY, f"evt_{number}"))[0] for number in range(6)]
            assert answers == [200, 200, 200, 202, 202, 202]
            await command("resume", "--all", **named)
            async with asyncio.timeout(PATIENCE_S):
                while await it.runtime.store.backlog():
                    await asyncio.sleep(0.01)
        assert names(state) == {"step": 6}


async def run(server: postgres.Cluster, program: str, *arguments: str) -> None:
    command = [server.program(program), *arguments]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
