"""The way from an empty installation to an event in Customer.io, in a real browser."""

from __future__ import annotations

import re

import msgspec
import pytest
from playwright.async_api import expect

from nicobar.model import Customer, DeliveryState
from nicobar.sources.samples import fresh
from nicobar.web.dashboard.language import catalogue
from support.browser import browser
from support.installation import (
    EVIL,
    PASSWORD,
    SECRET,
    code_editor,
    connect,
    examine,
    fill_connection,
    installation,
    open_page,
    set_password,
)
from support.server import TYPES

pytestmark = pytest.mark.browser


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


async def choose_password(page, nicobar):
    await page.goto(nicobar.runtime.setup_url)
    await page.locator("#password").fill(PASSWORD)
    await page.locator("#again").fill(PASSWORD)
    await page.locator("main button.primary").click()
    await page.wait_for_url("**/webhooks")


@pytest.mark.parametrize(("locale", "language"), [("en-GB", "en"), ("ko-KR", "ko")])
async def test_seven_steps_lead_from_installation_to_a_delivered_event(nicobar, locale, language):
    say = catalogue(language).gettext
    async with browser() as it:
        page, problems = await open_page(it, locale=locale)
        await choose_password(page, nicobar)
        assert await page.locator("html").get_attribute("lang") == language
        # 1: the list, and the connectors
        await page.get_by_text(say("No endpoints yet")).wait_for()
        await page.get_by_role("link", name=say("Add endpoint")).first.click()
        search = page.get_by_role("searchbox", name=say("Search connectors"))
        await search.fill("customer")
        await expect(page.locator("#cards li:visible")).to_have_count(1)
        await page.get_by_role("link", name="Customer.io").click()
        # 2 and 3: instructions beside the form; the check; secrets are not shown again
        await page.get_by_role("complementary", name=say("Setup instructions")).wait_for()
        await page.get_by_label("Site ID").fill("demo-site")
        await page.get_by_label(say("API key"), exact=True).fill("demo-key")
        await page.get_by_text(say("More settings")).click()
        await page.get_by_label(say("Base URL")).fill(nicobar.emulator.url)
        await page.get_by_role("button", name=say("Check credentials")).click()
        await page.get_by_text(say("Credentials are valid."), exact=True).wait_for()
        assert "demo-key" not in await page.content()
        await page.get_by_role("button", name=say("Continue"), exact=True).click()
        # 4: what identifies people
        await page.get_by_label(say("By email, or I don't know")).check()
        await page.get_by_role("button", name=say("Continue"), exact=True).click()
        # 5: the recipe in the editor, with its verdicts
        editor = code_editor(page, say("Code"))
        await expect(editor).to_contain_text("function handler(webhook)")
        await page.locator(".verdicts .note").first.wait_for()
        await page.get_by_role("button", name=say("Continue to test")).click()
        # 6: what would be sent, and every sample at once
        await page.get_by_role("heading", name=say("Requests to send")).wait_for()
        for text in ("payment_succeeded", "authorization", "***"):
            await expect(page.locator(".request").last).to_contain_text(text)
        await page.get_by_role("link", name=say("Run all samples")).click()
        await page.get_by_role("heading", name=say("All samples")).wait_for()
        await expect(page.locator("tbody tr")).to_have_count(48)
        assert not [request for request in nicobar.state.requests if request.method == "POST"], (
            "nothing is sent by a test"
        )
        # 7: the created endpoint; the URL for Dodo, the secret from Dodo, the first event
        await page.get_by_role("button", name=say("Create"), exact=True).click()
        await page.get_by_text(say("Waiting for the first event")).wait_for()
        address = await page.locator("#source-url").inner_text()
        assert await nicobar.send(address, event_id="evt_0") == 401, "before the secret is known"
        await page.get_by_text(say("A request was rejected")).wait_for()
        await page.get_by_label(say("Signing secret")).fill(SECRET)
        await page.get_by_role("button", name=say("Save secret")).click()
        await page.get_by_text(say("Secret saved.")).wait_for()
        assert SECRET not in await page.content()
        assert await nicobar.send(address) == 202
        await page.locator("[data-arrived]").wait_for()
        await expect(page.locator("#first")).to_contain_text(re.compile(r"\d+ ms"))
        await page.locator("#deliveries tbody a").click()
        await page.get_by_role("heading", name=say("Requests")).wait_for()
        assert (await nicobar.next_recorded()).attempt.state is DeliveryState.SUCCESS
        assert [activity.name for activity in nicobar.state.activities] == ["payment_succeeded"]
        assert not problems


