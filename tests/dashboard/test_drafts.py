"""Drafts: typed code is saved, and the verdicts show the event types that it sends for."""

from __future__ import annotations

import asyncio
import re

import msgspec
import pytest
from playwright.async_api import expect
from structlog.testing import capture_logs

from nicobar.model import DeliveryState
from support.browser import browser
from support.installation import code_editor, connect, furnish, installation, open_page, set_password
from support.pages import SAME_ORIGIN, set_up, visiting

PAID = """function handler(webhook) {
  if (webhook.eventType === "payment.succeeded") webhook.payload = nicobar.event("order_paid", {});
  return webhook;
}
"""
SENDS = 'function handler(webhook) { webhook.payload = nicobar.event("paid", {}); return webhook; }'
SILENT = "function handler(webhook) {\n  return webhook;\n}\n"
THROWS = "function handler(webhook) {\n  throw new Error('no');\n}\n"


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


async def write(page, code):
    """Replaces the code by the editor's own keys."""
    await code_editor(page).click()
    await page.keyboard.press("Control+a")
    await page.keyboard.press("Delete")
    await page.keyboard.insert_text(code)


async def kept(page, code):
    """Waits until the page says that the code is saved."""
    await expect(page.locator("#saved")).to_have_text("Draft saved")
    await expect(page.locator("textarea#code")).to_have_value(code)


async def the_draft(nicobar, address):
    found = await nicobar.runtime.store.draft(address.rpartition("/")[2])
    assert found is not None
    return found


@pytest.mark.browser
async def test_typed_code_survives_every_way_off_the_page(nicobar):
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        draft = await connect(page, nicobar)
        await code_editor(page).wait_for()
        # A link at once, before the pause in typing after which the text is kept.
        await write(page, SILENT)
        await page.locator(".steps a[href$='/test']").click()
        await page.wait_for_url("**/test")
        await page.get_by_text("The handler returns this event unchanged").wait_for()
        await page.go_back()
        await expect(code_editor(page)).to_contain_text("return webhook")
        await expect(code_editor(page)).not_to_contain_text("nicobar.event")
        # The navigation, by its keys; another page's form; a reload.
        await write(page, PAID)
        await page.locator(".side a[href='/logs']").click()
        await page.wait_for_url("**/logs")
        await page.goto(f"{draft}/code")
        await expect(code_editor(page)).to_contain_text("order_paid")
        await write(page, THROWS)
        await page.get_by_role("button", name="Dark theme").click()
        await page.wait_for_url("**/code")
        await expect(code_editor(page)).to_contain_text("throw new Error")
        await write(page, SILENT)
        await kept(page, SILENT)
        await page.reload()
        await expect(code_editor(page)).not_to_contain_text("throw new Error")
        assert (await the_draft(nicobar, draft)).code == SILENT
        assert not problems


@pytest.mark.browser
async def test_leaving_with_unsaved_code_asks_for_confirmation(nicobar):
    async with browser() as it:
        page, problems = await open_page(it)
        requests = []

        async def stay(dialog):
            requests.append(dialog.type)
            await dialog.dismiss()

        page.on("dialog", stay)
        await set_password(page, nicobar)
        draft = await connect(page, nicobar)
        await code_editor(page).wait_for()
        await page.route("**/text", lambda route: route.abort())
        await write(page, SILENT)
        await expect(page.locator("#saved")).to_contain_text("could not be saved")
        await page.locator(".steps a[href$='/test']").click()
        await expect(page.locator("#saved")).to_contain_text("could not be saved")
        await page.get_by_role("button", name="Continue to test").click()
        assert page.url.endswith("/code"), "a test would run the old code"
        assert requests == ["beforeunload"]
        assert "return webhook" in await code_editor(page).inner_text()
        await page.unroute("**/text")
        await kept(page, SILENT)
        await page.locator(".steps a[href$='/test']").click()
        await page.wait_for_url("**/test")
        assert (await the_draft(nicobar, draft)).code == SILENT
        assert requests == ["beforeunload"]
        assert not [
            problem for problem in problems if "ERR_FAILED" not in problem and not problem.startswith("dialog")
        ]


