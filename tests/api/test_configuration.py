"""Event types, connectors, sources, tokens and links to the dashboard, by the field's own client."""

from __future__ import annotations

import json

import msgspec
import pytest
from svix.api import (
    ApplicationIn,
    ApplicationTokenExpireIn,
    AppPortalAccessIn,
    EventExampleIn,
    EventTypeDeleteOptions,
    EventTypeImportOpenApiIn,
    EventTypeIn,
    EventTypeListOptions,
    EventTypePatch,
    EventTypeUpsertIn,
    IngestSourceIn,
    SvixAsync,
    SvixConfig,
    SvixOptions,
)
from svix.exceptions import HttpError, HTTPValidationError

from nicobar.crypto import new_webhook_secret
from nicobar.model import Scope
from nicobar.pipeline.configuration import seal_source_secrets
from nicobar.sources.samples import fresh
from nicobar.store import PutSource
from support.api import asking
from support.server import DODO, TYPES
from support.svix_clients import async_client

HANDLER = 'function handler(webhook) { webhook.payload = nicobar.event("paid", {}); return webhook; }'
SPEC = {
    "openapi": "3.1.0",
    "webhooks": {
        "order.placed": {
            "post": {
                "description": "An order.",
                "requestBody": {
                    "content": {"application/json": {"schema": {"type": "object"}, "example": {"type": "order"}}}
                },
            }
        },
        "order.gone": {"post": {"summary": "No order.", "deprecated": True}},
    },
}


async def test_event_types(tmp_path):
    async with asking(tmp_path) as api, async_client(api) as svix:
        listed = await svix.event_type.list(EventTypeListOptions(limit=250))
        assert {entry.name for entry in listed.data} == set(TYPES)
        schemas = {"1": {"type": "object", "title": "Order"}}
        made = await svix.event_type.create(
            EventTypeIn(name="order.placed", description="An order.", schemas=schemas, group_name="order")
        )
        assert (made.name, made.schemas, made.group_name) == ("order.placed", schemas, "order")
        assert (await svix.event_type.get("order.placed")).schemas == schemas
        with pytest.raises(HttpError) as taken:
            await svix.event_type.create(EventTypeIn(name="order.placed", description=""))
        assert taken.value.status_code == 409
        patched = await svix.event_type.patch("order.placed", EventTypePatch(deprecated=True))
        assert (patched.deprecated, patched.description, patched.schemas) == (True, "An order.", schemas)
        replaced = await svix.event_type.upsert("order.placed", EventTypeUpsertIn(description="Ordered."))
        assert (replaced.description, replaced.deprecated, replaced.created_at) == (
            "Ordered.",
            False,
            made.created_at,
        )
        built_in = await svix.event_type.patch("payment.succeeded", EventTypePatch(description="Paid."))
        assert built_in.description == "Paid."
        await svix.event_type.delete("order.placed")
        names = [entry.name for entry in (await svix.event_type.list(EventTypeListOptions(limit=250))).data]
        assert "order.placed" not in names
        archived = await svix.event_type.list(EventTypeListOptions(limit=250, include_archived=True))
        assert next(entry.archived for entry in archived.data if entry.name == "order.placed")
        await svix.event_type.create(EventTypeIn(name="order.placed", description="Again."))
        await svix.event_type.delete("order.placed", EventTypeDeleteOptions(expunge=True))
        with pytest.raises(HttpError) as gone:
            await svix.event_type.get("order.placed")
        assert gone.value.status_code == 404


async def test_event_types_are_imported_from_and_exported_to_openapi(tmp_path):
    async with asking(tmp_path) as api, async_client(api) as svix:
        dry = await svix.event_type.import_openapi(EventTypeImportOpenApiIn(spec=SPEC, dry_run=True))
        assert (dry.data.modified, [item.name for item in dry.data.to_modify or []]) == ([], list(SPEC["webhooks"]))
        done = await svix.event_type.import_openapi(EventTypeImportOpenApiIn(spec_raw=json.dumps(SPEC)))
        assert done.data.modified == ["order.placed", "order.gone"]
        assert (await svix.event_type.get("order.gone")).deprecated
        exported = (await api.ask("GET", "/api/v1/event-type/export/openapi")).body
        webhook = exported["webhooks"]["order.placed"]["post"]["requestBody"]["content"]["application/json"]
        assert webhook == {"schema": {"type": "object"}, "example": {"type": "order"}}
        again = await svix.event_type.import_openapi(EventTypeImportOpenApiIn(spec=exported, replace_all=True))
        assert set(TYPES) < set(again.data.modified)
        for body in ({}, {"spec": {}}, {"specRaw": "openapi: 3.1.0"}, {"spec": {"webhooks": {"a b": {"post": {}}}}}):
            assert (await api.ask("POST", "/api/v1/event-type/import/openapi", body)).status == 422, body


