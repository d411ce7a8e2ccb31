"""The question what identifies people: in the wizard, when it is changed, and where it is not answered."""

from __future__ import annotations

import html
import re
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from playwright.async_api import expect

from nicobar.model import Customer
from nicobar.people import IDENTIFY_BY
from nicobar.store.history import AuditFilter
from support.browser import browser
from support.installation import SECRET, examine, furnish, installation, open_page, set_password
from support.pages import set_up, visiting
from support.server import DODO, TYPES

TITLE = "How does your app identify people in Customer.io?"
NOT_KNOWN = "What identifies people is not set yet."
CONNECTION = {"name": "Shop", "field_site_id": "demo-site", "field_api_key": "demo-key", "field_region": "us"}


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


@pytest.fixture
async def visitor(nicobar):
    async with visiting(nicobar) as it:
        await set_up(nicobar, it)
        yield it


def shown(text: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))


def body(nicobar, customer: Customer, **metadata: object) -> bytes:
    """A payment of the customer, whose checkout passed this metadata."""
    sample = DODO.sample(TYPES["payment.succeeded"], nicobar.runtime.clock.now_ms(), customer, event_id=customer.key)
    made = msgspec.json.decode(sample)
    made["data"]["metadata"] = metadata
    made["data"]["customer"]["metadata"] = {}
    return msgspec.json.encode(made)


async def begin(visitor, nicobar) -> str:
    """A draft of a Customer.io endpoint; returns its path."""
    await visitor.ask("GET", "/webhooks/new/customerio")
    fields = CONNECTION | {"field_base_url": nicobar.emulator.url}
    status, _, headers = await visitor.send("/webhooks/new/customerio", **fields)
    assert (status, headers["location"].endswith("/people")) == (303, True)
    return headers["location"].removesuffix("/people")


async def endpoint_settings(nicobar):
    (endpoint,) = (await nicobar.runtime.store.snapshot()).endpoints
    return {name: value for name, value in endpoint.settings.items() if name.startswith("identify")}


async def test_no_endpoint_is_created_without_an_answer(nicobar, visitor):
    draft = await begin(visitor, nicobar)
    _, text, _ = await visitor.ask("GET", f"{draft}/people")
    assert TITLE in shown(text)
    assert " checked" not in text
    assert "Only Dodo Payments sends people" in shown(text)
    status, text, _ = await visitor.send(f"{draft}/people")
    assert (status, "No answer selected." in shown(text)) == (422, True)
    status, text, _ = await visitor.send(f"{draft}/people", identify="metadata", key=" ")
    assert (status, "Enter the name that your checkout uses" in shown(text)) == (422, True)
    _, _, headers = await visitor.send(f"{draft}/create")
    assert headers["location"] == f"{draft}/people?missing=1"
    status, text, _ = await visitor.ask("GET", headers["location"])
    assert (status, "No answer selected." in shown(text)) == (422, True)
    assert not (await nicobar.runtime.store.snapshot()).endpoints


@pytest.mark.parametrize(
    ("answer", "stored"),
    [
        ({"identify": "metadata", "key": " user_id "}, "metadata.user_id"),
        ({"identify": "email"}, "email"),
        ({"identify": "customer_id", "key": "left"}, "customer_id"),
    ],
)
async def test_each_answer_becomes_the_setting_and_stays(nicobar, visitor, answer, stored):
    draft = await begin(visitor, nicobar)
    _, _, headers = await visitor.send(f"{draft}/people", **answer)
    assert headers["location"] == f"{draft}/code"
    await visitor.send(draft, **CONNECTION, field_base_url=nicobar.emulator.url)
    _, _, headers = await visitor.send(f"{draft}/create")
    assert await endpoint_settings(nicobar) == {IDENTIFY_BY: stored}
    path = headers["location"]
    await visitor.send(f"{path}/settings", **CONNECTION | {"name": "Renamed", "field_base_url": nicobar.emulator.url})
    assert await endpoint_settings(nicobar) == {IDENTIFY_BY: stored}
    assert NOT_KNOWN not in shown((await visitor.ask("GET", path))[1])


async def test_a_connector_without_the_question_is_not_asked(nicobar, visitor):
    fields = {"name": "Hooks", "field_url": "https://shop.example/hooks", "field_secret": SECRET}
    _, _, headers = await visitor.send("/webhooks/new/http", **fields)
    draft = headers["location"].removesuffix("/code")
    assert headers["location"] == f"{draft}/code"
    assert (await visitor.ask("GET", f"{draft}/people"))[0] == 404
    _, _, headers = await visitor.send(f"{draft}/create")
    assert (await visitor.ask("GET", f"{headers['location']}/people"))[0] == 404
    assert NOT_KNOWN not in shown((await visitor.ask("GET", "/"))[1])


