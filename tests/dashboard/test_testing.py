"""Dry runs, what changes, and test events."""

from __future__ import annotations

import re

import msgspec
import pytest
from playwright.async_api import expect

from nicobar.sources.samples import fresh
from nicobar.store.history import AuditFilter
from nicobar.web.dashboard.differences import MAX_LINES, compare
from support.browser import browser
from support.drafts import make_endpoint, send_form, write_code
from support.installation import EVIL, examine, furnish, installation, open_page, set_password
from support.pages import set_up, visiting
from support.server import TYPES

CODE = (
    "function handler(webhook) {\n"
    "  if (webhook.eventType !== 'payment.succeeded') return webhook;\n"
    "  const payment = webhook.payload.data;\n"
    f"  webhook.payload = nicobar.event('paid', {{amount: 5, note: {msgspec.json.encode(EVIL).decode()}}});\n"
    "  return webhook;\n}\n"
)


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


def signs(item) -> list[str]:
    return [line.sign + line.text for line in item.lines]


def test_a_difference_shows_changes_with_little_context():
    same = [f"line {number}" for number in range(20)]
    after = [*same[:10], "new", *same[11:]]
    found = compare("\n".join(same), "\n".join(after))
    assert signs(found) == [
        "…",
        " line 7",
        " line 8",
        " line 9",
        "-line 10",
        "+new",
        " line 11",
        " line 12",
        " line 13",
        "…",
    ]
    assert (found.lines[0].skipped, found.lines[-1].skipped) == (7, 6)
    assert (found.added, found.removed) == (1, 1)
    assert (found.lines[4].before, found.lines[5].after) == (11, 11)
    assert compare("a", "a").is_empty
    assert compare("", "a\n" * (MAX_LINES + 1)).lines is None


@pytest.mark.browser
async def test_a_received_message_is_sent_as_a_test_after_confirmation(nicobar):
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        endpoint, _ = await make_endpoint(nicobar, CODE)
        await page.goto(endpoint)
        await page.get_by_label("Endpoint").get_by_role("link", name="Testing").click()
        await page.get_by_text("the published code, version 1").wait_for()
        await page.get_by_role("button", name="Run this message").click()
        await expect(page.locator(".request").last).to_contain_text('"name": "paid"')
        await page.get_by_text("Changes by the transformation").last.click()
        changes = page.locator(".changes").last
        await expect(changes.locator("del").first).to_contain_text("\N{MINUS SIGN}")
        await expect(changes.locator("ins", has_text='"name": "paid"')).to_contain_text("+")
        await page.get_by_role("link", name="Send test event to Customer.io").click()
        confirm = page.locator("#confirm")
        for text in (
            "This sends the 2 calls below",
            nicobar.emulator.url.split("//")[1],
            "nicobar_test",
            "their emails go to",
        ):
            await expect(confirm).to_contain_text(text)
        assert len(nicobar.state.activities) == 1, "nothing is sent before it is confirmed"
        await confirm.get_by_role("button", name="Send test event").click()
        await page.get_by_role("heading", name="Customer.io accepted the test event.").wait_for()
        real, test = nicobar.state.activities
        assert test.data == {"amount": 5, "note": EVIL, "nicobar_test": True}
        assert real.id != test.id
        await expect(page.locator(".request").first).to_contain_text("***")
        assert "demo-key" not in await page.content()
        await expect(page.locator(".request").first).to_contain_text("Response 200")
        # The address of the result is one that can be reloaded, and a form that is sent twice sends once.
        await page.reload()
        await page.get_by_role("heading", name="Customer.io accepted the test event.").wait_for()
        test_id = page.url.rsplit("/", 1)[1]
        again = await send_form(page, f"{endpoint}/testing/send", test_id=test_id, sample_type="payment.succeeded")
        assert (again.status, again.headers["location"].endswith(test_id)) == (303, True)
        assert len(nicobar.state.activities) == 2
        store, app_id = nicobar.runtime.store, nicobar.runtime.configuration.snapshot.applications[0].id
        entries = await store.audit(AuditFilter(app_id=app_id, actions=("endpoint.test.send",)), limit=5)
        assert [(item.actor, item.subject) for item in entries.items] == [("user owner", endpoint.rsplit("/", 1)[1])]
        assert "payment.succeeded, 2 calls" in entries.items[0].detail
        # A sample can be sent to the user's own email address.
        await page.goto(f"{endpoint}/testing?send=1")
        await page.get_by_label("Send to your own email address").fill("me@shop.example")
        await page.get_by_role("button", name="Use this address").click()
        await expect(page.locator(".request").first).to_contain_text('"email": "me@shop.example"')
        await page.get_by_role("button", name="Send test event").click()
        await page.get_by_role("heading", name="Customer.io accepted the test event.").wait_for()
        mine = [activity for activity in nicobar.state.activities if activity.person.startswith("nicobar_test_")]
        assert [item.name for item in mine] == ["paid"]
        # What the handler leaves cannot be sent, and an unknown test has no page.
        await page.goto(f"{endpoint}/testing?sample_type=refund.failed&send=1")
        await page.get_by_text("Nothing to send.").wait_for()
        assert not await page.get_by_role("button", name="Send test event").count()
        assert (await page.request.get(f"{endpoint}/testing/sent/none")).status == 404
        assert not problems