async def test_connectors_say_which_fields_they_need(tmp_path):
    async with asking(tmp_path) as api, async_client(api) as svix:
        listed = await svix.connector.list()
        assert [(entry.uid, entry.kind.value) for entry in listed.data] == [
            ("customerio", "CustomerIO"),
            ("http", "Custom"),
        ]
        assert "function handler" in listed.data[0].transformation
        item = (await api.ask("GET", f"/api/v1/connector/{listed.data[0].id}")).body
        fields = {field["name"]: field for field in item["fields"]}
        assert (fields["api_key"]["kind"], fields["api_key"]["required"]) == ("secret", True)
        assert (fields["region"]["choices"], fields["region"]["default"]) == (["us", "eu"], "us")
        with pytest.raises(HttpError) as none:
            await svix.connector.get("slack")
        assert none.value.status_code == 404


async def test_sources(tmp_path):
    async with asking(tmp_path) as api, async_client(api) as svix:
        secret = new_webhook_secret()
        made = await svix.ingest.source.create(
            IngestSourceIn(name="shop", uid="shop", type="svix", config=SvixConfig(secret=secret))
        )
        assert (made.uid, made.type) == ("shop", "svix")
        dodo = await api.ask(
            "POST", "/ingest/api/v1/source", {"name": "live", "type": "dodo-payments", "config": {"secret": secret}}
        )
        assert (dodo.status, dodo.body["kind"], secret in str(dodo.body)) == (201, "dodo-payments", False)
        listed = await svix.ingest.source.list()
        assert {entry.name for entry in listed.data} == {"dodo", "shop", "live"}
        body = fresh(TYPES["payment.succeeded"], api.nicobar.runtime.clock.now_ms())

        async def post(url: str) -> int:
            url = f"{api.url}{url[url.index('/in/') :]}"
            headers = DODO.sign("evt_1", body, secret, api.nicobar.runtime.clock.now_ms())
            async with api.nicobar.http.post(url, data=body, headers=headers) as answer:
                return answer.status

        assert await post(dodo.body["ingestUrl"]) == 202
        rotated = await svix.ingest.source.rotate_token(dodo.body["id"])
        assert rotated.ingest_url != dodo.body["ingestUrl"]
        assert (await post(dodo.body["ingestUrl"]), await post(rotated.ingest_url)) == (404, 200)
        path = f"/ingest/api/v1/source/{dodo.body['id']}"
        other = {"config": {"secret": new_webhook_secret(), "previousSecret": secret}, "name": "main"}
        patched = await api.ask("PATCH", path, other)
        assert (patched.body["name"], await post(rotated.ingest_url)) == ("main", 200)
        assert (await api.ask("PATCH", path, {"name": "shop"})).status == 409
        assert (await api.ask("PATCH", path, {"metadata": {"a": "b"}})).body["metadata"] == {"a": "b"}
        assert await post(rotated.ingest_url) == 200
        upserted = await svix.ingest.source.upsert(
            "shop", IngestSourceIn(name="shop2", type="svix", config=SvixConfig(secret=secret))
        )
        assert (upserted.id, upserted.name, upserted.ingest_url) == (made.id, "shop2", made.ingest_url)
        await svix.ingest.source.delete(made.id)
        with pytest.raises(HttpError) as gone:
            await svix.ingest.source.get(made.id)
        assert gone.value.status_code == 404
        with pytest.raises(HTTPValidationError) as invalid:
            await svix.ingest.source.create(IngestSourceIn(name="shop", type="github", config={"secret": secret}))
        assert invalid.value.detail[0].loc == ["body", "type"]


