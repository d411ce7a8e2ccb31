"""The first page, the list of endpoints, an endpoint's page and its deliveries."""

from __future__ import annotations

import re

import msgspec
import pytest
from playwright.async_api import expect

from nicobar.model import Breaker, BreakerState, Customer, DeliveryState
from nicobar.reasons import Reason, plain
from nicobar.sources.samples import fresh
from nicobar.store.history import RejectedRequest, Tally
from nicobar.use_cases.statistics import HOUR_MS
from nicobar.web.dashboard.activity import day_of, hours_until
from support.browser import browser
from support.installation import EVIL, examine, furnish, installation, open_page, set_password, weight_of
from support.server import ADA, TYPES

ADD_TALLY = """INSERT INTO tallies
    (endpoint_seq, at_ms, event_type, state, attempts, duration_ms, latency_ms, latency_max_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""

HANDLER = """
function handler(webhook) {
  if (webhook.eventType === "payment.failed") throw new Error("no reason given");
  if (webhook.eventType === "payment.succeeded") webhook.payload = nicobar.event("paid", {});
  return webhook;
}
"""


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


async def refuse(nicobar, detail="The signature fits none of the source's secrets.", code="signature_wrong"):
    """A rejected request, stored without waiting for the log of rejected requests."""
    (source,) = nicobar.runtime.configuration.snapshot.sources
    refused = RejectedRequest(
        source_id=source.id,
        at_ms=nicobar.runtime.clock.now_ms(),
        status=401,
        reason=Reason(code=code, template=detail),
        event_id="evt_x",
    )
    await nicobar.runtime.store.keep_refusals([refused])


async def test_the_overview_shows_the_last_day_and_problems_with_actions(nicobar):
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        await page.keyboard.press("g")
        await page.keyboard.press("o")
        await page.get_by_text("No deliveries yet").wait_for()
        endpoint, address = await furnish(nicobar, HANDLER, identify_by="customer_id")
        await page.reload()
        await page.get_by_text("All endpoints are active. No failures.").wait_for()
        await page.get_by_text("No attempts in this period.").wait_for()
        await nicobar.send_sample(address, "payment.succeeded", "evt_1")
        await nicobar.send_sample(address, "payment.failed", "evt_2")
        await nicobar.send_sample(address, "refund.succeeded", "evt_3")
        await refuse(nicobar)
        await nicobar.pause(endpoint, "The destination refuses the credentials (401).")
        assert await nicobar.send(address, fresh(TYPES["payment.succeeded"], 1, ADA), "evt_4") == 202
        await page.reload()
        facts = page.locator("main .facts")
        for text in (
            "Delivered1",
            "Failed1",
            "Error rate50.0%",
            "p50",
            "p95",
            "last delivery",
            "Waiting1",
        ):
            await expect(facts).to_contain_text(re.compile(re.escape(text).replace(r"\ ", r"\s*"), re.IGNORECASE))
        for outcome in ("delivered", "canceled", "failed"):
            await expect(page.locator(f"svg rect.{outcome}")).to_have_count(1)
            await expect(page.locator(".legend")).to_contain_text(f"{outcome} 1")
        await page.get_by_text("Show as table").click()
        await expect(page.locator(".chart tbody tr")).to_have_count(1)
        items = page.locator(".attention-list li")
        await expect(items).to_have_count(3)
        await expect(items.filter(has_text="requests rejected")).to_contain_text("signature_wrong")
        await items.filter(has_text="no reason given").get_by_role("link", name="Show cause").click()
        await expect(page.locator(".numbered.here")).to_contain_text("no reason given")
        await page.go_back()
        await expect(items.first).to_contain_text("paused")
        await expect(items.first).to_contain_text("1 delivery waiting")
        await items.first.get_by_role("button", name="Resume").click()
        await page.wait_for_url(f"**/webhooks/{endpoint.id}")
        assert (await nicobar.next_recorded()).attempt.state is DeliveryState.SUCCESS
        breaker = Breaker(state=BreakerState.OPEN, reason=plain("503 five times"), probe_at_ms=2_000_000_000_000)
        await nicobar.keep_breaker(endpoint, breaker)
        await page.goto(f"{nicobar.url}/")
        await expect(items.first).to_contain_text("destination failing")
        await expect(items.first).to_contain_text("503 five times")
        await items.first.get_by_role("link", name="Show details").click()
        await page.get_by_text("Next check at").wait_for()
        assert not problems


async def test_endpoint_health_is_in_the_list_and_its_page(nicobar):
    _, address = await furnish(nicobar, HANDLER)
    other, _ = await furnish(nicobar, None, name="Shop")
    await nicobar.pause(other, "paused by hand")
    await nicobar.send_sample(address, "payment.succeeded", "evt_1")
    await nicobar.send_sample(address, "payment.failed", "evt_2")
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        row = page.locator("tbody tr", has_text="Customer.io").filter(has_text="active")
        for text in ("active", "50.0%", "All"):
            await expect(row).to_contain_text(text)
        await expect(page.locator("tbody tr", has_text="Shop")).to_contain_text("oldest just now")
        await row.locator("a").click()
        await page.get_by_role("heading", name="Customer.io").wait_for()
        for text in ("Error rate", "50.0%", "p95", "Latest attempts"):
            await expect(page.locator("main")).to_contain_text(text)
        await expect(page.locator("svg rect.delivered")).to_have_count(1)
        # the deliveries: filters in the URL, new rows appear automatically
        await page.get_by_label("Endpoint").get_by_role("link", name="Deliveries").click()
        rows = page.locator("#rows tbody tr")
        await expect(rows).to_have_count(2)
        await nicobar.send_sample(address, "refund.succeeded", "evt_3")
        await expect(rows).to_have_count(3)
        for name, text in (
            ("Delivered", "payment.succeeded"),
            ("Failed", "no reason given"),
            ("Canceled", "not handled"),
        ):
            await page.get_by_role("navigation", name="Status").get_by_role("link", name=name, exact=True).click()
            await expect(rows).to_have_count(1)
            await expect(rows).to_contain_text(text)
        assert "state=canceled" in page.url
        await page.get_by_role("navigation", name="Status").get_by_role("link", name="Waiting").click()
        await page.get_by_text("Queue is empty").wait_for()
        await page.goto(f"{nicobar.url}/webhooks/{other.id}/deliveries?state=waiting")
        await expect(rows.first).to_contain_text("The endpoint is paused: paused by hand")
        await rows.first.locator("a").first.click()
        await page.wait_for_url(f"**/logs/msg_*#{other.id}")
        assert not problems


async def test_deliveries_have_pages_in_both_directions_without_javascript(nicobar):
    endpoint, address = await furnish(nicobar, HANDLER)
    for number in range(30):
        body = {"type": "order.placed", "data": {"customer_id": f"cus_{number}"}}
        assert await nicobar.send(address, msgspec.json.encode(body), f"evt_{number}") == 202
    for _ in range(30):
        await nicobar.next_recorded()
    async with browser() as it:
        page, _ = await open_page(it, java_script_enabled=False)
        await set_password(page, nicobar)
        await page.goto(f"{nicobar.url}/webhooks/{endpoint.id}/deliveries?state=canceled")
        rows = page.locator("#rows tbody tr")
        await expect(rows).to_have_count(25)
        await expect(page.get_by_role("link", name="Reload")).to_be_visible()
        await page.get_by_role("link", name="Older").click()
        await expect(rows).to_have_count(5)
        await page.get_by_role("link", name="Newer").click()
        await expect(rows).to_have_count(25)
        assert "state=canceled" in page.url


async def test_foreign_markup_is_shown_and_never_run(nicobar):
    endpoint, address = await furnish(
        nicobar, HANDLER.replace('"no reason given"', msgspec.json.encode(EVIL).decode()), name=EVIL
    )
    evil = Customer(key=EVIL, email=EVIL, name=EVIL)
    await nicobar.send_sample(address, "payment.failed", "evt_1", evil)
    await nicobar.pause(endpoint, EVIL)
    assert await nicobar.send(address, fresh(TYPES["payment.succeeded"], 1, evil), "evt_2") == 202
    await refuse(nicobar, EVIL, EVIL)
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        for path in ("/", "/webhooks", f"/webhooks/{endpoint.id}", f"/webhooks/{endpoint.id}/deliveries"):
            await page.goto(nicobar.url + path)
            await expect(page.locator("main")).to_contain_text(EVIL[:20])
        await page.goto(f"{nicobar.url}/webhooks/{endpoint.id}/deliveries?state=%3Cimg&before=%3Cimg&after=%3Cimg")
        await page.locator("h1").wait_for()
        assert not await page.locator("main img, main script").count()
        assert not [problem for problem in problems if "status of 4" not in problem]


async def test_every_state_of_the_pages_is_accessible_and_responsive(nicobar):
    findings: list[str] = []
    async with browser() as it:
        page, _ = await open_page(it, locale="ko-KR", reduced_motion="reduce")
        await set_password(page, nicobar)

        async def look(name, path):
            await page.goto(nicobar.url + path)
            findings.extend(await examine(page, name))

        await look("overview-empty", "/")
        endpoint, address = await furnish(nicobar, HANDLER)
        other, _ = await furnish(nicobar, None, name="Shop back office")
        await look("overview-quiet", "/")
        await nicobar.pause(other, "The destination refuses the credentials (401): Invalid Site ID or API key.")
        for number, event_type in enumerate(("payment.succeeded", "payment.failed", "refund.succeeded")):
            await nicobar.send_sample(address, event_type, f"evt_{number}")
        await refuse(nicobar)
        await tell_of_a_day(nicobar, endpoint)
        await look("overview", "/")
        await look("endpoints", "/webhooks")
        await look("endpoint-overview", f"/webhooks/{endpoint.id}")
        await look("deliveries", f"/webhooks/{endpoint.id}/deliveries")
        await look("deliveries-waiting", f"/webhooks/{other.id}/deliveries?state=waiting")
        await look("deliveries-none", f"/webhooks/{endpoint.id}/deliveries?state=waiting")
    assert not findings, "\n".join(findings)


async def test_full_pages_stay_light(nicobar):
    endpoint, address = await furnish(nicobar, HANDLER)
    for number in range(30):
        event_type = ("payment.succeeded", "payment.failed", "refund.succeeded")[number % 3]
        sent = await nicobar.send_sample(address, event_type, f"evt_{number}", Customer(key=f"cus_{number}"))
    await tell_of_a_day(nicobar, endpoint)
    async with browser() as it:
        page, _ = await open_page(it)
        await set_password(page, nicobar)
        own = f"/webhooks/{endpoint.id}"
        paths = ("/", "/webhooks", own, f"{own}/deliveries", "/logs", f"/logs/{sent.message.id}")
        for path in (*paths, "/customers", "/customers/timeline?key=cus_1", "/failures", "/queue"):
            weight = await weight_of(page, nicobar.url + path)
            assert 10_000 < weight < 150_000, (path, weight)


async def tell_of_a_day(nicobar, endpoint):
    """Counts as a day of an ordinary shop leaves them."""

    def work(session):
        now_ms = nicobar.runtime.clock.now_ms()
        for hour in range(1, 24):
            at_ms = (now_ms // HOUR_MS - hour) * HOUR_MS
            busy = 40 + 25 * ((hour * 7) % 11)
            for state, many in (
                ("success", busy),
                ("canceled", busy // 6),
                ("pending", busy // 9 * (hour in {5, 6})),
            ):
                values = (endpoint.seq, at_ms, "payment.succeeded", state, many, many * 40, many * 60, 900)
                if many:
                    session.connection.execute(ADD_TALLY, values)

    await nicobar.runtime.store._database.write(work)


def test_a_day_is_counted_hour_by_hour():
    now_ms = 1_789_000_000_000
    span = hours_until(now_ms)
    day = day_of(span, [], [])
    assert (len(day.bars), day.is_quiet, day.p50_ms, day.error_percent) == (24, True, None, None)

    def tally(state, attempts, hours_ago):
        at_ms = (now_ms // HOUR_MS - hours_ago) * HOUR_MS
        return Tally(state=state, attempts=attempts, duration_ms=1, latency_ms=1, latency_max_ms=1, at_ms=at_ms)

    tallies = [
        tally(DeliveryState.SUCCESS, 150, 23),
        tally(DeliveryState.PENDING, 30, 23),
        tally(DeliveryState.FAILED, 20, 23),
        tally(DeliveryState.CANCELED, 1, 0),
    ]
    day = day_of(span, tallies, [30, 10, 20])
    first, *others, last = day.bars
    assert not any(other.segments for other in others)
    assert [(segment.outcome, segment.count, segment.y, segment.height) for segment in first.segments] == [
        ("delivered", 150, 25.0, 75.0),
        ("retried", 30, 10.0, 15.0),
        ("failed", 20, 0.0, 10.0),
    ]
    assert [(segment.outcome, segment.y, segment.height) for segment in last.segments] == [("canceled", 99.0, 1.0)], (
        "still to be seen"
    )
    assert (day.highest, day.measured, day.p50_ms, day.p95_ms, day.error_percent) == (200, 3, 20, 30, 25.0)
