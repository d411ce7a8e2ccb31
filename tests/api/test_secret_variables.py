"""Secret variables and public headers through the API, the file and the dashboard's forms."""

from __future__ import annotations

import os

import pytest

from api.test_files import apply, planned
from nicobar.model import Scope
from nicobar.pipeline.configuration import endpoint_variables
from nicobar.use_cases.config_file_export import write_document
from support.api import asking

VALUE = "value-that-nobody-reads"
ECHO = "function handler(webhook) { console.log(webhook.env.KEY); webhook.payload = webhook.env; return webhook; }"
PEEK = """function handler(webhook) {
  webhook.payload = {reversed: [...webhook.env.KEY].reverse().join("")};
  return webhook;
}"""

ENTRY = """[[endpoints]]
name = "hooks"
connector = "http"
settings = { url = "https://shop.example/hooks" }
"""


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path / "data") as it:
        yield it


async def make_endpoint(api, **more):
    body = {"url": "https://shop.example/hooks", "name": "hooks", **more}
    made = (await api.ask("POST", f"{api.app}/endpoint", body)).body
    return f"{api.app}/endpoint/{made['id']}"


def stored(api):
    (endpoint,) = api.nicobar.runtime.configuration.snapshot.endpoints
    return endpoint, endpoint_variables(api.nicobar.runtime.vault, endpoint)


def refused(answer, code):
    assert answer.status == 422, answer
    (detail,) = answer.body["detail"]
    assert detail["type"] == code, detail
    assert VALUE not in str(answer.body)


async def simulated(api, path, code, token=None):
    event = {"code": code, "eventType": "a.b", "payload": {"a": 1}}
    answer = await api.ask("POST", f"{path}/transformation/simulate", event, token=token)
    assert answer.status == 200, answer
    return str(answer.body)


async def test_secret_variables_are_set_kept_removed_and_never_returned(api):
    path = await make_endpoint(api)
    secret = f"{path}/transformation"
    first = {"code": ECHO, "variables": {"PLAIN": "shown"}, "secretVariables": {"KEY": VALUE, "OTHER": VALUE}}
    assert (await api.ask("PATCH", secret, first)).status == 204
    shown = (await api.ask("GET", secret)).body
    assert (shown["variables"], shown["secretVariables"]) == ({"PLAIN": "shown"}, ["KEY", "OTHER"])
    assert VALUE not in str(shown)
    assert VALUE.encode() not in stored(api)[0].sealed_variables
    await api.ask("PATCH", secret, {"secretVariables": {"KEY": "***", "OTHER": None}})
    assert stored(api)[1] == {"KEY": VALUE}
    refused(await api.ask("PATCH", secret, {"variables": {"KEY": "plain"}}), "variable_secret")
    await api.ask("PATCH", secret, {"secretVariables": {"PLAIN": VALUE}})
    assert stored(api)[0].variables == {}
    assert (await api.ask("PATCH", secret, {"secretVariables": {"EMPTY": ""}})).status == 422


async def test_dry_runs_mask_secret_variables(api):
    path = await make_endpoint(api)
    await api.ask("PATCH", f"{path}/transformation", {"code": ECHO, "secretVariables": {"KEY": VALUE}})
    shown = await simulated(api, path, ECHO)
    assert "***" in shown
    assert VALUE not in shown
    assert VALUE[::-1] in await simulated(api, path, PEEK), "the code of an editor has the value"


async def test_read_only_tokens_cannot_compute_secret_variables(api):
    path = await make_endpoint(api)
    await api.ask("PATCH", f"{path}/transformation", {"code": ECHO, "secretVariables": {"KEY": VALUE}})
    reader = await api.make_token(scope=Scope.READ_ONLY)
    event = {"code": PEEK, "eventType": "a.b", "payload": {"a": 1}}
    answer = await api.ask("POST", f"{path}/transformation/simulate", event, token=reader)
    assert answer.status == 403
    assert VALUE[::-1] not in str(answer.body)


async def test_secret_variables_belong_to_their_host(api):
    path = await make_endpoint(api)
    await api.ask("PATCH", f"{path}/transformation", {"code": ECHO, "secretVariables": {"KEY": VALUE}})
    elsewhere = {"url": "https://elsewhere.example/"}
    refused(await api.ask("PATCH", path, elsewhere), "credentials_host_changed")
    config = {"site_id": "s", "api_key": "k", "base_url": "https://elsewhere.example"}
    other = {"connector": {"kind": "customerio", "config": config}}
    refused(await api.ask("PATCH", path, other), "credentials_host_changed")
    assert (await api.ask("POST", f"{path}/check", other)).status == 200
    assert stored(api)[1] == {"KEY": VALUE}
    await api.ask("PATCH", f"{path}/transformation", {"secretVariables": {"KEY": None}})
    assert (await api.ask("PATCH", path, elsewhere)).status == 200


async def test_headers_are_secret_unless_marked_public(api):
    path = f"{await make_endpoint(api)}/headers"
    headers = {"X-Shop": "one", "X-Team": VALUE}
    assert (await api.ask("PUT", path, {"headers": headers, "public": ["x-shop"]})).status == 204
    assert (await api.ask("GET", path)).body == {"headers": {"X-Shop": "one"}, "sensitive": ["X-Team"]}
    await api.ask("PATCH", path, {"headers": {"x-shop": "two"}})
    assert (await api.ask("GET", path)).body["headers"] == {"x-shop": "two"}
    refused(await api.ask("PATCH", path, {"public": ["x-shop", "x-team"]}), "header_secret")
    credential = {"headers": {"authorization": VALUE}, "public": ["authorization"]}
    refused(await api.ask("PATCH", path, credential), "header_secret")
    await api.ask("PATCH", path, {"headers": {"x-team": "three"}, "public": ["x-team"]})
    assert (await api.ask("GET", path)).body == {"headers": {"x-team": "three"}, "sensitive": ["x-shop"]}
    assert (await api.ask("PATCH", path, {"public": []})).status == 204
    assert (await api.ask("GET", path)).body["headers"] == {}


async def test_a_file_takes_secret_variables_from_the_environment(api, tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "SHOP_KEY", VALUE)
    written = tmp_path / "nicobar.toml"
    await make_endpoint(api)
    written.write_text(ENTRY + 'variables = { PLAIN = "shown", KEY = { env = "SHOP_KEY" } }\n')
    await applied(api, tmp_path)
    assert stored(api)[1] == {"KEY": VALUE}
    assert (await planned(api, tmp_path, os.environ)).acts == ()
    runtime = api.nicobar.runtime
    write_document(runtime.vault, await runtime.store.snapshot(), written, force=True)
    assert VALUE not in written.read_text()
    assert 'env = "SHOP_KEY"' in written.read_text()
    written.write_text(ENTRY + 'variables = { PLAIN = "shown" }\n')
    await applied(api, tmp_path)
    assert stored(api)[1] == {}


async def applied(api, tmp_path):
    await apply(api, await planned(api, tmp_path, os.environ))
    await api.nicobar.runtime.configuration.refresh()
