"""The field's own client, as it comes from PyPI, against a running server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from svix.api import (
    ApplicationIn,
    ApplicationPatch,
    EndpointIn,
    EndpointPatch,
    EndpointUpsertIn,
    SvixAsync,
    SvixOptions,
)
from svix.exceptions import HttpError, HTTPValidationError

from asking import Api, asking


@asynccontextmanager
async def client_of(api: Api, token: str | None = None) -> AsyncIterator[SvixAsync]:
    svix = SvixAsync(token or api.token, SvixOptions(server_url=api.url, retry_schedule=[]))
    try:
        yield svix
    finally:
        await svix._httpx_client.aclose()


async def test_applications(tmp_path):
    async with asking(tmp_path) as api, client_of(api) as svix:
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
        assert {one.uid for one in listed.data} == {"default", "acme"}
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


async def test_endpoints(tmp_path):
    async with asking(tmp_path) as api, client_of(api) as svix:
        made = await svix.endpoint.create(
            "default",
            EndpointIn(
                url="https://shop.example/hooks",
                uid="shop",
                description="The shop",
                event_types=["payment.succeeded"],
                channels=["eu"],
                throttle_rate=10,
                metadata={"team": "a"},
            ),
        )
        assert (made.uid, made.url, made.channels) == ("shop", "https://shop.example/hooks", ["eu"])
        assert await svix.endpoint.get("default", "shop") == made
        patched = await svix.endpoint.patch("default", "shop", EndpointPatch(disabled=True))
        assert (patched.disabled, patched.description, patched.throttle_rate) == (True, "The shop", 10)
        updated = await svix.endpoint.upsert(
            "default", "shop", EndpointUpsertIn(url="https://shop.example/other", uid="shop")
        )
        assert (updated.id, updated.url, updated.disabled, updated.event_types) == (
            made.id,
            "https://shop.example/other",
            False,
            None,
        )
        assert [one.id for one in (await svix.endpoint.list("default")).data] == [made.id]
        await svix.endpoint.delete("default", "shop")
        assert (await svix.endpoint.list("default")).data == []
