"""The connector for a URL of one's own: what a test of it carries."""

from __future__ import annotations

import base64
import hmac

import pytest

from nicobar.addresses import RefusedAddress
from nicobar.connectors import (
    MAX_KEPT_HEADER_CHARS,
    MAX_KEPT_HEADERS,
    MAX_KEPT_HEADERS_CHARS,
    Blocked,
    Deferred,
    Delivered,
    Gone,
    NoResponse,
    Origin,
    Refused,
    Response,
)
from nicobar.connectors.http import HttpEndpoint
from nicobar.model import Call
from nicobar.raw_payloads import RawPayload
from nicobar.reasons import plain

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def prepared(test: str = "", **headers: str):
    it = HttpEndpoint().open({"url": "https://shop.example/hooks"}, {"secret": SECRET})
    origin = Origin(
        message_id="msg_1", endpoint_id="ep_1", occurred_at_ms=1_000, now_ms=2_000, customer=None, test=test
    )
    call = Call(method="POST", url=it.url, headers=headers, payload={"type": "a.b"})
    (ready,) = it.prepare([call], origin).calls
    return ready.headers


def test_only_nicobar_marks_test_events_which_have_their_own_id():
    assert prepared("t1")["nicobar-test"] == "true"
    ids = [prepared()["webhook-id"], prepared("t1")["webhook-id"], prepared("t2")["webhook-id"]]
    assert len(set(ids)) == 3
    assert "nicobar-test" not in prepared(**{"Nicobar-Test": "true"})


def read(answer, url: str | None = None):
    it = HttpEndpoint().open({"url": "https://shop.example/hooks"}, {"secret": SECRET})
    origin = Origin(message_id="msg_1", endpoint_id="ep_1", occurred_at_ms=1_000, now_ms=2_000, customer=None)
    calls = it.prepare([Call(method="POST", url=url or it.url, headers={}, payload={})], origin).calls
    (outcome,) = it.read(calls, answer)
    return outcome


def status(number: int, body: bytes = b"", **headers: str) -> Response:
    return Response(status=number, headers=headers, body=body, duration_ms=1)


def test_only_2xx_is_success_and_the_rest_is_retried():
    for number in [*range(100, 410), *range(411, 600)]:
        outcome = read(status(number, b"busy"))
        if number in range(200, 300):
            assert outcome == Delivered()
            continue
        assert isinstance(outcome, Deferred), number
        assert outcome.failing is (number >= 500), "its 3xx and 4xx do not open the breaker"
        assert (outcome.reached, outcome.throttled) == (number < 500, number == 429)
        assert f"{number}: busy" in str(outcome.reason)


def test_kept_response_headers_are_bounded_and_hide_credentials():
    kept = status(200, **{"set-cookie": "sid=secret", "x-auth-token": "secret", "x-request-id": "r1"}).kept_headers
    assert kept == {"set-cookie": "***", "x-auth-token": "***", "x-request-id": "r1"}
    assert status(401, **{"www-authenticate": "Bearer"}).kept_headers == {"www-authenticate": "Bearer"}
    many = status(200, **{f"x-{number}": "1" for number in range(1_000)}).kept_headers
    assert list(many) == [f"x-{number}" for number in range(MAX_KEPT_HEADERS)]
    long = status(200, **{f"x-{number}": "é" * 100_000 for number in range(20)}).kept_headers
    assert {len(value) for value in long.values()} == {MAX_KEPT_HEADER_CHARS}
    assert sum(len(name) + len(value) for name, value in long.items()) <= MAX_KEPT_HEADERS_CHARS
    assert status(200, **{"x" * 100_000: "1"}).kept_headers == {}
    assert status(200, server="a\udce9").kept_headers == {"server": "a\ufffd"}, "bytes that are not UTF-8"


def test_410_disables_and_explains_how_to_resume():
    outcome = read(status(410, b"bye"))
    assert isinstance(outcome, Gone)
    assert "410: bye" in str(outcome.reason)
    assert "Enable" in str(outcome.reason)


def test_retry_after_applies_to_every_status():
    for number in (302, 404, 429, 503):
        assert read(status(number, **{"retry-after": "7"})).retry_after_ms == 7_000
    assert read(NoResponse(reason=plain("connection refused"), duration_ms=1)).failing


def test_only_the_endpoint_s_own_url_can_disable_it():
    outcome = read(status(410), "https://shop.example/another")
    assert isinstance(outcome, Deferred)


