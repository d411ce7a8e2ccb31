"""The starting point of tests of endpoint pages: an endpoint with custom code that has delivered an event."""

from __future__ import annotations

from playwright.async_api import APIResponse, Page

from nicobar.model import Customer, DeliveryState
from nicobar.sources.samples import fresh
from support.installation import SAME_ORIGIN, Installation, furnish
from support.server import ADA, TYPES


async def write_code(page: Page, draft: str, code: str) -> None:
    """The code into a draft, as the form does it without the editor."""
    assert (await send_form(page, f"{draft}/code", code=code, variables="")).status == 303


async def send_form(page: Page, url: str, **fields: str) -> APIResponse:
    """As a page of the dashboard sends it, with the browser's session. Redirects are not followed."""
    return await page.request.post(url, form=fields, headers=SAME_ORIGIN, max_redirects=0)


async def make_endpoint(nicobar: Installation, code: str) -> tuple[str, str]:
    """An endpoint with this code that has delivered one event: its page's address, and its source's."""
    endpoint, address = await furnish(nicobar, code)
    assert await deliver(nicobar, address, "payment.succeeded", "evt_1") is DeliveryState.SUCCESS
    return f"{nicobar.url}/webhooks/{endpoint.id}", address


async def deliver(
    nicobar: Installation, address: str, event_type: str, event_id: str, customer: Customer = ADA
) -> DeliveryState:
    """Sends a sample of that type as if it had just happened; what became of its delivery."""
    body = fresh(TYPES[event_type], nicobar.runtime.clock.now_ms(), customer)
    assert await nicobar.send(address, body, event_id) == 202
    return (await nicobar.next_recorded()).attempt.state
