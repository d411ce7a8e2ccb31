"""Whether a destination knows the credentials of an endpoint, said before the first event."""

from __future__ import annotations

import pytest

from nicobar.model import Scope
from support.api import asking

HANDLER = 'function handler(webhook) { webhook.payload = nicobar.event("paid", {}); return webhook; }'
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path, HANDLER) as it:
        yield it


async def test_stored_and_new_credentials_of_an_endpoint_can_be_checked(api):
    (endpoint,) = (await api.ask("GET", f"{api.app}/endpoint")).body["data"]
    path = f"{api.app}/endpoint/{endpoint['id']}/check"
    good = await api.ask("POST", path)
    assert (good.status, good.body["ok"], good.body["finding"]) == (200, True, "good")
    for config, finding in (
        ({"api_key": "other"}, "wrong_credentials"),
        ({"api_key": "***", "region": "eu"}, "wrong_region"),
        ({"base_url": NOWHERE, "site_id": "s", "api_key": "k"}, "no_answer"),
        ({"site_id": "demo-site", "api_key": "demo-key"}, "good"),
    ):
        found = (await api.ask("POST", path, {"connector": {"kind": "customerio", "config": config}})).body
        assert (found["finding"], found["ok"]) == (finding, finding == "good")
        assert found["detail"].endswith(".")
    broken = await api.ask("POST", path, {"connector": {"kind": "customerio", "config": {"region": "moon"}}})
    assert (broken.status, broken.body["detail"][0]["loc"]) == (422, ["body", "connector"])
    assert (await api.ask("GET", f"{api.app}/endpoint/{endpoint['id']}")).body == endpoint
    entries = (await api.ask("GET", "/api/v1/audit-log")).body["data"]
    assert [(item["action"], item["subject"]) for item in entries] == [("endpoint.check", endpoint["id"])] * 3
    reader = await api.make_token(scope=Scope.READ_ONLY)
    assert (await api.ask("POST", path, token=reader)).status == 403


async def test_what_no_network_could_check_is_kept_and_said(api):
    config = {"site_id": "s", "api_key": "k", "base_url": NOWHERE}
    made = await api.ask("POST", f"{api.app}/endpoint", {"connector": {"kind": "customerio", "config": config}})
    assert made.status == 201
    checked = (await api.ask("POST", f"{api.app}/endpoint/{made.body['id']}/check")).body
    assert (checked["ok"], checked["finding"]) == (False, "no_answer")
    own = (await api.ask("POST", f"{api.app}/endpoint", {"url": "https://shop.example/"})).body
    untried = (await api.ask("POST", f"{api.app}/endpoint/{own['id']}/check")).body
    assert (untried["ok"], untried["finding"]) == (True, "untried")
