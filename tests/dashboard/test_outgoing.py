"""Where the forms let an endpoint send, and which stored credentials go there."""

from __future__ import annotations

import re

import pytest
from yarl import URL

from nicobar.crypto import new_webhook_secret
from nicobar.pipeline.configuration import endpoint_credentials, endpoint_headers
from nicobar.store.history import AuditFilter
from support.installation import furnish, installation
from support.pages import set_up, visiting
from support.records import make_endpoint

REFUSED = "add 127.0.0.2:9 to allowed_addresses (NICOBAR_ALLOWED_ADDRESSES=127.0.0.2:9)"
HANDLER = 'function handler(webhook) { webhook.payload = nicobar.event("paid", {}); return webhook; }'


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path, allowed_addresses="127.0.0.1, 127.0.0.3") as it:
        yield it


@pytest.fixture
async def visitor(nicobar):
    async with visiting(nicobar) as it:
        await set_up(nicobar, it)
        yield it


def shown(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text)).replace("&#39;", "'")


async def audit(nicobar):
    found = await nicobar.runtime.store.audit(AuditFilter(), limit=50)
    return [(item.action, item.detail) for item in found.items]


async def draft(nicobar, visitor, kind="customerio", **fields):
    """Sends the first form; returns the draft's path."""
    await visitor.ask("GET", f"/webhooks/new/{kind}")
    status, text, headers = await visitor.send(f"/webhooks/new/{kind}", name="New", **fields)
    assert status == 303, shown(text)
    if kind == "customerio":
        await visitor.send(headers["location"], identify="email")
    return re.sub("/(code|people)$", "", headers["location"])


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("http", {"field_url": "http://127.0.0.2:9/", "field_secret": new_webhook_secret()}),
        ("customerio", {"field_base_url": "http://127.0.0.2:9", "field_site_id": "s", "field_api_key": "k"}),
    ],
)
async def test_the_wizard_rejects_a_private_address(nicobar, visitor, kind, fields):
    await visitor.ask("GET", f"/webhooks/new/{kind}")
    status, text, _ = await visitor.send(f"/webhooks/new/{kind}", name="New", **fields)
    assert (status, REFUSED in shown(text)) == (422, True)
    good = {"field_url": "https://shop.example/"} if kind == "http" else {"field_base_url": ""}
    path = await draft(nicobar, visitor, kind, **fields | good)
    await visitor.ask("GET", path)
    status, text, _ = await visitor.send(path, name="New", **fields)
    assert (status, REFUSED in shown(text)) == (422, True)
    assert not nicobar.runtime.configuration.snapshot.endpoints


async def test_a_form_error_names_the_field_by_its_label(visitor):
    await visitor.ask("GET", "/webhooks/new/customerio")
    for site_id, error in (("", "Enter the Site ID."), ("no\u00efve", "Invalid value for Site ID.")):
        fields = {"field_site_id": site_id, "field_api_key": "k", "field_region": "us"}
        status, text, _ = await visitor.send("/webhooks/new/customerio", name="New", **fields)
        assert (status, error in shown(text)) == (422, True)


async def test_a_draft_from_before_an_upgrade_creates_no_endpoint(tmp_path):
    fields = {"field_base_url": "http://127.0.0.2:9", "field_site_id": "s", "field_api_key": "k"}
    async with installation(tmp_path, allowed_addresses="127.0.0.0/8") as nicobar, visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        path = await draft(nicobar, visitor, **fields)
        cookies = visitor.http.cookie_jar.filter_cookies(URL(nicobar.url))
    async with installation(tmp_path, allowed_addresses="") as nicobar, visiting(nicobar) as visitor:
        visitor.http.cookie_jar.update_cookies(cookies)
        await visitor.ask("GET", f"{path}/test")
        status, text, _ = await visitor.send(f"{path}/create")
        assert (status, REFUSED in shown(text)) == (422, True)
        assert not nicobar.runtime.configuration.snapshot.endpoints


async def test_a_draft_s_credentials_do_not_follow_to_another_host(nicobar, visitor):
    fields = {"field_base_url": nicobar.emulator.url, "field_site_id": "demo-site", "field_api_key": "demo-key"}
    path = await draft(nicobar, visitor, **fields)
    status, text, _ = await visitor.ask("GET", f"{path}?check=1")
    assert (status, "Credentials are valid." in text) == (200, True)
    assert (await audit(nicobar))[0] == ("endpoint.check", f"stored credentials used for {nicobar.emulator.url}")
    request_count = len(nicobar.state.requests)
    for more in ({}, {"field_site_id": "own"}):
        status, text, _ = await visitor.send(
            path, name="New", field_base_url="http://127.0.0.3:9", action="check", **more
        )
        names = "api_key" if more else "site_id, api_key"
        assert (status, f"Enter these again, or remove them: {names}." in shown(text)) == (422, True)
    assert len(nicobar.state.requests) == request_count


