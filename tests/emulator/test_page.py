"""The emulator's page: its inbox, people, events and requests, in a browser and as HTML."""

from __future__ import annotations

import aiohttp
import msgspec
import pytest

from nicobar.emulator import inbox
from nicobar.emulator.app import create_app
from nicobar.emulator.campaign import Campaign, CampaignState, Exit, Frequency, Sending, Trigger
from nicobar.emulator.conditions import Condition, Operator, Subject
from nicobar.emulator.sentences import is_known
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

    async def post(self, path: str, **form: str) -> int:
        async with self._http.post(self.url + path, data=form, allow_redirects=False) as answer:
            return answer.status


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


@pytest.mark.slow
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


@pytest.mark.slow
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
    assert (
        "Campaign “Thanks” waits for <code>payment_completed</code>, which was not received since it was added."
        in html
    )
    it.send("event", name="Payment Completed", attributes={})
    html, _ = await it.read("/")
    waits = "waits for <code>payment_completed</code>; received: <code>Payment Completed</code>."
    assert f"Campaign “Thanks” {waits}" in html
    html, _ = await it.read("/", "ko-KR,ko;q=0.9")
    assert '<html lang="ko"' in html
    assert "받은 이벤트 <code>Payment Completed</code>." in html


async def test_a_duplicate_shows_its_event_and_why_it_was_not_sent(emulated):
    it = await emulated(THANKS, nicobar_url="http://nicobar.example")
    it.send("identify", attributes={"email": ADA})
    it.pay(id=ULID)
    it.pay(id=ULID)
    html, _ = await it.read("/emails/2")
    assert "<h2>Event <code>payment_completed</code></h2>" in html
    assert f'href="http://nicobar.example/logs?q={ULID}&amp;customer=ada"' in html
    assert "an event with this id was already accepted" in html


async def test_waiting_emails_are_listed_until_the_clock_reaches_them(emulated):
    it = await emulated(msgspec.structs.replace(THANKS, delay_s=86_400))
    it.send("identify", attributes={"email": ADA})
    it.pay()
    html, _ = await it.read("/")
    assert "1 email waits." in html
    assert "Thank you, ada" not in html
    assert await it.post("/workspace/clock", advance_s="86400") == 303
    html, _ = await it.read("/")
    assert "Thank you, ada@northpine.example" in html
    assert "1 email waits." not in html
    html, _ = await it.read("/workspace")
    assert "1 day ahead" in html
    assert await it.post("/workspace/clock", advance_s="-1") == 422


async def test_the_workspace_form_changes_what_it_shows(emulated):
    it = await emulated()
    form = {"identifiers": "email only", "id_conflict": "replace", "out_of_order": "none", "mode": "observed"}
    assert await it.post("/workspace", **form, settle_ms="0", automatic_merging="on") == 303
    workspace = it.state.workspace
    assert (workspace.identifiers, workspace.id_conflict) == ("email only", "replace")
    assert (workspace.automatic_merging, workspace.email_updates_by_id) == (True, False)
    html, _ = await it.read("/workspace")
    assert '<option value="email only" selected>' in html
    it.state.accept({"type": "person", "action": "identify", "identifiers": {"email": ADA}})
    assert await it.post("/workspace", **form | {"identifiers": "id only"}) == 409
    assert await it.post("/workspace", mode="moon") == 422
    assert await it.post("/workspace/clear") == 303
    assert not len(it.state.people)


def test_each_sentence_of_the_state_can_be_translated():
    state = State(now=lambda: 1_790_000_000)
    app = create_app(state)
    paid = {"trigger": Trigger.EVENT, "name": "paid", "subject": "{{customer.name}}"}
    rich = Condition(on=Subject.EVENT, field="amount", operator=Operator.GREATER, value=5)
    soon = Condition(on=Subject.PERSON, field="ends_at", operator=Operator.BEFORE, value="+7d")
    inside = Condition(on=Subject.SEGMENT, field="3", operator=Operator.EXISTS)
    app.put_campaigns(
        [
            Campaign(title="a", **paid, conditions=(rich,)),
            Campaign(title="b", **paid, conditions=(soon,)),
            Campaign(title="c", **paid, conditions=(inside,)),
            Campaign(title="d", **paid, state=CampaignState.DRAFT),
            Campaign(title="e", **paid, state=CampaignState.STOPPED),
            Campaign(title="f", **paid, sending=Sending.AS_DRAFT),
            Campaign(title="g", **paid, frequency=Frequency.ONCE),
            Campaign(title="h", **paid, delay_s=60, exits=(Exit(event="left"),)),
        ]
    )
    ada = {"type": "person", "identifiers": {"id": "ada"}}
    bob = {"type": "person", "identifiers": {"id": "bob"}}
    pay = {"action": "event", "name": "paid"}
    for item in (
        ada | pay,
        ada | {"action": "identify", "attributes": {"email": ADA, "ends_at": "soon"}},
        ada | pay,
        ada | {"action": "identify", "attributes": {"name": "Ada", "id": "other"}},
        ada | pay | {"id": ULID},
        ada | pay | {"id": ULID},
        ada | pay | {"timestamp": 1_700_000_000},
        ada | {"action": "event", "name": "Paid"},
        ada | {"action": "event", "name": "left"},
        bob | {"action": "identify", "attributes": {"email": ADA}},
        bob | {"action": "suppress"},
        bob | pay,
        ada | {"action": "identify", "attributes": {"unsubscribed": True}},
        ada | pay,
        {"type": "person", "identifiers": {"cio_id": "none"}} | pay,
    ):
        state.accept(item)
    failed = [activity.data["why"] for activity in app.shown.failures()]
    said = {item.why for item in app.campaigns.unsent} | set(failed)
    assert len(said) >= 16
    assert not [text for text in said if not is_known(text)]


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


async def test_without_nicobar_s_url_an_event_has_no_link(emulated):
    it = await emulated(THANKS)
    it.send("identify", attributes={"email": ADA})
    it.pay(id=ULID)
    html, _ = await it.read("/emails/1")
    assert "--nicobar-url" in html
    assert "/logs?" not in html
