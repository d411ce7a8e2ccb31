"""Queries about all applications, and the deletion of an application's content."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from svix.models import AppUsageStatsIn

from nicobar.model import Scope
from nicobar.settings import Role
from support.api import asking
from support.patience import PATIENCE_S
from support.svix_clients import async_client

HANDLER = 'function handler(webhook) { webhook.payload = nicobar.event("paid", {}); return webhook; }'
HOUR = timedelta(hours=1)


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path, HANDLER) as it:
        yield it


@pytest.fixture
async def svix(api):
    async with async_client(api) as it:
        yield it


@pytest.fixture
def endpoint_id(api):
    return api.nicobar.runtime.configuration.snapshot.endpoints[0].id


async def test_attempts_of_all_applications_are_counted_by_a_completed_task(svix, api):
    await api.ask("POST", "/api/v1/app", {"name": "Acme", "uid": "acme"})
    await api.nicobar.send_sample("payment.succeeded", "evt_1")
    await api.nicobar.next_recorded()
    now = datetime.now(UTC)
    usage_query = AppUsageStatsIn(since=now - HOUR, until=now + HOUR, app_ids=["default", "acme", "gone"])
    task = await svix.statistics.aggregate_app_stats(usage_query)
    assert (task.status.value, task.task.value, task.unresolved_app_ids) == (
        "finished",
        "application.stats",
        ["gone"],
    )
    found = await svix.background_task.get(task.id)
    assert {entry["appUid"]: entry["messageDestinations"] for entry in found.data["appStats"]} == {
        "default": 1,
        "acme": 0,
    }
    every = await svix.statistics.aggregate_app_stats(AppUsageStatsIn(since=now - HOUR, until=now + HOUR))
    assert len((await svix.background_task.get(every.id)).data["appStats"]) == 2
    mine = await api.make_token(scope=Scope.APPLICATION, app_id=api.app_id)
    assert (await api.ask("GET", f"/api/v1/background-task/{task.id}", token=mine)).status == 404
    assert (await api.ask("GET", "/api/v1/background-task", token=mine)).body["data"] == []
    body = {"since": now.isoformat(), "until": now.isoformat()}
    assert (await api.ask("POST", "/api/v1/stats/usage/app", body, token=mine)).status == 403


async def test_subscribed_event_types_are_gathered_by_a_completed_task(svix, api):
    await api.ask("POST", "/api/v1/app", {"name": "Acme", "uid": "acme"})
    for types in (["b", "a"], ["c", "a"]):
        await api.ask("POST", "/api/v1/app/acme/endpoint", {"url": "https://shop.example/", "eventTypes": types})
    task = await svix.statistics.aggregate_event_types()
    assert (task.status.value, task.task.value) == ("finished", "event-type.aggregate")
    found = (await svix.background_task.get(task.id)).data["event_types"]
    assert sorted((item["explicitlySubscribedEventTypes"], item["hasCatchAllEndpoint"]) for item in found) == [
        ([], True),
        (["a", "b", "c"], False),
    ]


async def test_applications_with_an_endpoint_are_counted(api):
    await api.ask("POST", "/api/v1/app", {"name": "Acme", "uid": "acme"})
    made = await api.ask("POST", "/api/v1/app/acme/endpoint", {"url": "https://shop.example/", "disabled": True})
    assert made.status == 201
    for query, count in (("", 2), ("?exclude_disabled=true", 1)):
        assert (await api.ask("GET", f"/api/v1/app/stats/count-active{query}")).body == {"count": count}
    mine = await api.make_token(scope=Scope.APPLICATION, app_id=api.app_id)
    assert (await api.ask("GET", "/api/v1/app/stats/count-active", token=mine)).body == {"count": 1}


async def test_only_the_application_s_own_payloads_are_deleted(svix, api, endpoint_id):
    # Nothing may fail here: that would be a message, too.
    assert (await api.ask("DELETE", f"{api.app}/endpoint/{endpoint_id}")).status == 204
    await api.ask("POST", "/api/v1/app", {"name": "Acme", "uid": "acme"})
    ids = {}
    for app, count in (("default", 3), ("acme", 1)):
        for _ in range(count):
            sent = await api.ask("POST", f"/api/v1/app/{app}/msg", {"eventType": "a.b", "payload": {"who": "Ada"}})
            ids.setdefault(app, []).append(sent.body["id"])
    task = await svix.message.expunge_all_contents("default")
    assert task.task.value == "application.purge_content"
    async with asyncio.timeout(PATIENCE_S):
        while (done := await svix.background_task.get(task.id)).status.value != "finished":
            pass
    assert done.data["messagesPurged"] == 3
    for app, payload in (("default", {"expired": True}), ("acme", {"who": "Ada"})):
        for entry in ids[app]:
            assert (await api.ask("GET", f"/api/v1/app/{app}/msg/{entry}")).body["payload"] == payload
    entries = (await api.ask("GET", "/api/v1/audit-log?action=application.purge_content")).body["data"]
    assert [(item["subject"], item["detail"]) for item in entries] == [(api.app_id, task.id)]


async def test_canceling_a_running_replay_restores_its_deliveries(tmp_path):
    async with asking(tmp_path, HANDLER.replace("webhook.payload =", "throw")) as api:
        for number in range(3):
            await api.nicobar.send_sample("payment.succeeded", f"evt_{number}")
            await api.nicobar.next_recorded()
    async with asking(tmp_path, role=Role.WEB) as api:  # nothing is delivered, so the replay can still be canceled
        runtime = api.nicobar.runtime
        (endpoint,) = runtime.configuration.snapshot.endpoints
        path = f"{api.app}/endpoint/{endpoint.id}/recover"
        started = await api.ask("POST", path, {"since": "2020-01-01T00:00:00Z"})
        assert (started.status, started.body["status"]) == (202, "running")
        await runtime.store.work_on_task(started.body["id"], now_ms=runtime.clock.now_ms(), limit=1)
        task = f"/api/v1/background-task/{started.body['id']}"
        moved = (await api.ask("GET", task)).body["data"]["messagesSent"]
        assert moved > 0
        canceled = await api.ask("POST", f"{task}/cancel")
        assert (canceled.status, canceled.body["status"], canceled.body["data"]["canceled"]) == (202, "running", True)
        assert (await api.ask("POST", f"{task}/cancel")).status == 202, "it is on its way"
        entries = (await api.ask("GET", "/api/v1/audit-log?action=task.cancel")).body["data"]
        assert [item["subject"] for item in entries] == [started.body["id"]]
        await runtime.store.work_on_task(started.body["id"], now_ms=runtime.clock.now_ms(), limit=100)
        ended = (await api.ask("GET", task)).body
        assert (ended["status"], ended["data"]["canceled"], ended["data"]["messagesSent"]) == ("finished", True, 0)
        assert (await api.ask("POST", f"{task}/cancel")).body["code"] == "task_ended"
        stats = (await api.ask("GET", f"{api.app}/endpoint/{endpoint.id}/stats")).body
        assert (stats["pending"], stats["sending"]) == (0, 0)
        again = await api.ask("POST", path, {"since": "2020-01-01T00:00:00Z"})
        await runtime.store.work_on_task(again.body["id"], now_ms=runtime.clock.now_ms(), limit=100)
        task = f"/api/v1/background-task/{again.body['id']}"
        assert (await api.ask("GET", task)).body["status"] == "finished"
        assert (await api.ask("POST", f"{task}/cancel")).body["status"] == "running", "what is unsent is taken back"
