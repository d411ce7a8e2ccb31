"""Customers: search, their events and deliveries, and deletion of their data."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest
from playwright.async_api import expect

from nicobar.model import Customer, RequestRecord
from nicobar.sources.samples import fresh
from nicobar.web.dashboard.customers import sent_calls
from support.browser import browser
from support.installation import EVIL, examine, furnish, installation, open_page, set_password
from support.server import ADA, TYPES

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


async def test_a_customer_s_events_are_listed_with_their_calls(nicobar):
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        await page.keyboard.press("g")
        await page.keyboard.press("c")
        await page.get_by_text("No customers yet").wait_for()
        _, address = await furnish(nicobar, HANDLER)
        other, _ = await furnish(nicobar, None, name="Shop")
        await nicobar.pause(other, "paused by hand")
        await nicobar.send_sample(address, "payment.succeeded", "evt_1")
        await nicobar.send_sample(address, "payment.failed", "evt_2")
        await nicobar.send_sample(
            address, "payment.succeeded", "evt_3", Customer(key="shop/ben 1&2", email="b@x.example")
        )
        for number in range(26):
            await nicobar.send_sample(
                address, "refund.succeeded", f"evt_x{number}", Customer(key=f"cus_x{number:02}")
            )
        await page.reload()
        rows = page.locator("tbody tr")
        await expect(rows).to_have_count(25)
        await page.get_by_role("link", name="Next").click()
        await expect(rows).to_have_count(3)
        await rows.filter(has_text="shop/ben").locator("a").click()
        await expect(page.locator("h1")).to_contain_text("shop/ben 1&2")
        await expect(page.locator(".timeline > li")).to_have_count(1)
        await page.goto(f"{nicobar.url}/customers")
        await page.get_by_role("searchbox", name="Search customers").fill("cus_a")
        await page.keyboard.press("Enter")
        await expect(rows).to_have_count(1)
        await rows.locator("a").click()
        moments = page.locator(".timeline > li")
        await expect(moments).to_have_count(2)
        await expect(moments.first).to_contain_text("payment.failed")
        await expect(moments.first).to_contain_text("no reason given")
        await expect(moments.last).to_contain_text("The endpoint is paused: paused by hand")
        await expect(moments.last.locator("summary").first).to_have_text("identify")
        await moments.last.locator("summary", has_text="event paid").click()
        await expect(moments.last.locator("details[open]")).to_contain_text('"action": "event"')
        # from a message to its customer, and from there out
        await moments.last.locator("a").first.click()
        await page.get_by_role("link", name=ADA.key).click()
        await page.get_by_role("link", name="Delete customer data").click()
        await expect(page.locator("main")).to_contain_text("This customer has 2 events.")
        await page.get_by_role("button", name="Delete customer data").click()
        await page.get_by_role("heading", name="Customer data deleted").wait_for()
        await page.goto(f"{nicobar.url}/customers?prefix=cus_ada")
        await page.get_by_text("No customers found").wait_for()
        assert not problems


async def test_foreign_markup_is_shown_and_never_run(nicobar):
    handler = HANDLER.replace('"paid"', '"paid " + webhook.payload.data.customer.name.slice(0, 60)')
    endpoint, address = await furnish(nicobar, handler, name=EVIL)
    evil = Customer(key=EVIL, email="e@x.example", name=EVIL)
    await nicobar.send_sample(address, "payment.succeeded", "evt_1", evil)
    await nicobar.pause(endpoint, EVIL)
    assert await nicobar.send(address, fresh(TYPES["payment.failed"], 1, evil), "evt_2") == 202
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        for path in ("/customers", f"/customers?prefix={quote(EVIL, safe='')}"):
            await page.goto(nicobar.url + path)
            await expect(page.locator("tbody")).to_contain_text(EVIL[:15])
        await page.goto(f"{nicobar.url}/customers?{urlencode({'prefix': 'x' + EVIL, 'after': EVIL})}")
        await page.get_by_text("No customers found").wait_for()
        await page.goto(f"{nicobar.url}/customers")
        await page.locator("tbody a").click()
        await expect(page.locator("h1")).to_contain_text(EVIL)
        await expect(page.locator(".timeline")).to_contain_text(EVIL)
        await expect(page.locator(".timeline summary").last).to_contain_text("onerror")
        await page.get_by_role("link", name="Delete customer data").click()
        await page.get_by_role("button", name="Delete customer data").click()
        await page.get_by_role("heading", name="Customer data deleted").wait_for()
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

        await look("customers-empty", "/customers")
        _, address = await furnish(nicobar, HANDLER)
        other, _ = await furnish(nicobar, None, name="Shop back office")
        await nicobar.pause(other, "paused by hand")
        for number, event_type in enumerate(("payment.succeeded", "payment.failed", "refund.succeeded")):
            await nicobar.send_sample(address, event_type, f"evt_{number}")
        await look("customers", "/customers")
        await look("customers-none", "/customers?prefix=nobody")
        await look("customer", f"/customers/timeline?key={ADA.key}")
        await look("customer-expunge", f"/customers/expunge?key={ADA.key}")
        await look("customer-none", "/customers/timeline?key=nobody")
    assert not findings, "\n".join(findings)


def test_calls_have_short_titles():
    body = '{"action":"identify"}\n{"action":"event","name":"paid"}\n[1]\n{"action":1}\nno JSON'
    request = RequestRecord(method="POST", url="https://a.example/hook", headers={}, body=body)
    assert [item.title for item in sent_calls((request,))] == [
        "identify",
        "event paid",
        *["POST https://a.example/hook"] * 3,
    ]
    assert sent_calls(()) == []
