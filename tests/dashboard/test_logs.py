"""The logs: messages, their deliveries and payloads, resends and deletion."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import msgspec
import pytest
from playwright.async_api import expect

from nicobar.errors import Refusal
from nicobar.model import ALERT_SOURCE_ID, Breaker, BreakerState, Customer, Delivery, DeliveryState, Hold
from nicobar.reasons import plain
from nicobar.store.history import AuditFilter, Page
from nicobar.use_cases.delivery_waits import WaitCause, wait_of
from nicobar.web.dashboard.filters import Place, day_ms, listed, percentile, zone_of
from nicobar.web.dashboard.search import read_search, snippet
from support.browser import browser
from support.installation import EVIL, examine, furnish, installation, open_page, set_password
from support.pages import set_up, visiting
from support.server import ADA
from support.stated import body_of, stated_message

BEN = Customer(key="cus_ben", email="ben@northpine.example", name="Ben")
SILENT = "function handler(webhook) { return webhook; }"
HANDLER = """
function handler(webhook) {
  const data = webhook.payload.data;
  console.log("about", data.customer && data.customer.name);
  if (webhook.eventType === "payment.failed") {
    throw new Error("no reason given: " + data.customer.name);
  }
  if (webhook.eventType.startsWith("payment.")) {
    webhook.payload = nicobar.event("paid", {total: data.total_amount});
  }
  return webhook;
}
"""


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


async def test_the_list_is_live_and_filtered_by_status(nicobar):
    _, address = await furnish(nicobar, HANDLER)
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        await page.goto(f"{nicobar.url}/logs")
        await page.get_by_text("No messages yet").wait_for()
        # new messages appear automatically
        await nicobar.send_sample(address, "payment.succeeded", "evt_1")
        rows = page.locator("#rows tbody tr")
        await expect(rows).to_have_count(1)
        await expect(rows.first).to_contain_text("delivered")
        await page.get_by_role("button", name="Pause updates").click()
        await expect(page.locator("[data-live-state]")).to_have_text("Paused")
        await nicobar.send_sample(address, "payment.failed", "evt_2")
        await nicobar.send_sample(address, "refund.succeeded", "evt_3", BEN)
        await page.get_by_role("link", name="Reload").click()
        await expect(rows).to_have_count(3)
        # outcomes, in the address
        for name, event_type in (
            ("Failed", "payment.failed"),
            ("Delivered", "payment.succeeded"),
            ("Canceled", "refund.succeeded"),
        ):
            await page.get_by_role("navigation", name="Status").get_by_role("link", name=name, exact=True).click()
            await expect(rows).to_have_count(1)
            await expect(rows).to_contain_text(event_type)
        await page.go_back()
        await expect(rows).to_contain_text("payment.succeeded")
        await page.goto(f"{nicobar.url}/logs?state=waiting")
        await page.get_by_text("No results").wait_for()
        await page.get_by_role("link", name="Show all messages").click()
        await expect(rows).to_have_count(3)
        # keys and rows lead on
        await page.keyboard.press("g")
        await page.keyboard.press("w")
        await page.wait_for_url("**/webhooks")
        await page.keyboard.press("g")
        await page.keyboard.press("l")
        await page.wait_for_url("**/logs")
        await rows.last.locator("a").first.click()
        await page.get_by_role("heading", name="payment.succeeded").wait_for()
        assert not problems


async def test_messages_are_found_by_every_filter_and_by_payload(nicobar):
    endpoint, address = await furnish(nicobar, HANDLER)
    first = await nicobar.send_sample(address, "payment.succeeded", "evt_1")
    await nicobar.send_sample(address, "payment.failed", "evt_2")
    await nicobar.send_sample(address, "refund.succeeded", "evt_3", BEN)
    async with browser() as it:
        page, problems = await open_page(it, timezone_id="Asia/Seoul")
        await set_password(page, nicobar)
        await page.goto(f"{nicobar.url}/logs")
        rows = page.locator("#rows tbody tr")
        await page.get_by_text("Filters", exact=True).click()
        await page.get_by_label("Event type").fill("payment.failed")
        await page.get_by_label("Customer").fill(ADA.key)
        await page.get_by_label("Endpoint").select_option(endpoint.id)
        today = await page.evaluate("new Date().toLocaleDateString('sv')")
        await page.get_by_label("From").fill(today)
        await page.get_by_label("To", exact=True).fill(today)
        await page.get_by_role("button", name="Apply filters").click()
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text("payment.failed")
        await page.get_by_text("Dates are in Asia/Seoul.").wait_for()
        assert "zone=Asia%2FSeoul" in page.url
        await page.goto(f"{nicobar.url}/logs?until=2020-01-01")
        await page.get_by_text("No results").wait_for()
        # a text, a field, an id
        search = page.get_by_role("searchbox", name="Search payloads")
        for sought, count in (
            (BEN.email, 1),
            (f"data.customer.email = {BEN.email}", 1),
            (f"data.customer.email = {ADA.email}", 2),
            (f'"data.customer.email = {ADA.email}"', 0),
            ("no such text", 0),
        ):
            await page.goto(f"{nicobar.url}/logs")
            await page.keyboard.press("/")
            await expect(search).to_be_focused()
            await search.fill(sought)
            await page.keyboard.press("Enter")
            await expect(rows).to_have_count(count)
            await expect(page.locator("mark")).to_have_count(count)
        await search.fill(first.message.id)
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/logs/{first.message.id}")
        assert not problems


async def test_long_lists_have_pages_and_searches_report_their_extent(nicobar, monkeypatch):
    for module in ("store.history", "web.dashboard.filters"):
        monkeypatch.setattr(f"nicobar.{module}.MAX_LOOK_INSIDE", 20)
    _, address = await furnish(nicobar, HANDLER)
    for number in range(60):
        body = {"type": "order.placed", "data": {"number": number, "customer_id": f"cus_{number}"}}
        assert await nicobar.send(address, msgspec.json.encode(body), f"evt_{number}") == 202
    for _ in range(60):
        await nicobar.next_recorded()
    async with browser() as it:
        page, _ = await open_page(it, java_script_enabled=False)
        await set_password(page, nicobar)
        await page.goto(f"{nicobar.url}/logs")
        rows = page.locator("#rows tbody tr")
        seen = []
        for count in (25, 25, 10):
            await expect(rows).to_have_count(count)
            seen += await rows.locator(".whole").evaluate_all("all => all.map(one => one.href)")
            older = page.get_by_role("link", name="Older")
            if count == 25:
                await older.click()
        assert len(set(seen)) == 60
        await expect(older).to_have_count(0)
        await page.get_by_role("link", name="Newer").click()
        await expect(rows).to_have_count(25)
        assert await rows.locator(".whole").evaluate_all("all => all.map(one => one.href)") == seen[25:50]
        await page.get_by_role("link", name="Newest").click()
        await expect(page.get_by_role("link", name="Newer")).to_have_count(0)
        await page.goto(f"{nicobar.url}/logs?q=data.number%20%3D%203")
        for _ in range(2):
            await page.get_by_text("Searched 20 messages").wait_for()
            await page.get_by_text("No results yet").wait_for()
            await page.get_by_role("link", name="Search more").click()
        await expect(rows).to_have_count(1)
        await expect(page.locator("mark")).to_have_text("data.number = 3")
        await expect(page.locator(".looked")).to_have_count(0)


async def test_a_message_shows_its_deliveries_and_is_resent_or_deleted(nicobar):
    endpoint, address = await furnish(nicobar, HANDLER)
    other, _ = await furnish(nicobar, None, name="Shop")
    await nicobar.pause(other, "paused by hand")
    failed = await nicobar.send_sample(address, "payment.failed", "evt_1")
    second = await nicobar.send_sample(address, "payment.succeeded", "evt_2")
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        await page.goto(f"{nicobar.url}/logs/{failed.message.id}")
        part = page.locator(f"[id='{endpoint.id}']")
        for text in (
            "failed",
            "line 6",
            "no reason given: Ada Lindqvist",
            "version 1",
            "Nothing was sent.",
            "about Ada",
        ):
            await expect(part).to_contain_text(text)
        await expect(page.locator(f"[id='{other.id}']")).to_contain_text("The endpoint is paused: paused by hand")
        await expect(page.locator("main")).to_contain_text(ADA.email)
        await page.goto(f"{nicobar.url}/logs/{second.message.id}")
        for text in ("delivered", "paid", "POST", "***", "Response", "200"):
            await expect(part).to_contain_text(text)
        # the endpoint resumes: the page updates; until then one event is queued after the other
        await nicobar.pause(other, None)
        await expect(page.locator(f"[id='{other.id}']")).to_contain_text("canceled")
        await expect(page.locator(".live-bar")).to_be_hidden()
        # again, as a new event
        await page.goto(f"{nicobar.url}/logs/{second.message.id}")
        for _ in range(2):
            await nicobar.next_recorded()
        await part.get_by_role("link", name="Resend").click()
        await page.get_by_role("heading", name="Send this message to Customer.io?").wait_for()
        await page.get_by_label("Send as new events").check()
        await page.get_by_role("button", name="Send").click()
        await page.wait_for_url(f"**/logs/{second.message.id}#{endpoint.id}")
        assert (await nicobar.next_recorded()).attempt.manual
        await page.reload()
        await expect(part.locator("details")).to_have_count(2)
        await expect(part.locator("details").first).to_contain_text("manual")
        assert [activity.name for activity in nicobar.state.activities] == ["paid", "paid"]
        await page.get_by_role("link", name="Delete payload").click()
        await page.get_by_role("button", name="Delete payload").click()
        await page.get_by_text("Deleted").wait_for()
        await expect(page.locator("main")).not_to_contain_text(ADA.email)
        await expect(page.get_by_role("link", name="Resend")).to_have_count(0)
        await page.goto(f"{nicobar.url}/logs/{second.message.id}/resend?to={endpoint.id}")
        await page.get_by_role("button", name="Send").click()
        await expect(page.get_by_role("alert")).to_contain_text("payload")
        assert not [problem for problem in problems if "409" not in problem]
        audit = await nicobar.runtime.store.audit(AuditFilter(), limit=10)
        assert {"message.resend", "message.expunge"} <= {item.action for item in audit.items}


async def test_foreign_markup_is_shown_and_never_run(nicobar):
    handler = HANDLER.replace('nicobar.event("paid"', f"nicobar.event({msgspec.json.encode(EVIL[:80]).decode()}")
    endpoint, address = await furnish(nicobar, handler, name=EVIL)
    evil = Customer(key="cus_evil", email=EVIL, name=EVIL)
    ids = []
    for number, event_type in enumerate(("payment.succeeded", "payment.failed")):
        ids.append((await nicobar.send_sample(address, event_type, f"evt_{number}", evil)).message.id)
    about = {"type": "order.placed", "data": {"customer": {"customer_id": EVIL, "email": EVIL}, EVIL: EVIL}}
    assert await nicobar.send(address, msgspec.json.encode(about), "evt_3") == 202
    ids.append((await nicobar.next_recorded()).message.id)
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        for name in ("q", "type", "state", "endpoint", "customer", "since", "until", "zone", "before", "after"):
            await page.goto(f"{nicobar.url}/logs?{urlencode({name: EVIL})}")
            await page.locator("h1").wait_for()
        await page.goto(f"{nicobar.url}/logs")
        await expect(page.locator("#rows")).to_contain_text(EVIL[:15])
        await page.get_by_role("searchbox").fill('"onerror=alert(1)>"')
        await page.keyboard.press("Enter")
        await expect(page.locator("mark")).to_have_count(3)
        for message_id in ids:
            for path in ("", "/resend?to=" + endpoint.id, "/expunge"):
                await page.goto(f"{nicobar.url}/logs/{message_id}{path}")
                await page.locator("h1").wait_for()
            await page.goto(f"{nicobar.url}/logs/{message_id}")
            await expect(page.locator("main")).to_contain_text(EVIL)
        await page.goto(f"{nicobar.url}/logs/msg_none")
        assert not await page.locator("main img, main script").count()
        assert not [problem for problem in problems if "status of 4" not in problem]


async def test_every_state_of_the_pages_is_accessible_and_responsive(nicobar):
    findings: list[str] = []
    async with browser() as it:
        page, _ = await open_page(it, locale="ko-KR", reduced_motion="reduce")
        await set_password(page, nicobar)

        async def look(name, path):
            await page.goto(nicobar.url + path)
            findings.extend(await examine(page, name))

        await look("logs-empty", "/logs")
        endpoint, address = await furnish(nicobar, HANDLER)
        other, _ = await furnish(nicobar, None, name="Shop back office")
        await nicobar.pause(other, "paused by hand")
        done = await nicobar.send_sample(address, "payment.succeeded", "evt_1")
        failed = await nicobar.send_sample(address, "payment.failed", "evt_2")
        await nicobar.send_sample(address, "refund.succeeded", "evt_3", BEN)
        behind = await nicobar.send_sample(address, "subscription.active", "evt_4")
        await look("logs", "/logs")
        await look("logs-search", "/logs?q=ada%40northpine.example&type=payment.failed&since=2020-01-01")
        await look("logs-nothing", "/logs?state=waiting&customer=nobody")
        await look("message", f"/logs/{done.message.id}")
        await look("message-failed", f"/logs/{failed.message.id}")
        await look("message-behind", f"/logs/{behind.message.id}")
        await look("message-resend", f"/logs/{done.message.id}/resend?to={endpoint.id}")
        await look("message-expunge", f"/logs/{done.message.id}/expunge")
    assert not findings, "\n".join(findings)


def test_a_search_is_text_or_a_field():
    assert read_search(" ada ").text == "ada"
    assert not read_search(" ").inside
    for written in ("data.a-b[0].c = x = y", "$.data.a-b[0].c=x = y", "data.a-b.0.c == 'x = y'"):
        sought = read_search(written)
        assert (sought.path, sought.value, sought.contains) == (("data", "a-b", "0", "c"), "x = y", None)
    for written in ('"a = b"', "'a = b'"):
        assert read_search(written).text == "a = b"
    for written in ("a b = c", "= b", "a =", "a..b = c", '""', "https://a.example/?b=c"):
        assert read_search(written).text == written


def test_a_snippet_shows_the_match_in_its_context():
    body = b'{"a":"' + b"x" * 100 + b'here","b":1}'
    found = snippet(body, read_search("here"))
    assert (found.before, found.match, found.after) == ("…" + "x" * 60, "here", '","b":1}')
    assert snippet(body, read_search("b = 1")).match == "b = 1"
    for query in ("", "nowhere", "b = 2"):
        assert snippet(body, read_search(query)) is None


def test_pages_link_to_their_neighbors():
    def link(place):
        return f"{place.before}/{place.after}"

    def ends(place, items, next_place):
        made = listed(Page(items=tuple(items), next=next_place), place, limit=2, key=str, link=link)
        return made.items, made.newer, made.older, made.further

    assert ends(Place(), "ed", "d") == (("e", "d"), None, "d/None", None)
    assert ends(Place(before="d"), "cb", None) == (("c", "b"), "None/c", None, None)
    assert ends(Place(after="b"), "cd", "d") == (("d", "c"), "None/d", "c/None", None)
    assert ends(Place(after="d"), "e", None) == (("e",), None, "e/None", None)
    assert ends(Place(before="d"), "", "b") == ((), None, "b/None", "b/None")
    assert ends(Place(after="d"), "", "f") == ((), "None/f", None, "None/f")


def test_days_are_in_the_viewer_s_time_zone():
    zone, name = zone_of("Asia/Seoul")
    if name != "UTC":  # where the system has zones
        assert day_ms("2026-03-01", zone) == 1_772_290_800_000
    utc, name = zone_of("")
    assert name == "UTC"
    assert day_ms("2026-03-01", utc) == 1_772_323_200_000
    assert day_ms("2026-03-01", utc, end=True) == 1_772_323_200_000 + 24 * 3_600_000
    assert day_ms("", utc) is None
    for text in ("9999-12-31", "yesterday", "26/11/2026"):
        with pytest.raises(Refusal, match="Invalid date"):
            day_ms(text, utc, end=True)
    for name in ("../../etc/passwd", "Mars/X"):
        with pytest.raises(Refusal, match="time zone"):
            zone_of(name)


def test_a_percentile_is_a_measured_value():
    assert percentile([], 0.5) is None
    assert percentile([7], 0.95) == 7
    assert [percentile(range(1, 101), share) for share in (0.5, 0.95)] == [50, 95]
    assert [percentile([30, 10, 20], share) for share in (0.5, 0.95)] == [20, 30]


async def test_the_wait_reason_is_the_outermost_cause(nicobar):
    furnished, _ = await furnish(nicobar, HANDLER)
    pending = Delivery(
        message_id="m",
        endpoint_id=furnished.id,
        state=DeliveryState.PENDING,
        attempts_used=0,
        due_at_ms=10,
        reason=plain("why"),
    )
    open_breaker = Breaker(state=BreakerState.OPEN, reason=plain("503"), probe_at_ms=99)

    def cause(endpoint=furnished, breaker=None, **changes):
        wait = wait_of(msgspec.structs.replace(pending, **changes), endpoint, breaker, 10)
        return wait and (wait.cause, wait.until_ms, wait.reason)

    assert cause(state=DeliveryState.SUCCESS) is None
    assert cause(state=DeliveryState.SENDING) == (WaitCause.SENDING, None, None)
    assert cause(None) == (WaitCause.REMOVED, None, None)
    paused = msgspec.structs.replace(furnished, paused_reason=plain("wrong key"))
    assert cause(paused, open_breaker, due_at_ms=None) == (WaitCause.PAUSED, None, plain("wrong key"))
    assert cause(paused, Breaker(hold=Hold(probe_at_ms=77))) == (WaitCause.PAUSED, 77, plain("wrong key"))
    assert cause(msgspec.structs.replace(paused, disabled=True)) == (WaitCause.DISABLED, None, None)
    assert cause(breaker=open_breaker, due_at_ms=None, behind="msg", behind_until_ms=5) == (WaitCause.BEHIND, 5, None)
    assert cause(breaker=open_breaker) == (WaitCause.FAILING, 99, plain("503"))
    assert cause() == (WaitCause.TURN, None, None)
    assert cause(due_at_ms=20, attempts_used=1) == (WaitCause.RETRY, 20, plain("why"))
    assert cause(due_at_ms=20, reason=None) == (WaitCause.LATER, 20, None)


@pytest.mark.parametrize("options", ["{}", "{once: webhook.payload.data.payment_id}"])
async def test_the_id_of_a_sent_event_opens_its_message(nicobar, options):
    call = f"nicobar.event('paid', {{}}, {options})"
    code = f"function handler(webhook) {{ webhook.payload = {call}; return webhook; }}"
    _, address = await furnish(nicobar, code)
    sent = await nicobar.send_sample(address, "payment.succeeded", "evt_1")
    await nicobar.send_sample(address, "payment.failed", "evt_2")
    event_id = next(iter(nicobar.state.activities)).id
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        for customer in ("", "&customer=cus_other", f"&customer={sent.message.customer_key}"):
            status, _, headers = await visitor.ask("GET", f"/logs?q={event_id.lower()}{customer}")
            assert (status, headers.get("location")) == (303, f"/logs/{sent.message.id}")
        status, text, _ = await visitor.ask("GET", f"/logs?q={'0' * 26}")
        assert status == 200
        assert "None of the latest 2,000 messages sent an event with this ID." in text


async def test_deliveries_of_one_event_are_one_line(nicobar):
    _, address = await furnish(nicobar, HANDLER)
    await furnish(nicobar, SILENT, name="Second")
    await furnish(nicobar, SILENT, name="Third")
    assert await nicobar.send(address) == 202
    for _ in range(3):
        await nicobar.next_recorded()
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        _, text, _ = await visitor.ask("GET", "/logs")
        (summary,) = re.findall(r"<summary>(.*?)</summary>", text.partition('id="rows"')[2], re.DOTALL)
        assert re.sub(r"\s+", " ", re.sub("<[^>]+>", "", summary)).strip()[2:] == "canceled 2 · ● delivered"


async def test_operational_events_are_listed_only_on_request(nicobar):
    app_id = nicobar.runtime.configuration.snapshot.applications[0].id
    body = body_of("message.attempt.exhausted", 1)
    alert = stated_message("evt_1", body, endpoints=(), source_id=ALERT_SOURCE_ID, app_id=app_id)
    await nicobar.runtime.store.append(alert)
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        shown = {}
        for path in ("/logs", "/logs?operational=1"):
            _, text, _ = await visitor.ask("GET", path)
            shown[path] = "message.attempt.exhausted" in text.partition("<tbody>")[2]
        assert shown == {"/logs": False, "/logs?operational=1": True}
