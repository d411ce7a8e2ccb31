"""Sources: creation, secrets and URLs, sample events, rejected requests."""

from __future__ import annotations

import msgspec
import pytest
from playwright.async_api import expect

from nicobar.crypto import new_webhook_secret
from nicobar.model import Mode
from nicobar.reasons import Reason
from nicobar.store import PutSource
from nicobar.store.history import AuditFilter, MessageFilter, RejectedRequest
from nicobar.use_cases.endpoint_records import unchanged
from nicobar.web.dashboard.paging import PAGE
from support.browser import browser
from support.installation import EVIL, SECRET, examine, furnish, installation, open_page, set_password
from support.pages import set_up, visiting


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


async def make_source(visitor, nicobar, secret=SECRET):
    await visitor.ask("GET", "/sources/new")
    status, _, headers = await visitor.send("/sources/new", name="dodo-live", kind="dodo-payments", secret=secret)
    assert status == 303
    (source,) = nicobar.runtime.configuration.snapshot.sources
    return headers["location"], f"{nicobar.url}/in/{source.token}"


async def test_the_previous_secret_is_accepted_until_it_expires(nicobar):
    second, third = new_webhook_secret(), new_webhook_secret()
    store = nicobar.runtime.store
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        page, address = await make_source(visitor, nicobar)
        assert (await visitor.send(f"{page}/secret", secret="nonsense", hours="24"))[0] == 422
        assert (await visitor.send(f"{page}/secret", secret=second, hours="24"))[0] == 303
        assert await nicobar.send(address, event_id="evt_1", secret=SECRET) == 202
        assert await nicobar.send(address, event_id="evt_2", secret=second) == 202
        (source,) = (await store.snapshot()).sources
        left_ms = source.older_until_ms - nicobar.runtime.clock.now_ms()
        assert 23 * 3_600_000 < left_ms <= 24 * 3_600_000
        # Once it has expired it is rejected, although it is still stored.
        over = msgspec.structs.replace(source, older_until_ms=nicobar.runtime.clock.now_ms())
        await store.change([PutSource(source=over)])
        await nicobar.runtime.configuration.refresh()
        assert await nicobar.send(address, event_id="evt_3", secret=SECRET) == 401
        assert await nicobar.send(address, event_id="evt_3", secret=second) == 202
        await store.change([PutSource(source=source)])
        assert (await visitor.send(f"{page}/end-older"))[0] == 303
        assert (await visitor.send(f"{page}/end-older"))[0] == 303, "again, and nothing changes"
        assert await nicobar.send(address, event_id="evt_4", secret=SECRET) == 401
        # A leaked secret is revoked immediately.
        assert (await visitor.send(f"{page}/secret", secret=third, hours="0"))[0] == 303
        assert await nicobar.send(address, event_id="evt_5", secret=second) == 401
        assert await nicobar.send(address, event_id="evt_5", secret=third) == 202
        (source,) = (await store.snapshot()).sources
        assert source.older_until_ms is None


async def test_source_names_are_unique_and_senders_known(nicobar):
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        await make_source(visitor, nicobar)
        for wrong in (
            {"name": "dodo-live", "kind": "dodo-payments"},
            {"name": "x", "kind": "dodo-payments"},
            {"name": "other", "kind": "nothing"},
            {"name": "other", "kind": "dodo-payments", "secret": "whsec_x"},
        ):
            assert (await visitor.send("/sources/new", **wrong))[0] == 422
        assert len(nicobar.runtime.configuration.snapshot.sources) == 1
        for wrong in ("before=x", "after=-1", f"before={10**30}"):
            (source,) = nicobar.runtime.configuration.snapshot.sources
            assert (await visitor.ask("GET", f"/sources/{source.id}?{wrong}"))[0] == 422


async def test_the_history_keeps_its_time_and_a_form_what_was_typed(nicobar):
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        page, _ = await make_source(visitor, nicobar)
        (source,) = nicobar.runtime.configuration.snapshot.sources
        noon_ms = 1_769_860_800_000
        changed = msgspec.structs.replace(source, history_complete_since_ms=noon_ms)
        await nicobar.runtime.store.change([PutSource(source=changed)])
        assert (await visitor.send(f"{page}/ledger", mode="live", history_complete_since="2026-01-31"))[0] == 303
        (source,) = (await nicobar.runtime.store.snapshot()).sources
        assert (source.mode, source.history_complete_since_ms) == ("live", noon_ms)
        status, text, _ = await visitor.send(f"{page}/ledger", mode="test", history_complete_since="2999-01-31")
        assert (status, 'value="test" selected' in text, 'value="2999-01-31"' in text) == (422, True, True)
        assert (await visitor.send(f"{page}/ledger", mode="live", history_complete_since=""))[0] == 303
        (source,) = (await nicobar.runtime.store.snapshot()).sources
        assert source.history_complete_since_ms is None


async def refuse_many(nicobar):
    (source,) = (await nicobar.runtime.store.snapshot()).sources
    why = Reason(code="body_malformed", template=EVIL)
    refused = RejectedRequest(source_id=source.id, at_ms=1_700_000_000_000, status=400, reason=why, event_id=EVIL)
    await nicobar.runtime.store.keep_refusals([refused] * (PAGE + 10))


