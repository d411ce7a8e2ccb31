"""Nicobar over a PostgreSQL server: several processes, and a server that is restarted."""

from __future__ import annotations

import asyncio

import pytest

from nicobar.errors import StoreUnusable
from nicobar.runtime import run
from nicobar.settings import Role, Settings
from support import postgres
from support.patience import PATIENCE_S
from support.server import DEFAULTS, running
from support.shared import SANDBOX

KEY = "ab" * 32
HANDLER = "function handler(webhook) { webhook.payload = nicobar.event('paid', {}); return webhook; }"


@pytest.fixture(scope="module")
def server():
    """A server that the test may stop."""
    made = postgres.Cluster()
    yield made
    made.stop()


@pytest.fixture
def database(server):
    url = server.create_database()
    yield {"database_url": url, "secret_key": KEY}
    server.drop_database(url)


async def test_one_process_receives_and_another_one_delivers(tmp_path, database):
    async with running(tmp_path / "web", HANDLER, role=Role.WEB, new_installation=True, **database) as web:
        worker = Settings(**DEFAULTS | database | {"data_dir": tmp_path / "worker", "role": Role.WORKER})
        recorded: asyncio.Queue = asyncio.Queue()
        async with run(worker, recorded.put_nowait, sandbox=await SANDBOX.get()):
            for number in range(3):
                assert (await web.send_sample("payment.succeeded", f"evt_{number}"))[0] == 202
            async with asyncio.timeout(PATIENCE_S):
                for _ in range(3):
                    await recorded.get()
            assert len(web.state.activities) == 3
            async with run(worker, recorded.put_nowait, sandbox=await SANDBOX.get()):
                assert (await web.send_sample("payment.succeeded", "evt_8"))[0] == 202
                async with asyncio.timeout(PATIENCE_S):
                    await recorded.get()
        async with run(worker, recorded.put_nowait, sandbox=await SANDBOX.get()):
            assert (await web.send_sample("payment.succeeded", "evt_9"))[0] == 202
            async with asyncio.timeout(PATIENCE_S):
                await recorded.get()


async def test_a_server_restart_loses_nothing_and_needs_no_operator(tmp_path, server, database):
    async with running(tmp_path, HANDLER, new_installation=True, **database) as nicobar:
        assert (await nicobar.send_sample("payment.succeeded", "evt_1"))[0] == 202
        await nicobar.next_recorded()
        await asyncio.to_thread(server.stop)
        body = b'{"type":"payment.succeeded"}'
        status, answer = await nicobar.send(body, "evt_2")
        assert (status, answer["code"]) == (503, "store_unavailable")
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(PATIENCE_S):
            while (await nicobar.send_sample("payment.succeeded", "evt_3"))[0] != 202:
                pass
        while (await nicobar.next_recorded()).message.event_id != "evt_3":
            pass
        async with nicobar.http.get(f"{nicobar.runtime.server.url}/readyz") as ready:
            assert ready.status == 200, await ready.text()


async def test_an_empty_database_needs_a_key_and_new_installation(tmp_path, database):
    settings = Settings(**DEFAULTS | database | {"data_dir": tmp_path})
    keyless = Settings(**DEFAULTS | {"data_dir": tmp_path, "database_url": database["database_url"]})
    for refused, code in ((settings, "database_missing"), (keyless, "key_missing")):
        with pytest.raises(StoreUnusable) as caught:
            async with run(refused, sandbox=await SANDBOX.get()):
                pass
        assert caught.value.code == code
    async with run(settings, new_installation=True, sandbox=await SANDBOX.get()):
        pass
    async with run(settings, sandbox=await SANDBOX.get()):
        pass
    other = Settings(**DEFAULTS | database | {"data_dir": tmp_path, "secret_key": "cd" * 32})
    with pytest.raises(StoreUnusable) as caught:
        async with run(other, sandbox=await SANDBOX.get()):
            pass
    assert caught.value.code == "key_foreign"