@pytest.mark.browser
async def test_two_windows_on_one_draft_lose_no_code(nicobar):
    async with browser() as it:
        page, _ = await open_page(it)
        await set_password(page, nicobar)
        draft = await connect(page, nicobar)
        await code_editor(page).wait_for()
        other = await page.context.new_page()
        await other.goto(f"{draft}/code")
        await write(other, PAID)
        await kept(other, PAID)
        await write(page, SILENT)
        await page.get_by_text("This draft was changed in another window.").wait_for()
        assert (await the_draft(nicobar, draft)).code == PAID, "the later text does not win by itself"
        await page.get_by_role("button", name="Keep my code").click()
        await page.wait_for_url("**/code")
        item = await the_draft(nicobar, draft)
        assert (item.code, item.replaced_code) == (SILENT, PAID)
        await write(other, THROWS)
        await other.get_by_role("button", name="Use the other code").click()
        await other.wait_for_url("**/code")
        item = await the_draft(nicobar, draft)
        assert (item.code, item.replaced_code) == (SILENT, THROWS)
        await other.get_by_role("button", name="Swap with current code").click()
        await expect(code_editor(other)).to_contain_text("throw new Error")


@pytest.mark.browser
async def test_a_sample_can_be_sent_before_the_first_event(nicobar):
    async with browser() as it:
        page, problems = await open_page(it)
        await set_password(page, nicobar)
        await connect(page, nicobar)
        await page.get_by_role("button", name="Continue to test").click()
        await page.get_by_role("button", name="Create", exact=True).click()
        await page.get_by_role("button", name="Create test secret").click()
        await expect(page.locator("#made")).to_have_text(re.compile(r"whsec_\S{20,}"))
        await page.get_by_role("button", name="Send sample event").click()
        await page.locator("[data-arrived]").wait_for()
        assert (await nicobar.next_recorded()).attempt.state is DeliveryState.SUCCESS
        assert [activity.name for activity in nicobar.state.activities] == ["payment_succeeded"]
        assert not problems


async def test_without_javascript_code_is_saved_and_stale_forms_are_reported(nicobar):
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        draft = await begin(visitor, nicobar)
        item = await the_draft(nicobar, draft)
        stale = item.text_id
        await visitor.ask("GET", f"{draft}/code")
        # Variables that cannot be read keep no code from being kept.
        status, text, _ = await visitor.send(f"{draft}/code", code=SILENT, variables="no value", seen=stale)
        assert (status, "no value" in text) == (422, True)
        item = await the_draft(nicobar, draft)
        assert item.code == SILENT
        status, text, _ = await visitor.send(f"{draft}/code", code=PAID, variables="", seen=stale)
        assert (status, "changed in another window" in text, "order_paid" in text) == (
            409,
            True,
            True,
        )
        assert (await the_draft(nicobar, draft)).code == SILENT
        # The recipe replaces what is typed, which can be swapped back.
        fields = {"code": THROWS, "variables": "", "action": "recipe", "recipe": "welcome"}
        status, _, headers = await visitor.send(f"{draft}/code", seen=item.text_id, **fields)
        assert (status, headers["location"]) == (303, f"{draft}/code")
        item = await the_draft(nicobar, draft)
        assert "welcome" in item.code.casefold()
        assert item.replaced_code == THROWS
        restore = {"code": item.code, "variables": "", "action": "restore", "seen": item.text_id}
        await visitor.send(f"{draft}/code", **restore)
        assert (await the_draft(nicobar, draft)).code == THROWS


async def test_create_uses_the_draft_that_the_page_showed(nicobar):
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        draft = await begin(visitor, nicobar)
        shown = await the_draft(nicobar, draft)
        await visitor.send(f"{draft}/text", code=SILENT, variables="", seen=shown.text_id)
        status, _, headers = await visitor.send(f"{draft}/create", seen=shown.text_id)
        assert (status, headers["location"]) == (303, f"{draft}/test?changed=1")
        assert not nicobar.runtime.configuration.snapshot.endpoints
        status, text, _ = await visitor.ask("GET", headers["location"])
        assert (status, "The draft has changed since you opened this page" in text) == (409, True)


