"""Failures: one line per cause, the line of the code, and replays."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from playwright.async_api import expect

from nicobar.model import Customer, DeliveryState
from nicobar.pipeline.replay import Replayer
from nicobar.reasons import plain, reason
from nicobar.sources.samples import fresh
from nicobar.store import AddTransformation, FailureGroup
from nicobar.store.history import AuditFilter
from nicobar.web.dashboard.failures import line_of
from support.browser import browser
from support.installation import EVIL, examine, furnish, installation, open_page, set_password
from support.server import TYPES

BROKEN = """function handler(webhook) {
  const data = webhook.payload.data;
  console.log("card", data.card_network);
  if (webhook.eventType === "refund.succeeded") {
    webhook.payload = nicobar.event("refunded", {});
    webhook.payload.timestamp = "yesterday";
    return webhook;
  }
  const reason = data.nothing.there;
  webhook.payload = nicobar.event("failed", {reason});
  return webhook;
}
"""
MENDED = BROKEN.replace("data.nothing.there", "data.error_message")


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


async def fail(nicobar, address, count=3):
    for number in range(count):
        customer = Customer(key=f"cus_{number}", email=f"c{number}@northpine.example", name="Kim")
        for event_type in ("payment.failed", "refund.succeeded"):
            body = fresh(TYPES[event_type], nicobar.runtime.clock.now_ms(), customer)
            assert await nicobar.send(address, body, f"evt_{event_type}_{number}") == 202
            assert (await nicobar.next_recorded()).attempt.state is DeliveryState.FAILED


async def nothing_to_do(_replayer):
    return False


async def mend(nicobar, endpoint):
    code = AddTransformation(endpoint_id=endpoint.id, code=MENDED, created_at_ms=1)
    await nicobar.runtime.store.change([code])
    await nicobar.runtime.configuration.refresh()


async def test_failures_are_grouped_by_cause_and_replayed_after_a_fix(nicobar):
    endpoint, address = await furnish(nicobar, BROKEN)
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        await page.keyboard.press("g")
        await page.keyboard.press("f")
        await page.get_by_text("No failures").wait_for()
        await fail(nicobar, address)
        await page.reload()
        rows = page.locator("tbody tr")
        await expect(rows).to_have_count(2)
        await expect(rows.first).to_contain_text("timestamp")
        await expect(rows.last).to_contain_text("line 9")
        await expect(rows.last.locator(".figure").first).to_have_text("3")
        await rows.last.locator("a").click()
        await expect(page.locator(".numbered.here")).to_contain_text("const reason = data.nothing.there;")
        await expect(page.locator(".numbered")).to_have_count(7)
        for text in ("version 1", "Fix the cause", "Nothing was sent.", "card visa", "payment.failed"):
            await expect(page.locator("main")).to_contain_text(text)
        await mend(nicobar, endpoint)
        await page.reload()
        await page.get_by_text("The code has changed since.").wait_for()
        await page.get_by_role("link", name="Replay group").click()
        await page.get_by_role("heading", name="Replay 3 events to Customer.io?").wait_for()
        await expect(page.locator("main")).to_contain_text("Affects 3 customers.")
        await page.get_by_role("button", name="Replay", exact=True).click()
        await page.get_by_text("all events queued").wait_for()
        await page.get_by_text("3 of 3 events queued.").wait_for()
        for _ in range(3):
            assert (await nicobar.next_recorded()).attempt.state is DeliveryState.SUCCESS
        assert [activity.name for activity in nicobar.state.activities] == ["failed"] * 3
        await page.get_by_role("link", name="Show all failures").click()
        await expect(rows).to_have_count(1)
        await page.go_back()
        await page.go_back()
        await page.get_by_text("No failures left in this group").wait_for()
        audit = await nicobar.runtime.store.audit(AuditFilter(), limit=10)
        assert "endpoint.replay_failures" in {item.action for item in audit.items}
        assert not problems


async def test_a_replay_shows_progress_and_can_be_canceled(nicobar, monkeypatch):
    monkeypatch.setattr(Replayer, "turn", nothing_to_do)  # this test decides when a replay goes on
    endpoint, address = await furnish(nicobar, BROKEN)
    await fail(nicobar, address)
    async with browser() as it:
        page, _ = await open_page(it, java_script_enabled=False)
        await set_password(page, nicobar)
        (group,) = [
            failure_group
            for failure_group in await nicobar.runtime.store.failure_groups(endpoint.app_id)
            if "line 9" in failure_group.failure
        ]
        await page.goto(
            f"{nicobar.url}/failures/replay?{urlencode({'endpoint': endpoint.id, 'failure': group.failure})}"
        )
        await page.get_by_role("button", name="Replay", exact=True).click()
        await page.get_by_text("running").wait_for()
        task_id = page.url.rpartition("/")[2]
        await nicobar.runtime.store.work_on_task(task_id, now_ms=1, limit=1)
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_text("canceling").wait_for()
        await nicobar.runtime.store.work_on_task(task_id, now_ms=1, limit=10)
        await page.reload()
        await expect(page.locator("main")).to_contain_text("canceled")
        await expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        await page.goto(f"{nicobar.url}/failures/replays/qtask_none")
        await page.get_by_role("heading", name="Not found").wait_for()


async def test_foreign_markup_is_shown_and_never_run(nicobar):
    code = f"function handler(webhook) {{ /* {EVIL} */\n  throw new Error(webhook.payload.data.customer.name);\n}}"
    endpoint, address = await furnish(nicobar, code, name=EVIL)
    await furnish(nicobar, None, name=f"2 {EVIL}")
    body = fresh(TYPES["payment.failed"], nicobar.runtime.clock.now_ms(), Customer(key=EVIL, name=EVIL))
    assert await nicobar.send(address, body) == 202
    for _ in range(2):
        await nicobar.next_recorded()
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        await page.goto(f"{nicobar.url}/failures?{urlencode({'endpoint': EVIL})}")
        await page.goto(f"{nicobar.url}/failures")
        await expect(page.locator("tbody")).to_contain_text("onerror")
        await page.locator("tbody a").first.click()
        await expect(page.locator("h1")).to_contain_text("onerror")
        await expect(page.locator(".excerpt")).to_contain_text(EVIL)
        await page.get_by_role("link", name="Replay group").click()
        await expect(page.locator("h1")).to_contain_text(EVIL)
        await page.get_by_role("button", name="Replay", exact=True).click()
        await page.wait_for_url("**/replays/*")
        await page.goto(f"{nicobar.url}/failures/group?{urlencode({'endpoint': endpoint.id, 'failure': EVIL})}")
        await page.get_by_text("No failures left in this group").wait_for()
        assert not await page.locator("main img, main script").count()
        assert not [problem for problem in problems if "status of 4" not in problem]


async def test_every_state_of_the_pages_is_accessible_and_responsive(nicobar):
    findings: list[str] = []
    async with browser() as it:
        page, _ = await open_page(it, locale="ko-KR", reduced_motion="reduce")
        await set_password(page, nicobar)

        async def look(name):
            findings.extend(await examine(page, name))

        await page.goto(f"{nicobar.url}/failures")
        await look("failures-empty")
        endpoint, address = await furnish(nicobar, BROKEN)
        await furnish(nicobar, None, name="Shop back office", base_url="http://127.0.0.1:9")
        await nicobar.runtime.configuration.refresh()
        for number in range(2):
            body = fresh(TYPES["payment.failed"], nicobar.runtime.clock.now_ms(), Customer(key=f"cus_{number}"))
            assert await nicobar.send(address, body, f"evt_{number}") == 202
            while (await nicobar.next_recorded()).endpoint.id != endpoint.id:
                pass
        await page.goto(f"{nicobar.url}/failures")
        await look("failures")
        await page.locator("tbody a", has_text="9").first.click()
        await page.wait_for_url("**/group?*")
        await look("failure")
        await mend(nicobar, endpoint)
        await page.locator("a[href*='/failures/replay']").click()
        await page.wait_for_url("**/failures/replay?*")
        await look("failure-replay")
        await page.locator("main form button").click()
        await page.wait_for_url("**/replays/*")
        await page.locator("#progress .good").wait_for()
        await look("failure-progress")
    assert not findings, "\n".join(findings)


def test_the_line_is_that_of_the_handler():
    def line(why):
        return line_of(
            FailureGroup(endpoint_id="", failure="", count=1, first_at_ms=0, last_at_ms=0, message_id="", reason=why)
        )

    threw = reason("threw", "The handler threw %(error)s", error="x is not defined", location=12)
    assert line(threw) == 12
    assert line(reason("given_up", "%(reason)s", reason=threw)) == 12
    assert line(reason("missing", "line 3: no", location="[0].name")) is None
    assert line(plain("line 3: The handler threw Error")) is None
    assert line(None) is None
