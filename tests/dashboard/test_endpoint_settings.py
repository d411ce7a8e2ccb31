"""What can be changed of an endpoint: types as a tree, headers, variables, on and off."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from nicobar.crypto import new_webhook_secret
from nicobar.pipeline.configuration import endpoint_headers
from nicobar.web.dashboard.forms import chosen_types, read_headers, shown_headers
from support.browser import browser
from support.drafts import make_endpoint, send_form
from support.installation import EVIL, examine, furnish, installation, open_page, set_password
from support.pages import set_up, visiting

CODE = "function handler(webhook) { webhook.payload = nicobar.event('paid', {}); return webhook; }\n"


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


def test_a_checked_family_includes_its_types():
    endpoint = ("payment.succeeded", "refund.failed", "refund.succeeded")
    form = {"event_family": ("refund", "nothing"), "event_type": ("refund.failed", "order.placed", "")}
    assert chosen_types(endpoint, form) == ("refund.failed", "order.placed", "refund.succeeded")
    assert chosen_types(endpoint, {}) == ()


def test_an_empty_secret_header_keeps_its_value_unseen():
    endpoint = {"authorization": "Bearer secret", "x-shop": "one"}
    form = {
        "header_name": (" Authorization ", "x-shop", "", "x-new"),
        "header_value": ("", "two", "nobody's", " three "),
    }
    assert read_headers(form, endpoint) == {"authorization": "Bearer secret", "x-shop": "two", "x-new": "three"}
    assert shown_headers(endpoint, ["x-shop"]) == {"authorization": None, "x-shop": "one"}
    assert read_headers({}, endpoint) == {}


async def make_http(page, nicobar):
    """An endpoint for a URL; its page's address."""
    await page.goto(f"{nicobar.url}/webhooks/new/http")
    await page.locator("#name").fill("Shop")
    await page.locator("#field_url").fill("https://shop.example/hooks")
    await page.locator("button[value=next]").click()
    await page.wait_for_url("**/code")
    await page.goto(page.url.replace("/code", "/test"))
    await page.locator("form[action$=create] button").click()
    await page.wait_for_url("**/webhooks/ep_*")
    return page.url


@pytest.mark.browser
async def test_types_variables_headers_and_disabling_are_saved(nicobar):
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        endpoint = await make_http(page, nicobar)
        await page.goto(f"{endpoint}/settings")
        await page.get_by_label("Selected event types").check()
        family = page.get_by_label("refund", exact=True)
        refunds = page.get_by_role("group", name="refund")
        await family.check()
        await expect(refunds.get_by_label("succeeded")).to_be_checked()
        await refunds.get_by_label("failed").uncheck()
        await expect(family).to_have_js_property("indeterminate", value=True)
        await expect(family).not_to_be_checked()
        await page.get_by_text("Variables", exact=True).click()
        await page.get_by_label("One NAME=value per line").fill(f"PLAN=pro\nNOTE={EVIL}")
        await page.get_by_text("Headers", exact=True).click()
        await page.get_by_label("Header 1").fill("Authorization")
        await page.get_by_label("Value 1").fill("Bearer not-to-be-shown")
        await page.get_by_label("Header 2").fill("X-Shop")
        await page.get_by_label("Value 2").fill("one")
        await page.get_by_role("button", name="Save").click()
        await page.wait_for_url(endpoint)
        (stored,) = nicobar.runtime.configuration.snapshot.endpoints
        assert stored.event_types == ("refund.succeeded",)
        assert stored.variables == {"PLAN": "pro", "NOTE": EVIL}
        # A secret stays when its value is left empty; a header without a name goes.
        await page.goto(f"{endpoint}/settings")
        assert "not-to-be-shown" not in await page.content()
        await expect(page.get_by_label("One NAME=value per line")).to_have_value(f"PLAN=pro\nNOTE={EVIL}")
        await page.get_by_label("Header 2").fill("")
        await page.get_by_role("button", name="Save").click()
        await page.wait_for_url(endpoint)
        (stored,) = nicobar.runtime.configuration.snapshot.endpoints
        assert endpoint_headers(nicobar.runtime.vault, stored) == {"authorization": "Bearer not-to-be-shown"}
        # Invalid input is explained and kept.
        await page.goto(f"{endpoint}/settings")
        await page.get_by_label("Header 2").fill("webhook-id")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_role("alert").wait_for()
        await expect(page.get_by_label("Header 2")).to_have_value("webhook-id")
        await page.goto(f"{endpoint}/settings")
        await page.get_by_role("button", name="Disable endpoint").click()
        await page.get_by_role("button", name="Enable").wait_for()
        assert nicobar.runtime.configuration.snapshot.endpoints[0].disabled
        await page.goto(f"{endpoint}/settings")
        await page.get_by_role("button", name="Enable endpoint").click()
        await page.get_by_role("button", name="Pause").wait_for()
        assert not nicobar.runtime.configuration.snapshot.endpoints[0].disabled
        assert not [problem for problem in problems if "status of 422" not in problem]


