"""The page that shows the API, in a real browser that may reach this server only."""

from __future__ import annotations

from urllib.parse import quote

from playwright.async_api import expect

from support.api import asking
from support.browser import browser, new_page
from support.installation import examine, fits, open_page


async def test_the_reference_is_accessible_on_any_screen(tmp_path):
    async with asking(tmp_path) as api, browser() as it:
        page, problems = await open_page(it)
        requested_urls: list[str] = []
        page.on("request", lambda request: requested_urls.append(request.url))
        await page.goto(f"{api.url}/api/v1/reference")
        await page.get_by_text("List attempts by endpoint").click()
        await expect(page.locator("[id='v1.message-attempt.list-by-endpoint']")).to_be_visible()
        await page.get_by_text("Create endpoint", exact=True).click()
        opened = page.locator("[id='v1.endpoint.create']")
        await expect(opened.get_by_role("heading", name="Request example")).to_be_visible()
        for width in (1440, 390):
            await page.set_viewport_size({"width": width, "height": 900})
            assert await fits(page)
        # All of them have one form: axe looks at those that are open and at a few that are not.
        await page.evaluate("[...document.querySelectorAll('details:not([open])')].slice(3).map(x => x.remove())")
        assert await examine(page, "api") == []
        assert (problems, requested_urls) == ([], [f"{api.url}/api/v1/reference"])


async def test_a_link_to_an_operation_or_a_body_opens_it(tmp_path):
    async with asking(tmp_path) as api, browser() as it:
        page = await new_page(it)
        for place in ("v1.endpoint.create", "body-EndpointIn"):
            await page.goto(f"{api.url}/api/v1/reference#{place}")
            await expect(page.locator(f"[id='{place}']")).to_be_visible()
        await page.goto(f"{api.url}/api/v1/reference")
        await page.get_by_role("link", name="Message Attempt").click()
        await expect(page.locator(f"[id='{quote('Message Attempt')}']")).to_be_in_viewport()
