"""An endpoint's code: what runs, its versions and their differences, restoring, and the dry run of a draft."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from nicobar.model import Customer, DeliveryState
from nicobar.store.history import AuditFilter
from support.browser import browser
from support.drafts import deliver, make_endpoint, send_form, write_code
from support.installation import examine, installation, open_page, set_password

pytestmark = pytest.mark.browser
EVIL = "</script><img src=x onerror=alert(1)>{{7*7}}%(x)s"
FIRST = f"""function handler(webhook) {{
  // {EVIL}
  if (webhook.eventType === 'payment.processing') return webhook;
  webhook.payload = nicobar.event('paid', {{amount: 5}});
  return webhook;
}}
"""
SECOND = FIRST.replace("'paid'", "'paid_in_full'")
THIRD = SECOND.replace(
    "  return webhook;\n}",
    f"  if (webhook.eventType === 'refund.failed') throw new Error('{EVIL}');\n  return webhook;\n}}",
)


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


async def begin(page, endpoint, code):
    """A draft with that code, begun from the endpoint's own page."""
    await page.goto(f"{endpoint}/transformation")
    await page.locator("form[action$='/code'] button").click()
    await page.wait_for_url("**/drafts/*/code")
    draft = page.url.removesuffix("/code")
    await write_code(page, draft, code)
    return draft


async def publish(page, draft):
    await page.goto(f"{draft}/test")
    await page.locator("form[action$=create] button").click()
    await page.wait_for_url("**/webhooks/ep_*")


async def test_a_draft_is_compared_published_and_a_version_restored(nicobar):
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        endpoint, _ = await make_endpoint(nicobar, FIRST)
        await page.goto(endpoint)
        await page.get_by_label("Endpoint").get_by_role("link", name="Transformation").click()
        await expect(page.locator(".numbered")).to_contain_text(EVIL)
        draft = await begin(page, endpoint, SECOND)
        await page.goto(f"{endpoint}/transformation")
        await page.get_by_text("Unpublished draft").wait_for()
        await page.get_by_role("button", name="Continue draft").click()
        await expect(page).to_have_url(f"{draft}/code")  # one draft of an endpoint, not one a click
        await page.goto(f"{endpoint}/transformation")
        await page.get_by_role("link", name="Compare with published code").click()
        compared = page.locator("#compared")
        await expect(compared.locator("del")).to_have_text([re.compile(r"'paid'")])
        await expect(compared.locator("ins")).to_have_text([re.compile(r"'paid_in_full'")])
        await publish(page, draft)
        await page.goto(f"{endpoint}/transformation")
        await expect(page.locator("tbody tr")).to_have_count(2)
        await expect(page.locator("tbody tr").first).to_contain_text("published")
        await page.get_by_label("Compare", exact=True).select_option("1")
        await page.get_by_label("with", exact=True).select_option("2")
        await page.get_by_role("button", name="Show differences").click()
        await expect(page).to_have_url(re.compile(r"before=1&after=2"))
        await expect(page.locator("#compared ins")).to_have_text([re.compile(r"'paid_in_full'")])
        await page.get_by_role("link", name="version 1").click()
        await expect(page.locator("#compared ins")).to_have_text([re.compile(r"'paid'")])
        await page.get_by_role("button", name="Restore version").click()
        await expect(page.locator("tbody tr")).to_have_count(3)
        (stored,) = nicobar.runtime.configuration.snapshot.endpoints
        assert (stored.transformation.version, stored.transformation.code) == (3, FIRST)
        entries = await nicobar.runtime.store.audit(AuditFilter(subject=stored.id), limit=1)
        assert (entries.items[0].action, entries.items[0].detail) == ("transformation.restore", "version 1")
        # Again it is what runs already: no version more. One that never was cannot be restored.
        for version, status in (("1", 303), ("9", 404), ("x", 404)):
            answer = await send_form(page, f"{endpoint}/transformation/restore", version=version)
            assert answer.status == status
        assert (await page.request.get(f"{endpoint}/transformation?version=9")).status == 404
        assert nicobar.runtime.configuration.snapshot.endpoints[0].transformation.version == 3
        assert not problems


async def test_a_dry_run_compares_with_sent_requests_without_javascript(nicobar):
    async with browser() as it:
        page, _ = await open_page(it, java_script_enabled=False)
        await set_password(page, nicobar)
        endpoint, address = await make_endpoint(nicobar, FIRST)
        evil = Customer(key=EVIL, email="ada@northpine.example", name=EVIL)
        assert await deliver(nicobar, address, "refund.failed", "evt_2", evil) is DeliveryState.SUCCESS
        assert await deliver(nicobar, address, "payment.processing", "evt_3") is DeliveryState.CANCELED
        await page.goto(f"{endpoint}/transformation")
        await page.get_by_role("link", name="Dry-run latest messages").click()
        await page.get_by_text("no differences from what was sent").wait_for()
        await begin(page, endpoint, THIRD)
        await page.goto(f"{endpoint}/transformation")
        await page.get_by_role("link", name="Dry-run latest messages").click()
        for text in ("3 messages", "1 would fail", "2 different from what was sent"):
            await expect(page.locator(".summary")).to_contain_text(text)
        rows = page.locator("tbody tr")
        await expect(rows.nth(0)).to_contain_text("nothing sent")
        await expect(rows.nth(1)).to_contain_text(EVIL)
        await rows.nth(2).get_by_role("link").click()
        opened = page.locator("#opened")
        await expect(opened.locator("del")).to_have_text([re.compile('"name": "paid"'), re.compile('"id": ')])
        await expect(opened.locator("ins")).to_have_text([re.compile('"name": "paid_in_full"'), re.compile('"id": ')])
        await page.get_by_role("link", name="refund.failed").click()
        await expect(page.locator("#opened")).to_contain_text(EVIL)
        assert not await page.locator("main img, main script").count()
        assert len([activity for activity in nicobar.state.activities if activity.name == "paid"]) == 2, (
            "nothing sent"
        )


async def test_the_pages_are_accessible_and_responsive(nicobar):
    findings: list[str] = []
    async with browser() as it:
        page, _ = await open_page(it, reduced_motion="reduce")
        await set_password(page, nicobar)
        endpoint, address = await make_endpoint(nicobar, FIRST)
        await page.locator("button[value=ko]").click()
        await page.goto(f"{endpoint}/transformation")
        findings += await examine(page, "transformation")
        await publish(page, await begin(page, endpoint, SECOND))
        await begin(page, endpoint, THIRD)
        await deliver(nicobar, address, "refund.failed", "evt_2")
        for name, query in (
            ("transformation-draft", ""),
            ("transformation-difference", "?before=1&after=draft"),
            ("transformation-version", "?version=1"),
            ("dry-run", "/dry-run"),
        ):
            await page.goto(f"{endpoint}/transformation{query}")
            findings += await examine(page, name)
        await page.locator("tbody a").last.click()
        await page.wait_for_url("**message=*")
        findings += await examine(page, "dry-run-open")
    assert not findings, "\n".join(findings)