async def test_settings_reject_a_new_private_address(tmp_path):
    async with installation(tmp_path, allowed_addresses="127.0.0.0/8") as nicobar, visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        furnished, _ = await furnish(nicobar, HANDLER, base_url="http://127.0.0.2:9")
        cookies = visitor.http.cookie_jar.filter_cookies(URL(nicobar.url))
    async with installation(tmp_path, allowed_addresses="") as nicobar, visiting(nicobar) as visitor:
        visitor.http.cookie_jar.update_cookies(cookies)
        path = f"/webhooks/{furnished.id}/settings"
        await visitor.ask("GET", path)
        keys = {"field_site_id": "s", "field_api_key": "k"}
        status, text, _ = await visitor.send(path, name="X", field_base_url="http://127.0.0.3:9", **keys)
        assert (status, "its address is not public" in text) == (422, True)
        status, text, _ = await visitor.send(path, name="Renamed", field_base_url="http://127.0.0.2:9")
        assert status == 303, shown(text)
        (endpoint,) = nicobar.runtime.configuration.snapshot.endpoints
        assert endpoint.name == "Renamed"


async def test_stored_credentials_are_not_kept_for_another_host(nicobar, visitor):
    furnished, _ = await furnish(nicobar, HANDLER)
    path = f"/webhooks/{furnished.id}/settings"
    await visitor.ask("GET", path)
    status, text, _ = await visitor.send(path, name="X", field_base_url="http://127.0.0.3:9")
    assert (status, "Enter these again, or remove them: site_id, api_key." in shown(text)) == (422, True)
    keys = {"field_site_id": "s", "field_api_key": "k"}
    status, text, _ = await visitor.send(path, name="X", field_base_url="http://127.0.0.3:9", **keys)
    assert status == 303, shown(text)
    (endpoint,) = nicobar.runtime.configuration.snapshot.endpoints
    assert endpoint_credentials(nicobar.runtime.vault, endpoint) == {"site_id": "s", "api_key": "k"}
    assert (await audit(nicobar))[0] == (
        "endpoint.update",
        f"URL changed from {nicobar.emulator.url} to http://127.0.0.3:9",
    )


async def test_masked_headers_are_not_kept_for_another_host(nicobar, visitor):
    runtime = nicobar.runtime
    made = make_endpoint(
        vault=runtime.vault,
        ids=runtime.ids,
        app_id=runtime.configuration.snapshot.applications[0].id,
        name="Shop",
        kind="http",
        settings={"url": "https://shop.example/hooks"},
        credentials={"secret": new_webhook_secret()},
        headers={"authorization": "Bearer STORED"},
    )
    await runtime.store.change([made])
    await runtime.configuration.refresh()
    path = f"/webhooks/{made.id}/settings"
    await visitor.ask("GET", path)
    form = {"name": "Shop", "header_name": "authorization", "header_value": ""}
    status, text, _ = await visitor.send(path, field_url="https://evil.example/", **form)
    assert (status, "or remove them: header authorization." in shown(text)) == (422, True)
    assert "STORED" not in text
    status, _, _ = await visitor.send(path, field_url="https://shop.example/other", **form)
    assert status == 303
    (endpoint,) = runtime.configuration.snapshot.endpoints
    assert endpoint_headers(runtime.vault, endpoint) == {"authorization": "Bearer STORED"}
    status, _, _ = await visitor.send(path, field_url="https://new.example/", **form | {"header_value": "Bearer NEW"})
    assert status == 303
    (endpoint,) = runtime.configuration.snapshot.endpoints
    assert endpoint_headers(runtime.vault, endpoint) == {"authorization": "Bearer NEW"}


async def test_test_pages_show_no_signature(nicobar, visitor):
    secret = new_webhook_secret()
    path = await draft(nicobar, visitor, "http", field_url="https://shop.example/", field_secret=secret)
    status, text, _ = await visitor.ask("GET", f"{path}/test?sample_type=payment.succeeded")
    assert (status, "webhook-signature" in text, "v1," in text) == (200, True, False)