@pytest.mark.parametrize(
    ("fields", "is_said"),
    [
        ({"secret_variables": "KEY=one"}, True),
        ({"field_api_key": "another"}, True),
        ({"secret_variables": "KEY=***"}, False),
        ({}, False),
    ],
)
async def test_a_rejected_form_says_that_new_secrets_are_gone(nicobar, fields, is_said):
    endpoint, _ = await furnish(nicobar, CODE)
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        status, page, _ = await visitor.send(f"/webhooks/{endpoint.id}/settings", name="Shop", rate="many", **fields)
    assert (status, "Enter the new secret values again" in page) == (422, is_said)


@pytest.mark.parametrize("typed", ["paid", "a = b\na = c", "a = "])
async def test_a_rejected_form_shows_the_names_as_typed(nicobar, typed):
    endpoint, _ = await furnish(nicobar, CODE)
    fields = {"name": "Shop", "field_region": "us", "field_attribute_names": "plan=tarif", "field_event_names": typed}
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        status, page, _ = await visitor.send(f"/webhooks/{endpoint.id}/settings", **fields)
    assert status == 422
    assert f">{typed}</textarea>" in page
    assert ">plan = tarif</textarea>" in page


@pytest.mark.browser
async def test_new_credentials_end_a_hold_but_not_a_pause(nicobar):
    async with browser() as it:
        page, _ = await open_page(it)
        await set_password(page, nicobar)
        endpoint = await make_http(page, nicobar)
        (stored,) = nicobar.runtime.configuration.snapshot.endpoints
        await nicobar.pause(stored, "401", by_hand=False)
        for secret, paused in (("", True), (new_webhook_secret(), False)):
            await page.goto(f"{endpoint}/settings")
            await page.locator("#field_secret").fill(secret)
            await page.get_by_role("button", name="Save").click()
            await page.get_by_role("button", name="Resume" if paused else "Pause").wait_for()
        await page.get_by_role("button", name="Pause").click()
        await page.get_by_role("button", name="Resume").wait_for()
        await page.goto(f"{endpoint}/settings")
        await page.locator("#field_secret").fill(new_webhook_secret())
        await page.get_by_role("button", name="Save").click()
        await page.get_by_role("button", name="Resume").wait_for()


@pytest.mark.browser
async def test_families_work_without_javascript_and_an_empty_choice_is_rejected(nicobar):
    async with browser() as it:
        page, _ = await open_page(it, java_script_enabled=False)
        await set_password(page, nicobar)
        endpoint, _ = await make_endpoint(nicobar, CODE)
        await page.goto(f"{endpoint}/settings")
        assert not await page.get_by_text("Headers", exact=True).count(), "Customer.io takes none"
        await page.get_by_label("Selected event types").check()
        await page.get_by_role("button", name="Save").click()
        await page.get_by_text("No event types selected.").wait_for()
        await page.get_by_label("Selected event types").check()
        await page.get_by_label("dunning", exact=True).check()
        await page.get_by_role("button", name="Save").click()
        await page.wait_for_url(endpoint)
        (stored,) = nicobar.runtime.configuration.snapshot.endpoints
        assert stored.event_types == ("dunning.recovered", "dunning.started")
        answer = await send_form(page, f"{endpoint}/settings", name="Customer.io", variables="not a line")
        assert answer.status == 422


@pytest.mark.browser
async def test_the_page_is_accessible_and_responsive(nicobar):
    findings: list[str] = []
    async with browser() as it:
        page, _ = await open_page(it, reduced_motion="reduce")
        await set_password(page, nicobar)
        endpoint = await make_http(page, nicobar)
        await page.goto(f"{endpoint}/settings")
        await page.locator("[value=some]").check()
        await page.locator("[name=event_type][value='refund.failed']").check()
        for item in await page.locator("main summary").all():
            await item.click()
        findings += await examine(page, "settings-open")
    assert not findings, "\n".join(findings)
