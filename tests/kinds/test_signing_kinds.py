"""A connector that signs with fields of its own names, used through the API."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from nicobar.connectors.http import HttpDestination, HttpEndpoint
from nicobar.connectors.registry import CONNECTORS
from nicobar.connectors.signing_secrets import read_secrets
from nicobar.crypto import new_webhook_secret
from nicobar.model import Setting
from support.api import asking

HOOK_URL = "http://127.0.0.1:9/hook"


class AcmeHook(HttpEndpoint):
    kind = "acme-hook"
    fields = tuple(
        msgspec.structs.replace(field, name={"url": "address", "secret": "hmac_key"}.get(field.name, field.name))
        for field in HttpEndpoint.fields
    )

    def url(self, settings: Mapping[str, Setting]) -> str:
        return str(settings.get("address", ""))

    def open(
        self,
        settings: Mapping[str, Setting],
        credentials: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
    ) -> HttpDestination:
        return HttpDestination(self.url(settings), read_secrets(credentials["hmac_key"]), dict(headers or {}))


@pytest.fixture(autouse=True)
def acme_hook():
    CONNECTORS.append(AcmeHook())
    yield
    CONNECTORS.pop()


async def test_url_and_secret_reach_the_fields_that_a_connector_declares(tmp_path):
    secret = new_webhook_secret()
    body = {"url": HOOK_URL, "secret": secret, "connector": {"kind": "acme-hook"}}
    async with asking(tmp_path) as api:
        created = await api.ask("POST", f"{api.app}/endpoint", body)
        assert (created.status, created.body.get("url")) == (201, HOOK_URL)
        assert created.body["connector"]["config"] == {"address": HOOK_URL, "hmac_key": "***"}
        path = f"{api.app}/endpoint/{created.body['id']}"
        assert (await api.ask("GET", f"{path}/secret")).body == {"key": secret}
        rotated = await api.ask("POST", f"{path}/secret/rotate", {})
        assert rotated.body["key"] != secret
        assert (await api.ask("GET", f"{path}/secret")).body == rotated.body
        patched = await api.ask("PATCH", path, {"url": f"{HOOK_URL}/2"})
        assert (patched.status, patched.body["url"]) == (200, f"{HOOK_URL}/2")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"connector": {"kind": "acme-hook"}}, "url"),
        ({"url": HOOK_URL, "connector": {"kind": "customerio", "config": {}}}, "url"),
        ({"secret": new_webhook_secret(), "connector": {"kind": "customerio", "config": {}}}, "secret"),
    ],
)
async def test_url_and_secret_are_rejected_unless_the_connector_signs(tmp_path, body, field):
    async with asking(tmp_path) as api:
        answer = await api.ask("POST", f"{api.app}/endpoint", body)
        assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["body", field])
