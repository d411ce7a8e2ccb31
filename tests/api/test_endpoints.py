"""Endpoints and what belongs to them, by the field's own client and by plain requests."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook
from svix.api import (
    BulkReplayIn,
    EndpointHeadersIn,
    EndpointHeadersPatchIn,
    EndpointIn,
    EndpointPatch,
    EndpointSecretRotateIn,
    EndpointTransformationPatch,
    EndpointUpsertIn,
    RecoverIn,
    ReplayIn,
)
from svix.exceptions import HttpError, HTTPValidationError

from nicobar.connectors import Origin
from nicobar.connectors.http import HttpEndpoint
from nicobar.connectors.signing_secrets import rotated
from nicobar.crypto import WebhookKey, new_webhook_secret
from nicobar.model import Call, Scope
from nicobar.reasons import plain
from nicobar.sources.samples import fresh
from nicobar.store import PauseEndpoint
from support.api import Api, asking
from support.server import ADA, TYPES
from support.svix_clients import async_client

HANDLER = 'function handler(webhook) { webhook.payload = nicobar.event("paid", {}); return webhook; }'
NEW_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
CUSTOMERIO = {"kind": "customerio", "config": {"site_id": "site", "api_key": "key", "region": "eu"}}


async def test_an_endpoint_is_created_changed_and_deleted(tmp_path):
    async with asking(tmp_path) as api, async_client(api) as svix:
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
                headers={"X-Shop": "1", "Authorization": "Bearer abc"},
            ),
        )
        assert (made.uid, made.url, made.channels) == ("shop", "https://shop.example/hooks", ["eu"])
        assert await svix.endpoint.get("default", "shop") == made
        patched = await svix.endpoint.patch("default", "shop", EndpointPatch(disabled=True))
        assert (patched.disabled, patched.description, patched.throttle_rate) == (True, "The shop", 10)
        changed = EndpointUpsertIn(url="https://shop.example/other", uid="shop")
        updated = await svix.endpoint.upsert("default", "shop", changed)
        assert (updated.id, updated.url, updated.event_types) == (made.id, "https://shop.example/other", None)
        headers = await svix.endpoint.get_headers("default", "shop")
        assert (headers.headers, list(headers.sensitive)) == ({}, ["X-Shop", "Authorization"])
        other = await svix.endpoint.upsert("default", "new-one", EndpointUpsertIn(url="https://new.example/"))
        assert other.uid == "new-one"
        assert [entry.id for entry in (await svix.endpoint.list("default")).data] == [other.id, made.id]
        await svix.endpoint.delete("default", "shop")
        assert [entry.id for entry in (await svix.endpoint.list("default")).data] == [other.id]
        with pytest.raises(HttpError) as taken:
            await svix.endpoint.create("default", EndpointIn(url="https://x.example/", uid="new-one"))
        assert taken.value.status_code == 409
        with pytest.raises(HTTPValidationError) as invalid:
            await svix.endpoint.create("default", EndpointIn(url="ftp://x.example/"))
        assert invalid.value.detail[0].loc == ["body", "url"]


async def test_a_new_endpoint_has_default_code_and_hides_credentials(tmp_path):
    async with asking(tmp_path) as api:
        made = await api.ask("POST", f"{api.app}/endpoint", {"connector": CUSTOMERIO, "name": "journeys"})
        assert made.status == 201
        assert made.body["connector"] == {
            "kind": "customerio",
            "config": {"site_id": "***", "api_key": "***", "region": "eu"},
        }
        assert made.body["url"] == "https://track-eu.customer.io/api/v2/entity"
        item = f"{api.app}/endpoint/{made.body['id']}"
        assert (await api.ask("GET", f"{item}/connector")).body["uid"] == "customerio"
        code = await api.ask("GET", f"{item}/transformation")
        assert "function handler" in code.body["code"]
        assert (code.body["enabled"], code.body["version"]) == (True, 1)
        moved = {"connector": {"kind": "customerio", "config": {**made.body["connector"]["config"], "region": "us"}}}
        patched = await api.ask("PATCH", item, moved)
        assert (patched.status, patched.body["url"]) == (200, "https://track.customer.io/api/v2/entity")
        missing = {"connector": {"kind": "customerio", "config": {"site_id": "site"}}}
        refused = await api.ask("POST", f"{api.app}/endpoint", missing)
        assert (refused.status, refused.body["detail"][0]["type"]) == (422, "field_missing")
        assert (await api.ask("GET", f"{item}/secret")).status == 404
        unused = await api.ask("PUT", f"{item}/headers", {"headers": {"a": "b"}})
        assert (unused.status, unused.body["detail"][0]["type"]) == (422, "headers_unsupported")
        assert (await api.ask("POST", f"{api.app}/endpoint", {})).body["detail"][0]["loc"] == ["body", "url"]


async def test_after_rotation_both_secrets_sign_for_a_while(tmp_path):
    async with asking(tmp_path) as api, async_client(api) as svix:
        made = await svix.endpoint.create("default", EndpointIn(url="https://shop.example/hooks"))
        first = (await svix.endpoint.get_secret("default", made.id)).key
        await svix.endpoint.rotate_secret("default", made.id, EndpointSecretRotateIn(key=NEW_SECRET))
        assert (await svix.endpoint.get_secret("default", made.id)).key == NEW_SECRET
        runtime = api.nicobar.runtime
        (opened,) = runtime.configuration.endpoints.values()
        now_ms = runtime.clock.now_ms()
        assert _signed_by(opened.destination, now_ms, first, NEW_SECRET) == [True, True]
        assert _signed_by(opened.destination, now_ms + 86_401_000, first, NEW_SECRET) == [False, True]
        await svix.endpoint.rotate_secret("default", made.id, EndpointSecretRotateIn(grace_period_seconds=0))
        (opened,) = runtime.configuration.endpoints.values()
        assert _signed_by(opened.destination, now_ms, first, NEW_SECRET) == [True, False]
        reader = await api.make_token(scope=Scope.READ_ONLY)
        assert (await api.ask("GET", f"{api.app}/endpoint/{made.id}/secret", token=reader)).status == 403


async def test_an_endpoint_signs_with_ed25519_and_shows_its_public_key(tmp_path):
    async with asking(tmp_path) as api:
        given = {"url": "https://shop.example/hooks", "signature": "ed25519"}
        made = await api.ask("POST", f"{api.app}/endpoint", given)
        path = f"{api.app}/endpoint/{made.body['id']}"
        public = (await api.ask("GET", f"{path}/secret")).body["key"]
        assert (public[:5], "whsk_" in str(made.body)) == ("whpk_", False)
        other = (await api.ask("POST", f"{path}/secret/rotate", {})).body["key"]
        assert (other[:5], other == public) == ("whpk_", False)
        assert _versions(api) == ["v1a", "v1a"]
        shared = (await api.ask("POST", f"{path}/secret/rotate", {"signature": "hmac"})).body["key"]
        assert (shared[:6], _versions(api)) == ("whsec_", ["v1", "v1a", "v1a"])
        private = new_webhook_secret(ed25519=True)
        mine = await api.ask("POST", f"{path}/secret/rotate", {"key": private, "gracePeriodSeconds": 0})
        assert mine.body == {"key": WebhookKey(private).public_key}
        refused = await api.ask("POST", f"{path}/secret/rotate", {"key": private, "signature": "hmac"})
        assert (refused.status, refused.body["detail"][0]["type"]) == (422, "secret_scheme")
        for malformed in ("whpk_" + "A" * 43, "whsk_" + "A" * 40):
            refused = await api.ask("POST", f"{path}/secret/rotate", {"key": malformed})
            assert (refused.status, refused.body["detail"][0]["loc"]) == (422, ["body", "key"])


def _versions(api) -> list[str]:
    """The versions of the signatures of a request sent now."""
    (opened,) = api.nicobar.runtime.configuration.endpoints.values()
    now_ms = api.nicobar.runtime.clock.now_ms()
    origin = Origin(message_id="msg_1", endpoint_id="ep_1", occurred_at_ms=now_ms, now_ms=now_ms, customer=None)
    call = Call(method="POST", url=opened.destination.url, headers={}, payload={})
    (ready,) = opened.destination.prepare([call], origin).calls
    return [item.partition(",")[0] for item in ready.headers["webhook-signature"].split()]


def test_of_many_rotations_the_latest_secrets_are_kept():
    text = "whsec_" + "A" * 32
    for number in range(6):
        text = rotated(text, f"whsec_{number}" + "B" * 31, now_ms=number, until_ms=100)
    assert [part[6] for part in text.split()] == ["5", "4", "3", "2"]


def _signed_by(destination, now_ms, *secrets):
    prepared = destination.prepare(
        [Call(method="POST", url=destination.url, headers={}, payload={"a": 1})],
        Origin(message_id="msg_1", endpoint_id="ep_1", occurred_at_ms=now_ms, now_ms=now_ms, customer=None),
    )
    headers = prepared.calls[0].headers
    at = datetime.fromtimestamp(now_ms // 1000, UTC)
    (call,) = prepared.calls
    expected = [Webhook(secret).sign(call.headers["webhook-id"], at, call.body.decode()) for secret in secrets]
    return [item in headers["webhook-signature"].split(" ") for item in expected]


async def test_headers_are_set_changed_and_sent(tmp_path):
    async with asking(tmp_path) as api, async_client(api) as svix:
        made = await svix.endpoint.create("default", EndpointIn(url="https://shop.example/hooks"))
        await svix.endpoint.set_headers(
            "default", made.id, EndpointHeadersIn(headers={"x-shop": "1", "x-api-key": "secret"})
        )
        shown = await svix.endpoint.get_headers("default", made.id)
        assert (shown.headers, list(shown.sensitive)) == ({}, ["x-shop", "x-api-key"])
        await svix.endpoint.patch_headers(
            "default",
            made.id,
            EndpointHeadersPatchIn(headers={"X-Shop": "2", "x-more": "3"}, delete_headers=["x-none"]),
        )
        (opened,) = api.nicobar.runtime.configuration.endpoints.values()
        call = Call(method="POST", url=made.url, headers={}, payload={})
        origin = Origin(message_id="m", endpoint_id="e", occurred_at_ms=0, now_ms=0, customer=None)
        sent = opened.destination.prepare([call], origin).calls[0].headers
        assert {name: sent[name] for name in ("x-shop", "x-more", "x-api-key")} == {
            "x-shop": "2",
            "x-more": "3",
            "x-api-key": "secret",
        }
        ours = await api.ask("PUT", f"{api.app}/endpoint/{made.id}/headers", {"headers": {"Webhook-Signature": "x"}})
        assert (ours.status, ours.body["detail"][0]["type"]) == (422, "header_invalid")


def test_the_handler_s_header_overrides_the_operator_s():
    opened = HttpEndpoint().open({"url": "https://a.example/"}, {"secret": NEW_SECRET}, {"x-a": "1", "x-b": "2"})
    call = Call(method="POST", url="https://a.example/", headers={"X-B": "3"}, payload={})
    origin = Origin(message_id="m", endpoint_id="e", occurred_at_ms=0, now_ms=0, customer=None)
    headers = opened.prepare([call], origin).calls[0].headers
    assert (headers["x-a"], headers["x-b"]) == ("1", "3")


async def test_code_becomes_a_version_and_can_be_compared_and_restored(tmp_path):
    async with asking(tmp_path) as api, async_client(api) as svix:
        made = await svix.endpoint.create("default", EndpointIn(url="https://shop.example/hooks"))
        none = await svix.endpoint.transformation.get("default", made.id)
        assert (none.code, none.enabled) == (None, False)
        for code in (HANDLER, HANDLER.replace("paid", "bought")):
            await svix.endpoint.transformation.patch(
                "default", made.id, EndpointTransformationPatch(code=code, enabled=True, variables={"PLAN": "pro"})
            )
        shown = await svix.endpoint.transformation.get("default", made.id)
        assert (shown.code, shown.enabled, shown.variables) == (code, True, {"PLAN": "pro"})
        path = f"{api.app}/endpoint/{made.id}/transformation"
        versions = (await api.ask("GET", f"{path}/version")).body["data"]
        assert [version["version"] for version in versions] == [2, 1]
        diff = (await api.ask("GET", f"{path}/version/2/diff")).body
        assert (
            diff["against"],
            '-function handler(webhook) { webhook.payload = nicobar.event("paid"' in diff["diff"],
        ) == (
            1,
            True,
        )
        restored = await api.ask("POST", f"{path}/version/1/restore")
        assert (restored.body["version"], restored.body["code"]) == (3, HANDLER)
        assert (await api.ask("GET", f"{path}/version/1")).body["code"] == HANDLER
        assert (await api.ask("GET", f"{path}/version/9")).status == 404
        with pytest.raises(HTTPValidationError) as invalid:
            await svix.endpoint.transformation.patch(
                "default", made.id, EndpointTransformationPatch(code="function handler(webhook) {\n  return )\n}")
            )
        assert invalid.value.detail[0].loc == ["body", "code"]
        assert "line 2" in invalid.value.detail[0].msg
        off = await api.ask("PATCH", path, {"code": None})
        assert off.status == 204
        assert (await svix.endpoint.transformation.get("default", made.id)).enabled is False


async def test_a_dry_run_of_code_shows_the_contract_s_verdicts(tmp_path):
    async with asking(tmp_path) as api:
        made = await api.ask("POST", f"{api.app}/endpoint", {"connector": CUSTOMERIO})
        path = f"{api.app}/endpoint/{made.body['id']}/transformation/simulate"
        payload = {
            "type": "payment.succeeded",
            "data": {"customer": {"customer_id": "cus_ada", "email": "ada@northpine.example"}},
        }
        dry_run = {"code": HANDLER, "eventType": "payment.succeeded", "payload": payload}
        ready = await api.ask("POST", path, dry_run)
        assert (ready.status, ready.body["cancel"], ready.body["state"]) == (200, False, "ready")
        assert any('"name":"paid"' in call["payload"] for call in ready.body["calls"])
        unknown = HANDLER.replace("webhook.payload = nicobar.event", "console.log(webhook.env.A);\n nope")
        failed = await api.ask("POST", path, {**dry_run, "code": unknown, "variables": {"A": "b"}})
        assert (failed.body["state"], failed.body["line"], failed.body["console"]) == ("failed", 2, ["b"])
        reader = await api.make_token(scope=Scope.APPLICATION_READ_ONLY, app_id=api.app_id)
        assert (await api.ask("POST", path, dry_run, token=reader)).status == 403


async def test_failed_deliveries_are_counted_and_replayed(tmp_path):
    async with asking(tmp_path, "function handler() { throw new Error('no') }") as api, async_client(api) as svix:
        (endpoint,) = (await svix.endpoint.list("default")).data
        _, answer = await api.nicobar.send_sample("payment.succeeded", "evt_1")
        await api.nicobar.next_recorded()
        since = datetime.now(UTC) - timedelta(hours=1)
        path = f"{api.app}/endpoint/{endpoint.id}"
        counted = await api.ask("POST", f"{path}/recover?dry_run=true", {"since": since.isoformat()})
        assert (counted.status, counted.body["deliveries"], counted.body["customers"]) == (200, 1, 1)
        await svix.endpoint.transformation.patch("default", endpoint.id, EndpointTransformationPatch(code=HANDLER))
        task = await svix.endpoint.recover("default", endpoint.id, RecoverIn(since=since))
        assert (task.status.value, task.task.value) == ("running", "endpoint.recover")
        recorded = await api.nicobar.next_recorded()
        assert recorded.message.id == answer["id"]
        missing = await svix.endpoint.replay_missing("default", endpoint.id, ReplayIn(since=since))
        bulk = await svix.endpoint.bulk_replay("default", endpoint.id, BulkReplayIn(since=since, status=0))
        assert len({task.id, missing.id, bulk.id}) == 3
        waiting = await api.ask("POST", f"{path}/bulk-replay", {"since": since.isoformat(), "status": 1})
        assert (waiting.status, waiting.body["detail"][0]["loc"]) == (422, ["body", "status"])


async def test_an_endpoint_is_paused_inspected_canceled_and_resumed(tmp_path):
    async with asking(tmp_path, HANDLER) as api:
        endpoint = (await api.ask("GET", f"{api.app}/endpoint")).body["data"][0]
        path = f"{api.app}/endpoint/{endpoint['id']}"
        assert (await api.ask("POST", f"{path}/pause", {"reason": "moving house"})).status == 204
        await asyncio.gather(*(_send(api, number) for number in range(3)))
        queue = (await api.ask("GET", f"{path}/queue")).body
        assert (queue["unfinished"], queue["pausedReason"], queue["breaker"]["state"]) == (
            3,
            "moving house",
            "closed",
        )
        canceled = await api.ask("POST", f"{path}/cancel-pending")
        assert canceled.body == {"canceled": 3, "done": True}
        assert (await api.ask("POST", f"{path}/resume")).status == 204
        assert (await api.ask("GET", path)).body["pausedReason"] is None
        audit = (await api.ask("GET", f"/api/v1/audit-log?subject={endpoint['id']}")).body["data"]
        assert [item["action"] for item in audit] == ["endpoint.resume", "endpoint.cancel-pending", "endpoint.pause"]


async def test_new_credentials_end_a_hold_but_no_manual_pause(tmp_path):
    async with asking(tmp_path) as api:
        made = await api.ask("POST", f"{api.app}/endpoint", {"name": "shop", "url": "https://shop.example/"})
        path = f"{api.app}/endpoint/{made.body['id']}"

        async def paused() -> object:
            return (await api.ask("GET", path)).body["pausedReason"]

        change = PauseEndpoint(endpoint_id=made.body["id"], reason=plain("401"))
        for method, of, body in (
            ("PATCH", "", {"connector": {"kind": "http", "config": {"secret": new_webhook_secret()}}}),
            ("POST", "/secret/rotate", {}),
            ("PUT", "/headers", {"headers": {"authorization": "Bearer another"}}),
        ):
            await api.nicobar.runtime.store.change([change])
            assert (await api.ask("PATCH", path, {"description": "the shop"})).status == 200
            assert await paused() == "401"
            assert (await api.ask(method, f"{path}{of}", body)).status in {200, 204}
            assert await paused() is None, of
        await api.ask("POST", f"{path}/pause", {"reason": "moving house"})
        await api.ask("POST", f"{path}/secret/rotate", {})
        assert await paused() == "moving house"


async def _send(api: Api, number: int) -> None:
    body = fresh(TYPES["payment.succeeded"], api.nicobar.runtime.clock.now_ms(), ADA)
    await api.nicobar.send(body, f"evt_{number}")


async def test_another_application_s_token_sees_no_part_of_an_endpoint(tmp_path):
    async with asking(tmp_path, HANDLER) as api:
        await api.ask("POST", "/api/v1/app", {"name": "Other", "uid": "other"})
        other_id = (await api.ask("GET", "/api/v1/app/other")).body["id"]
        stranger = await api.make_token(scope=Scope.APPLICATION, app_id=other_id)
        endpoint = (await api.ask("GET", f"{api.app}/endpoint")).body["data"][0]["id"]
        since = {"since": "2026-01-01T00:00:00Z"}
        for method, path, body in (
            ("GET", "", None),
            ("PUT", "", {"url": "https://a.example/"}),
            ("PATCH", "", {"disabled": True}),
            ("DELETE", "", None),
            ("GET", "/secret", None),
            ("POST", "/secret/rotate", {}),
            ("GET", "/headers", None),
            ("PUT", "/headers", {"headers": {}}),
            ("PATCH", "/headers", {"headers": {}}),
            ("GET", "/transformation", None),
            ("PATCH", "/transformation", {"enabled": False}),
            ("POST", "/transformation/simulate", {"code": HANDLER, "eventType": "a", "payload": {}}),
            ("GET", "/transformation/version", None),
            ("POST", "/transformation/version/1/restore", None),
            ("POST", "/recover", since),
            ("POST", "/replay-missing", since),
            ("POST", "/bulk-replay", since),
            ("GET", "/queue", None),
            ("POST", "/pause", {}),
            ("POST", "/resume", None),
            ("POST", "/cancel-pending", None),
        ):
            for app in (api.app, "/api/v1/app/other"):
                answer = await api.ask(method, f"{app}/endpoint/{endpoint}{path}", body, token=stranger)
                assert answer.status == 404, (method, path, answer)
        assert (await api.ask("GET", f"{api.app}/endpoint/{endpoint}")).body["disabled"] is False


async def test_code_that_is_switched_off_does_not_run(tmp_path):
    async with asking(tmp_path, HANDLER) as api:
        endpoint = (await api.ask("GET", f"{api.app}/endpoint")).body["data"][0]["id"]
        path = f"{api.app}/endpoint/{endpoint}/transformation"
        assert (await api.ask("PATCH", path, {"enabled": False})).status == 204
        await api.nicobar.send_sample("payment.succeeded", "evt_1")
        recorded = await api.nicobar.next_recorded()
        assert (recorded.attempt.state.value, str(recorded.attempt.reason)) == ("canceled", "not handled")
