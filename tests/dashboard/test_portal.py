"""A link to the dashboard shows one application, to whoever has it, as long as it lasts."""

from __future__ import annotations

import msgspec
import pytest
from playwright.async_api import expect
from svix.api import ApplicationIn, ApplicationTokenExpireIn, AppPortalAccessIn, EndpointIn, MessageIn

from nicobar.crypto import hash_token
from nicobar.store import PutToken
from support.api import asking
from support.browser import browser
from support.drafts import send_form
from support.handlers import ORDER_PAID
from support.installation import examine, open_page
from support.pages import visiting
from support.svix_clients import async_client

RECEIVER = "https://hooks.acme.example/in"


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path, ORDER_PAID) as it:
        yield it


async def make_acme(client, **fields):
    """An application with an endpoint and a message; returns the endpoint and a link."""
    await client.application.create(ApplicationIn(name="Acme", uid="acme"))
    endpoint = await client.endpoint.create("acme", EndpointIn(url=RECEIVER, description="Acme's own"))
    body = MessageIn(event_type="order.placed", payload={"type": "order.placed", "data": {}})
    await client.message.create("acme", body)
    return endpoint, await client.authentication.app_portal_access("acme", AppPortalAccessIn(**fields))


@pytest.mark.browser
async def test_a_link_opens_one_application_until_it_expires(api):
    async with async_client(api) as client, browser() as it:
        endpoint, link = await make_acme(client, session_id="ada")
        page, problems = await open_page(it, reduced_motion="reduce")
        await page.goto(link.url)
        await page.wait_for_url(f"{api.url}/")
        await page.goto(f"{api.url}/webhooks")
        await expect(page.locator("tbody tr")).to_have_count(1)
        await expect(page.locator("tbody a")).to_have_attribute("href", f"/webhooks/{endpoint.id}")
        await expect(page.locator(".side nav a[href='/settings']")).to_have_count(0)
        assert link.token not in await page.content()
        await page.locator("tbody a").click()
        await page.get_by_role("button", name="Pause").click()
        await page.get_by_text("paused by hand").first.wait_for()
        (entry,) = (await api.ask("GET", "/api/v1/audit-log?action=endpoint.pause")).body["data"]
        assert (entry["actor"], entry["subject"]) == ("link ada", endpoint.id)
        # The client expires the link, and with it the browser session.
        await client.authentication.expire_all("acme", ApplicationTokenExpireIn(session_ids=["ada"]))
        await page.goto(f"{api.url}/webhooks")
        await page.wait_for_url("**/login?next=**")
        await page.goto(link.url)
        await page.get_by_text("This link has expired").wait_for()
        assert not await examine(page, "portal-ended")
        assert not [problem for problem in problems if "status of 4" not in problem]


@pytest.mark.browser
async def test_a_read_only_link_changes_nothing_and_can_sign_out(api):
    async with async_client(api) as client, browser() as it:
        endpoint, link = await make_acme(client, read_only=True, expiry=3600)
        options = {"viewport": {"width": 390, "height": 900}, "reduced_motion": "reduce"}
        page, problems = await open_page(it, locale="ko-KR", **options)
        await page.goto(link.url)
        await page.wait_for_url(f"{api.url}/")
        (cookie,) = [cooky for cooky in await page.context.cookies() if cooky["name"] == "nicobar_session"]
        left_s = cookie["expires"] - api.nicobar.runtime.clock.now_ms() / 1000
        assert 3500 < left_s <= 3600
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
        for path in ("/webhooks", f"/webhooks/{endpoint.id}", f"/webhooks/{endpoint.id}/settings"):
            await page.goto(api.url + path)
            await expect(page.locator("main h1")).to_be_visible()
            await expect(page.locator("main form[method=post] button:enabled:visible")).to_have_count(0)
            await expect(page.locator("main a[href='/webhooks/new']:visible")).to_have_count(0)
        assert not await examine(page, "looking")
        assert (await send_form(page, f"{api.url}/webhooks/{endpoint.id}/pause")).status == 403
        await page.locator("form[action='/logout'] button").click()
        await page.wait_for_url("**/login")
        assert (await api.nicobar.runtime.store.token(hash_token(link.token))).revoked_at_ms is not None
        assert (await api.ask("GET", "/api/v1/app/acme", token=link.token)).status == 401
        assert not [problem for problem in problems if "status of 4" not in problem]


async def test_only_a_link_s_key_opens_pages_also_without_javascript(api):
    async with async_client(api) as client, visiting(api) as visitor:
        _, link = await make_acme(client)
        for key in ("", "nbr_x", api.token):
            assert (await visitor.send("/app-portal", key=key))[0] == 422
        visitor.http.cookie_jar.update_cookies({"nicobar_session": api.token})
        assert (await visitor.ask("GET", "/webhooks"))[0] == 303, "a token of the API is no cookie"
        status, _, headers = await visitor.send("/app-portal", key=link.token)
        assert (status, headers["location"]) == (303, "/")
        assert (await visitor.ask("GET", "/webhooks"))[0] == 200
        token = await api.nicobar.runtime.store.token(hash_token(link.token))
        ended = msgspec.structs.replace(token, expires_at_ms=api.nicobar.runtime.clock.now_ms())
        await api.nicobar.runtime.store.change([PutToken(token=ended)])
        assert (await visitor.ask("GET", "/webhooks"))[0] == 303, "its time is up"
        await api.nicobar.runtime.store.change([PutToken(token=token)])
        assert (await visitor.ask("GET", "/settings/users"))[0] == 404
        await client.application.delete("acme")
        assert (await visitor.ask("GET", "/webhooks"))[0] == 303, "its application is gone"


async def test_a_read_only_link_runs_no_code(api, monkeypatch):
    async def run(*_args, **_values):
        raise AssertionError("a handler runs")

    async with async_client(api) as client, visiting(api) as visitor:
        endpoint, link = await make_acme(client, read_only=True)
        assert (await visitor.send("/app-portal", key=link.token))[0] == 303
        here = f"/webhooks/{endpoint.id}"
        monkeypatch.setattr("nicobar.web.dashboard.coverage.run_samples", run)
        monkeypatch.setattr("nicobar.web.dashboard.endpoint_replays.known_effect", run)
        for path in (here, f"{here}/transformation", f"{here}/replays/count?kind=bulk&since=24h"):
            status, text, _ = await visitor.ask("GET", path)
            assert (status, f"{here}/testing" in text, "/dry-run" in text) == (200, False, False)
        for path in (f"{here}/testing", f"{here}/testing?every=1", f"{here}/transformation/dry-run"):
            assert (await visitor.ask("GET", path))[0] == 403


async def test_over_https_the_cookie_of_a_link_is_secure(tmp_path):
    async with (
        asking(tmp_path, public_url="https://hooks.northpine.example") as api,
        async_client(api) as client,
        visiting(api) as visitor,
    ):
        _, link = await make_acme(client)
        assert link.url.startswith("https://hooks.northpine.example/app-portal#key=nbr_")
        assert (await visitor.send("/app-portal", key=link.token))[0] == 303
        (session,) = [cooky for cooky in visitor.cookies if cooky.startswith("nicobar_session=")]
        assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(session.split("; "))
