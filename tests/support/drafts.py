"""The starting point of tests of endpoint pages: an endpoint with custom code that has delivered an event."""

from __future__ import annotations

from playwright.async_api import APIResponse, Page

from nicobar.model import Customer, DeliveryState
from nicobar.sources.samples import fresh
from support.installation import SAME_ORIGIN, SECRET, Installation, connect
from support.server import ADA, TYPES


async def write_code(page: Page, draft: str, code: str) -> None:
    """The code into a draft, as the form does it without the editor."""
    assert (await send_form(page, f"{draft}/code", code=code, variables="")).status == 303


async def send_form(page: Page, url: str, **fields: str) -> APIResponse:
    """As a page of the dashboard sends it, with the browser's session. Redirects are not followed."""
    return await page.request.post(url, form=fields, headers=SAME_ORIGIN, max_redirects=0)


async def make_endpoint(page: Page, nicobar: Installation, code: str) -> tuple[str, str]:
    """An endpoint with this code that has delivered one event: its page's address, and its source's."""
    draft = await connect(page, nicobar)
    await write_code(page, draft, code)
    await page.goto(f"{draft}/test")
    await page.locator("form[action$=create] button").click()
    await page.wait_for_url("**/webhooks/ep_*")
    endpoint = page.url
    address = await page.locator("#source-url").inner_text()
    await page.locator("#secret").fill(SECRET)
    await page.locator(".inline button").click()
    await page.wait_for_url("**kept=1*")
    attempt = await deliver(nicobar, address, "payment.succeeded", "evt_1")
    assert attempt is DeliveryState.SUCCESS
    return endpoint, address


async def deliver(
    nicobar: Installation, address: str, event_type: str, event_id: str, customer: Customer = ADA
) -> DeliveryState:
    """Sends a sample of that type as if it had just happened; what became of its delivery."""
    body = fresh(TYPES[event_type], nicobar.runtime.clock.now_ms(), customer)
    assert await nicobar.send(address, body, event_id) == 202
    return (await nicobar.next_recorded()).attempt.state
