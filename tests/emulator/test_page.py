"""The emulator's page: its inbox, people, events and requests, in a browser and as HTML."""

from __future__ import annotations

import aiohttp
import pytest

from nicobar.emulator import inbox
from nicobar.emulator.app import create_app
from nicobar.emulator.campaign import Campaign, Trigger
from nicobar.emulator.state import State
from nicobar.web.serving import Server
from support.browser import browser, new_page, serious_findings

ULID = "01K4VJ0W00QF7D2S9N3B6X8C1M"
ADA = "ada@northpine.example"
THANKS = Campaign(
    title="Thanks",
    trigger=Trigger.EVENT,
    name="payment_completed",
    subject="Thank you, {{customer.email}}",
    body='<p>Paid: <b>{{event.amount}}</b></p><img src="http://127.0.0.1:9/x.png"><script>parent.bad = 1</script>',
)
TABS = ("/", "/emails/1", "/people", "/people/000000000001", "/events", "/requests", "/campaigns", "/workspace")


class Emulated:
    """A running emulator, filled without HTTP."""

    def __init__(self, server: Server, state: State, http: aiohttp.ClientSession) -> None:
        self.url = server.url
        self.state = state
        self._http = http

    def send(self, action: str, person: str = "ada", **item: object) -> None:
        call = {"type": "person", "action": action, "identifiers": {"id": person}, **item}
        self.state.accept(call)

    def pay(self, **item: object) -> None:
        self.send("event", name="payment_completed", attributes={"amount": 49.5}, **item)

    async def read(self, path: str, language: str = "en", status: int = 200):
        headers = {"accept-language": language, "accept": "text/html"}
        async with self._http.get(self.url + path, headers=headers) as answer:
            assert answer.status == status
            return await answer.text(), answer.headers


@pytest.fixture
async def emulated():
    async def start(*campaigns: Campaign, nicobar_url: str = "") -> Emulated:
        state = State()
        app = create_app(state, campaigns=campaigns, nicobar_url=nicobar_url)
        servers.append(await Server.start(app, "127.0.0.1", 0, shutdown_s=0))
        return Emulated(servers[-1], state, http)

    servers: list[Server] = []
    async with aiohttp.ClientSession() as http:
        yield start
    for server in servers:
        await server.stop()


@pytest.mark.browser
@pytest.mark.parametrize(("locale", "scheme"), [("en-US", "light"), ("ko-KR", "dark")])
async def test_every_tab_is_readable_on_phone_and_desktop(emulated, locale, scheme):
    it = await emulated(THANKS, Campaign(title="x" * 200, trigger=Trigger.EVENT, name="other"))
    it.pay()
    it.send("identify", attributes={"email": ADA, "plan": "pro"})
    it.send("identify", "cus_ada", attributes={"email": ADA})
    it.send("event", name="payment_completed", attributes={"amount": 1, "note": "x" * 200}, id=ULID)
    async with browser() as chromium:
        for width in (390, 1440):
            page = await new_page(
                chromium, viewport={"width": width, "height": 900}, color_scheme=scheme, locale=locale
            )
            problems: list[str] = []
            page.on("pageerror", lambda error, problems=problems: problems.append(str(error)))
            for tab in TABS:
                await page.goto(it.url + tab)
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab
                problems += await serious_findings(page)
            assert not problems


@pytest.mark.browser
async def test_an_email_is_rendered_below_its_event_and_runs_nothing(emulated):
    it = await emulated(THANKS, nicobar_url="http://nicobar.example/")
    it.send("identify", attributes={"email": ADA, "dodo_customer_id": "cus_1"})
    it.pay(id=ULID)
    async with browser() as chromium:
        page = await new_page(chromium)
        blocked: list[str | None] = []
        page.on("requestfailed", lambda request: blocked.append(request.failure))
        await page.goto(it.url)
        await page.get_by_role("link", name="Thank you, ada@northpine.example").click()
        await page.wait_for_url("**/emails/1")
        await page.frame_locator("iframe").get_by_text("Paid: 49.5").wait_for()
        assert await page.evaluate("window.bad") is None
        assert blocked == ["csp", "csp"], "on both pages, the picture is not loaded"
        assert await page.get_by_role("heading", name="Event payment_completed").is_visible()
        link = page.get_by_role("link", name="Open the message in Nicobar")
        assert await link.get_attribute("href") == f"http://nicobar.example/logs?q={ULID}&customer=cus_1"


