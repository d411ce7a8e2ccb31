"""What was changed before a delivery was put into the queue applies to it, also if another process did both."""

from __future__ import annotations

import pytest

from nicobar.connectors.transport import TIMEOUT_MS
from nicobar.errors import StoreUnavailable
from nicobar.reasons import plain
from nicobar.store import AddTransformation, PauseEndpoint
from support.records import make_endpoint
from support.store import failing_store
from support.worker import ENDPOINTS, VAULT, World, the_endpoint, world

EDITED = """function handler(webhook) {
  webhook.payload = [nicobar.event("edited", { name: webhook.payload.data.name })];
  return webhook;
}"""


async def publish_elsewhere(it: World) -> None:
    """As another process does: this one is not told."""
    endpoint = await the_endpoint(it)
    await it.store.change([AddTransformation(endpoint_id=endpoint.id, code=EDITED, created_at_ms=2)])


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_a_delivery_runs_what_another_process_published_before(tmp_path, database):
    async with world(tmp_path, database=database) as it:
        await publish_elsewhere(it)
        await it.accept("a")
        assert await it.network.next() == ["edited"]
        assert (await it.next_recorded()).attempt.transformation_version == 2


async def test_a_pause_of_another_process_holds_for_what_is_accepted_later(tmp_path):
    async with world(tmp_path) as it:
        endpoint = await the_endpoint(it)
        await it.store.change([PauseEndpoint(endpoint_id=endpoint.id, reason=plain("maintenance"), by_hand=True)])
        message_id = await it.accept("a")
        await it.move(0)
        assert (it.network.sent.empty(), await it.attempts(message_id)) == (True, [])
        await it.store.change([PauseEndpoint(endpoint_id=endpoint.id, reason=None, by_hand=False)])
        await it.worker._configuration.refresh()
        assert await it.network.next() == ["a"]


async def test_a_claim_without_its_configuration_is_given_back(tmp_path):
    async with world(tmp_path) as it:
        await publish_elsewhere(it)
        away = StoreUnavailable("database_unavailable", "It is away.", "Wait.")
        with failing_store(it.store, "snapshot", away) as failed:
            await it.accept("a")
            await failed.wait()
            await it.move(0)
            assert it.network.sent.empty()
        await it.move(TIMEOUT_MS)
        await it.move(TIMEOUT_MS)
        assert await it.network.next() == ["edited"]


async def test_what_was_claimed_for_another_destination_keeps_its_order(tmp_path, monkeypatch):
    async with world(tmp_path) as it:
        endpoint = await the_endpoint(it)
        settings, credentials, code = ENDPOINTS["http"]
        put = make_endpoint(
            vault=VAULT,
            ids=it.ids,
            app_id=endpoint.app_id,
            name=endpoint.name,
            kind="http",
            settings=settings,
            credentials=credentials,
            replaced=endpoint,
            disabled=False,
        )
        added = AddTransformation(endpoint_id=endpoint.id, code=code, created_at_ms=2)
        await it.store.change([put, added])
        it.network.open.clear()
        with monkeypatch.context() as patch:
            patch.setattr(it.worker, "wake", lambda _seqs: [])
            for name in ("a", "b"):
                await it.accept(name)
        it.worker.wake([endpoint.seq])
        assert await it.network.next() == ["a"]
        await it.clock_looked_at()
        assert it.network.sent.empty()
        it.network.open.set()
        assert await it.network.next() == ["b"]


async def test_what_cannot_be_put_back_is_released(tmp_path):
    async with world(tmp_path) as it:
        endpoint = await the_endpoint(it)
        paused = PauseEndpoint(endpoint_id=endpoint.id, reason=plain("maintenance"), by_hand=True)
        await it.store.change([paused])
        away = StoreUnavailable("database_unavailable", "It is away.", "Wait.")
        with failing_store(it.worker._deliverer, "put_back", away) as failed:
            await it.accept("a")
            await failed.wait()
            await it.move(0)
        await it.store.change([PauseEndpoint(endpoint_id=endpoint.id, reason=None, by_hand=False)])
        await it.worker._configuration.refresh()
        await it.move(TIMEOUT_MS)
        await it.move(TIMEOUT_MS)
        assert await it.network.next() == ["a"]