async def set_two_secrets(page):
    await page.locator("#secret").fill(SECRET)
    await page.locator("#secrets button.primary").click()
    await page.locator("#hours").wait_for()
    await page.locator("#secret").fill(new_webhook_secret())
    await page.locator("#secrets form.stack button").click()
    await page.locator("form[action$=end-older]").wait_for()


async def visit_all(page, nicobar):
    """Every page of sources, with something on it: yields a name for each."""
    main = page.locator("main")
    await page.keyboard.press("g")
    await page.keyboard.press("r")
    await page.wait_for_url("**/sources")
    await page.locator(".empty").wait_for()
    yield "sources-empty"
    await page.locator(".empty a").click()
    yield "source-new"
    await page.locator("#name").fill(EVIL)
    await main.locator("button.primary").click()
    await page.wait_for_url("**/sources/src_*")
    await expect(page.locator("h1")).to_have_text(EVIL)
    yield "source-no-secret"
    address = await page.locator("#source-url").inner_text()
    assert await nicobar.send(address, event_id=EVIL) == 401
    await set_two_secrets(page)
    await page.locator("#sample form button").click()
    await page.wait_for_url("**sent=msg_*")
    await expect(page.locator("#sample [role=status]")).to_contain_text("msg_")
    await refuse_many(nicobar)
    await page.reload()
    await expect(page.locator("tbody tr")).to_have_count(PAGE)
    await expect(page.locator("tbody")).to_contain_text(EVIL)
    yield "source"
    await page.locator(".pager [rel=next]").click()
    await page.wait_for_url("**before=*")
    await expect(page.locator("tbody tr").nth(9)).to_be_visible()
    await page.locator(".pager [rel=prev]").click()
    await page.wait_for_url("**after=*")
    await expect(page.locator("tbody tr")).to_have_count(PAGE)
    await page.goto(f"{nicobar.url}/sources")
    await expect(page.locator("tbody")).to_contain_text(EVIL)
    yield "sources"
    await page.locator("tbody a").click()
    await page.locator("a[href$='/address']").click()
    await expect(page.locator("h1")).to_contain_text(EVIL)
    yield "source-address"
    await main.locator("button.bad").click()
    await page.locator("#source-url").wait_for()
    await expect(page.locator("#source-url")).not_to_have_text(address)
    assert await nicobar.send(address) == 404
    await page.locator("a[href$='/delete']").click()
    await expect(page.locator("h1")).to_contain_text(EVIL)
    yield "source-delete"
    await main.locator("button.bad").click()
    await page.locator(".empty").wait_for()


@pytest.mark.browser
async def test_a_source_from_creation_to_deletion(nicobar):
    findings: list[str] = []
    store = nicobar.runtime.store
    async with browser() as it:
        page, problems = await open_page(it, reduced_motion="reduce")
        await set_password(page, nicobar)
        async for name in visit_all(page, nicobar):
            await expect(page.locator("main img, main script")).to_have_count(0)
            findings += await examine(page, name)
    assert not findings, "\n".join(findings)
    assert not [problem for problem in problems if "status of 4" not in problem]
    app_id = nicobar.runtime.configuration.snapshot.applications[0].id
    (message,) = (await store.messages(app_id, MessageFilter(), limit=5)).items
    assert (message.event_type, message.event_id.startswith("test_")) == ("payment.succeeded", True)
    entries = (await store.audit(AuditFilter(app_id=app_id), limit=20)).items
    done = "source.create", "source.rotate-secret", "source.rotate-secret", "source.rotate-token", "source.delete"
    assert tuple(item.action for item in reversed(entries)) == done


async def test_saving_the_mode_leaves_the_exact_start_of_history(nicobar):
    store = nicobar.runtime.store
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        page, _ = await make_source(visitor, nicobar)
        (source,) = (await store.snapshot()).sources
        exact_ms = 1_769_945_400_000  # 2026-02-01 11:30
        await store.change([PutSource(source=msgspec.structs.replace(source, history_complete_since_ms=exact_ms))])
        await nicobar.runtime.configuration.refresh()
        _, text, _ = await visitor.ask("GET", page)
        assert 'value="2026-02-01"' in text
        for day, since_ms in (("2026-02-01", exact_ms), ("2026-02-02", 1_769_990_400_000), ("", None)):
            assert (await visitor.send(f"{page}/ledger", mode="live", history_complete_since=day))[0] == 303
            (source,) = (await store.snapshot()).sources
            assert (source.mode, source.history_complete_since_ms) == ("live", since_ms)


async def test_a_message_outside_of_every_limit_says_so(nicobar):
    runtime = nicobar.runtime
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        endpoint, address = await furnish(nicobar, "function handler(webhook) { return webhook; }")
        await runtime.store.change([msgspec.structs.replace(unchanged(endpoint), mode=Mode.LIVE)])
        await runtime.configuration.refresh()
        assert await nicobar.send(address, event_id="evt_1") == 202
        (found,) = (await runtime.store.messages(endpoint.app_id, MessageFilter(), limit=2)).items
        _, text, _ = await visitor.ask("GET", f"/logs/{found.id}")
        assert "its mode, business or brand was outside of their limits" in text