@pytest.mark.browser
async def test_lists_update_live_and_keep_the_focus(emulated):
    it = await emulated(THANKS)
    it.send("identify", attributes={"email": ADA})
    async with browser() as chromium:
        page = await new_page(chromium)
        await page.goto(it.url)
        await page.get_by_text("Nothing was sent").wait_for()
        it.pay()
        first = page.get_by_role("link", name="Thank you, ada@northpine.example")
        await first.focus()
        await page.get_by_role("heading", name="Thank you, ada@northpine.example").wait_for()
        it.send("event", name="payment_completed", attributes={})
        await page.get_by_text("event.amount").first.wait_for()
        assert await page.evaluate("document.activeElement.getAttribute('href')") == "/emails/1"
        assert await page.locator("[data-email]").get_attribute("data-email") == "1", "what is read stays"
        await page.get_by_role("button", name="Pause").click()
        it.pay()
        await page.get_by_text("Paused").wait_for()
        await page.get_by_role("button", name="Resume").click()
        await page.locator(".emails li").nth(2).wait_for()


@pytest.mark.browser
async def test_everything_works_without_a_script(emulated):
    it = await emulated()
    it.send("identify", attributes={"email": ADA, "name": "Ada"})
    async with browser() as chromium:
        page = await new_page(chromium, java_script_enabled=False)
        await page.goto(it.url)
        await page.get_by_label("Campaigns of the recipe").select_option("payment_failure")
        await page.get_by_role("button", name="Add campaigns").click()
        await page.get_by_role("button", name="Remove On hold").click()
        await page.get_by_text("Create your own campaign").click()
        await page.get_by_label("Title").fill("Thanks")
        await page.get_by_label("Event or attribute name").fill("paid")
        await page.get_by_label("Subject").fill("Thank you, {{customer.name}}")
        await page.get_by_role("button", name="Add campaign", exact=True).click()
        await page.get_by_role("button", name="Remove Thanks").wait_for()
        it.send("event", name="paid", attributes={})
        await page.get_by_role("link", name="Inbox").click()
        await page.get_by_role("link", name="Thank you, Ada").click()
        await page.get_by_text("The campaign has no body.").wait_for()


async def test_pages_escape_values_and_run_only_their_script(emulated):
    it = await emulated(THANKS)
    it.send("identify", attributes={"email": ADA, "note": "<script>alert(1)</script>"})
    it.send("event", name="<script>alert(1)</script>", attributes={})
    it.send("event", name="payment_completed", attributes={"amount": "<script>alert(2)</script>"})
    for path in TABS:
        html, headers = await it.read(path)
        assert "<script>" not in html
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]
    html, headers = await it.read("/emails/1/body")
    assert "&lt;script&gt;alert(2)" in html
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")


async def test_the_page_says_why_a_campaign_sent_nothing(emulated):
    it = await emulated(THANKS)
    html, _ = await it.read("/")
    assert "Campaign “Thanks” waits for payment_completed, which was not received." in html
    it.send("event", name="Payment Completed", attributes={})
    html, _ = await it.read("/")
    assert "Campaign “Thanks” waits for payment_completed; received: Payment Completed." in html


async def test_failed_attribute_updates_are_on_three_tabs(emulated):
    it = await emulated()
    it.send("identify", attributes={"email": ADA})
    it.send("identify", "cus_1", attributes={"email": ADA})
    for path in ("/", "/people", "/people/000000000002", "/events"):
        html, _ = await it.read(path)
        assert "1 attribute update failed" in html, path
    html, _ = await it.read("/people/000000000001")
    assert "attribute update failed" not in html


async def test_a_person_s_page_shows_what_they_did_and_received(emulated):
    it = await emulated(THANKS)
    it.send("identify", attributes={"email": ADA, "plan": "pro"})
    it.pay()
    it.send("page", name="pricing")
    it.send("screen", name="Home")
    html, _ = await it.read("/people/000000000001")
    for text in ("ada", ADA, "plan", "pro", "Thank you, ada@northpine.example", "page view", "screen view"):
        assert text in html
    html, _ = await it.read("/people/nobody", status=404)
    assert "The emulator has no person nobody." in html


async def test_lists_are_paged(emulated, monkeypatch):
    monkeypatch.setattr(inbox, "PER_PAGE", 2)
    it = await emulated(THANKS)
    it.send("identify", attributes={"email": ADA})
    for _ in range(5):
        it.pay()
    html, _ = await it.read("/?show=sent&page=2")
    assert 'href="/emails/3?show=sent&amp;page=2"' in html
    assert 'href="/emails/5' not in html
    assert 'href="/?show=sent"' in html
    assert 'href="/?show=sent&amp;page=3"' in html
    html, _ = await it.read("/events?page=3")
    assert 'rel="next"' not in html
    await it.read("/events?page=0", status=400)


async def test_without_nicobar_s_url_the_page_says_so(emulated):
    it = await emulated(THANKS)
    it.send("identify", attributes={"email": ADA})
    it.pay(id=ULID)
    html, _ = await it.read("/emails/1")
    assert "--nicobar-url" in html
    assert "/logs?" not in html