async def test_changing_a_source_keeps_the_expiry_of_its_previous_secret(tmp_path):
    async with asking(tmp_path) as api:
        runtime = api.nicobar.runtime
        (source,) = runtime.configuration.snapshot.sources
        secrets = seal_source_secrets(runtime.vault, source.id, (new_webhook_secret(), new_webhook_secret()))
        ended = msgspec.structs.replace(source, sealed_secrets=secrets, older_until_ms=2**41)
        await runtime.store.change([PutSource(source=ended)])
        path = f"/ingest/api/v1/source/{source.id}"
        assert (await api.ask("PATCH", path, {"name": "main"})).status == 200
        (kept,) = (await runtime.store.snapshot()).sources
        assert (kept.name, kept.older_until_ms) == ("main", 2**41)
        sealed = seal_source_secrets(runtime.vault, source.id, ())
        await runtime.store.change([PutSource(source=msgspec.structs.replace(kept, sealed_secrets=sealed))])
        assert (await api.ask("PATCH", path, {"name": "other"})).status == 200


async def test_another_application_s_sources_are_hidden(tmp_path):
    async with asking(tmp_path, HANDLER) as api:
        other = (await api.ask("POST", "/api/v1/app", {"name": "Other", "uid": "other"})).body["id"]
        stranger = await api.make_token(scope=Scope.APPLICATION, app_id=other)
        (source,) = (await api.ask("GET", "/ingest/api/v1/source")).body["data"]
        assert (await api.ask("GET", "/ingest/api/v1/source", token=stranger)).body["data"] == []
        path = f"/ingest/api/v1/source/{source['id']}"
        wanted = {"name": "mine", "type": "svix", "config": {"secret": new_webhook_secret()}}
        for method, more, body in (
            ("GET", "", None),
            ("PUT", "", wanted),
            ("PATCH", "", {"name": "mine"}),
            ("DELETE", "", None),
            ("POST", "/token/rotate", None),
            ("GET", "/log", None),
        ):
            assert (await api.ask(method, f"{path}{more}", body, token=stranger)).status == 404, (method, more)
        mine = await api.ask("POST", "/ingest/api/v1/source", wanted, token=stranger)
        assert (mine.status, mine.body["appId"]) == (201, other)
        foreign = await api.ask("POST", "/ingest/api/v1/source", {**wanted, "appId": api.app_id}, token=stranger)
        assert foreign.status == 404


async def test_a_uid_in_use_reveals_nothing_else_of_its_source(tmp_path):
    async with asking(tmp_path) as api:
        other = (await api.ask("POST", "/api/v1/app", {"name": "Other", "uid": "other"})).body
        mine = await api.make_token(scope=Scope.APPLICATION, app_id=other["id"])
        body = {"name": "shop", "type": "svix", "config": {"secret": new_webhook_secret()}}
        made = await api.ask("PUT", "/ingest/api/v1/source/shop", body)
        assert made.status == 201
        for method, path in (("PUT", "/shop"), ("POST", "")):
            sent = body | ({} if path else {"uid": "shop"})
            taken = await api.ask(method, f"/ingest/api/v1/source{path}", sent, token=mine)
            assert (taken.status, taken.body["code"]) == (409, "conflict")
        by_id = await api.ask("PUT", f"/ingest/api/v1/source/{made.body['id']}", body, token=mine)
        missing = await api.ask("PUT", f"/ingest/api/v1/source/src_{'0' * 27}", body, token=mine)
        assert str(by_id.body).replace(made.body["id"], f"src_{'0' * 27}") == str(missing.body)
        assert (by_id.status, missing.status) == (404, 404)


async def test_a_token_name_is_unique_within_its_application(tmp_path):
    async with asking(tmp_path) as api:
        other = (await api.ask("POST", "/api/v1/app", {"name": "Other", "uid": "other"})).body
        mine = await api.make_token(scope=Scope.APPLICATION, app_id=other["id"])
        path = "/api/v1/auth/app/{}/create-message-token"
        assert (await api.ask("POST", path.format("default"), {"name": "edge"})).status == 200
        assert (await api.ask("POST", path.format("other"), {"name": "edge"}, token=mine)).status == 200
        assert (await api.ask("POST", path.format("other"), {"name": "edge"}, token=mine)).status == 409


