"""The count before a replay says what would arrive. Real databases, real sandbox, real emulator."""

from __future__ import annotations

import pytest

from e2e.test_event_ids import (
    delivered,
    endpoint,
    installed,
    publish,
    recreate,
    replay,
    sends,
    workspace,  # noqa: F401 - a fixture
)
from nicobar.store import ReplayFilter, TaskKind
from nicobar.use_cases import replay_effects
from nicobar.use_cases.deliveries import FINAL_STATES
from nicobar.use_cases.replay_effects import MAX_RUN_MS, EffectServices, ReplayEffect, replay_effect
from nicobar.use_cases.replays import count_replay
from support.api import Api
from support.shared import SANDBOX

BULK = TaskKind.BULK_REPLAY


async def effect(
    api: Api, kind: TaskKind = BULK, *, new_ids: bool = False, max_run_ms: int = MAX_RUN_MS
) -> ReplayEffect:
    runtime = api.nicobar.runtime
    which = ReplayFilter(states=FINAL_STATES)
    count = await count_replay(runtime.store, kind, endpoint(api), which)
    services = EffectServices(runtime.store, runtime.configuration, runtime.vault, await SANDBOX.get(), runtime.clock)
    return await replay_effect(services, kind, endpoint(api), which, count, new_ids=new_ids, max_run_ms=max_run_ms)


async def three(api: Api) -> None:
    for number in range(3):
        await api.nicobar.send_sample("payment.succeeded", f"evt_{number}")
    await delivered(api, 3)


AGAIN = ['nicobar.event("a")', 'nicobar.event("a")']
CHANGES = {
    "nothing": (['nicobar.event("a")'], ['nicobar.event("a")'], {"known_events": 3}),
    "an event more": (
        ['nicobar.event("a")'],
        ['nicobar.event("b")', 'nicobar.event("a")'],
        {"known_events": 3, "new_events": 3, "changed": 3},
    ),
    "an attribute": (['nicobar.event("a")'], ['nicobar.event("a", {n: 1})'], {"known_events": 3, "changed": 3}),
    "an equal event more": (
        AGAIN[:1],
        AGAIN,
        {"known_events": 3, "new_events": 3, "changed": 3, "renumbered": 3},
    ),
    "an equal event less": (AGAIN, AGAIN[:1], {"known_events": 3, "changed": 3, "renumbered": 3}),
    "an error": (AGAIN[:1], ["null.x"], {"failing": 3}),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_count_tells_new_events_from_known_ones(tmp_path, workspace, change):  # noqa: F811
    _, url = workspace
    before, after, expected = CHANGES[change]
    async with installed(tmp_path, sends(*before), url, keep_profile=False) as api:
        await three(api)
        await publish(api, sends(*after))
        assert await effect(api) == ReplayEffect(messages=3, **expected)


async def test_count_knows_new_ids_and_what_a_deleted_endpoint_sent(tmp_path, workspace):  # noqa: F811
    _, url = workspace
    code = sends('nicobar.event("a")')
    async with installed(tmp_path, code, url, keep_profile=False) as api:
        await three(api)
        assert (await effect(api, new_ids=True)).new_events == 3
        await recreate(api, url, code, "again")
        found = await effect(api, TaskKind.REPLAY_MISSING)
        assert (found.messages, found.known_events, found.new_events) == (3, 3, 0)
        await replay(api, TaskKind.REPLAY_MISSING)
        await delivered(api, 3)


async def test_count_knows_facts_of_other_messages(tmp_path, workspace):  # noqa: F811
    _, url = workspace
    async with installed(tmp_path, "function handler(w) { return w; }", url, keep_profile=False) as api:
        for number in range(2):
            await api.nicobar.send_sample("payment.succeeded", f"evt_{number}")
            await api.nicobar.next_recorded()
        await publish(api, sends('nicobar.event("a", {}, {once: "same"})'))
        assert (await effect(api)).new_events == 2
        await api.nicobar.send_sample("payment.succeeded", "evt_9")
        await delivered(api)
        assert (await effect(api)).known_events == 3


@pytest.mark.parametrize("bound", ["messages", "time"])
async def test_count_beyond_its_bounds_is_an_estimate(tmp_path, workspace, monkeypatch, bound):  # noqa: F811
    _, url = workspace
    monkeypatch.setattr(replay_effects, "PAGE_MESSAGES", 1)
    if bound == "messages":
        monkeypatch.setattr(replay_effects, "MAX_MESSAGES", 2)
    async with installed(tmp_path, sends('nicobar.event("a")'), url) as api:
        await three(api)
        found = await effect(api, max_run_ms=0 if bound == "time" else MAX_RUN_MS)
        assert (found.messages, found.is_estimate) == (0 if bound == "time" else 2, True)
        path = f"{api.app}/endpoint/{endpoint(api).id}/bulk-replay?dryRun=true"
        shown = (await api.ask("POST", path, {"since": "2020-01-01T00:00:00Z"})).body
        assert shown["effect"]["isEstimate"] == (bound == "messages")
        assert shown["deliveries"] == 3
