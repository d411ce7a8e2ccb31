"""The Svix Python client, async and blocking: every method with an operation in Nicobar is called on one running
server.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from svix import api as public
from svix.models import (
    AppUsageStatsIn,
    BulkExpungeContentsIn,
    EndpointHeadersPatchIn,
    EndpointUpsertIn,
    EventExampleIn,
    EventTypeUpsertIn,
    MessagePrecheckIn,
)

from api.test_document import OPERATIONS
from support.api import Api, asking
from support.server import ADA
from support.svix_clients import async_client, blocking_client

HANDLER = 'function handler(webhook) { webhook.payload = nicobar.event("paid", {}); return webhook; }'
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
SINCE = datetime.now(UTC) - timedelta(hours=1)
_PATH = re.compile(r'method="(\w+)",\s*path="([^"]+)"')

# What a step gets: a client, and what the steps before it kept.
Step = tuple[str, Callable[[Any, SimpleNamespace], Any]]


def methods(client: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """The methods of a client that are not deprecated, and of each the operation that it calls."""
    for name in (item for item in dir(client) if not item.startswith("_")):
        value = getattr(client, name)
        if inspect.ismethod(value):
            source = inspect.getsource(value)
            found = _PATH.search(source)
            if found and "deprecated" not in source:
                yield f"{prefix}{name}", f"{found[1].upper()} {re.sub(r'{[^}]*}', '{}', found[2])}"
        elif type(value).__module__.startswith("svix.api") and depth < 3:
            yield from methods(value, f"{prefix}{name}.", depth + 1)


def event(event_id: str) -> public.MessageIn:
    payload = {"type": "payment.succeeded", "data": {"customer": {"customer_id": ADA.key, "email": ADA.email}}}
    return public.MessageIn(event_type="payment.succeeded", payload=payload, event_id=event_id)


# In an order in which each finds what it needs; `it.app` is the application, `it.main` its endpoint.
STEPS: list[Step] = [
    ("health.get", lambda svix, _: svix.health.get()),
    ("application.create", lambda svix, _: svix.application.create(public.ApplicationIn(name="A", uid="acme"))),
    (
        "application.get_or_create",
        lambda svix, _: svix.application.get_or_create(public.ApplicationIn(name="A", uid="acme")),
    ),
    ("application.get", lambda svix, _: svix.application.get("acme")),
    ("application.patch", lambda svix, _: svix.application.patch("acme", public.ApplicationPatch(name="B"))),
    ("application.upsert", lambda svix, _: svix.application.upsert("acme", public.ApplicationIn(name="C"))),
    ("application.list", lambda svix, _: svix.application.list()),
    (
        "event_type.create",
        lambda svix, _: svix.event_type.create(public.EventTypeIn(name="order.placed", description="An order.")),
    ),
    ("event_type.get", lambda svix, _: svix.event_type.get("order.placed")),
    (
        "event_type.patch",
        lambda svix, _: svix.event_type.patch("order.placed", public.EventTypePatch(archived=False)),
    ),
    (
        "event_type.upsert",
        lambda svix, _: svix.event_type.upsert("order.placed", EventTypeUpsertIn(description="An order.")),
    ),
    (
        "event_type.import_openapi",
        lambda svix, _: svix.event_type.import_openapi(
            public.EventTypeImportOpenApiIn(spec={"openapi": "3.1.0", "webhooks": {"order.sent": {"post": {}}}})
        ),
    ),
    ("event_type.list", lambda svix, _: svix.event_type.list()),
    ("event_type.delete", lambda svix, _: svix.event_type.delete("order.placed")),
    ("connector.list", lambda svix, _: svix.connector.list()),
    ("connector.get", lambda svix, _: svix.connector.get("customerio")),
    (
        "endpoint.create",
        lambda svix, _: svix.endpoint.create(
            "acme", public.EndpointIn(url="https://shop.example/", uid="hooks", disabled=True)
        ),
    ),
    ("endpoint.get", lambda svix, _: svix.endpoint.get("acme", "hooks")),
    (
        "endpoint.patch",
        lambda svix, _: svix.endpoint.patch("acme", "hooks", public.EndpointPatch(description="The shop")),
    ),
    (
        "endpoint.upsert",
        lambda svix, _: svix.endpoint.upsert("acme", "hooks", EndpointUpsertIn(url="https://shop.example/")),
    ),
    ("endpoint.list", lambda svix, _: svix.endpoint.list("acme")),
    ("endpoint.get_secret", lambda svix, _: svix.endpoint.get_secret("acme", "hooks")),
    (
        "endpoint.rotate_secret",
        lambda svix, _: svix.endpoint.rotate_secret("acme", "hooks", public.EndpointSecretRotateIn()),
    ),
    (
        "endpoint.set_headers",
        lambda svix, _: svix.endpoint.set_headers("acme", "hooks", public.EndpointHeadersIn(headers={"x-a": "1"})),
    ),
    (
        "endpoint.patch_headers",
        lambda svix, _: svix.endpoint.patch_headers("acme", "hooks", EndpointHeadersPatchIn(headers={"x-b": "2"})),
    ),
    ("endpoint.get_headers", lambda svix, _: svix.endpoint.get_headers("acme", "hooks")),
    (
        "endpoint.transformation.patch",
        lambda svix, _: svix.endpoint.transformation.patch(
            "acme", "hooks", public.EndpointTransformationPatch(code=HANDLER)
        ),
    ),
    ("endpoint.transformation.get", lambda svix, _: svix.endpoint.transformation.get("acme", "hooks")),
    (
        "message.precheck",
        lambda svix, it: svix.message.precheck(it.app, MessagePrecheckIn(event_type="payment.succeeded")),
    ),
    ("message.create", lambda svix, it: svix.message.create(it.app, event("order-1"))),
    ("message.get", lambda svix, it: svix.message.get(it.app, "order-1")),
    ("message.list", lambda svix, it: svix.message.list(it.app)),
    ("message_attempt.list_by_msg", lambda svix, it: svix.message_attempt.list_by_msg(it.app, "order-1")),
    ("message_attempt.list_by_endpoint", lambda svix, it: svix.message_attempt.list_by_endpoint(it.app, it.main)),
    (
        "message_attempt.list_attempted_messages",
        lambda svix, it: svix.message_attempt.list_attempted_messages(it.app, it.main),
    ),
    (
        "message_attempt.list_attempted_destinations",
        lambda svix, it: svix.message_attempt.list_attempted_destinations(it.app, "order-1"),
    ),
    ("message_attempt.get", lambda svix, it: svix.message_attempt.get(it.app, "order-1", it.attempt)),
    (
        "message_attempt.expunge_content",
        lambda svix, it: svix.message_attempt.expunge_content(it.app, "order-1", it.attempt),
    ),
    ("message_attempt.resend", lambda svix, it: svix.message_attempt.resend(it.app, "order-1", it.main)),
    (
        "endpoint.send_example",
        lambda svix, it: svix.endpoint.send_example(it.app, it.main, EventExampleIn(event_type="payment.failed")),
    ),
    ("endpoint.recover", lambda svix, it: svix.endpoint.recover(it.app, it.main, public.RecoverIn(since=SINCE))),
    (
        "endpoint.replay_missing",
        lambda svix, it: svix.endpoint.replay_missing(it.app, it.main, public.ReplayIn(since=SINCE)),
    ),
    (
        "endpoint.bulk_replay",
        lambda svix, it: svix.endpoint.bulk_replay(it.app, it.main, public.BulkReplayIn(since=SINCE)),
    ),
    ("endpoint.get_stats", lambda svix, it: svix.endpoint.get_stats(it.app, it.main)),
    ("endpoint.get_attempt_stats", lambda svix, it: svix.endpoint.get_attempt_stats(it.app, it.main)),
    (
        "statistics.aggregate_app_stats",
        lambda svix, _: svix.statistics.aggregate_app_stats(AppUsageStatsIn(since=SINCE, until=datetime.now(UTC))),
    ),
    ("statistics.aggregate_event_types", lambda svix, _: svix.statistics.aggregate_event_types()),
    ("message.expunge_content", lambda svix, it: svix.message.expunge_content(it.app, "order-1")),
    (
        "message.bulk_expunge_content",
        lambda svix, it: svix.message.bulk_expunge_content(it.app, BulkExpungeContentsIn(ids=["order-1"])),
    ),
    ("message.expunge_all_contents", lambda svix, it: svix.message.expunge_all_contents(it.app)),
    ("background_task.list", lambda svix, _: svix.background_task.list()),
    ("background_task.get", lambda svix, it: svix.background_task.get(it.task)),
    (
        "ingest.source.create",
        lambda svix, _: svix.ingest.source.create(
            public.IngestSourceIn(name="shop", uid="shop", type="svix", config=public.SvixConfig(secret=SECRET))
        ),
    ),
    ("ingest.source.get", lambda svix, _: svix.ingest.source.get("shop")),
    (
        "ingest.source.upsert",
        lambda svix, _: svix.ingest.source.upsert(
            "shop", public.IngestSourceIn(name="shop", type="svix", config=public.SvixConfig(secret=SECRET))
        ),
    ),
    ("ingest.source.list", lambda svix, _: svix.ingest.source.list()),
    ("ingest.source.rotate_token", lambda svix, _: svix.ingest.source.rotate_token("shop")),
    ("ingest.source.delete", lambda svix, _: svix.ingest.source.delete("shop")),
    (
        "authentication.app_portal_access",
        lambda svix, _: svix.authentication.app_portal_access("acme", public.AppPortalAccessIn()),
    ),
    (
        "authentication.expire_all",
        lambda svix, _: svix.authentication.expire_all("acme", public.ApplicationTokenExpireIn()),
    ),
    ("endpoint.delete", lambda svix, _: svix.endpoint.delete("acme", "hooks")),
    ("application.delete", lambda svix, _: svix.application.delete("acme")),
]


async def walk(api: Api, call: Callable[[Callable[[Any, SimpleNamespace], Any], SimpleNamespace], Awaitable[Any]]):
    """Runs every step; `call` runs one with a client."""
    (endpoint,) = api.nicobar.runtime.configuration.snapshot.endpoints
    it = SimpleNamespace(app="default", main=endpoint.id, attempt="", task="")
    for name, step in STEPS:
        answer = await call(step, it)
        if name == "message.create":
            await api.nicobar.next_recorded()
        if name == "message_attempt.list_by_msg":
            it.attempt = answer.data[0].id
        if name == "endpoint.recover":
            it.task = answer.id


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path, HANDLER) as it:
        yield it


def test_every_method_that_has_an_operation_here_is_called():
    offered = {f"{operation.method} {re.sub(r'{[^}]*}', '{}', operation.path)}" for operation in OPERATIONS}
    has = {name for name, calls in methods(public.Svix("token")) if calls in offered}
    # A dashboard link's own token ends its session: see the test below.
    assert {name for name, _ in STEPS} | {"authentication.logout"} == has
    assert len(has) > 60


async def test_the_client_that_waits(api):
    async with async_client(api) as svix:
        await walk(api, lambda step, it: step(svix, it))


async def test_the_client_that_blocks(api):
    with blocking_client(api) as svix:
        await walk(api, lambda step, it: asyncio.to_thread(step, svix, it))


async def test_a_dashboard_link_s_own_token_ends_its_session(api):
    async with async_client(api) as svix:
        link = await svix.authentication.app_portal_access("default", public.AppPortalAccessIn())
    of_link = Api(api.nicobar, api.url, link.token)
    with blocking_client(of_link) as svix:
        assert await asyncio.to_thread(svix.authentication.logout) is None
    assert (await of_link.ask("GET", api.app)).status == 401