async def test_a_dashboard_link_is_limited_to_its_application_and_expires(tmp_path):
    async with asking(tmp_path) as api, async_client(api) as svix:
        access = await svix.authentication.app_portal_access(
            "acme",
            AppPortalAccessIn(application=ApplicationIn(name="Acme"), session_id="s1", expiry=3_600),
        )
        assert access.url == f"{api.url}/app-portal#key={access.token}"
        viewer = SvixAsync(access.token, SvixOptions(server_url=api.url, retry_schedule=[]))
        assert [entry.uid for entry in (await viewer.application.list()).data] == ["acme"]
        with pytest.raises(HttpError) as hidden:
            await viewer.application.get("default")
        assert hidden.value.status_code == 404
        assert (
            await api.ask("POST", "/api/v1/event-type", {"name": "a", "description": ""}, token=access.token)
        ).status == 403
        for method, path, body in (
            ("DELETE", "/api/v1/app/acme", None),
            ("PATCH", "/api/v1/app/acme", {"name": "x"}),
            ("PUT", "/api/v1/app/acme", {"name": "x"}),
            ("POST", "/api/v1/auth/app-portal-access/acme", {}),
            ("POST", "/api/v1/auth/app/acme/expire-all", {}),
        ):
            assert (await api.ask(method, path, body, token=access.token)).status == 403, path
        endpoint = await api.ask(
            "POST", "/api/v1/app/acme/endpoint", {"url": "https://a.example/"}, token=access.token
        )
        assert endpoint.status == 201
        await viewer.authentication.logout()
        with pytest.raises(HttpError) as ended:
            await viewer.application.list()
        assert ended.value.status_code == 401
        await viewer._httpx_client.aclose()
        kept = await svix.authentication.app_portal_access("acme", AppPortalAccessIn(session_id="s2"))
        reader = await svix.authentication.app_portal_access("acme", AppPortalAccessIn(read_only=True))
        assert (await api.ask("PATCH", "/api/v1/app/acme", {"name": "x"}, token=reader.token)).status == 403
        await svix.authentication.expire_all("acme", ApplicationTokenExpireIn(session_ids=["s2"]))
        assert (await api.ask("GET", "/api/v1/app", token=kept.token)).status == 401
        assert (await api.ask("GET", "/api/v1/app", token=reader.token)).status == 200
        await svix.authentication.expire_all("acme", ApplicationTokenExpireIn())
        assert (await api.ask("GET", "/api/v1/app", token=reader.token)).status == 401
        assert (await api.ask("POST", "/api/v1/auth/logout")).status == 403
        assert (await api.ask("GET", api.app)).status == 200


async def test_tokens_are_created_listed_and_revoked(tmp_path):
    async with asking(tmp_path) as api:
        path = "/api/v1/auth/token"
        made = (await api.ask("POST", path, {"name": "reader", "scope": "read_only"})).body
        assert (await api.ask("GET", api.app, token=made["token"])).status == 200
        assert (await api.ask("POST", path, {"name": "reader"})).status == 409
        wrong = await api.ask("POST", path, {"name": "one", "scope": "application"})
        assert wrong.body["detail"][0]["loc"] == ["body", "appId"]
        entry = await api.ask("POST", path, {"name": "one", "scope": "application", "appId": "default"})
        assert (await api.ask("POST", path, {"name": "two"}, token=entry.body["token"])).status == 403
        assert (await api.ask("GET", path, token=entry.body["token"])).status == 403
        listed = (await api.ask("GET", path, token=made["token"])).body["data"]
        assert made["token"] not in str(listed)
        # The use is written before the token that was created later.
        assert next(item for item in listed if item["id"] == made["id"])["lastUsedAt"]
        assert (await api.ask("DELETE", f"{path}/{made['id']}")).status == 204
        assert (await api.ask("GET", api.app, token=made["token"])).status == 401
        audit = (await api.ask("GET", f"/api/v1/audit-log?subject={made['id']}")).body["data"]
        assert [line["action"] for line in audit] == ["token.revoke", "token.create"]


async def test_an_example_goes_to_one_endpoint_only(tmp_path):
    async with asking(tmp_path, HANDLER) as api, async_client(api) as svix:
        (endpoint,) = (await svix.endpoint.list("default")).data
        await api.ask("POST", f"{api.app}/endpoint", {"url": "https://shop.example/"})
        sent = await svix.endpoint.send_example(
            "default", endpoint.id, EventExampleIn(event_type="payment.succeeded")
        )
        assert sent.event_type == "payment.succeeded"
        recorded = await api.nicobar.next_recorded()
        assert recorded.message.id == sent.id
        deliveries = await api.nicobar.runtime.store.deliveries(sent.id)
        assert [delivery.endpoint_id for delivery in deliveries] == [endpoint.id]
        with pytest.raises(HTTPValidationError) as none:
            await svix.endpoint.send_example("default", endpoint.id, EventExampleIn(event_type="nothing"))
        assert none.value.detail[0].loc == ["body", "eventType"]


