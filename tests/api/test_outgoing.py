"""Where the API lets an endpoint send, and which stored credentials go there."""

from __future__ import annotations

import pytest

from nicobar.pipeline.configuration import endpoint_credentials, endpoint_headers
from support.api import asking

HANDLER = 'function handler(webhook) { webhook.payload = nicobar.event("paid", {}); return webhook; }'
KEYS = {"site_id": "s", "api_key": "k"}
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
# A host that has no credentials yet; nothing listens there.
ELSEWHERE = "http://127.0.0.2:9"


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path, HANDLER) as it:
        yield it


@pytest.fixture
async def strict(tmp_path):
    """Allows what the emulator needs and no other private address."""
    async with asking(tmp_path, None, allowed_addresses="10.9.9.9:8080") as it:
        yield it


def customerio(**config):
    return {"connector": {"kind": "customerio", "config": config}}


async def customerio_endpoint(api):
    (endpoint,) = (await api.ask("GET", f"{api.app}/endpoint")).body["data"]
    return endpoint, f"{api.app}/endpoint/{endpoint['id']}"


async def http_endpoint(api, **more):
    body = {"url": "https://shop.example/hooks", "secret": SECRET, **more}
    made = (await api.ask("POST", f"{api.app}/endpoint", body)).body
    return made, f"{api.app}/endpoint/{made['id']}"


def stored_endpoint(api, endpoint_id):
    snapshot = api.nicobar.runtime.configuration.snapshot
    return next(endpoint for endpoint in snapshot.endpoints if endpoint.id == endpoint_id)


async def audit(api):
    found = (await api.ask("GET", "/api/v1/audit-log")).body["data"]
    return [(item["actor"].split()[0], item["action"], item["detail"]) for item in found]


def refused(answer, code):
    assert answer.status == 422, answer
    (detail,) = answer.body["detail"]
    assert detail["type"] == code
    return detail["msg"]


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("http://127.0.0.1:9/latest/", "127.0.0.1:9"),
        ("http://169.254.169.254/", "169.254.169.254:80"),
        ("http://[::1]:9/", "[::1]:9"),
        ("http://[64:ff9b::a00:1]/", "[64:ff9b::a00:1]:80"),
        ("http://0x7f.1/", "127.0.0.1:80"),
        ("https://localhost/", "localhost:443"),
    ],
)
async def test_a_private_address_is_rejected_by_every_operation(strict, url, entry):
    _, path = await http_endpoint(strict)
    made = (await strict.ask("POST", f"{strict.app}/endpoint", customerio(**KEYS))).body
    other = f"{strict.app}/endpoint/{made['id']}"
    base = customerio(**KEYS, base_url=url)
    for method, where, body in (
        ("POST", f"{strict.app}/endpoint", {"url": url}),
        ("POST", f"{strict.app}/endpoint", {"connector": {"kind": "http", "config": {"url": url}}}),
        ("POST", f"{strict.app}/endpoint", base),
        ("PUT", path, {"url": url}),
        ("PUT", f"{strict.app}/endpoint/new-one", {"url": url}),
        ("PATCH", path, {"url": url}),
        ("PATCH", path, base),
        ("PUT", other, base),
        ("PATCH", other, base),
        ("POST", f"{other}/check", base),
        ("POST", f"{path}/check", {"connector": {"kind": "http", "config": {"url": url}}}),
    ):
        detail = refused(await strict.ask(method, where, body), "address_not_allowed")
        assert f"add {entry} to allowed_addresses (NICOBAR_ALLOWED_ADDRESSES={entry})" in detail


async def test_an_allowed_private_address_is_kept(strict):
    made = await strict.ask("POST", f"{strict.app}/endpoint", {"url": "http://10.9.9.9:8080/"})
    assert made.status == 201
    refused(await strict.ask("POST", f"{strict.app}/endpoint", {"url": "http://10.9.9.9/"}), "address_not_allowed")


async def test_an_endpoint_from_before_an_upgrade_can_be_renamed(tmp_path):
    async with asking(tmp_path, None) as api:
        made, path = await http_endpoint(api, url="http://127.0.0.1:9/hooks")
    async with asking(tmp_path, None, allowed_addresses="") as api:
        for method, body in (
            ("PATCH", {"name": "shop"}),
            ("PATCH", {"url": "http://127.0.0.1:9/other"}),
            ("PUT", {"url": "http://127.0.0.1:9/hooks", "name": "shop"}),
        ):
            assert (await api.ask(method, path, body)).status == 200
        refused(await api.ask("PATCH", path, {"url": "http://127.0.0.1:10/"}), "address_not_allowed")
        checked = (await api.ask("POST", f"{path}/check")).body
        assert (checked["ok"], checked["finding"]) == (False, "refused_address")
        assert "add 127.0.0.1:9 to" in checked["detail"]
        assert stored_endpoint(api, made["id"]).name == "shop"


@pytest.mark.parametrize(
    "config",
    [
        {"base_url": ELSEWHERE},
        {"base_url": ELSEWHERE, "site_id": "***", "api_key": "***"},
        {"base_url": ELSEWHERE, "site_id": "own"},
        {"base_url": "https://track.customer.io", "api_key": "***"},
        {"base_url": ""},
    ],
)
async def test_stored_credentials_are_not_used_for_another_host(api, config):
    endpoint, path = await customerio_endpoint(api)
    names = "api_key" if "own" in config.values() else "site_id, api_key"
    for method, where in (("POST", f"{path}/check"), ("PATCH", path), ("PUT", path)):
        detail = refused(await api.ask(method, where, customerio(**config)), "credentials_host_changed")
        assert detail.endswith(f"Enter these again, or remove them: {names}.")
        assert "demo-key" not in detail
    assert not api.nicobar.state.requests
    assert (await api.ask("GET", path)).body == endpoint
    assert await audit(api) == []