async def test_the_seven_steps_work_without_javascript(nicobar):
    async with browser() as it:
        page, _ = await open_page(it, java_script_enabled=False)
        await set_password(page, nicobar)
        await connect(page, nicobar)
        area = page.locator("textarea#code")
        assert "function handler(webhook)" in await area.input_value()
        await area.fill("function handler(webhook) {\n  throw new Error('no');\n}")
        await page.get_by_role("button", name="Check code", exact=True).click()
        await page.get_by_text("line 2").wait_for()
        await page.get_by_label("Start from").select_option("welcome")
        await page.get_by_role("button", name="Use recipe").click()
        await page.get_by_role("button", name="Continue to test").click()
        await page.get_by_text("Paste an event").click()
        await page.get_by_label("Event as JSON").fill('{"type":"order.placed","data":{}}')
        await page.get_by_role("button", name="Run pasted event").click()
        await page.get_by_text("returns this event unchanged").wait_for()
        await page.get_by_role("button", name="Create", exact=True).click()
        address = await page.locator("#source-url").inner_text()
        await page.get_by_label("Signing secret").fill(SECRET)
        await page.get_by_role("button", name="Save secret").click()
        await nicobar.send(address)
        await nicobar.next_recorded()
        await page.get_by_role("link", name="Reload to check for the first event.").click()
        await page.reload()
        await page.locator("#deliveries tbody a").wait_for()


async def test_the_check_distinguishes_key_region_and_network(nicobar):
    async with browser() as it:
        page, _ = await open_page(it)
        await set_password(page, nicobar)
        await fill_connection(page, nicobar, key="wrong")
        await page.get_by_text("Invalid credentials.").wait_for()
        await page.get_by_role("button", name="Continue anyway").wait_for()
        await page.get_by_label("API key", exact=True).fill("demo-key")
        await page.get_by_label("EU", exact=True).check()
        await page.get_by_role("button", name="Check credentials").click()
        await page.get_by_text("Wrong region.").wait_for()
        await page.get_by_label("US", exact=True).check()
        # Another host needs the credentials again.
        await page.get_by_label("Base URL").fill("http://127.0.0.1:9")
        await page.get_by_label("Site ID").fill("demo-site")
        await page.get_by_label("API key", exact=True).fill("demo-key")
        await page.get_by_role("button", name="Check credentials").click()
        await page.get_by_text("No response, so the credentials could not be checked.").wait_for()


async def test_the_editor_underlines_errors_while_typing(nicobar):
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        await connect(page, nicobar)
        editor = code_editor(page)
        await editor.click()
        await empty(page)
        await page.keyboard.insert_text(
            "function handler(webhook) {\n"
            "  webhook.payload = nicobar.event('paid', {});\n"
            "  webhook.payload.timestamp = 'yesterday';\n"
            "  return webhook;\n"
            "}\n"
        )
        await page.locator(".cm-lintRange").first.wait_for()
        await page.locator("#notes").get_by_role("link", name="line 3").first.click()
        assert await page.evaluate(
            "document.querySelector('.editor').shadowRoot.querySelector('.cm-activeLine').textContent.includes('yest')"
        )
        await empty(page)
        await page.keyboard.insert_text("function handler(webhook) {\n  return webhook\n")
        await page.locator(".cm-lintRange-error").wait_for()
        await page.locator("#notes").get_by_text("1 error").wait_for()
        await page.get_by_role("button", name="Continue to test").click()
        await page.get_by_role("button", name="Create", exact=True).click()
        await page.wait_for_url("**/code")
        assert not nicobar.runtime.configuration.snapshot.endpoints, "code that can never run is not taken"
        assert not problems