async def test_the_retry_schedule_can_be_read(tmp_path):
    async with asking(tmp_path) as api:
        read = await api.ask("GET", "/api/v1/event-type/payment.succeeded/retry-schedule")
        waits = [item["secs"] for item in read.body["retrySchedule"]]
        assert (read.status, waits) == (200, [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000])
        assert (await api.ask("GET", "/api/v1/event-type/nothing/retry-schedule")).status == 404


async def test_an_event_type_has_its_own_retry_schedule(tmp_path):
    one = "/api/v1/event-type/payment.succeeded"
    schedule = [{"secs": 1, "nanos": 500_000_000}, {"secs": 86_400, "nanos": 0}]
    async with asking(tmp_path, retry_schedule="7s, 1m") as api:
        default = (await api.ask("GET", f"{one}/retry-schedule")).body
        assert [item["secs"] for item in default["retrySchedule"]] == [7, 60]
        put = await api.ask("PUT", f"{one}/retry-schedule", {"retrySchedule": schedule})
        assert (put.status, put.body) == (200, {"retrySchedule": schedule})
        await api.ask("PATCH", one, {"description": "A payment."})
        assert (await api.ask("GET", f"{one}/retry-schedule")).body == put.body, "a changed description keeps it"
        assert (await api.ask("GET", one)).body["example"], "the event type keeps its example"
        none = await api.ask("PUT", f"{one}/retry-schedule", {"retrySchedule": []})
        assert none.body == {"retrySchedule": []}
        assert (await api.ask("GET", f"{one}/retry-schedule")).body == none.body
        removed = await api.ask("PUT", f"{one}/retry-schedule", {"retrySchedule": None})
        assert removed.body == {"retrySchedule": None}
        assert (await api.ask("GET", f"{one}/retry-schedule")).body == default
        for invalid in (
            [{"secs": 0, "nanos": 5}],
            [{"secs": 86_401, "nanos": 0}],
            [{"secs": 86_400, "nanos": 0}] * 8,
        ):
            refused = await api.ask("PUT", f"{one}/retry-schedule", {"retrySchedule": invalid})
            (detail,) = refused.body["detail"]
            assert (refused.status, detail["loc"]) == (422, ["body", "retrySchedule"])
            assert detail["type"] == "retry_schedule_invalid"
        unknown = "/api/v1/event-type/nothing/retry-schedule"
        assert (await api.ask("PUT", unknown, {"retrySchedule": None})).status == 404


async def test_code_is_simulated_without_an_endpoint(tmp_path):
    async with asking(tmp_path) as api:
        code = (
            "function handler(webhook) { webhook.url += webhook.env.PATH; webhook.payload = {a: 1}; return webhook; }"
        )
        body = {"code": code, "eventType": "a.b", "payload": {}, "variables": {"PATH": "hooks"}}
        ran = await api.ask("POST", "/api/v1/connector/simulate", body)
        assert (ran.status, ran.body["url"], ran.body["payload"]) == (200, "https://example.com/hooks", '{"a":1}')
        assert (ran.body["method"], ran.body["cancel"]) == ("POST", False)
        refused = await api.ask("POST", "/api/v1/connector/simulate", body | {"connector": "customerio"})
        assert (refused.body["cancel"], refused.body["state"]) == (True, "failed")
        assert "error" in {item["level"] for item in refused.body["verdicts"]}
        assert (await api.ask("POST", "/api/v1/connector/simulate", body | {"connector": "x"})).status == 422


async def test_code_is_simulated_in_a_state_of_the_ledger(tmp_path):
    async with asking(tmp_path) as api:
        code = "function handler(webhook) { webhook.payload = webhook.customer; return webhook; }"
        payload = {"type": "payment.succeeded", "data": {"customer_id": "cus_1"}}
        body = {"code": code, "eventType": "payment.succeeded", "payload": payload}
        for state, status, complete in (("trial", "trialing", True), ("history_unknown", "none", False)):
            ran = await api.ask("POST", "/api/v1/connector/simulate", body | {"ledgerState": state})
            read = ran.body["snapshot"]["customer"]
            assert (read["status"], read["history_complete"]) == (status, complete)
        assert (await api.ask("POST", "/api/v1/connector/simulate", body | {"ledgerState": "rich"})).status == 422