ORIGIN = Origin(message_id="msg_1", endpoint_id="ep_1", occurred_at_ms=1_000, now_ms=2_000, customer=None)


def sent(url: str, **headers: str):
    """The headers that go to this URL, which the handler set."""
    it = HttpEndpoint().open(
        {"url": "https://shop.example/hooks"},
        {"secret": SECRET},
        {"authorization": "Bearer OPERATOR", "x-custom": "also-secret", "content-type": "text/x-own"},
    )
    call = Call(method="POST", url=url, headers=headers, payload={"type": "a.b"})
    return it.pack(it.prepare([call], ORIGIN).calls).headers


@pytest.mark.parametrize(
    "url", ["https://shop.example/hooks", "https://shop.example/other?x=1", "https://SHOP.example:443/"]
)
def test_the_endpoint_s_own_host_gets_headers_and_signature(url):
    headers = sent(url)
    assert (headers["authorization"], headers["x-custom"]) == ("Bearer OPERATOR", "also-secret")
    assert headers["webhook-signature"].startswith("v1,")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "https://x.shop.example/hooks",
        "https://shop.example.evil.example/hooks",
        "https://shop.example:8443/hooks",
        "http://shop.example/hooks",
        "https://shop.example./hooks",
        "https://xshop.example/hooks",
    ],
)
def test_another_host_gets_neither_headers_nor_signature(url):
    headers = sent(url, **{"X-Handler": "own"})
    assert set(headers) == {"content-type", "x-handler", "webhook-id", "webhook-timestamp"}
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example@evil.example/",
        "https://user:secret@shop.example/",
        "https://shop.example%2f@evil.example/",
        "https://shop.example\\@evil.example/",
        "https://evil.example\\.shop.example/",
        "https://shop.example:/",
        "https://shop.example%00/",
        "https://[::1%25lo]/",
    ],
)
def test_a_url_that_parsers_read_differently_is_rejected(url):
    it = HttpEndpoint().open({"url": "https://shop.example/hooks"}, {"secret": SECRET})
    prepared = it.prepare([Call(method="POST", url=url, headers={}, payload={})], ORIGIN)
    assert (prepared.calls, len(prepared.verdicts)) == ((), 1)


def test_blocked_address_holds_the_endpoint_only_for_its_own_host():
    it = HttpEndpoint().open({"url": "http://crm.internal/hooks"}, {"secret": SECRET})
    for url, kind in (("http://crm.internal/x", Blocked), ("http://other.internal/", Refused)):
        calls = it.prepare([Call(method="POST", url=url, headers={}, payload={})], ORIGIN).calls
        host = url.split("/")[2]
        answer = NoResponse(reason=plain("x"), duration_ms=1, refused=RefusedAddress(host=host, entry=f"{host}:80"))
        (outcome,) = it.read(calls, answer)
        assert isinstance(outcome, kind)
        assert str(outcome.reason) == (
            f"Requests to {host} are blocked: its address is not public. To allow it, add {host}:80 to "
            f"allowed_addresses (NICOBAR_ALLOWED_ADDRESSES={host}:80) and restart Nicobar."
        )


def signature(content: bytes) -> str:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    return base64.b64encode(hmac.digest(key, content, "sha256")).decode()


def with_raw(payload, raw: RawPayload | None, body: bytes = b'{"a":1}', *, untouched: bool = False):
    it = HttpEndpoint().open({"url": "https://shop.example/hooks"}, {"secret": SECRET})
    origin = Origin(
        message_id="msg_1",
        endpoint_id="ep_1",
        occurred_at_ms=1_000,
        now_ms=2_000,
        customer=None,
        body=body,
        raw=raw,
        untouched=untouched,
    )
    (ready,) = it.prepare([Call(method="POST", url=it.url, headers={}, payload=payload)], origin).calls
    return ready


def test_a_raw_payload_is_sent_as_it_is_and_signed():
    raw = RawPayload(text="<p>é</p>", content_type="application/xml")
    untouched, other_url = with_raw({"a": 1}, raw, untouched=True), with_raw({"a": 1}, raw)
    for ready in (untouched, other_url):
        assert (ready.body, ready.headers["content-type"]) == ("<p>é</p>".encode(), "application/xml")
        content = f"{ready.headers['webhook-id']}.2.".encode() + ready.body
        assert ready.headers["webhook-signature"] == f"v1,{signature(content)}"
    changed = with_raw({"a": 2}, raw)
    assert (changed.body, changed.headers["content-type"]) == (b'{"a":2}', "application/json")