async def test_a_form_overtaken_by_another_window_is_a_conflict(nicobar, monkeypatch):
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        draft = await begin(visitor, nicobar)
        put_draft = nicobar.runtime.store.put_draft

        async def put_second(item, **more):
            await put_draft(item, **more)
            await put_draft(item, **more)

        monkeypatch.setattr(nicobar.runtime.store, "put_draft", put_second)
        with capture_logs() as lines:
            settings = {"field_region": "us", "field_base_url": nicobar.emulator.url}
            status, text, _ = await visitor.send(draft, name="Other", **settings)
        assert (status, "in another window" in text) == (409, True)
        assert not [line for line in lines if line["log_level"] == "error"]


async def test_create_sent_twice_at_once_creates_one_endpoint(nicobar):
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        draft = await begin(visitor, nicobar)
        answers = await asyncio.gather(*(visitor.send(f"{draft}/create") for _ in range(3)))
        (endpoint,) = (await nicobar.runtime.store.snapshot()).endpoints
        assert {(status, headers["location"]) for status, _, headers in answers} == {
            (303, f"/webhooks/{endpoint.id}")
        }
        assert await nicobar.runtime.store.draft(draft.rpartition("/")[2]) is None
        status, _, headers = await visitor.send(f"{draft}/create")
        assert (status, headers["location"]) == (303, f"/webhooks/{endpoint.id}")
        assert len((await nicobar.runtime.store.snapshot()).endpoints) == 1
        for step in ("", "/people", "/code", "/test"):
            status, _, headers = await visitor.ask("GET", f"{draft}{step}")
            assert (status, headers["location"]) == (303, f"/webhooks/{endpoint.id}"), "Back opens the endpoint"


async def test_unfinished_setups_are_listed_continued_and_discarded(nicobar):
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        first, second = await begin(visitor, nicobar), await begin(visitor, nicobar)
        _, text, _ = await visitor.ask("GET", "/webhooks")
        assert [f'href="{draft}"' in text for draft in (first, second)] == [True, True]
        assert (await visitor.ask("GET", first))[0] == 200
        await visitor.send(f"{first}/discard")
        await visitor.send(f"{second}/create")
        _, text, _ = await visitor.ask("GET", "/webhooks")
        assert "Unfinished setups" not in text
        (endpoint,) = (await nicobar.runtime.store.snapshot()).endpoints
        await visitor.send(f"/webhooks/{endpoint.id}/code")
        _, text, _ = await visitor.ask("GET", "/webhooks")
        assert "Unfinished setups" not in text, "the draft of an endpoint is shown with it"


async def begin(visitor, nicobar) -> str:
    await visitor.ask("GET", "/webhooks/new/customerio")
    fields = {"field_site_id": "demo-site", "field_api_key": "demo-key", "field_base_url": nicobar.emulator.url}
    _, _, headers = await visitor.send("/webhooks/new/customerio", name="Journeys", field_region="us", **fields)
    draft = headers["location"].removesuffix("/people")
    await visitor.send(f"{draft}/people", identify="email")
    return draft


