"""A destination that rejects, redirects or is hidden by a proxy for a while, over real HTTP: everything arrives."""

from __future__ import annotations

import pytest

from nicobar.model import Customer, DeliveryState
from nicobar.pipeline import breaker, retry
from nicobar.store.history import AuditFilter
from support.handlers import ORDER_PAID
from support.server import Running, running

EVENTS = 12


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(breaker, "FIRST_PROBE_MS", 50)
    monkeypatch.setattr(breaker, "MAX_PROBE_MS", 200)
    monkeypatch.setattr(retry, "RETRY_AFTER_MS", (50,) * 200)


async def fault(nicobar: Running, **fields: object) -> None:
    async with nicobar.http.put(f"{nicobar.emulator.url}/emulator/faults", json=fields) as answer:
        assert answer.status == 200


async def send_all(nicobar: Running) -> None:
    for number in range(EVENTS):
        customer = Customer(key=f"cus_{number % 4}", email=f"cus_{number % 4}@shop.example")
        status, _ = await nicobar.send_sample("payment.succeeded", f"evt_{number}", customer)
        assert status == 202


async def wait_for_all(nicobar: Running) -> None:
    delivered: set[str] = set()
    while len(delivered) < EVENTS:
        item = await nicobar.next_recorded()
        assert item.attempt.state is not DeliveryState.FAILED
        if item.attempt.state is DeliveryState.SUCCESS:
            delivered.add(item.message.id)
            arrived = len({activity.id for activity in nicobar.state.activities})
            assert arrived >= len(delivered), "nothing is marked delivered that has not arrived"
    assert len(nicobar.state.activities) == EVENTS


def alerts(nicobar: Running) -> list[str]:
    return [cause.split("/")[0] for cause in nicobar.runtime.alerts._hour_of_cause]


@pytest.mark.parametrize("status", [403, 404, 302, 401])
async def test_one_rejection_needs_no_person(tmp_path, status):
    async with running(tmp_path, ORDER_PAID) as nicobar:
        await fault(nicobar, status=status, times=1)
        await send_all(nicobar)
        await wait_for_all(nicobar)
        async with nicobar.http.get(f"{nicobar.emulator.url}/emulator/requests") as answer:
            paths = [item["path"] for item in (await answer.json())["requests"]]
        assert paths.count("/api/v1/accounts/region") == 1
        lines = (await nicobar.runtime.store.audit(AuditFilter(), limit=10)).items
        found = [(line.actor, line.action) for line in lines if line.actor == "nicobar"]
        assert found == [("nicobar", "endpoint.resume"), ("nicobar", "endpoint.pause")]
        assert alerts(nicobar) == ["endpoint.paused", "endpoint.recovered"]


async def test_a_proxy_s_page_is_never_success_and_loses_nothing(tmp_path):
    async with running(tmp_path, ORDER_PAID) as nicobar:
        await fault(nicobar, status=200, body="<html>sign in</html>", times=15)
        await send_all(nicobar)
        await wait_for_all(nicobar)
        assert alerts(nicobar) == ["endpoint.failing", "endpoint.recovered"]


async def test_a_restart_during_a_hold_needs_no_person(tmp_path):
    async with running(tmp_path, ORDER_PAID) as nicobar:
        await fault(nicobar, status=403, times=1_000_000)
        await send_all(nicobar)
        assert (await nicobar.next_recorded()).attempt.status == 403
        state = nicobar.state
        (endpoint,) = nicobar.runtime.configuration.snapshot.endpoints
        port = int(str(endpoint.settings["base_url"]).rpartition(":")[2])
    async with running(tmp_path, None, state=state, emulator_port=port) as nicobar:
        await wait_for_all(nicobar)
