"""The catalogue of event types."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from nicobar.connectors.customerio.recipes import RECIPES
from nicobar.model import EventType
from nicobar.sources.registry import SOURCES
from nicobar.store import PutEventType
from nicobar.use_cases.recipe_coverage import recipe_uses
from nicobar.use_cases.sample_events import samples_of
from nicobar.web.dashboard.event_types import tree
from support.browser import browser
from support.drafts import make_endpoint
from support.installation import EVIL, examine, installation, open_page, set_password
from support.server import TYPES

CODE = "function handler(webhook) { webhook.payload = nicobar.event('paid', {}); return webhook; }\n"


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


def test_a_tree_has_every_field_with_kind_and_example():
    found = {item.name: item for item in tree(TYPES["payment.succeeded"].example)}
    data = {field.name: field for field in found["data"].fields}
    assert (found["timestamp"].kind, data["total_amount"].kind) == ("timestamp", "integer")
    assert [field.name for field in data["custom_field_responses"].fields] == ["key", "value"]
    assert (data["discount_id"].kind, data["discount_id"].example) == ("null", "")
    assert {field.name for field in data["customer"].fields} >= {"customer_id", "email", "name"}
    assert tree(None) == tree([]) == ()
    deep: dict[str, object] = {}
    for _ in range(200):
        deep = {"a": deep}
    assert tree(deep)


async def test_each_recipe_handles_an_event_type_and_none_handles_payouts(sandbox):
    found, is_complete = await recipe_uses(sandbox, samples_of(*SOURCES), 1_790_000_000_000, lambda: 0)
    assert is_complete
    assert {use.recipe for uses in found.values() for use in uses} == {recipe.name for recipe in RECIPES}
    assert "payout.success" not in found
    (welcome,) = [use for use in found["payment.succeeded"] if use.recipe == "welcome"]
    assert "first_payment_succeeded" in welcome.sends
    ticks = iter(range(0, 10**9, 10_000))
    _, is_complete = await recipe_uses(sandbox, samples_of(*SOURCES), 1_790_000_000_000, lambda: next(ticks))
    assert not is_complete


@pytest.mark.browser
async def test_event_types_are_found_by_search_recipe_and_shortcut(nicobar):
    own = EventType(name="order.placed", description=EVIL, schema={"title": EVIL}, example={"type": EVIL, EVIL: EVIL})
    await nicobar.runtime.store.change([PutEventType(event_type=own)])
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        await page.keyboard.press("g")
        await page.keyboard.press("e")
        await page.get_by_role("heading", name="Event types").wait_for()
        rows = page.locator("tbody tr:visible")
        await expect(rows).to_have_count(49)
        await page.get_by_role("searchbox").fill("cardholder")
        await expect(rows).to_have_count(3)
        await page.get_by_role("searchbox").fill("nothing like this")
        await page.get_by_text("No event types found.").wait_for()
        await page.get_by_role("searchbox").fill("")
        await page.get_by_label("Recipe").select_option("welcome")
        await page.get_by_role("button", name="Search").click()
        await expect(rows).to_have_count(1)
        await page.get_by_role("link", name="payment.succeeded").click()
        for text in ("A charge succeeded", "Sends:", "payment_succeeded", "total_amount", "smallest unit"):
            await expect(page.locator("main")).to_contain_text(text)
        await page.goto(f"{nicobar.url}/catalogue/order.placed")
        await expect(page.locator("main")).to_contain_text(EVIL)
        await page.goto(f"{nicobar.url}/catalogue?q={EVIL.replace('%', '%25').replace('#', '')}")
        assert not await page.locator("main img, main script").count()
        assert (await page.request.get(f"{nicobar.url}/catalogue/none.such")).status == 404
        endpoint, _ = await make_endpoint(nicobar, CODE)
        await page.goto(f"{nicobar.url}/catalogue/refund.failed")
        await page.get_by_role("link", name="Test with Customer.io").click()
        await expect(page).to_have_url(f"{endpoint}/testing?sample_type=refund.failed")
        assert not problems


@pytest.mark.browser
async def test_the_pages_are_accessible_and_responsive(nicobar):
    findings: list[str] = []
    async with browser() as it:
        page, _ = await open_page(it, locale="ko-KR", reduced_motion="reduce")
        await set_password(page, nicobar)
        for name, path in (
            ("catalogue", ""),
            ("catalogue-none", "?q=nothing"),
            ("event-type", "/subscription.on_hold"),
            ("event-type-unused", "/payout.failed"),
        ):
            await page.goto(f"{nicobar.url}/catalogue{path}")
            findings += await examine(page, name)
    assert not findings, "\n".join(findings)