async def test_viewing_the_transformation_opens_no_draft(nicobar):
    endpoint, _ = await furnish(nicobar, PAID)
    page = f"/webhooks/{endpoint.id}/transformation"
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        await visitor.ask("GET", page)
        _, _, headers = await visitor.send(f"/webhooks/{endpoint.id}/code")
        draft = headers["location"].removesuffix("/code")
        await visitor.ask("GET", f"{draft}/code")
        assert "Unpublished draft" not in (await visitor.ask("GET", page))[1]
        # What runs meanwhile is what the next look begins with.
        _, _, headers = await visitor.send(f"/webhooks/{endpoint.id}/code")
        item = await the_draft(nicobar, headers["location"].removesuffix("/code"))
        await visitor.send(f"/webhooks/drafts/{item.id}/text", code=SILENT, variables="", seen=item.text_id)
        assert "Unpublished draft" in (await visitor.ask("GET", page))[1]
        _, _, headers = await visitor.send(f"/webhooks/{endpoint.id}/code")
        assert (await the_draft(nicobar, headers["location"].removesuffix("/code"))).code == SILENT


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (SILENT, "Sends for 0 of 48 event types"),
        ("", "Sends for 0 of 48 event types"),
        (PAID, "Sends for 1 of 48 event types"),
        (THROWS, "This handler sends nothing. Fix its errors first."),
    ],
)
async def test_verdicts_show_the_number_of_event_types_sent_for(nicobar, code, says):
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        draft = await begin(visitor, nicobar)
        item = await the_draft(nicobar, draft)
        fields = {"code": code, "variables": "", "seen": item.text_id}
        _, live, _ = await visitor.send(f"{draft}/notes", **fields)
        assert says in live
        await visitor.send(f"{draft}/code", **fields)
        for path in ("code", "test", "test?every=1"):
            assert says in (await visitor.ask("GET", f"{draft}/{path}"))[1], path
        status, _, headers = await visitor.send(f"{draft}/create")
        assert status == 303
        page = headers["location"]
        for path in (page, f"{page}/transformation"):
            text = (await visitor.ask("GET", path))[1]
            assert says in text, path
            assert ("notice attention silent" in text) is (code != PAID), path
        assert ("sends nothing" in (await visitor.ask("GET", "/"))[1]) is (code != PAID)
        praised = '<span class="state good"><span class="shape" aria-hidden="true">●</span> No errors'
        assert code == PAID or praised not in msgspec.json.decode(live)["html"]


async def test_only_subscribed_event_types_are_counted(nicobar):
    endpoint, _ = await furnish(nicobar, PAID)
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        for types, says in (
            (["payment.succeeded", "payment.failed"], "Sends for 1 of 2 event types"),
            (["refund.succeeded"], "Sends for 0 of 1 event type"),
        ):
            fields = {"name": "Customer.io", "types": "some", "field_region": "us"}
            fields |= {"field_base_url": nicobar.emulator.url}
            data = [*fields.items(), *(("event_type", item) for item in types)]
            path = f"{nicobar.url}/webhooks/{endpoint.id}/settings"
            async with visitor.http.post(path, data=data, headers=SAME_ORIGIN, allow_redirects=False) as answer:
                assert answer.status == 303, await answer.text()
            assert says in (await visitor.ask("GET", f"/webhooks/{endpoint.id}"))[1]


async def test_continue_checks_credentials_and_can_go_on_without(nicobar):
    fields = {"name": "Journeys", "field_region": "us", "field_base_url": nicobar.emulator.url}
    wrong = fields | {"field_site_id": "demo-site", "field_api_key": "no-key"}
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        await visitor.ask("GET", "/webhooks/new/customerio")
        status, text, _ = await visitor.send("/webhooks/new/customerio", **wrong)
        assert (status, "Invalid credentials." in text, "Continue anyway" in text) == (422, True, True)
        (draft,) = re.findall(r'action="(/webhooks/drafts/\w+)"', text)
        status, text, _ = await visitor.send(draft, **wrong)
        assert (status, "Invalid credentials." in text) == (422, True)
        status, _, headers = await visitor.send(draft, **wrong, action="anyway")
        assert (status, headers["location"]) == (303, f"{draft}/people")
        status, _, headers = await visitor.send(draft, **wrong | {"field_api_key": "demo-key"})
        assert (status, headers["location"]) == (303, f"{draft}/people")
        unreachable = fields | {"field_base_url": "http://127.0.0.1:9", "field_api_key": "demo-key"}
        status, _, headers = await visitor.send(draft, **unreachable, field_site_id="demo-site")
        assert (status, headers["location"]) == (303, f"{draft}/people"), "the destination may be reached later"


async def test_a_further_endpoint_does_not_show_the_setup_of_the_source(nicobar):
    endpoint, address = await furnish(nicobar, SENDS)
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        _, text, _ = await visitor.ask("GET", f"/webhooks/{endpoint.id}")
        assert ("Connect Dodo Payments" in text, "source-url" in text) == (True, True)
        await nicobar.send_sample(address, "payment.succeeded", "evt_1")
        further, _ = await furnish(nicobar, SENDS, name="Second")
        _, text, _ = await visitor.ask("GET", f"/webhooks/{further.id}")
        assert ("Connect Dodo Payments" in text, "source-url" in text) == (False, False)
        assert "Send sample event" in text