async def test_foreign_markup_is_shown_and_never_run(nicobar):
    code = (
        "function handler(webhook) {\n"
        f"  console.log({msgspec.json.encode(EVIL).decode()});\n"
        "  if (webhook.eventType === 'payment.failed') "
        f"throw new Error({msgspec.json.encode(EVIL).decode()});\n"
        f"  webhook.payload = nicobar.event({msgspec.json.encode(EVIL[:80]).decode()}, {{}});\n"
        "  return webhook;\n}\n"
    )
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        draft = await connect(page, nicobar, name=EVIL)
        await page.goto(f"{nicobar.url}/webhooks/new?q={EVIL.replace('%', '%25').replace('#', '')}")
        await page.goto(f"{draft}/code")
        await code_editor(page).click()
        await empty(page)
        await page.keyboard.insert_text(code)
        await page.locator("#notes").get_by_text("alert(2)").first.wait_for()
        await page.get_by_role("button", name="Continue to test").click()
        await expect(page.locator(".console")).to_contain_text(EVIL)
        await page.goto(f"{draft}/test?every=1")
        await page.goto(f"{draft}/test?sample_type=payment.failed")
        await page.goto(f"{draft}/test?sample_type={EVIL.replace('%', '%25')}")
        await page.goto(f"{draft}/test")
        await page.get_by_text("Paste an event").click()
        await page.get_by_label("Event as JSON").fill(msgspec.json.encode({"type": EVIL, "data": {}}).decode())
        await page.get_by_role("button", name="Run pasted event").click()
        await page.get_by_role("button", name="Create", exact=True).click()
        await page.wait_for_url("**/webhooks/ep_*")
        assert EVIL in await page.locator("h1").inner_text()
        endpoint = page.url
        address = await page.locator("#source-url").inner_text()
        await page.get_by_label("Signing secret").fill(SECRET)
        await page.get_by_role("button", name="Save secret").click()
        await page.get_by_text("Secret saved.").wait_for()
        about = {"customer": {"customer_id": EVIL, "email": EVIL, "name": EVIL}, "x": EVIL}
        unreadable = msgspec.json.encode({"type": EVIL, "data": about})
        assert await nicobar.send(address, unreadable, "evt_0") == 202, "no type has that"
        assert (await nicobar.next_recorded()).attempt.state is DeliveryState.FAILED
        body = {"type": "order.placed", "data": about}
        assert await nicobar.send(address, msgspec.json.encode(body), "evt_1") == 202
        failed = fresh(TYPES["payment.failed"], nicobar.runtime.clock.now_ms(), Customer(key="cus_evil", name=EVIL))
        assert await nicobar.send(address, failed, "evt_2") == 202
        for _ in range(2):
            await nicobar.next_recorded()
        await page.goto(endpoint)
        links = [await item.get_attribute("href") for item in await page.locator("#deliveries tbody a").all()]
        assert len(links) == 3
        for link in links:
            await page.goto(nicobar.url + str(link))
            assert EVIL in await page.locator("main").inner_text()
        await page.goto(f"{endpoint}/delete")
        assert EVIL in await page.locator("h1").inner_text()
        for path in ("/settings", ""):
            await page.goto(endpoint + path)
        await page.goto(f"{nicobar.url}/webhooks")
        assert EVIL in await page.locator("tbody").inner_text()
        assert not await page.locator("main img, main script").count()
        assert not [problem for problem in problems if "status of 4" not in problem]


async def empty(page):
    """Deletes all code with the editor's own keys; the browser would style text that replaces a selection."""
    await page.keyboard.press("Control+a")
    await page.keyboard.press("Delete")


async def visit_all(page, nicobar):
    """Every page there is, with something on it: yields a name for each."""
    await page.goto(nicobar.runtime.setup_url)
    yield "setup"
    await set_password(page, nicobar)
    yield "empty"
    for kind in ("", "/customerio", "/http"):
        await page.goto(f"{nicobar.url}/webhooks/new{kind}")
        yield f"new{kind.replace('/', '-')}"
    draft = await connect(page, nicobar)
    await page.locator(".cm-lintRange, .note").first.wait_for()
    await page.locator(".cm-content").wait_for()
    yield "code"
    await page.goto(f"{draft}?check=1")
    yield "connection"
    for query in ("", "?every=1"):
        await page.goto(f"{draft}/test{query}")
        yield "all-samples" if query else "test"
    await page.locator("form[action$=create] button").click()
    await page.wait_for_url("**/webhooks/ep_*")
    yield "connect"
    endpoint = page.url
    address = await page.locator("#source-url").inner_text()
    await page.locator("#secret").fill(SECRET)
    await page.locator(".inline button").click()
    await page.wait_for_url("**kept=1*")
    await nicobar.send(address)
    await nicobar.next_recorded()
    await nicobar.send(address, b'{"type":"order.placed","data":{"customer_id":"cus_1"}}', "evt_2")
    await nicobar.next_recorded()
    for path in ("", "/settings", "/delete"):
        await page.goto(endpoint + path)
        yield f"endpoint{path.replace('/', '-')}"
    await page.goto(endpoint)
    await page.locator("#deliveries tbody a").last.click()
    await page.wait_for_url("**/attempts/*")
    yield "attempt"
    await page.goto(endpoint)
    await page.locator("form[action$=pause] button").click()
    await page.locator("form[action$=resume] button").wait_for()
    yield "paused"
    await page.goto(f"{nicobar.url}/webhooks")
    yield "webhooks"
    await page.goto(f"{nicobar.url}/webhooks/ep_none")
    yield "error"
    await page.locator("form[action='/logout'] button").click()
    await page.wait_for_url("**/login")
    yield "login"


