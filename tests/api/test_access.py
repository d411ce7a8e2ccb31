"""Permissions, rate limits and idempotency."""

from __future__ import annotations

import asyncio

from nicobar.model import Scope
from nicobar.store import PutToken
from support.api import asking


async def test_without_a_valid_token_everything_is_401_and_alike(tmp_path):
    async with asking(tmp_path) as api:
        now_ms = api.nicobar.runtime.clock.now_ms()
        expired = await api.make_token(expires_at_ms=now_ms)
        revoked = await api.make_token(revoked_at_ms=now_ms)
        answers = [
            await api.ask(method, path, token=token)
            for token in ("", "nbr_unknown", expired, revoked)
            for method, path in (("GET", api.app), ("GET", "/api/v1/nothing"), ("DELETE", "/api/v1/app/acme"))
        ]
    assert {answer.status for answer in answers} == {401}
    assert len({str(answer.body) for answer in answers}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}


async def test_a_token_of_one_application_finds_no_other(tmp_path):
    async with asking(tmp_path) as api:
        other = (await api.ask("POST", "/api/v1/app", {"name": "Other", "uid": "other"})).body
        mine = await api.make_token(scope=Scope.APPLICATION, app_id=api.app_id)
        listed = await api.ask("GET", "/api/v1/app", token=mine)
        assert [item["uid"] for item in listed.body["data"]] == ["default"]
        assert (await api.ask("GET", api.app, token=mine)).status == 200
        for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("PUT", {"name": "x"}), ("DELETE", None)):
            hidden = await api.ask(method, "/api/v1/app/other", body, token=mine)
            missing = await api.ask(method, "/api/v1/app/none", body, token=mine)
            assert str(hidden.body) == str(missing.body).replace("none", "other"), method
            assert (hidden.status, missing.status) == (404, 404)
        assert (await api.ask("POST", "/api/v1/app", {"name": "New"}, token=mine)).status == 403
        assert (await api.ask("GET", "/api/v1/app/other")).body == other


async def test_a_reading_token_changes_nothing(tmp_path):
    async with asking(tmp_path) as api:
        reader = await api.make_token(scope=Scope.READ_ONLY)
        assert (await api.ask("GET", api.app, token=reader)).status == 200
        for path in (api.app, "/api/v1/app/none"):
            refused = await api.ask("PATCH", path, {"name": "x"}, token=reader)
            assert (refused.status, refused.body["code"]) == (403, "forbidden")
        assert (await api.ask("GET", api.app)).body["name"] == "default"


async def test_a_message_token_can_only_create_messages(tmp_path):
    async with asking(tmp_path) as api:
        await api.ask("POST", "/api/v1/app", {"name": "Other", "uid": "other"})
        path = "/api/v1/auth/app/default/create-message-token"
        made = await api.ask("POST", path, {"name": "edge", "expiry": 60})
        assert (made.status, made.body["name"], made.body["scopes"]) == (200, "edge", ["application_messages"])
        token = made.body["token"]
        event = {"eventType": "a.b", "payload": {}}
        sent = await api.ask("POST", f"{api.app}/msg", event, token=token)
        assert sent.status == 202
        assert (await api.ask("POST", "/api/v1/app/other/msg", event, token=token)).status == 404
        for method, other in (
            ("GET", f"{api.app}/msg/{sent.body['id']}"),
            ("GET", api.app),
            ("GET", "/api/v1/event-type"),
            ("GET", "/ingest/api/v1/source"),
            ("POST", path),
            ("POST", f"{api.app}/msg/search"),
            ("PATCH", api.app),
        ):
            assert (await api.ask(method, other, {}, token=token)).status == 403, other
        listed = (await api.ask("GET", "/api/v1/auth/token?limit=1")).body["data"]
        assert [(item["id"], item["scope"], item["appId"]) for item in listed] == [
            (made.body["id"], "application_messages", api.app_id)
        ]
        assert (await api.ask("POST", path, {"name": "edge"})).status == 409
        assert (await api.ask("DELETE", f"/api/v1/auth/token/{made.body['id']}")).status == 204
        assert (await api.ask("POST", f"{api.app}/msg", event, token=token)).status == 401


