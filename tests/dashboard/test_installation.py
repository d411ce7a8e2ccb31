"""The settings: tokens, alerts, retention, the audit log, what runs here; and how they look."""

from __future__ import annotations

import re

import msgspec
import pytest
from playwright.async_api import expect

from nicobar.audit import AuditAction, stored_names
from nicobar.crypto import hash_token
from nicobar.model import Scope
from nicobar.pipeline.alert_types import AlertType
from nicobar.store import Audited
from nicobar.web.dashboard.audit_actions import ACTION_NAMES
from nicobar.web.dashboard.paging import PAGE
from support.browser import browser
from support.installation import EVIL, connect, examine, installation, open_page, set_password
from support.pages import set_up, visiting

SMTP = "smtp://mailer:never-shown@127.0.0.1:9"


@pytest.fixture
async def nicobar(tmp_path):
    mails = {"alert_smtp_url": SMTP, "alert_mail_from": "nicobar@northpine.example", "alert_mail_to": EVIL}
    async with installation(tmp_path, alert_endpoint="Customer.io", **mails) as it:
        yield it


async def test_a_token_is_created_shown_once_and_revoked(nicobar):
    store = nicobar.runtime.store
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        app_id = nicobar.runtime.configuration.snapshot.applications[0].id
        await visitor.ask("GET", "/settings/tokens")
        good = {
            "backend": ("admin", "90", Scope.ADMIN, None),
            "reader": ("read_only", "0", Scope.READ_ONLY, None),
            "one": (f"application:{app_id}", "30", Scope.APPLICATION, app_id),
            "look": (f"application_read_only:{app_id}", "365", Scope.APPLICATION_READ_ONLY, app_id),
        }
        for name, (scope, days, wanted, of) in good.items():
            earliest_ms = nicobar.runtime.clock.now_ms() + int(days) * 86_400_000
            status, text, _ = await visitor.send("/settings/tokens", name=name, scope=scope, days=days)
            latest_ms = nicobar.runtime.clock.now_ms() + int(days) * 86_400_000
            secret = re.search(r'id="made">(nbr_[\w-]+)<', text)[1]
            token = await store.token(hash_token(secret))
            assert (status, token.scope, token.app_id) == (201, wanted, of)
            if days == "0":
                assert token.expires_at_ms is None
            else:
                assert earliest_ms <= token.expires_at_ms <= latest_ms
            assert secret not in (await visitor.ask("GET", "/settings/tokens"))[1]
        answer = await visitor.ask("GET", "/api/v1/app", authorization=f"Bearer {secret}")
        assert answer[0] == 200
        for scope in ("application", f"admin:{app_id}", "application:app_x", "everything", ""):
            assert (await visitor.send("/settings/tokens", name="x", scope=scope))[0] == 422
        for name in ("backend", "", "x" * 300):
            assert (await visitor.send("/settings/tokens", name=name, scope="admin"))[0] == 422
        assert (await visitor.send(f"/settings/tokens/{token.id}/revoke"))[0] == 303
        assert (await visitor.ask("GET", "/api/v1/app", authorization=f"Bearer {secret}"))[0] == 401
        assert (await visitor.send("/settings/tokens", name="look", scope="admin"))[0] == 201, (
            "the name is free again"
        )
        assert (await visitor.send("/settings/tokens/tok_x/revoke"))[0] == 404


async def test_a_test_alert_reaches_all_recipients_and_secrets_stay_masked(nicobar):
    runtime = nicobar.runtime
    async with browser() as it, visiting(nicobar) as visitor:
        page, _ = await open_page(it)
        await set_password(page, nicobar)
        await page.goto(f"{nicobar.url}/settings/alerts")
        await page.get_by_text("Endpoint Customer.io not found.").wait_for()
        draft = await connect(page, nicobar)
        await page.goto(f"{draft}/test")
        await page.locator("form[action$=create] button").click()
        await page.wait_for_url("**/webhooks/ep_*")
        await page.goto(f"{nicobar.url}/settings/alerts")
        await page.get_by_role("button", name="Send test alert").click()
        await page.get_by_text("The test alert is queued").wait_for()
        await page.get_by_text("ConnectionRefusedError").wait_for()
        recorded = await nicobar.next_recorded()
        sent = await runtime.store.message(recorded.message.id)
        assert (sent.event_type, b"This is a test alert" in sent.body) == (AlertType.TEST.value, True)
        for path in ("alerts", "about"):
            await page.goto(f"{nicobar.url}/settings/{path}")
            await expect(page.locator("main")).to_contain_text("smtp://mailer:***@127.0.0.1:9")
            assert "never-shown" not in await page.content()
        assert (await visitor.ask("GET", "/settings/about"))[0] == 303, "for nobody who is not signed in"


