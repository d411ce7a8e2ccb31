"""What a sender may rely on, over real HTTP, with the official signing library."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import os
from datetime import UTC, datetime, timedelta

import pytest
import yarl
from standardwebhooks.webhooks import Webhook

from nicobar.crypto import new_webhook_secret
from nicobar.model import UNREADABLE_EVENT_TYPE, Application
from nicobar.store import PutApplication, PutSource
from nicobar.store.sqlite import connection as sqlite_store
from support.patience import PATIENCE_S
from support.records import make_source
from support.server import DODO, TYPES, running

BODY = b'{"type":"payment.succeeded","timestamp":"2026-09-14T08:12:24.201733Z","data":{}}'


@pytest.fixture(scope="module")
async def shared(tmp_path_factory):
    async with running(tmp_path_factory.mktemp("shared"), None) as it:
        yield it


@pytest.fixture
async def nicobar(shared):
    """A source with two secrets in an application of its own: event ids are an application's."""
    runtime = shared.runtime
    secrets = [new_webhook_secret(), new_webhook_secret()]
    app_id = runtime.ids.new("app")
    await runtime.store.change([PutApplication(application=Application(id=app_id, uid=app_id))])
    source = await new_source(shared, "dodo", app_id, secrets)
    return dataclasses.replace(shared, url=f"{runtime.server.url}/in/{source.token}", secrets=secrets)


@pytest.fixture
async def own(tmp_path):
    """A Nicobar that no other test uses."""
    async with running(tmp_path, None) as it:
        yield it


async def new_source(nicobar, name, app_id, secrets):
    runtime = nicobar.runtime
    source = make_source(
        vault=runtime.vault, ids=runtime.ids, app_id=app_id, name=name, kind="dodo-payments", secrets=secrets
    )
    await runtime.store.change([PutSource(source=source)])
    await runtime.configuration.refresh()
    return source


def official(nicobar, body: bytes, *, secret: int = 0, at: datetime | None = None, event_id: str = "evt_1"):
    at = at or datetime.now(UTC)
    signature = Webhook(nicobar.secrets[secret]).sign(event_id, at, body.decode())
    return {"webhook-id": event_id, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


async def test_an_acknowledged_event_is_on_disk_byte_for_byte(nicobar):
    body = b'{"type": "made.up",\n "new_field": {"a": [1.50, "\\u0000"]}, "data": {}}'
    status, answer = await nicobar.send(body)
    assert status == 202
    assert (await nicobar.message(answer["id"])).body == body


async def test_all_samples_of_dodo_are_accepted(nicobar):
    assert len(TYPES) == 48
    for name in TYPES:
        status, answer = await nicobar.send_sample(name, f"evt_{name}")
        assert status == 202, (name, answer)
        assert (await nicobar.message(answer["id"])).event_type == name


async def test_the_official_library_s_signatures_match_either_secret(nicobar):
    for secret in (0, 1):
        headers = official(nicobar, BODY, secret=secret, event_id=f"evt_{secret}")
        assert (await nicobar.send(BODY, headers=headers))[0] == 202


async def test_the_official_library_accepts_our_signatures(nicobar):
    headers = DODO.sign("evt_1", BODY, nicobar.secrets[0], nicobar.runtime.clock.now_ms())
    assert Webhook(nicobar.secrets[0]).verify(BODY, headers)


async def test_one_fitting_signature_of_several_is_enough(nicobar):
    headers = official(nicobar, BODY)
    headers["webhook-signature"] = (
        f"v1a,other v1,{base64.b64encode(b'x' * 32).decode()} {headers['webhook-signature']}"
    )
    assert (await nicobar.send(BODY, headers=headers))[0] == 202


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
async def test_event_beyond_the_depth_limit_is_stored_unread(nicobar, opened, closed):
    for levels in (199, 200, 500, 980, 990, 1_000, 100_000):
        inner = opened * levels + "1" + closed * levels
        status, answer = await nicobar.send(f'{{"type":"made.up","data":{inner}}}'.encode(), f"evt_{levels}")
        assert status == 202, answer
        read = (await nicobar.message(answer["id"])).event_type != UNREADABLE_EVENT_TYPE
        assert read == (levels == 199), "with the event itself, 200"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"webhook-id": None}, "missing_header"),
        ({"webhook-timestamp": None}, "missing_header"),
        ({"webhook-signature": None}, "missing_header"),
        ({"webhook-signature": "nonsense"}, "malformed_header"),
        ({"webhook-signature": "v1,"}, "malformed_header"),
        ({"webhook-signature": "v1,é"}, "signature_mismatch"),
        ({"webhook-signature": "v1,aaaa " * 500}, "malformed_header"),
        ({"webhook-timestamp": "yesterday"}, "malformed_header"),
        ({"webhook-timestamp": "9" * 400}, "malformed_header"),
        ({"webhook-timestamp": "-5"}, "malformed_header"),
        ({"webhook-id": "a b"}, "malformed_header"),
        ({"webhook-id": "x" * 300}, "malformed_header"),
        ({"webhook-id": "evt_other"}, "signature_mismatch"),
    ],
)
async def test_mismatched_signature_headers_are_401(nicobar, change, code):
    headers = {name: value for name, value in (official(nicobar, BODY) | change).items() if value is not None}
    status, answer = await nicobar.send(BODY, headers=headers)
    assert (status, answer["code"]) == (401, code)
    assert answer["detail"]


async def test_a_changed_body_is_401(nicobar):
    assert (await nicobar.send(BODY + b" ", headers=official(nicobar, BODY)))[0] == 401