@pytest.mark.browser
async def test_drafts_are_compared_and_pasted_events_sent_without_javascript(nicobar):
    async with browser() as it:
        page, _ = await open_page(it, java_script_enabled=False)
        await set_password(page, nicobar)
        endpoint, _ = await make_endpoint(nicobar, CODE)
        await page.goto(endpoint)
        await page.get_by_role("button", name="Edit transformation").click()
        draft = page.url.removesuffix("/code")
        await write_code(page, draft, CODE.replace("'paid'", "'paid_in_full'").replace("amount: 5", "amount: 6"))
        await page.goto(f"{draft}/test")
        against = page.locator("section[aria-labelledby=against]")
        await expect(against.locator("del")).to_have_text(
            [re.compile('"name": "paid"'), re.compile('"amount": 5'), re.compile('"id": ')]
        )
        await expect(against.locator("ins")).to_have_text(
            [re.compile('"name": "paid_in_full"'), re.compile('"amount": 6'), re.compile('"id": ')]
        )
        body = fresh(TYPES["payment.succeeded"], nicobar.runtime.clock.now_ms()).decode()
        await page.get_by_text("Paste an event").click()
        await page.get_by_label("Event as JSON").fill(body)
        await page.get_by_role("button", name="Run pasted event").click()
        await page.get_by_role("button", name="Send test event to Customer.io").click()
        faults = f"{nicobar.emulator.url}/emulator/faults"
        assert (await page.request.put(faults, data=[{"status": 401}])).ok
        await page.get_by_role("button", name="Send test event").click()
        await page.get_by_role("heading", name="Customer.io rejected the test event.").wait_for()
        await expect(page.locator(".request footer")).to_contain_text("Check the credentials (Site ID and API key)")
        assert [activity.name for activity in nicobar.state.activities] == ["paid"], (
            "one that is refused is not tried again"
        )


@pytest.mark.browser
async def test_the_pages_are_accessible_and_responsive(nicobar):
    findings: list[str] = []
    async with browser() as it:
        page, _ = await open_page(it, reduced_motion="reduce")
        await set_password(page, nicobar)
        endpoint, _ = await make_endpoint(nicobar, CODE)
        await page.goto(endpoint)
        await page.get_by_role("button", name="Edit transformation").click()
        draft = page.url.removesuffix("/code")
        await write_code(page, draft, CODE.replace("'paid'", "'paid_in_full'"))
        await page.locator("button[value=ko]").click()
        await page.goto(f"{draft}/test")
        for item in await page.locator(".changes summary").all():
            await item.click()
        findings += await examine(page, "test-of-a-change")
        await page.goto(f"{endpoint}/testing?send=1")
        findings += await examine(page, "test-confirm")
        await page.locator("form[action$=send] button").click()
        await page.wait_for_url("**/sent/*")
        findings += await examine(page, "test-sent")
    assert not findings, "\n".join(findings)


async def test_a_sample_runs_in_the_chosen_state_of_the_ledger(nicobar):
    code = "function handler(w) { w.payload = nicobar.event('state_' + w.customer.status, {}); return w; }"
    endpoint, _ = await furnish(nicobar, code)
    page = f"/webhooks/{endpoint.id}/testing?sample_type=payment.succeeded"
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        for query, status, shown in (
            ("", 200, "state_none"),
            ("&ledger=second_failure", 200, "state_on_hold"),
            ("&variant=guest&ledger=two_subscriptions", 200, "state_active"),
            ("&customer=cus_9", 422, "The ledger does not know customer cus_9."),
        ):
            found, text, _ = await visitor.ask("GET", page + query)
            assert (found, shown in text) == (status, True)
