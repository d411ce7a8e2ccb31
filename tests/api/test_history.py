"""Counts, replays, rejected requests, customers, groups of failures, dry runs and the audit log."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from svix.api import EndpointGetStatsOptions
from svix.exceptions import HttpError

from nicobar.model import Scope
from nicobar.store import AddTransformation, RemoveSource
from support.api import asking
from support.patience import PATIENCE_S
from support.server import ADA
from support.svix_clients import async_client

HANDLER = """function handler(webhook) {
  if (webhook.eventType === "payment.failed") { throw new Error("no"); }
  webhook.payload = nicobar.event("paid", {});
  return webhook;
}"""
THREW = "line 2: The handler threw Error: no"
GOOD = HANDLER.replace("throw new Error", "String")


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


async def happen(api, *types):
    """Events that are sent and through."""
    for number, name in enumerate(types):
        await api.nicobar.send_sample(name, f"evt_{name}_{number}")
        await api.nicobar.next_recorded()


async def test_counts_say_how_deliveries_ended(svix, api, endpoint_id):
    await happen(api, "payment.succeeded", "payment.failed", "payment.succeeded")
    stats = await svix.endpoint.get_stats("default", endpoint_id)
    assert (stats.success, stats.fail, stats.canceled, stats.pending, stats.sending) == (2, 1, 0, 0, 0)
    attempts = await svix.endpoint.get_attempt_stats("default", endpoint_id)
    assert (attempts.success, attempts.fail, attempts.canceled) == (2, 1, 0)
    past = datetime.now(UTC) - timedelta(days=2)
    before = await svix.endpoint.get_stats(
        "default", endpoint_id, EndpointGetStatsOptions(since=past, until=past + timedelta(days=1))
    )
    assert before.success == 0
    since, until = (at.strftime("%Y-%m-%dT%H:%M:%SZ") for at in (past, datetime.now(UTC) + timedelta(minutes=1)))
    totals = (await api.ask("GET", f"{api.app}/stats/attempts?since={since}&until={until}")).body
    assert (totals["total_success"], totals["total_failure"], totals["total_canceled"]) == (2, 1, 0)
    counts = {"success": 0, "withWarnings": 0, "failure": 1, "canceled": 0}
    assert totals["by_event_type"]["payment.failed"] == counts
    assert (await api.ask("GET", "/api/v1/stats/endpoint/count")).body == {"active": 1, "disabled": 0}


@pytest.mark.parametrize(("period", "points"), [("OneHour", 24), ("FiveMinutes", 288), ("OneDay", 1)])
async def test_counts_over_time_have_a_point_for_each_period(api, period, points):
    await happen(api, "payment.succeeded", "payment.failed")
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    start = end - timedelta(days=1)
    query = f"startDate={start:%Y-%m-%dT%H:%M:%SZ}&endDate={end:%Y-%m-%dT%H:%M:%SZ}&period={period}"
    path = f"/api/v1/stats/app/{api.app_id}/attempt?{query}"
    found = (await api.ask("GET", path)).body
    assert {name: len(values) for name, values in found["data"].items()} == dict.fromkeys(
        ("successCount", "withWarningsCount", "failureCount", "canceledCount"), points
    )
    assert (sum(found["data"]["successCount"]), sum(found["data"]["failureCount"])) == (1, 1)
    only = (await api.ask("GET", path + "&event_types=payment.failed")).body
    assert (sum(only["data"]["successCount"]), sum(only["data"]["failureCount"])) == (0, 1)


@pytest.mark.parametrize(
    ("query", "points", "start"),
    [
        ("startDate=2026-01-02T00:00:00Z&endDate=2026-01-01T00:00:00Z", 0, "2026-01-01T00:00:00Z"),
        ("startDate=2026-01-01T12:00:00Z&endDate=2026-01-03T12:00:00Z", 3, "2026-01-01T00:00:00Z"),
        ("startDate=1990-01-01T00:00:00Z&endDate=2026-01-01T00:00:00Z&period=OneHour", 2016, "2025-10-09T00:00:00Z"),
        ("startDate=0001-01-01T00:00:00Z&endDate=9999-12-31T23:59:59Z", 2016, "9886-09-01T00:00:00Z"),
    ],
)
async def test_any_range_is_answered_with_the_periods_that_it_has(api, query, points, start):
    found = (await api.ask("GET", f"/api/v1/stats/app/{api.app_id}/attempt?{query}")).body
    assert (len(found["data"]["successCount"]), found["startDate"]) == (points, start)


async def test_an_unknown_period_is_422(api):
    assert (await api.ask("GET", f"/api/v1/stats/app/{api.app_id}/attempt?period=OneYear")).status == 422


async def test_an_overview_shows_hours_and_the_queue(api, endpoint_id):
    await happen(api, "payment.succeeded", "payment.failed")
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    await api.ask("POST", f"{api.app}/msg", {"eventType": "a.b", "payload": {}, "deliverAt": later})
    found = (await api.ask("GET", f"{api.app}/stats/overview?hours=3")).body
    assert len(found["hours"]) == 3
    assert sum(item["success"] for item in found["hours"]) == 1
    assert sum(item["failed"] for item in found["hours"]) == 1
    delivered = [item for item in found["hours"] if item["success"]]
    assert all(0 <= item["averageLatencyMs"] <= item["maxLatencyMs"] for item in delivered)
    (waiting,) = found["endpoints"]
    assert (waiting["id"], waiting["unfinished"]) == (endpoint_id, 1)
    assert waiting["oldestAcceptedAt"]


async def test_rejected_requests_are_in_the_log_of_their_source(api):
    await api.nicobar.send(b"{}", "evt_1", headers={"webhook-id": "evt_unsigned"})
    await api.nicobar.send(b"{}", headers={"webhook-id": "evt_old", "webhook-timestamp": "x"})
    (source,) = api.nicobar.runtime.configuration.snapshot.sources
    await kept(api, source.id, 2)
    found = (await api.ask("GET", f"/ingest/api/v1/source/{source.id}/log")).body
    assert [(item["status_code"], item["code"], item["headers"]) for item in found["data"]] == [
        (401, "malformed_header", {"webhook-id": "evt_old"}),
        (401, "missing_header", {"webhook-id": "evt_unsigned"}),
    ]
    assert found["done"]
    assert all(item["source_id"] == source.id and item["error_text"] for item in found["data"])
    path = f"/ingest/api/v1/source/{source.id}/log?limit=1&order=ascending"
    first = (await api.ask("GET", path)).body
    second = (await api.ask("GET", f"{path}&iterator={first['iterator']}")).body
    assert [first["data"][0]["code"], second["data"][0]["code"]] == ["missing_header", "malformed_header"]
    elsewhere = (await api.ask("POST", "/api/v1/app", {"name": "Elsewhere"})).body["id"]
    other = await api.make_token(scope=Scope.APPLICATION, app_id=elsewhere)
    for token in (api.token, other):
        missing = "nobody" if token == api.token else source.id
        assert (await api.ask("GET", f"/ingest/api/v1/source/{missing}/log", token=token)).status == 404
    await api.nicobar.runtime.store.change([RemoveSource(source_id=source.id)])
    assert (await api.ask("GET", f"/ingest/api/v1/source/{source.id}/log")).status == 404


async def kept(api, source_id, count):
    """Waits until the rejected requests are written, once per second."""
    async with asyncio.timeout(PATIENCE_S):
        while len((await api.nicobar.runtime.store.refusals(source_id, limit=10)).items) < count:
            await api.ask("GET", "/api/v1/health")


async def test_customers_are_found_with_a_complete_timeline(api, endpoint_id):
    await happen(api, "payment.failed", "payment.succeeded")
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    body = {"eventType": "a.b", "payload": {"data": {"customer_id": ADA.key}}, "deliverAt": later}
    await api.ask("POST", f"{api.app}/msg", body)
    listed = (await api.ask("GET", f"{api.app}/customer?prefix=cus_a")).body
    assert [(item["key"], item["latestEventType"]) for item in listed["data"]] == [(ADA.key, "a.b")]
    assert (await api.ask("GET", f"{api.app}/customer?prefix=x")).body["data"] == []
    found = (await api.ask("GET", f"{api.app}/customer/timeline?key={ADA.key}")).body
    assert [
        (item["eventType"], item["deliveries"][0]["statusText"], item["deliveries"][0]["reason"])
        for item in found["data"]
    ] == [
        ("a.b", "pending", None),
        ("payment.succeeded", "success", None),
        ("payment.failed", "fail", THREW),
    ]
    assert {item["deliveries"][0]["endpointId"] for item in found["data"]} == {endpoint_id}
    assert found["data"][0]["payload"] == {}
    first = (await api.ask("GET", f"{api.app}/customer/timeline?key={ADA.key}&limit=1")).body
    second = (
        await api.ask("GET", f"{api.app}/customer/timeline?key={ADA.key}&limit=1&iterator={first['iterator']}")
    ).body
    assert second["data"][0]["eventType"] == "payment.succeeded"
    assert (await api.ask("GET", f"{api.app}/customer/timeline")).status == 422


async def test_a_customer_s_data_can_be_erased(api):
    await happen(api, "payment.succeeded", "payment.failed")
    answer = await api.ask("POST", f"{api.app}/customer/expunge", {"key": ADA.key})
    assert (answer.status, answer.body["messages"], answer.body["report"]["clean"]) == (200, 2, True)
    assert (await api.ask("GET", f"{api.app}/customer/timeline?key={ADA.key}")).body["data"] == []
    assert (await api.ask("GET", f"{api.app}/customer")).body["data"] == []
    listed = (await api.ask("GET", f"{api.app}/msg?event_types=payment.succeeded,payment.failed")).body["data"]
    assert {str(item["payload"]) for item in listed} == {"{'expired': True}"}
    audited = (await api.ask("GET", "/api/v1/audit-log?action=customer.expunge")).body["data"]
    assert [item["detail"] for item in audited] == ["2 messages"]
    assert ADA.key not in str(audited)


async def test_failures_with_one_cause_are_grouped_and_replayed_together(svix, api, endpoint_id):
    await happen(api, "payment.failed", "payment.failed")
    (group,) = (await api.ask("GET", f"{api.app}/failure-group?endpoint_id={endpoint_id}")).body["data"]
    assert (group["count"], group["reason"], group["endpointId"]) == (
        2,
        "line 2: The handler threw Error: no",
        endpoint_id,
    )
    which = {"failure": group["failure"]}
    base = f"{api.app}/endpoint/{endpoint_id}/failure-group"
    count = (await api.ask("POST", f"{base}/count", which)).body
    assert (count["deliveries"], count["customers"], count["overtaken"], count["earlierIds"]) == (2, 1, 0, 0)
    await set_code(api, endpoint_id, GOOD)
    made = await api.ask("POST", f"{base}/replay", which)
    assert (made.status, made.body["task"], made.body["data"]["expected"]) == (202, "endpoint.bulk-replay", 2)
    for _ in range(2):
        assert (await api.nicobar.next_recorded()).attempt.state == "success"
    async with asyncio.timeout(PATIENCE_S):
        task = await svix.background_task.get(made.body["id"])
        while str(task.status) != "finished":
            task = await svix.background_task.get(made.body["id"])
    assert (task.data["messagesSent"], task.data["canceled"]) == (2, False)
    assert (await api.ask("GET", f"{api.app}/failure-group")).body["data"] == []
    nothing = await api.ask("POST", f"{base}/replay", which)
    assert nothing.status == 404


async def set_code(api, endpoint_id, code):
    runtime = api.nicobar.runtime
    await runtime.store.change([AddTransformation(endpoint_id=endpoint_id, code=code, created_at_ms=1)])
    await runtime.configuration.refresh()


async def test_replays_are_listed_filtered_and_ended_ones_not_canceled(svix, api, endpoint_id):
    await happen(api, "payment.failed")
    (group,) = (await api.ask("GET", f"{api.app}/failure-group")).body["data"]
    ids = []
    for _ in range(3):
        path = f"{api.app}/endpoint/{endpoint_id}/failure-group/replay"
        made = await api.ask("POST", path, {"failure": group["failure"]})
        ids.append(made.body["id"])
        await api.nicobar.next_recorded()
    listed = (await api.ask("GET", "/api/v1/background-task?limit=2")).body
    assert ([item["id"] for item in listed["data"]], listed["done"]) == (ids[:0:-1], False)
    rest = (await api.ask("GET", f"/api/v1/background-task?limit=2&iterator={listed['iterator']}")).body
    assert ([item["id"] for item in rest["data"]], rest["done"]) == (ids[:1], True)
    rising = (await api.ask("GET", "/api/v1/background-task?order=ascending")).body
    assert [item["id"] for item in rising["data"]] == ids
    assert [entry.id for entry in (await svix.background_task.list()).data] == ids[::-1]
    assert (await api.ask("GET", "/api/v1/background-task?task=endpoint.recover")).body["data"] == []
    assert (await api.ask("GET", "/api/v1/background-task?status=failed")).body["data"] == []
    async with asyncio.timeout(PATIENCE_S):
        while (await api.ask("GET", f"/api/v1/background-task/{ids[0]}")).body["status"] != "finished":
            pass
    ended = await api.ask("POST", f"/api/v1/background-task/{ids[0]}/cancel")
    assert (ended.status, ended.body["code"]) == (409, "task_ended")
    elsewhere = (await api.ask("POST", "/api/v1/app", {"name": "Elsewhere"})).body["id"]
    other = await api.make_token(scope=Scope.APPLICATION, app_id=elsewhere)
    assert (await api.ask("GET", f"/api/v1/background-task/{ids[0]}", token=other)).status == 404
    assert (await api.ask("GET", "/api/v1/background-task", token=other)).body["data"] == []
    with pytest.raises(HttpError) as caught:
        await svix.background_task.get("qtask_" + "0" * 27)
    assert caught.value.status_code == 404


async def test_a_dry_run_is_compared_with_the_past_requests(api, endpoint_id):
    await happen(api, "payment.succeeded", "payment.failed")
    path = f"{api.app}/endpoint/{endpoint_id}/transformation/test"
    same = (await api.ask("POST", path, {})).body
    assert [(item["eventType"], item["outcome"], item["differs"]) for item in same["results"]] == [
        ("payment.failed", "failed", None),
        ("payment.succeeded", "sent", False),
    ]
    assert (same["failed"], same["differing"], same["stopped"]) == (1, 0, False)
    assert (same["results"][0]["code"], same["results"][0]["line"]) == ("threw", 2)
    other = (await api.ask("POST", path, {"code": GOOD.replace('"paid"', '"bought"'), "messages": 1})).body
    (result,) = other["results"]
    assert (result["outcome"], result["sent"], result["calls"][-1]["added"]) == ("sent", None, False)
    typed = {"code": GOOD.replace('"paid"', '"bought"'), "eventTypes": ["payment.succeeded"]}
    (result,) = (await api.ask("POST", path, typed)).body["results"]
    assert (result["differs"], len(result["appears"]), len(result["disappears"])) == (True, 1, 1)
    assert {verdict["level"] for verdict in result["verdicts"]} <= {"addition", "correction", "warning"}
    assert (await api.ask("POST", path, {"messages": 101})).status == 422
    reader = await api.make_token(scope=Scope.READ_ONLY)
    assert (await api.ask("POST", path, {}, token=reader)).status == 403


async def test_changes_are_in_the_searchable_audit_log(svix, api, endpoint_id):
    await happen(api, "payment.succeeded")
    (message,) = (await api.ask("GET", f"{api.app}/msg")).body["data"]
    await svix.message_attempt.resend("default", message["id"], endpoint_id)
    await svix.message.expunge_content("default", message["id"])
    await api.ask("POST", "/api/v1/app", {"name": "Other", "uid": "other"})
    every = (await api.ask("GET", "/api/v1/audit-log")).body["data"]
    assert [item["action"] for item in every] == ["application.create", "message.expunge", "message.resend"]
    assert every[1]["actor"].startswith("token ")

    async def found(query, token=None):
        answer = await api.ask("GET", f"/api/v1/audit-log?{query}", token=token)
        assert answer.status == 200, answer
        return [item["action"] for item in answer.body["data"]]

    assert await found(f"subject={message['id']}&order=ascending") == ["message.resend", "message.expunge"]
    assert await found("app_id=other") == ["application.create"]
    assert await found("action=message.resend") == ["message.resend"]
    assert await found("actor=nobody") == []
    assert await found("before=2020-01-01T00:00:00Z") == []
    mine = await api.make_token(scope=Scope.APPLICATION, app_id=api.app_id)
    assert await found("", mine) == ["message.expunge", "message.resend"]
    assert (await api.ask("GET", "/api/v1/audit-log?app_id=other", token=mine)).status == 404


async def test_customers_are_looked_up_by_address_and_by_ids(api, endpoint_id):
    del endpoint_id
    await happen(api, "payment.succeeded")
    (message,) = (await api.ask("GET", f"{api.app}/msg?with_content=true")).body["data"]
    payment_id = message["payload"]["data"]["payment_id"]
    for text, kind in ((ADA.email, "customer"), (ADA.key[:8], "customer"), (payment_id, "payment")):
        found = (await api.ask("GET", f"{api.app}/customer/lookup?text={quote(text)}")).body["data"]
        assert [(item["key"], item["email"], item["name"], item["kind"]) for item in found] == [
            (ADA.key, ADA.email, ADA.name, kind)
        ]
    for text in ("pay_none", "ada%25", "Ada Lovelace"):
        assert (await api.ask("GET", f"{api.app}/customer/lookup?text={quote(text)}")).body == {"data": []}
    assert (await api.ask("GET", f"{api.app}/customer/lookup?text=ab")).status == 422
