"""Results of test events are in the store, where every process finds them."""

from __future__ import annotations

import pytest

from nicobar.cli.options import open_services
from nicobar.errors import Refusal
from nicobar.settings import Settings
from nicobar.use_cases import test_events as events


@pytest.fixture
async def services(tmp_path):
    async with open_services(Settings(data_dir=tmp_path), create=True, quiet=True) as it:
        yield it


async def test_an_unknown_test_event_is_not_found_or_stored(services):
    for _ in range(2):
        with pytest.raises(Refusal) as caught:
            await events.sent_test_event(services, "ep_1", "none")
        assert caught.value.status == 404


async def test_an_unfinished_test_event_is_reported(services, monkeypatch):
    monkeypatch.setattr(events, "MAX_WAIT_MS", events.POLL_MS)
    await services.store.begin_answer("test/ep_1", "t1", "", now_ms=services.clock.now_ms(), before_ms=0)
    with pytest.raises(Refusal) as caught:
        await events.sent_test_event(services, "ep_1", "t1")
    assert (caught.value.status, caught.value.code) == (409, "test_unfinished")