async def test_an_answer_is_previewed_for_the_latest_customers(nicobar, visitor):
    _, address = await furnish(nicobar, None)
    await nicobar.send(address, body(nicobar, Customer(key="cus_1", email=" Ada@Shop.Example "), user_id=42), "e1")
    await nicobar.send(address, body(nicobar, Customer(key="cus_2", email="bo@shop.example"), paid=True), "e2")
    await nicobar.send(address, body(nicobar, Customer(key="cus_3", email="no address")), "e3")
    later = {"type": "order.placed", "timestamp": "2026-11-27T10:00:00Z", "data": {"customer_id": "cus_2"}}
    await nicobar.send(address, msgspec.json.encode(later), "e4")
    draft = await begin(visitor, nicobar)
    _, text, _ = await visitor.ask("GET", f"{draft}/people?identify=metadata&key=user_id")
    assert "cus_1 id 42 " in shown(text)
    assert "cus_2 email bo@shop.example no ID in the metadata" in shown(text), "remembered"
    assert (
        "cus_3 ◔ no identity People are identified by metadata.user_id. Customer cus_3 has no usable one."
        in shown(text)
    )
    assert "3 customers: 2 identified, 1 without an ID in the metadata, 1 without an identity" in shown(text)
    assert '<option value="user_id">' in text
    assert "paid" not in text, "a boolean is no id"
    _, text, _ = await visitor.ask("GET", f"{draft}/people?identify=email")
    assert "cus_1 email ada@shop.example" in shown(text)


async def test_a_change_shows_old_and_new_and_what_stays(nicobar, visitor):
    endpoint, address = await furnish(nicobar, None, identify_by="email")
    await nicobar.pause(endpoint, "moving")
    await nicobar.send(address, body(nicobar, Customer(key="cus_1", email="ada@shop.example"), user_id="u1"), "e1")
    await nicobar.send(address, body(nicobar, Customer(key="cus_2", email="bo@shop.example")), "e2")
    path = f"/webhooks/{endpoint.id}/people"
    _, text, _ = await visitor.ask("GET", path)
    assert "Current: email address" in shown(text)
    status, text, _ = await visitor.ask("GET", f"{path}/change?identify=metadata&key=")
    assert status == 422
    _, text, _ = await visitor.ask("GET", f"{path}/change?identify=metadata&key=user_id")
    assert "cus_1 email ada@shop.example id u1" in shown(text)
    assert "cus_2 email bo@shop.example unchanged" in shown(text)
    assert "2 waiting deliveries keep their order and use the new identifier." in shown(text)
    assert "stay in Customer.io, with their attributes and their history" in shown(text)
    _, _, headers = await visitor.send(path, identify="metadata", key="user_id")
    assert await endpoint_settings(nicobar) == {IDENTIFY_BY: "metadata.user_id"}
    (line, *_) = (await nicobar.runtime.store.audit(AuditFilter(), limit=9)).items
    detail = "identify_by changed from email to metadata.user_id, then email"
    assert (line.action, line.detail) == ("endpoint.update", detail)
    _, text, _ = await visitor.ask("GET", headers["location"])
    (link,) = re.findall(r'href="([^"]*/replays/count[^"]*)"', text)
    changed_at = parse_qs(urlsplit(headers["location"]).query)["changed"]
    assert parse_qs(urlsplit(html.unescape(link)).query)["until"] == changed_at, "later events are not sent twice"
    status, text, _ = await visitor.ask("GET", html.unescape(link))
    assert (status, "No completed deliveries match" in shown(text)) == (200, True)


async def test_a_fallback_set_elsewhere_survives_another_key(nicobar, visitor):
    settings = {"identify_by": "metadata.user_id", "identify_fallback": "reject"}
    endpoint, _ = await furnish(nicobar, None, **settings)
    path = f"/webhooks/{endpoint.id}/people"
    assert "otherwise nothing is sent" in shown((await visitor.ask("GET", path))[1])
    await visitor.send(path, identify="metadata", key="account")
    assert await endpoint_settings(nicobar) == settings | {IDENTIFY_BY: "metadata.account"}
    await visitor.send(path, identify="email")
    assert await endpoint_settings(nicobar) == {IDENTIFY_BY: "email"}


async def test_pages_ask_until_the_question_is_answered(nicobar, visitor):
    endpoint, _ = await furnish(nicobar, None)
    path = f"/webhooks/{endpoint.id}"
    _, _, headers = await visitor.send(f"{path}/code")
    pages = ("/", path, f"{path}/testing", f"{path}/settings", f"{path}/people", headers["location"])
    for page in pages:
        _, text, _ = await visitor.ask("GET", page)
        assert NOT_KNOWN in shown(text), page
        assert f'href="{path}/people"' in text or page.endswith("/people")
    await visitor.send(f"{path}/people", identify="email")
    for page in pages:
        assert NOT_KNOWN not in shown((await visitor.ask("GET", page))[1]), page


@pytest.mark.browser
@pytest.mark.slow
async def test_the_preview_follows_the_answer_as_it_is_chosen(nicobar):
    endpoint, address = await furnish(nicobar, None, identify_by="email")
    await nicobar.send(address, body(nicobar, Customer(key="cus_1", email="ada@shop.example"), user_id="u1"), "e1")
    async with browser() as it:
        page, problems = await open_page(it, reduced_motion="reduce")
        await set_password(page, nicobar)
        await page.goto(f"{nicobar.url}/webhooks/{endpoint.id}/people")
        row = page.locator("#preview tbody tr")
        await expect(row).to_contain_text("ada@shop.example")
        await page.get_by_label("Name in the metadata").fill("user_id")
        await expect(row).to_contain_text("u1")
        await expect(page.locator("[name=identify]:checked")).to_have_value("metadata")
        assert page.url.endswith("/people?identify=metadata&key=user_id")
        found = await examine(page, "endpoint-people")
        assert not found, "\n".join(found)
        assert not problems