async def test_a_token_s_last_use_is_stored_once_a_minute(tmp_path):
    async with asking(tmp_path) as api:
        store = api.nicobar.runtime.store
        await api.ask("GET", api.app)
        await store.check()  # no request waits for it; writes keep their order
        (token,) = await store.tokens()
        used_at_ms = token.last_used_at_ms
        assert used_at_ms is not None
        await api.ask("GET", api.app)
        await store.check()
        assert [token.last_used_at_ms for token in await store.tokens()] == [used_at_ms]
        await store.touch_token(token.id, at_ms=used_at_ms - 60_000)
        await api.ask("GET", api.app)
        await store.check()
        assert next(token.last_used_at_ms or 0 for token in await store.tokens()) >= used_at_ms
        await store.change([PutToken(token=token)])


async def test_too_many_requests_are_429_and_say_when(tmp_path):
    async with asking(tmp_path, max_api_requests_per_s=1) as api:
        answers = [await api.ask("GET", api.app) for _ in range(20)]
    refused = [answer for answer in answers if answer.status != 200]
    assert answers[0].status == 200
    assert refused
    assert {(answer.status, answer.body["code"]) for answer in refused} == {(429, "too_many_requests")}
    assert {answer.headers["retry-after"] for answer in refused} <= {"1", "2"}


async def test_the_same_key_and_request_are_done_once(tmp_path):
    async with asking(tmp_path) as api:
        first = await api.ask("POST", "/api/v1/app", {"name": "Acme"}, idempotency_key="one")
        again = await api.ask("POST", "/api/v1/app", {"name": "Acme"}, idempotency_key="one")
        assert (first.status, again.status, again.body) == (201, 201, first.body)
        assert again.headers["idempotency-replayed"] == "true"
        other = await api.ask("POST", "/api/v1/app", {"name": "Other"}, idempotency_key="one")
        assert (other.status, other.body["code"]) == (409, "idempotency_key_reused")
        elsewhere = await api.ask(
            "POST", "/api/v1/app", {"name": "Acme"}, idempotency_key="one", token=await api.make_token()
        )
        assert elsewhere.body["id"] != first.body["id"]
        listed = await api.ask("GET", "/api/v1/app")
        assert len(listed.body["data"]) == 3


async def test_stored_answers_contain_no_readable_secret(tmp_path):
    async with asking(tmp_path) as api:
        made = await api.ask("POST", "/api/v1/auth/token", {"name": "ci"}, idempotency_key="one")
        token = made.body["token"]
        again = await api.ask("POST", "/api/v1/auth/token", {"name": "ci"}, idempotency_key="one")
        assert again.body == made.body
        files = [path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("nicobar.db")]
        assert files
        assert not any(token.encode() in content for content in files)


async def test_a_rejected_request_can_be_retried_with_its_key(tmp_path):
    async with asking(tmp_path) as api:
        await api.ask("POST", "/api/v1/app", {"name": "Acme", "uid": "acme"})
        body = {"name": "Second", "uid": "acme"}
        assert (await api.ask("POST", "/api/v1/app", body, idempotency_key="one")).status == 409
        await api.ask("DELETE", "/api/v1/app/acme")
        assert (await api.ask("POST", "/api/v1/app", body, idempotency_key="one")).status == 201


async def test_only_one_of_parallel_requests_with_one_key_runs(tmp_path):
    async with asking(tmp_path) as api:
        answers = await asyncio.gather(
            *(api.ask("POST", "/api/v1/app", {"name": "Acme"}, idempotency_key="one") for _ in range(8))
        )
        listed = await api.ask("GET", "/api/v1/app")
    assert len(listed.body["data"]) == 2
    assert {answer.status for answer in answers} <= {201, 409}


async def test_without_the_key_a_request_with_an_idempotency_key_has_no_effect(tmp_path):
    async with asking(tmp_path) as api:
        vault = api.nicobar.runtime.vault
        key_id = vault.key_id
        body = {"eventType": "a.b", "payload": {}}
        vault.seal_with("00" * 16, names_keys=True)
        refused = await api.ask("POST", f"{api.app}/msg", body, idempotency_key="one")
        assert (refused.status, refused.body["code"]) == (500, "key_replaced")
        vault.seal_with(key_id, names_keys=True)
        assert (await api.ask("GET", f"{api.app}/msg")).body["data"] == []
        assert (await api.ask("POST", f"{api.app}/msg", body, idempotency_key="one")).status == 202


