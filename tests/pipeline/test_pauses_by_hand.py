"""A pause or resume by a person and a hold."""

from __future__ import annotations

from nicobar.reasons import plain
from nicobar.store import PauseEndpoint
from support.worker import OK, World, another_worker, put_on_hold, status, the_endpoint, world


async def test_a_resume_while_no_process_runs_ends_the_hold(tmp_path):
    async with world(tmp_path) as it:
        await put_on_hold(it)
        await it.worker.stop(5_000)
        await by_person(it, None)
        async with another_worker(it) as again:
            assert await again.network.next() == ["one"]
            assert again.network.checks == 0


async def by_person(it: World, text: str | None) -> None:
    """Pauses, or resumes with no reason, as the API and the dashboard do."""
    endpoint = await the_endpoint(it)
    why = None if text is None else plain(text)
    await it.store.change([PauseEndpoint(endpoint_id=endpoint.id, reason=why, by_hand=why is not None)])


async def test_a_pause_that_a_person_made_is_never_probed(tmp_path):
    async with world(tmp_path) as it:
        await by_person(it, "maintenance")
        await it.worker._configuration.refresh()
        await it.accept("one")
        for _ in range(5):
            await it.move(300_000)
        await it.move(0)
        assert (it.network.checks, it.network.sent.qsize()) == (0, 0)
        assert str((await the_endpoint(it)).paused_reason) == "maintenance"


async def test_a_person_s_pause_during_the_probe_is_kept(tmp_path):
    async with world(tmp_path) as it:
        await put_on_hold(it)
        it.network.answer = lambda _items: OK
        it.network.open.clear()
        await it.move(10_000)
        await it.network.next()
        await by_person(it, "maintenance")
        it.network.open.set()
        await it.next_recorded()
        await it.accept("two", "cus_b")
        await it.move(300_000)
        await it.move(0)
        endpoint = await the_endpoint(it)
        assert (endpoint.paused_reason, endpoint.paused_by_hand) == (plain("maintenance"), True)
        assert it.network.sent.empty()
        assert "endpoint.recovered" not in it.alerts()


async def test_a_manual_pause_during_a_request_never_becomes_a_hold(tmp_path):
    async with world(tmp_path) as it:
        it.network.open.clear()
        it.network.answer = lambda _items: status(403)
        await it.accept("one")
        await it.network.next()
        await by_person(it, "maintenance")
        it.network.open.set()
        await it.next_recorded()
        await it.move(300_000)
        await it.move(0)
        endpoint = await the_endpoint(it)
        assert (endpoint.paused_reason, endpoint.paused_by_hand) == (plain("maintenance"), True)
        assert it.network.checks == 0


async def test_a_resume_by_a_person_ends_the_hold_at_once(tmp_path):
    async with world(tmp_path) as it:
        await put_on_hold(it)
        it.network.answer = lambda _items: OK
        await by_person(it, None)
        await it.worker._configuration.refresh()
        assert await it.network.next() == ["one"]
        await it.next_recorded()
        await it.move(0)
        assert it.network.checks == 0
        assert it.alerts() == ["endpoint.paused", "endpoint.recovered"]