async def test_credentials_entered_with_the_new_host_replace_the_stored_ones(api):
    endpoint, path = await customerio_endpoint(api)
    host = f"{ELSEWHERE}/base"
    assert (await api.ask("PATCH", path, customerio(base_url=host, **KEYS))).status == 200
    vault = api.nicobar.runtime.vault
    assert endpoint_credentials(vault, stored_endpoint(api, endpoint["id"])) == KEYS
    ((actor, action, detail),) = await audit(api)
    assert (actor, action) == ("token", "endpoint.update")
    assert detail == f"URL changed from {api.nicobar.emulator.url} to {ELSEWHERE}"


async def test_a_region_is_corrected_without_entering_credentials_again(api):
    made = (await api.ask("POST", f"{api.app}/endpoint", customerio(**KEYS))).body
    path = f"{api.app}/endpoint/{made['id']}"
    for config in ({"region": "eu"}, {"base_url": "https://track.customer.io/"}, {"base_url": "", "region": "us"}):
        assert (await api.ask("PATCH", path, customerio(**config))).status == 200
    assert endpoint_credentials(api.nicobar.runtime.vault, stored_endpoint(api, made["id"])) == KEYS
    refused(
        await api.ask("PATCH", path, customerio(base_url="https://track.customer.io:8443")),
        "credentials_host_changed",
    )


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_stored_headers_do_not_follow_to_another_host(api, method):
    headers = {"authorization": "Bearer STORED", "x-custom": "stored-too"}
    made, path = await http_endpoint(api, headers=headers)
    vault = api.nicobar.runtime.vault
    for url in ("https://evil.example/", "https://x.shop.example/hooks", "https://shop.example:8443/hooks"):
        message = refused(await api.ask(method, path, {"url": url}), "credentials_host_changed")
        assert message == (
            f"The stored credentials belong to https://shop.example:443 and are not sent to "
            f"{url.removesuffix('hooks').removesuffix('/')}{'' if ':8443' in url else ':443'}. "
            "Enter these again, or remove them: header authorization, header x-custom."
        )
    assert (await api.ask(method, path, {"url": "https://shop.example/other"})).status == 200
    assert endpoint_headers(vault, stored_endpoint(api, made["id"])) == headers
    moved = await api.ask(method, path, {"url": "https://new.example/", "headers": {"authorization": "Bearer NEW"}})
    assert moved.status == 200
    assert endpoint_headers(vault, stored_endpoint(api, made["id"])) == {"authorization": "Bearer NEW"}
    assert (await api.ask(method, path, {"url": "https://newer.example/", "headers": {}})).status == 200
    item = stored_endpoint(api, made["id"])
    assert (endpoint_headers(vault, item), endpoint_credentials(vault, item)) == ({}, {"secret": SECRET})
    assert [detail for _, _, detail in await audit(api)][:3] == [
        "URL changed from https://new.example:443 to https://newer.example:443",
        "URL changed from https://shop.example:443 to https://new.example:443",
        "URL changed at https://shop.example:443",
    ]


async def test_headers_alone_are_replaced_by_a_patch(api):
    made, path = await http_endpoint(api, headers={"x-shop": "1"})
    assert (await api.ask("PATCH", path, {"headers": {"x-shop": "2"}})).status == 200
    assert endpoint_headers(api.nicobar.runtime.vault, stored_endpoint(api, made["id"])) == {"x-shop": "2"}
    assert (await api.ask("PATCH", path, {"description": "x"})).status == 200
    assert endpoint_headers(api.nicobar.runtime.vault, stored_endpoint(api, made["id"])) == {"x-shop": "2"}


async def test_a_check_with_stored_credentials_is_in_the_audit_log(api):
    _, path = await customerio_endpoint(api)
    access = await api.ask("POST", "/api/v1/auth/app-portal-access/default", {"sessionId": "ada"})
    token = access.body["token"]
    assert (await api.ask("POST", f"{path}/check", token=token)).status == 200
    assert (await api.ask("POST", f"{path}/check", customerio(site_id="s", api_key="k"), token=token)).status == 200
    runtime = api.nicobar.runtime
    (first, second, *_) = (await api.ask("GET", "/api/v1/audit-log")).body["data"]
    assert (first["actor"], first["action"]) == ("link ada", "endpoint.check")
    assert first["detail"] == f"stored credentials used for {api.nicobar.emulator.url}"
    assert second["action"] != "endpoint.check"
    assert "demo-key" not in str(first)
    assert runtime.configuration.snapshot.endpoints


async def test_a_simulation_shows_neither_stored_headers_nor_a_signature(api):
    _, path = await http_endpoint(api, headers={"authorization": "Bearer STORED", "x-shop": "1"})
    body = {"code": "function handler(w) { return w; }", "eventType": "a.b", "payload": {"type": "a.b", "data": {}}}
    shown = await api.ask("POST", f"{path}/transformation/simulate", body)
    headers = shown.body["calls"][0]["headers"]
    assert (headers["authorization"], headers["webhook-signature"], headers["x-shop"]) == ("***", "***", "***")
