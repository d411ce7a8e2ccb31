"""The field's own client, as it comes from PyPI, against a running server."""

from __future__ import annotations

import asyncio

import pytest
from svix.api import (
    ApplicationIn,
    ApplicationPatch,
    AppPortalAccessIn,
    EndpointHeadersIn,
    EndpointIn,
    EndpointSecretRotateIn,
    EndpointTransformationPatch,
    EventTypeIn,
    IngestSourceIn,
    Svix,
    SvixConfig,
)
from svix.exceptions import HttpError, HTTPValidationError

from support.api import asking
from support.svix_clients import async_client, blocking_client


async def test_applications(tmp_path):
    async with asking(tmp_path) as api, async_client(api) as svix:
        made = await svix.application.create(ApplicationIn(name="Acme", uid="acme", metadata={"plan": "pro"}))
        assert (made.uid, made.metadata) == ("acme", {"plan": "pro"})
        assert await svix.application.get("acme") == await svix.application.get(made.id)
        same = await svix.application.get_or_create(ApplicationIn(name="Other", uid="acme"))
        assert same.id == made.id
        patched = await svix.application.patch("acme", ApplicationPatch(name="Acme Ltd"))
        assert (patched.name, patched.uid, patched.created_at) == ("Acme Ltd", "acme", made.created_at)
        replaced = await svix.application.upsert("acme", ApplicationIn(name="Acme Inc", uid="acme"))
        assert (replaced.id, replaced.name, replaced.metadata) == (made.id, "Acme Inc", {})
        listed = await svix.application.list()
        assert {entry.uid for entry in listed.data} == {"default", "acme"}
        assert listed.done
        with pytest.raises(HttpError) as taken:
            await svix.application.create(ApplicationIn(name="Twice", uid="acme"))
        assert (taken.value.status_code, taken.value.code) == (409, "conflict")
        with pytest.raises(HTTPValidationError) as invalid:
            await svix.application.create(ApplicationIn(name="", uid="empty"))
        assert invalid.value.detail[0].loc == ["body", "name"]
        await svix.application.delete("acme")
        with pytest.raises(HttpError) as gone:
            await svix.application.get("acme")
        assert gone.value.status_code == 404


async def test_the_blocking_client_configures_an_application_as_well(tmp_path):
    async with asking(tmp_path) as api:
        with blocking_client(api) as svix:
            assert await asyncio.to_thread(_configured, svix) == {
                "health": None,
                "url": "https://shop.example/",
                "secrets_differ": True,
                "headers": ["x-shop"],
                "enabled": True,
                "types": ["order.placed"],
                "source": "svix",
                "left": 1,
            }


def _configured(svix: Svix) -> dict[str, object]:
    """Uses each kind of resource once; returns the results."""
    found: dict[str, object] = {"health": svix.health.get()}
    svix.application.create(ApplicationIn(name="Acme", uid="acme"))
    svix.event_type.create(EventTypeIn(name="order.placed", description="An order."))
    endpoint = svix.endpoint.create("acme", EndpointIn(url="https://shop.example/", event_types=["order.placed"]))
    found["url"] = endpoint.url
    before = svix.endpoint.get_secret("acme", endpoint.id).key
    svix.endpoint.rotate_secret("acme", endpoint.id, EndpointSecretRotateIn())
    found["secrets_differ"] = before != svix.endpoint.get_secret("acme", endpoint.id).key
    svix.endpoint.set_headers("acme", endpoint.id, EndpointHeadersIn(headers={"x-shop": "1"}))
    found["headers"] = svix.endpoint.get_headers("acme", endpoint.id).sensitive
    code = EndpointTransformationPatch(code="function handler(webhook) { return webhook; }", enabled=True)
    svix.endpoint.transformation.patch("acme", endpoint.id, code)
    found["enabled"] = svix.endpoint.transformation.get("acme", endpoint.id).enabled
    found["types"] = svix.endpoint.get("acme", endpoint.id).event_types
    secret = SvixConfig(secret="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    source = svix.ingest.source.create(IngestSourceIn(name="shop", type="svix", config=secret))
    found["source"] = svix.ingest.source.get(source.id).type
    svix.authentication.app_portal_access("acme", AppPortalAccessIn())
    svix.connector.get("customerio")
    svix.ingest.source.delete(source.id)
    svix.endpoint.delete("acme", endpoint.id)
    svix.application.delete("acme")
    found["left"] = len(svix.application.list().data)
    return found
