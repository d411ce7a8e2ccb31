"""The queue: pending deliveries per endpoint, their age and wait reasons."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from nicobar.model import Breaker, BreakerState, Customer
from nicobar.reasons import plain, reason
from nicobar.sources.samples import fresh
from nicobar.store import PauseEndpoint
from nicobar.use_cases.restore import RESTORED
from support.browser import browser
from support.installation import EVIL, examine, furnish, installation, open_page, set_password
from support.pages import set_up, visiting
from support.server import ADA, TYPES

HANDLER = 'function handler(webhook) { webhook.payload = nicobar.event("paid", {}); return webhook; }'


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


async def accept(nicobar, address, event_id, customer=ADA):
    body = fresh(TYPES["payment.succeeded"], nicobar.runtime.clock.now_ms(), customer)
    assert await nicobar.send(address, body, event_id) == 202


async def fill(nicobar):
    """Three endpoints: one that is paused, one whose destination does not answer, one where nothing waits."""
    paused, address = await furnish(nicobar, HANDLER, name="Held")
    await furnish(nicobar, HANDLER, name="Down", base_url="http://127.0.0.1:9")
    await furnish(nicobar, HANDLER, name="Well")
    await nicobar.pause(paused, "paused by hand")
    await accept(nicobar, address, "evt_1")
    for _ in range(2):
        await nicobar.next_recorded()
    await accept(nicobar, address, "evt_2")
    await nicobar.next_recorded()
    return paused, address


async def test_the_queue_shows_wait_reasons_and_resumes(nicobar):
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        await page.keyboard.press("g")
        await page.keyboard.press("q")
        await page.get_by_text("Queue is empty").wait_for()
        paused, _ = await fill(nicobar)
        await page.reload()
        await expect(page.locator("main .facts")).to_contain_text("4")
        lanes = page.locator(".lane")
        await expect(lanes).to_have_count(2)
        first = lanes.filter(has_text="Held")
        for text in (
            "paused by hand",
            "1 due now",
            "1 queued after an earlier event of the same customer",
        ):
            await expect(first).to_contain_text(text)
        down = lanes.filter(has_text="Down")
        for text in ("1 scheduled, next at", "Next attempt at", "Queued after an earlier event"):
            await expect(down).to_contain_text(text)
        await expect(page.locator("#queue > p")).to_contain_text("Well")
        await down.locator("tbody a", has_text="msg_").click()
        await page.wait_for_url("**/logs/msg_*")
        await page.go_back()
        await first.get_by_role("button", name="Resume").click()
        await page.wait_for_url("**/webhooks/ep_*")
        for _ in range(2):
            while (await nicobar.next_recorded()).endpoint.id != paused.id:
                pass
        await page.goto(f"{nicobar.url}/queue")
        await expect(lanes).to_have_count(1)
        assert not problems


async def test_foreign_markup_is_shown_and_never_run(nicobar):
    endpoint, address = await furnish(nicobar, HANDLER, name=EVIL)
    await nicobar.pause(endpoint, EVIL)
    await accept(nicobar, address, "evt_1", Customer(key=EVIL, name=EVIL))
    other, _ = await furnish(nicobar, HANDLER, name="2" + EVIL, base_url="http://127.0.0.1:9")
    await accept(nicobar, address, "evt_2", Customer(key=EVIL, name=EVIL))
    await nicobar.keep_breaker(other, Breaker(state=BreakerState.OPEN, reason=plain(EVIL), probe_at_ms=1))
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        await page.goto(f"{nicobar.url}/queue")
        await expect(page.locator(".lane")).to_have_count(2)
        await expect(page.locator(".lane").first).to_contain_text(EVIL)
        assert not await page.locator("main img, main script").count()
        assert not [problem for problem in problems if "status of 4" not in problem]


async def test_every_state_of_the_page_is_accessible_and_responsive(nicobar):
    findings: list[str] = []
    async with browser() as it:
        page, _ = await open_page(it, locale="ko-KR", reduced_motion="reduce")
        await set_password(page, nicobar)

        async def look(name, path):
            await page.goto(nicobar.url + path)
            findings.extend(await examine(page, name))

        await look("queue-empty", "/queue")
        await fill(nicobar)
        await look("queue", "/queue")
    assert not findings, "\n".join(findings)


async def test_a_hold_is_never_called_a_pause(nicobar):
    endpoint, address = await furnish(nicobar, HANDLER, base_url="http://127.0.0.1:9")
    await nicobar.pause(endpoint, "wrong key", by_hand=False)
    await accept(nicobar, address, "evt_1")
    paths = ("/", "/webhooks", f"/webhooks/{endpoint.id}", "/queue", f"/webhooks/{endpoint.id}/deliveries")
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        for path in paths:
            _, text, _ = await visitor.ask("GET", path)
            content = text.partition('id="content"')[2]
            assert ("on hold" in content, " paused" in content) == (True, False), path
        await nicobar.runtime.store.change([PauseEndpoint(endpoint_id=endpoint.id, reason=RESTORED, by_hand=True)])
        await nicobar.runtime.configuration.refresh()
        for path in paths:
            _, text, _ = await visitor.ask("GET", path)
            content = text.partition('id="content"')[2]
            assert ("on hold" in content, " paused" in content) == (True, False), path
            assert "resumes automatically" not in content, path


@pytest.mark.parametrize(
    ("code", "buttons"),
    [
        ("answered_401", ["Change credentials", "Check again"]),
        ("answered_301", ["Switch to EU", "Check again"]),
        ("wrong_region", ["Switch to EU", "Check again"]),
        ("answered_404", ["Resume"]),
    ],
)
async def test_a_hold_offers_what_may_end_it(nicobar, code, buttons):
    endpoint, _ = await furnish(nicobar, HANDLER, base_url="")
    await nicobar.runtime.store.change(
        [PauseEndpoint(endpoint_id=endpoint.id, reason=reason(code, "It answered."), by_hand=False)]
    )
    await nicobar.runtime.configuration.refresh()
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        for path in ("/", f"/webhooks/{endpoint.id}"):
            _, text, _ = await visitor.ask("GET", path)
            content = text.partition('id="content"')[2]
            shown = {
                name: name in content for name in ("Change credentials", "Switch to EU", "Check again", "Resume<")
            }
            assert [name for name, is_there in shown.items() if is_there] == [
                name.replace("Resume", "Resume<") for name in buttons
            ], path
        assert (await visitor.send(f"/webhooks/{endpoint.id}/fix"))[0] == 303
    (after,) = (await nicobar.runtime.store.snapshot()).endpoints
    assert (after.settings.get("region") == "eu", after.paused_reason is None) == ("Switch to EU" in buttons,) * 2
