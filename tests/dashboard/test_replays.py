"""Replays: preview, progress and cancellation; and the values of the form."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from nicobar.errors import UserError
from nicobar.model import Customer, DeliveryState
from nicobar.store import TaskStatus
from nicobar.store.history import AuditFilter
from nicobar.web.dashboard.endpoint_replays import read
from support.browser import browser
from support.drafts import deliver, make_endpoint, send_form
from support.installation import EVIL, examine, installation, open_page, set_password

CODE = """function handler(webhook) {
  if (webhook.eventType === 'refund.failed' && !webhook.env.MENDED) throw new Error('not mended');
  webhook.payload = nicobar.event('paid', {});
  return webhook;
}
"""
HOUR_MS = 3_600_000
NOW_MS = 1_790_000_000_000


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


def test_the_url_contains_the_whole_replay_request():
    form = read({"kind": ("recover",), "since": ("1h",)}, NOW_MS)
    assert (form.which.since_ms, form.which.until_ms) == (NOW_MS - HOUR_MS, NOW_MS)
    assert form.which.states == (DeliveryState.FAILED,)
    bulk = {
        "kind": ("bulk",),
        "since": ("date",),
        "from": ("2026-09-01T10:00",),
        "until": ("2026-09-02T00:00:00.5+09:00",),
        "status": ("success", "nonsense"),
        "event_type": ("payment.failed", "refund.failed"),
        "customer": (" cus_1 ",),
    }
    which = read(bulk, NOW_MS).which
    assert (which.since_ms, which.until_ms) == (1_788_256_800_000, 1_788_274_800_500)
    assert which.states == (DeliveryState.SUCCESS,)
    assert (which.event_types, which.customer_key) == (("payment.failed", "refund.failed"), "cus_1")
    assert len(read(bulk | {"status": ()}, NOW_MS).which.states) == 3


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "replay_unknown"),
        ({"kind": "all"}, "replay_unknown"),
        ({"kind": "recover", "since": "date"}, "time_missing"),
        ({"kind": "recover", "since": "yesterday"}, "time_invalid"),
        ({"kind": "recover", "since": "9999-12-31T23:59-12:00"}, "time_invalid"),
        ({"kind": "recover", "until": "0001-01-01"}, "time_invalid"),
        ({"kind": "recover", "until": "2020-01-01"}, "span_empty"),
    ],
)
def test_invalid_replays_are_explained(fields, code):
    with pytest.raises(UserError) as error:
        read({name: (value,) for name, value in fields.items()}, NOW_MS)
    assert error.value.code == code


async def mend(nicobar, page, endpoint):
    """Fixes the cause of the failures: a variable that the handler reads."""
    await page.goto(endpoint)
    await page.locator("form[action$='/code'] button").click()
    await page.wait_for_url("**/drafts/*/code")
    draft = page.url.removesuffix("/code")
    # The editor checks its draft, which is gone once it is published.
    await page.goto(endpoint)
    await send_form(page, f"{draft}/code", code=CODE, variables="MENDED=1")
    await send_form(page, f"{draft}/create")


@pytest.mark.browser
async def test_failures_are_previewed_and_replayed_with_optional_new_ids(nicobar):
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        endpoint, address = await make_endpoint(nicobar, CODE)
        evil = Customer(key=EVIL, email="evil@northpine.example", name=EVIL)
        assert await deliver(nicobar, address, "refund.failed", "evt_2", evil) is DeliveryState.FAILED
        await mend(nicobar, page, endpoint)
        await page.goto(endpoint)
        await page.get_by_label("Endpoint").get_by_role("link", name="Replays").click()
        await page.get_by_role("link", name="Failed in the last hour").click()
        await page.get_by_text("1 delivery").first.wait_for()
        assert not (await nicobar.runtime.store.open_tasks()), "a count changes nothing"
        await page.get_by_role("button", name="Replay 1 delivery").click()
        await expect(page.locator("#progress")).to_contain_text("1 of 1")
        await expect(page.locator("#progress")).to_contain_text("completed")
        assert (await nicobar.next_recorded()).attempt.state is DeliveryState.SUCCESS
        assert len(nicobar.state.activities) == 2
        # A second, identical replay finds nothing.
        await page.goto(f"{endpoint}/replays/count?kind=recover&since=1h")
        await page.get_by_text("No failures in this period.").wait_for()
        # One customer's, whatever became of it: the same ids add nothing, new ones do.
        for new_ids, activities in ((False, 2), (True, 3)):
            await page.goto(f"{endpoint}/replays")
            await page.get_by_label("Replay by filter").check()
            await page.get_by_label("Customer", exact=True).fill(EVIL)
            await page.get_by_role("button", name="Preview replay").click()
            await expect(page.locator(".facts")).to_contain_text(EVIL)
            await page.get_by_text("Customers receive the emails again.").wait_for()
            if new_ids:
                await page.get_by_label("Send as new events").check()
            await page.get_by_role("button", name="Replay 1 delivery").click()
            await expect(page.locator("#progress")).to_contain_text("completed")
            assert (await nicobar.next_recorded()).attempt.state is DeliveryState.SUCCESS
            assert len(nicobar.state.activities) == activities
        await expect(page.locator("#content h2")).to_contain_text("sent as new events")
        await page.get_by_role("link", name="Replays").first.click()
        await expect(page.locator("tbody tr")).to_have_count(3)
        entries = await nicobar.runtime.store.audit(AuditFilter(subject=endpoint.rsplit("/", 1)[1]), limit=9)
        assert [item.action for item in entries.items][:3] == ["endpoint.bulk-replay"] * 2 + ["endpoint.recover"]
        assert (await page.request.get(f"{endpoint}/replays/qtask_none")).status == 404
        assert not problems


@pytest.mark.browser
async def test_a_replay_starts_and_is_canceled_without_javascript(nicobar):
    async with browser() as it:
        page, _ = await open_page(it, java_script_enabled=False)
        await set_password(page, nicobar)
        endpoint, _ = await make_endpoint(nicobar, CODE)
        for path in ("replays", "replays/count"):
            answer = await page.request.get(f"{endpoint}/{path}?{'status=failed&' * 1_001}")
            assert answer.status == 400
        await page.goto(f"{endpoint}/replays")
        await page.get_by_label("custom range").check()
        await page.get_by_role("button", name="Preview replay").click()
        await page.get_by_text("Missing start date.").wait_for()
        await page.get_by_label("Replay by filter").check()
        await page.get_by_label("custom range").check()
        await page.get_by_label("From (UTC)").fill("2026-01-01T00:00")
        await page.locator("summary", has_text="Event types").click()
        await page.get_by_role("group", name="payment").get_by_label("succeeded").check()
        await page.get_by_role("button", name="Preview replay").click()
        await expect(page.locator(".facts")).to_contain_text("Jan 1, 2026, 00:00:00.000 UTC")
        await page.get_by_role("link", name="Change selection").click()
        await expect(page.get_by_label("From (UTC)")).to_have_value("2026-01-01T00:00")
        await page.get_by_role("button", name="Preview replay").click()
        # The endpoint is paused, so that the replayed deliveries wait until the replay is canceled.
        assert (await send_form(page, f"{endpoint}/pause")).status == 303
        await page.reload()
        await page.get_by_text("This endpoint is paused.").wait_for()
        await page.get_by_role("button", name="Replay 1 delivery").click()
        task_id = page.url.rsplit("/", 1)[1]
        await send_form(page, f"{page.url}/cancel")
        await page.reload()
        await expect(page.locator("#progress")).to_contain_text(re.compile("cancel|done"))
        task = await nicobar.runtime.store.task(task_id)
        assert task.status in {TaskStatus.CANCELING, TaskStatus.CANCELED, TaskStatus.FINISHED}


@pytest.mark.browser
async def test_the_pages_are_accessible_and_responsive(nicobar):
    findings: list[str] = []
    async with browser() as it:
        page, _ = await open_page(it, reduced_motion="reduce")
        await set_password(page, nicobar)
        endpoint, address = await make_endpoint(nicobar, CODE)
        await deliver(nicobar, address, "refund.failed", "evt_2")
        await page.locator("button[value=ko]").click()
        await page.goto(f"{endpoint}/replays?kind=bulk&since=2026-01-01T00:00&event_type=refund.failed")
        findings += await examine(page, "replays-form")
        for name, query in (("replay-none", "kind=missing&since=1h"), ("replay-count", "kind=bulk&since=1h")):
            await page.goto(f"{endpoint}/replays/count?{query}")
            findings += await examine(page, name)
        await page.locator("main button.primary").click()
        await page.locator("#progress [data-arrived]").wait_for()
        findings += await examine(page, "replay-done")
        await page.goto(f"{endpoint}/replays")
        findings += await examine(page, "replays")
    assert not findings, "\n".join(findings)