async def test_an_unanswered_idempotency_key_has_status_0(tmp_path):
    async with asking(tmp_path) as api:
        store, now_ms = api.nicobar.runtime.store, api.nicobar.runtime.clock.now_ms()
        (token,) = await store.tokens()
        assert await store.begin_answer(token.id, "one", "hash", now_ms=now_ms, before_ms=0) is None
        kept = await store.begin_answer(token.id, "one", "hash", now_ms=now_ms, before_ms=0)
        assert kept is not None
        assert kept.status == 0
        assert await store.begin_answer(token.id, "one", "other", now_ms=now_ms, before_ms=now_ms + 1) is None


async def test_large_and_broken_bodies_are_rejected(tmp_path):
    async with asking(tmp_path, max_api_body_bytes=2_000) as api:
        large = await api.ask("POST", "/api/v1/app", {"name": "x" * 3_000})
        assert (large.status, large.body["code"]) == (413, "body_too_large")
        assert "raise the setting max_api_body_bytes." in large.body["detail"]
        broken = await api.ask("POST", "/api/v1/app", b'{"name":')
        assert (broken.status, broken.body["code"]) == (400, "request_invalid")
        wrong = await api.ask("POST", "/api/v1/app", {"name": 1})
        assert wrong.status == 422
        assert [(item["loc"], item["type"]) for item in wrong.body["detail"]] == [(["body", "name"], "value_error")]
        unknown = await api.ask("GET", "/api/v1/app?limit=251")
        assert (unknown.status, unknown.body["detail"][0]["loc"]) == (422, ["query", "limit"])
        assert (await api.ask("TRACE", "/api/v1/app")).status == 405


async def test_a_list_is_paged_in_both_directions(tmp_path):
    async with asking(tmp_path) as api:
        for number in range(6):
            await api.ask("POST", "/api/v1/app", {"name": f"{number}", "uid": f"{number}"})
        everything = [item["uid"] for item in (await api.ask("GET", "/api/v1/app?order=ascending")).body["data"]]
        assert [uid for uid in everything if uid != "default"] == ["0", "1", "2", "3", "4", "5"]
        forwards, iterator = [], ""
        while True:
            page = (await api.ask("GET", f"/api/v1/app?limit=3&order=ascending{iterator}")).body
            forwards.append([item["uid"] for item in page["data"]])
            if page["done"]:
                break
            iterator = f"&iterator={page['iterator']}"
        assert forwards == [everything[:3], everything[3:6], everything[6:]]
        back = (await api.ask("GET", f"/api/v1/app?limit=3&order=ascending&iterator={page['prevIterator']}")).body
        assert ([item["uid"] for item in back["data"]], back["done"]) == (everything[3:6], False)
        first = (await api.ask("GET", f"/api/v1/app?limit=3&order=ascending&iterator={back['prevIterator']}")).body
        assert ([item["uid"] for item in first["data"]], first["done"]) == (everything[:3], True)
        newest = (await api.ask("GET", "/api/v1/app?limit=2")).body
        assert [item["uid"] for item in newest["data"]] == everything[:-3:-1]
        broken = await api.ask("GET", "/api/v1/app?iterator=nonsense")
        assert (broken.status, broken.body["detail"][0]["loc"]) == (422, ["query", "iterator"])


async def test_bodies_and_times_are_read_unchanged(tmp_path):
    async with asking(tmp_path) as api:
        number = await api.ask("PATCH", "/api/v1/event-type/payment.succeeded", {"deprecated": 0})
        assert (number.status, number.body["detail"][0]["loc"]) == (422, ["body", "deprecated"])
        nested = await api.ask("POST", "/api/v1/app", {"name": "a", "metadata": {"a": 1}})
        assert (nested.status, nested.body["detail"][0]["loc"][:2]) == (422, ["body", "metadata"])
        time = await api.ask("GET", f"{api.app}/msg?before=0.5")
        assert (time.status, time.body["detail"][0]["loc"]) == (422, ["query", "before"])


async def test_options_names_the_methods_of_a_path(tmp_path):
    async with asking(tmp_path) as api:
        answer = await api.ask("OPTIONS", api.app)
    assert (answer.status, answer.headers["allow"]) == (204, "DELETE, GET, OPTIONS, PATCH, PUT")
