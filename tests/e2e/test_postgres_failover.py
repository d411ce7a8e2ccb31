"""Nicobar over two PostgreSQL servers: a primary, and a standby that takes its place."""

from __future__ import annotations

import asyncio

import pytest

from contracts.test_stores import endpoint, message
from nicobar.errors import StoreUnavailable
from nicobar.reasons import plain
from nicobar.store import PauseEndpoint
from nicobar.store.postgres import PostgresStore, apply_migrations, connection, database
from support import postgres
from support.patience import PATIENCE_S
from support.server import Running, running

KEY = "ab" * 32
HANDLER = "function handler(webhook) { webhook.payload = nicobar.event('paid', {}); return webhook; }"


@pytest.fixture
def primary():
    made = postgres.Cluster(postgres.SYNCHRONOUS)
    yield made
    made.stop()


@pytest.fixture
def url(primary):
    """Of a new database, on whichever of both servers may be written to."""
    return primary.create_database()


@pytest.fixture
def standby(primary, url):  # created before, so that the standby has it
    made = primary.standby()
    yield made
    made.stop()


def of_both(url: str, primary: postgres.Cluster, standby: postgres.Cluster) -> str:
    return url.replace(f"host={primary.directory}", f"host={primary.directory},{standby.directory}")


class Senders:
    """Send events without a pause, each of them until it is accepted, as senders do."""

    def __init__(self, nicobar: Running) -> None:
        self._nicobar = nicobar
        self._stop = asyncio.Event()
        self.accepted: list[str] = []
        self.refused = 0
        self._changed = asyncio.Condition()

    async def send(self, name: str) -> None:
        number = 0
        while not self._stop.is_set():
            event_id = f"evt_{name}_{number}"
            status, answer = await self._nicobar.send_sample("payment.succeeded", event_id)
            async with self._changed:
                if status in {200, 202}:
                    self.accepted.append(event_id)
                    number += 1
                else:
                    assert (status, answer["code"]) == (503, "store_unavailable")
                    self.refused += 1
                self._changed.notify_all()

    async def until(self, *, accepted: int = 0, refused: int = 0) -> None:
        """So many more."""
        accepted += len(self.accepted)
        refused += self.refused
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: len(self.accepted) >= accepted and self.refused >= refused)

    def stop(self) -> None:
        self._stop.set()


async def pause(nicobar: Running, reason: str | None) -> None:
    endpoint = nicobar.runtime.configuration.snapshot.endpoints[0]
    why = None if reason is None else plain(reason)
    await nicobar.runtime.store.change([PauseEndpoint(endpoint_id=endpoint.id, reason=why, by_hand=True)])
    await nicobar.runtime.configuration.refresh()


async def test_a_failover_to_a_synchronous_standby_loses_nothing(tmp_path, url, primary, standby):
    database = {"database_url": of_both(url, primary, standby), "secret_key": KEY}
    async with running(tmp_path, HANDLER, new_installation=True, **database) as nicobar:
        await pause(nicobar, "maintenance")
        senders = Senders(nicobar)
        async with asyncio.TaskGroup() as sending:
            for name in "abcd":
                sending.create_task(senders.send(name))
            await senders.until(accepted=20)
            await asyncio.to_thread(primary.crash)
            await senders.until(refused=1)
            await asyncio.to_thread(standby.promote)
            await senders.until(accepted=20)
            # The old primary comes back as a standby that knows nothing of what followed.
            primary.demote()
            await asyncio.to_thread(primary.start)
            await senders.until(accepted=20)
            senders.stop()
        await pause(nicobar, None)
        missing = set(senders.accepted)
        while missing:
            missing.discard((await nicobar.next_recorded()).message.event_id)


async def test_an_old_primary_that_came_back_is_not_used(tmp_path, url, primary, standby):
    database = {"database_url": of_both(url, primary, standby), "secret_key": KEY}
    async with running(tmp_path, HANDLER, new_installation=True, **database) as nicobar:
        await asyncio.to_thread(primary.crash)
        await asyncio.to_thread(standby.promote)
        primary.demote()
        await asyncio.to_thread(primary.start)
        async with asyncio.timeout(PATIENCE_S):
            while (await nicobar.send_sample("payment.succeeded", "evt_1"))[0] != 202:
                pass
        assert (await nicobar.next_recorded()).message.event_id == "evt_1"
        name = url.removeprefix("postgresql:///").partition("?")[0]
        used = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'nicobar%'"
        assert primary.ask(used, name) == [(0,)]


async def test_an_event_that_no_standby_has_is_not_acknowledged(url, primary, standby, monkeypatch):
    apply_migrations(url, 1)
    store = PostgresStore(url)
    await store.change([await endpoint(store, "ep_1")])
    with monkeypatch.context() as patched:
        patched.setattr(connection, "ANSWER_S", 0.1)
        patched.setattr(database, "TRANSACTION_MS", 1_000)
        await asyncio.to_thread(standby.stop)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await store.append(message(1))
    await asyncio.to_thread(standby.start)
    assert (await store.append(message(1))).duplicate
    await store.close()


async def test_meanwhile_senders_are_told_when_to_retry(tmp_path, url, primary):
    async with running(tmp_path, HANDLER, new_installation=True, database_url=url, secret_key=KEY) as nicobar:
        await asyncio.to_thread(primary.crash)
        body = b'{"type":"payment.succeeded"}'
        async with nicobar.http.post(nicobar.url, data=body, headers=nicobar.signed(body, "evt_1")) as answer:
            assert (answer.status, int(answer.headers["Retry-After"]) > 0) == (503, True)