@pytest.mark.parametrize(("seconds", "status"), [(-290, 202), (290, 202), (-310, 401), (310, 401)])
async def test_signatures_hold_for_five_minutes_both_ways(nicobar, seconds, status):
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    assert (await nicobar.send(BODY, headers=official(nicobar, BODY, at=at)))[0] == status


async def test_one_event_from_ten_connections_is_one_message(nicobar):
    answers = await asyncio.gather(*(nicobar.send(BODY) for _ in range(10)))
    assert sorted(status for status, _ in answers) == [200] * 9 + [202]
    assert len({answer["id"] for _, answer in answers}) == 1
    assert all(answer.get("duplicate") is True for status, answer in answers if status == 200)


async def test_an_id_used_by_another_source_is_409_and_named(nicobar):
    _, first = await nicobar.send(BODY)
    app_id = (await nicobar.message(first["id"])).app_id
    other = await new_source(nicobar, "other", app_id, nicobar.secrets)
    nicobar.url = nicobar.url.rpartition("/")[0] + "/" + other.token
    assert await nicobar.send(BODY) == (200, {"id": first["id"], "duplicate": True})
    status, answer = await nicobar.send(BODY.replace(b"succeeded", b"failed"))
    assert (status, answer["code"]) == (409, "event_id_taken")
    assert str(first["id"]) in answer["detail"]


async def test_an_unknown_token_is_404_before_anything_is_read(nicobar):
    async with nicobar.http.post(nicobar.url + "x", data=BODY) as answer:
        assert answer.status == 404
        assert (await answer.json())["code"] == "unknown_token"


async def test_a_rejected_request_is_logged_without_body_and_signature(tmp_path):
    async with running(tmp_path, None) as nicobar:
        (source,) = nicobar.runtime.configuration.snapshot.sources
        await nicobar.send(BODY, headers={"webhook-id": "evt_bare"})
        await nicobar.send(BODY, "evt_other", headers=official(nicobar, b"other"))
        async with nicobar.http.get(nicobar.url):
            pass
        async with nicobar.http.post(nicobar.url + "x", data=BODY):
            pass
    async with running(tmp_path, None) as nicobar:
        kept = (await nicobar.runtime.store.refusals(source.id, limit=10)).items
    assert [(item.status, item.code, item.event_id) for item in kept] == [
        (405, "method_not_allowed", ""),
        (401, "signature_mismatch", "evt_1"),
        (401, "missing_header", "evt_bare"),
    ]
    assert all(str(item.reason) for item in kept)


@pytest.mark.parametrize(("before", "after"), [("", "/"), ("/", ""), ("//", "//")])
async def test_slashes_around_a_source_url_are_ignored(nicobar, before, after):
    url = nicobar.url.replace("/in/", f"{before}/in/") + after
    headers = DODO.sign("evt_1", BODY, nicobar.secrets[0], nicobar.runtime.clock.now_ms())
    async with nicobar.http.post(yarl.URL(url, encoded=True), data=BODY, headers=headers) as answer:
        assert answer.status == 202


async def test_other_methods_are_405(nicobar):
    async with nicobar.http.get(nicobar.url) as answer:
        assert (answer.status, answer.headers["allow"]) == (405, "POST")


async def _raw(nicobar, *parts: bytes, length: int) -> bytes:
    """Speaks HTTP by hand: announces more than it sends."""
    server = nicobar.runtime.server
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    path = nicobar.url.removeprefix(server.url)
    framing = f"content-length: {length}" if length else "transfer-encoding: chunked"
    writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n".encode())
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(PATIENCE_S):
            return await reader.readline()
    finally:
        writer.close()


async def test_a_body_without_a_length_is_cut_while_it_arrives(nicobar):
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    assert b" 413 " in await _raw(nicobar, *[chunk] * 17, length=0)


async def test_a_body_announced_as_too_large_is_rejected_at_once(nicobar):
    assert b" 413 " in await _raw(nicobar, b"x", length=10 * 1024 * 1024)


async def test_a_body_that_does_not_arrive_is_408(tmp_path):
    async with running(tmp_path, None, body_timeout_ms=400) as nicobar:
        assert b" 408 " in await _raw(nicobar, b"x", length=1000)


async def test_a_failing_store_is_503_with_retry_after_and_recovers(own):
    session = own.runtime.store._database._writer
    (pages,) = session.connection.execute("PRAGMA page_count").fetchone()
    session.connection.execute(f"PRAGMA max_page_count = {pages}")
    large = b'{"type":"a","data":"' + os.urandom(50_000).hex().encode() + b'"}'
    headers = DODO.sign("evt_full", large, own.secrets[0], own.runtime.clock.now_ms())
    async with own.http.post(own.url, data=large, headers=headers) as answer:
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert (await answer.json())["code"] == "store_unavailable"
    session.connection.execute("PRAGMA max_page_count = 1000000")
    assert (await own.send(large, headers=headers))[0] == 202


async def test_a_commit_is_synced_to_disk(nicobar):
    connection = nicobar.runtime.store._database._writer.connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
    assert sqlite_store.MIN_SQLITE


async def test_health_readiness_and_metrics_are_served(own):
    await own.send(BODY)
    await own.send(BODY, headers={})
    base = own.runtime.server.url
    for path, status in (
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/nothing", 404),
        ("/metrics?probe=1", 200),
    ):
        async with own.http.get(base + path) as answer:
            assert answer.status == status, await answer.text()
            text = await answer.text()
        if path == "/metrics":
            assert 'nicobar_messages_received_total{outcome="accepted",source="dodo"} 1.0' in text
            assert 'nicobar_requests_refused_total{reason="missing_header"} 1.0' in text
