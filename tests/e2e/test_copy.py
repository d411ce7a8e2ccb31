"""An installation moves from SQLite to PostgreSQL while it runs."""

from __future__ import annotations

import asyncio
import os
import re

import pytest

from nicobar.errors import StoreUnusable
from nicobar.reasons import plain
from nicobar.runtime import run
from nicobar.settings import Settings
from nicobar.store import PauseEndpoint
from support import postgres
from support.cli import run_cli
from support.patience import PATIENCE_S
from support.server import DEFAULTS, running
from support.shared import SANDBOX

HANDLER = "function handler(webhook) { webhook.payload = nicobar.event('paid', {}); return webhook; }"


@pytest.fixture
def url():
    made = postgres.cluster().create_database()
    yield made
    postgres.cluster().drop_database(made)


async def nicobar(directory, *arguments, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NICOBAR_")}
    return await asyncio.to_thread(run_cli, directory, arguments, kept | environment)


async def test_a_running_installation_moves_to_postgresql(tmp_path, url):
    old = tmp_path / "old"
    to = {"NICOBAR_DATABASE_URL": url}
    async with running(old, HANDLER) as it:
        for number in range(3):
            assert (await it.send_sample("payment.succeeded", f"evt_{number}"))[0] == 202
            await it.next_recorded()
        copied = await nicobar(tmp_path, "copy", "--from", "old", **to)
        assert copied.returncode == 0, copied
        assert "● messages: 3 rows, 3 written\n" in copied.stdout
        (endpoint,) = it.runtime.configuration.snapshot.endpoints
        pause = PauseEndpoint(endpoint_id=endpoint.id, reason=plain("moving"), by_hand=True)
        await it.runtime.store.change([pause])
        await it.runtime.configuration.refresh()
        assert (await it.send_sample("payment.succeeded", "evt_later"))[0] == 202

        switched = await nicobar(tmp_path, "copy", "--from", "old", "--switch", **to)
        assert switched.returncode == 0, switched
        assert re.search(r"^● messages: 4 rows, 0 written, checksum [0-9a-f]{32}$", switched.stdout, re.MULTILINE)
        assert "password" not in switched.stdout
        status, answer = await it.send_sample("payment.succeeded", "evt_refused")
        assert (status, answer["code"]) == (503, "store_unavailable")
        async with it.http.get(f"{it.runtime.server.url}/readyz") as ready:
            assert ready.status == 503
            assert "is being moved to postgresql://" in await ready.text()
        key = (old / "secret.key").read_text()
        settings = DEFAULTS | {"database_url": url, "secret_key": key, "data_dir": tmp_path / "new"}
        await deliver_the_rest(it, Settings(**settings))
    with pytest.raises(StoreUnusable) as caught:
        async with run(Settings(**DEFAULTS | {"data_dir": old}), sandbox=await SANDBOX.get()):
            pass
    assert caught.value.code == "database_moved"
    assert "was moved to postgresql:///test_" in caught.value.detail
    again = await nicobar(tmp_path, "copy", "--from", "old", "--switch", **to)
    assert again.returncode == 0, again
    keyless = await nicobar(tmp_path, "doctor", **to)
    assert "▲ key:" in keyless.stdout, keyless


async def deliver_the_rest(it, settings: Settings) -> None:
    """What waited is delivered from the new database, once; what was delivered is known."""
    recorded: asyncio.Queue = asyncio.Queue()
    async with run(settings, recorded.put_nowait, sandbox=await SANDBOX.get()) as moved:
        it.url = it.url.replace(it.runtime.server.url, moved.server.url)
        assert (await it.send_sample("payment.succeeded", "evt_1"))[1]["duplicate"] is True
        (endpoint,) = moved.configuration.snapshot.endpoints
        await moved.store.change([PauseEndpoint(endpoint_id=endpoint.id, reason=None)])
        assert (await it.send_sample("payment.succeeded", "evt_new"))[0] == 202
        async with asyncio.timeout(PATIENCE_S):
            found = [(await recorded.get()).message.event_id for _ in range(2)]
    assert found == ["evt_later", "evt_new"]
    assert len(it.state.activities) == 5


async def test_an_incomplete_copy_is_not_used(tmp_path, url):
    async with running(tmp_path / "old", None):
        copied = await nicobar(tmp_path, "copy", "--from", "old/nicobar.db", "--to", url)
        assert copied.returncode == 0, copied
    key = (tmp_path / "old" / "secret.key").read_text()
    started = await nicobar(tmp_path, "migrate", NICOBAR_DATABASE_URL=url, NICOBAR_SECRET_KEY=key)
    assert started.returncode == 1
    assert f"This database is an incomplete copy of {tmp_path / 'old' / 'nicobar.db'}." in started.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--to", "sqlite:///new.db"], "No Nicobar database at"),
        (["--from", "old"], "No database to copy to."),
        (["--from", "old", "--to", "mysql://db"], "Invalid"),
        (["--from", "old", "--to", "sqlite:///new.db", "--switch", "--cancel"], "exclude each other"),
        (["--from", "old", "--cancel"], "No switch of"),
        (["--from", "old", "--to", "sqlite:///old/nicobar.db"], "has data of its own"),
    ],
)
async def test_a_wrong_copy_is_one_line_and_changes_nothing(tmp_path, arguments, says):
    made = await nicobar(tmp_path, "migrate", "--data-dir", "old")
    assert made.returncode == 0, made
    result = await nicobar(tmp_path, "copy", *arguments)
    assert (result.returncode, says in result.stderr, result.stderr.count("\n")) == (1, True, 1), result
    assert (await nicobar(tmp_path, "migrate", "--data-dir", "old")).returncode == 0