def test_every_audit_action_has_a_name():
    assert set(ACTION_NAMES) == {name for action in AuditAction for name in stored_names(action)}


async def test_the_audit_log_is_filtered_by_its_url_and_paged(nicobar):
    store = nicobar.runtime.store
    lines = [
        Audited(
            at_ms=1_700_000_000_000 + n, actor="token x", action="endpoint.update", app_id=None, subject=f"ep_{n}"
        )
        for n in range(PAGE * 2 + 5)
    ]
    await store.change(lines)
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)

        async def rows(query):
            status, text, _ = await visitor.ask("GET", f"/settings/audit?{query}")
            assert status == 200
            links = re.findall(r'rel="(prev|next)" href="([^"]+)"', text)
            return re.findall(r'title="(ep_\d+)"', text), {name: link.replace("&amp;", "&") for name, link in links}

        first, links = await rows("action=endpoint.update")
        assert (len(first), list(links)) == (PAGE, ["next"])
        second, links = await rows(links["next"].partition("?")[2])
        assert (len(second), set(links)) == (PAGE, {"prev", "next"})
        third, last = await rows(links["next"].partition("?")[2])
        assert (len(third), list(last)) == (5, ["prev"])
        assert first + second + third == [line.subject for line in reversed(lines)]
        assert (await rows(last["prev"].partition("?")[2]))[0] == second
        assert (await rows(links["prev"].partition("?")[2]))[0] == first
        assert (await rows("subject=ep_7"))[0] == ["ep_7"]
        assert (await rows("actor=nobody"))[0] == []
        assert len((await rows("since=2023-11-14&until=2023-11-14&action=endpoint.update"))[0]) == PAGE
        assert (await rows("until=2023-11-13"))[0] == []


async def test_retention_shows_the_last_deletion(nicobar):
    store = nicobar.runtime.store
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        await store.keep_clean_up(ended_at_ms=1_700_000_000_000, emptied=7, forgotten=1)
        _, text, _ = await visitor.ask("GET", "/settings/retention")
        assert "7 payloads deleted, 1 message deleted" in text
        assert "90 days" in text


async def visit_all(page, nicobar):
    """Every page of the settings, with something on it: yields a name for each."""
    await page.keyboard.press("g")
    await page.keyboard.press("s")
    await page.wait_for_url("**/settings/account")
    yield "account"
    await page.goto(f"{nicobar.url}/settings/tokens")
    yield "tokens-empty"
    await page.locator("#name").fill(EVIL)
    await page.locator("main button.primary").click()
    await page.locator("#made").wait_for()
    yield "token-made"
    await page.locator("tbody a").click()
    await expect(page.locator("h1")).to_contain_text(EVIL)
    yield "token-revoke"
    await page.locator("main button.bad").click()
    await page.wait_for_url("**/settings/tokens")
    await expect(page.locator("tbody")).to_contain_text(EVIL)
    await page.goto(f"{nicobar.url}/settings/users")
    await page.locator("#name").fill(EVIL[:64])
    await page.locator("main button.primary").click()
    await page.locator("#made").wait_for()
    yield "users"
    for name in ("alerts", "retention", "about"):
        await page.goto(f"{nicobar.url}/settings/{name}")
        yield name
    await page.goto(f"{nicobar.url}/settings/alerts?mail=failed&sent_to=ep_x#test")
    yield "alerts-failed"
    line = Audited(at_ms=1, actor=EVIL, action=EVIL, app_id=None, subject=EVIL, detail=EVIL)
    more = [msgspec.structs.replace(line, subject=f"ep_{n}") for n in range(PAGE)]
    await nicobar.runtime.store.change([line, *more])
    await page.goto(f"{nicobar.url}/settings/audit")
    await expect(page.locator("tbody")).to_contain_text(EVIL)
    yield "audit"
    await page.locator("tbody a").first.click()
    await page.wait_for_url("**actor=**")
    await page.locator("[rel=next]").click()
    await page.wait_for_url("**before=**")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.locator("#subject").fill("ep_none")
    await page.locator(".sift button").click()
    await page.locator(".empty").wait_for()
    yield "audit-nothing"


@pytest.mark.browser
async def test_every_settings_page_is_accessible_and_responsive(nicobar):
    findings: list[str] = []
    async with browser() as it:
        page, problems = await open_page(it, locale="ko-KR", reduced_motion="reduce")
        await set_password(page, nicobar)
        async for name in visit_all(page, nicobar):
            await expect(page.locator("main img, main script")).to_have_count(0)
            findings += await examine(page, f"settings-{name}")
    assert not findings, "\n".join(findings)
    assert not problems