async def test_every_page_is_accessible_and_responsive(nicobar):
    findings: list[str] = []
    async with browser() as it:
        page, _ = await open_page(it, reduced_motion="reduce")
        seen = 0
        async for name in visit_all(page, nicobar):
            seen += 1
            findings += await examine(page, name)
        assert seen == 18
    assert not findings, "\n".join(findings)


async def test_pages_are_light_and_the_editor_is_bounded(nicobar):
    async with browser() as it:
        page, _ = await open_page(it)
        sizes: dict[str, int] = {}

        def weigh(response):
            sizes[response.url] = int(response.headers.get("content-length", "0"))

        page.on("response", weigh)
        await set_password(page, nicobar)
        async for name in visit_after_password(page, nicobar, sizes):
            plain = sum(size for url, size in sizes.items() if "/vendor/" not in url)
            editor = sum(size for url, size in sizes.items() if "/vendor/" in url)
            assert plain < 150_000, (name, plain)
            assert editor < 400_000, (name, editor)
            assert (editor > 0) is (name == "code")


async def visit_after_password(page, nicobar, sizes):
    """The heaviest pages, each as a browser that has nothing gets it; `sizes` is emptied before each."""
    draft = await connect(page, nicobar)
    for name, url in {
        "webhooks": f"{nicobar.url}/webhooks",
        "code": f"{draft}/code",
        "test": f"{draft}/test",
        "all": f"{draft}/test?every=1",
    }.items():
        await page.goto("about:blank")  # ends pending requests of the page
        sizes.clear()
        cdp = await page.context.new_cdp_session(page)
        await cdp.send("Network.clearBrowserCache")
        await page.goto(url, wait_until="networkidle")
        yield name


async def test_an_endpoint_is_changed_paused_resumed_and_deleted(nicobar):
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        draft = await connect(page, nicobar)
        await page.goto(f"{draft}/test")
        await page.get_by_role("button", name="Create", exact=True).click()
        await page.get_by_role("button", name="Pause").click()
        await page.get_by_text("paused by hand").first.wait_for()
        await page.get_by_role("button", name="Resume").click()
        await page.get_by_role("button", name="Pause").wait_for()
        await page.get_by_label("Endpoint").get_by_role("link", name="Settings").click()
        await page.get_by_label("Name", exact=True).fill("Journeys")
        await page.get_by_label("Selected event types").check()
        await page.get_by_role("group", name="payment").get_by_label("succeeded").check()
        await page.get_by_label("Rate limit").fill("20")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_role("heading", name="Journeys").wait_for()
        (endpoint,) = nicobar.runtime.configuration.snapshot.endpoints
        assert (endpoint.name, endpoint.event_types, endpoint.max_messages_per_s) == (
            "Journeys",
            ("payment.succeeded",),
            20,
        )
        await page.get_by_role("button", name="Edit transformation").click()
        await page.get_by_label("Start from").select_option("welcome")
        await page.get_by_role("button", name="Use recipe").click()
        await page.get_by_role("button", name="Continue to test").click()
        await page.get_by_role("button", name="Publish").click()
        await page.get_by_text("version 2").wait_for()
        await page.get_by_label("Endpoint").get_by_role("link", name="Settings").click()
        await page.get_by_role("link", name="Delete endpoint").click()
        await page.get_by_role("button", name="Delete", exact=True).click()
        await page.get_by_text("No endpoints yet").wait_for()
        assert not problems


async def test_language_and_theme_are_remembered(nicobar):
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        await page.get_by_role("button", name="한국어").click()
        await page.get_by_role("heading", name="웹훅").wait_for()
        await page.get_by_role("button", name="어두운 테마").click()
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(26, 25, 23)"
        await page.get_by_role("button", name="로그아웃").click()
        await page.get_by_label("소유자 비밀번호").fill(PASSWORD)
        await page.get_by_role("button", name="로그인").click()
        await page.get_by_role("heading", name="개요").wait_for()
        assert not problems
