"""The complete service while clients occupy connections, and how it reports that."""

from __future__ import annotations

import asyncio
import os

import pytest
import structlog

from nicobar.errors import SettingsError
from nicobar.metrics import LimitReport, Metrics
from nicobar.setting_sources import read_settings
from nicobar.settings import Settings
from nicobar.web.server_limits import request_shares
from support.http import Line, affordable, get, lines, once, post
from support.server import DODO, running

BODY = b'{"type":"payment.succeeded","timestamp":"2026-09-14T08:12:24.201733Z","data":{}}'
SILENT = 2_000
TEN = tuple(f"127.0.1.{number}" for number in range(1, 11))

# A browser's header for a form of the same server's page.
SAME_ORIGIN = "sec-fetch-site: same-origin"


def webhook(nicobar, event_id: str) -> bytes:
    signed = DODO.sign(event_id, BODY, nicobar.secrets[0], nicobar.runtime.clock.now_ms())
    return post(path_of(nicobar), BODY, *(f"{name}: {value}" for name, value in signed.items()))


def path_of(nicobar) -> str:
    return nicobar.url.removeprefix(nicobar.runtime.server.url)


async def serves(nicobar, source: str) -> None:
    port = nicobar.runtime.server.port
    for path in ("/healthz", "/readyz"):
        assert (await once(port, get(path), source)).status == 200
    assert (await once(port, webhook(nicobar, f"evt_{os.urandom(4).hex()}"), source)).status == 202


@pytest.mark.parametrize(
    "sources", [("127.0.0.1",), ("127.0.0.2",), TEN], ids=["own address", "another address", "ten addresses"]
)
async def test_events_and_probes_are_answered_beside_silent_connections(tmp_path, sources):
    count = affordable(SILENT)
    async with running(tmp_path, None, max_connections=count, header_timeout_ms=300_000) as nicobar:
        port = nicobar.runtime.server.port
        async with lines(port, count, *sources) as opened:
            for line in opened[::2]:
                await line.say(b"GET /healthz HTTP/1.1\r\nx-a")
            await serves(nicobar, "127.0.0.1")
            await serves(nicobar, "127.0.9.9")


@pytest.mark.parametrize("sources", [("127.0.0.1",), TEN], ids=["own address", "ten addresses"])
async def test_events_and_probes_are_answered_beside_stalled_bodies(tmp_path, sources):
    async with running(tmp_path, None, max_concurrent_requests=40, body_timeout_ms=300_000) as nicobar:
        port = nicobar.runtime.server.port
        async with lines(port, 200, *sources) as opened:
            for line in opened:
                await line.say(post(path_of(nicobar), b"{", length=1_000))
            await serves(nicobar, "127.0.0.1")
            await serves(nicobar, "127.0.9.9")


async def test_the_api_and_pages_leave_connections_for_events_and_probes(tmp_path):
    async with running(tmp_path, None, max_concurrent_requests=4, body_timeout_ms=300_000) as nicobar:
        port = nicobar.runtime.server.port
        async with lines(port, 8) as opened:
            for line in opened:
                await line.say(post("/login", b"a", SAME_ORIGIN, length=1_000))
            await serves(nicobar, "127.0.0.1")
            assert (await once(port, get("/login"))).status == 200


@pytest.mark.parametrize("path", ["/in/TOKEN", "/api/v1/app", "/login", "/logout", "/ingest/api/v1/x", "/nothing"])
async def test_a_connection_whose_body_does_not_arrive_is_closed(tmp_path, path):
    async with running(tmp_path, None, body_timeout_ms=100) as nicobar:
        line = await Line.open(nicobar.runtime.server.port)
        answer = await line.ask(post(path.replace("/in/TOKEN", path_of(nicobar)), b"x", SAME_ORIGIN, length=1_000))
        assert answer.status in {303, 401, 404, 408}
        assert await line.rest() == b""
        line.close()


async def test_a_limit_is_documented_counted_and_configured(tmp_path):
    settings = {"max_headers": 16, "max_header_bytes": 4_096, "header_timeout_ms": 100, "max_connections": 16}
    async with running(tmp_path, None, **settings) as nicobar:
        port = nicobar.runtime.server.port
        line = await Line.open(port)
        assert await line.rest() == b""
        assert (await once(port, get("/", "a: " + "b" * 5_000))).status == 431
        assert (await once(port, get("/", *["a: b"] * 16))).status == 431
        text = (await once(port, get("/metrics").replace(b"host: x", b"host: localhost"))).body.decode()
        assert 'nicobar_http_limits_total{reason="headers_too_large"} 2.0' in text
        assert 'nicobar_http_limits_total{reason="header_too_slow"} 1.0' in text
        line.close()


REASONS = ("first_limit", "second_limit")


async def test_repeatedly_hit_limits_write_few_log_lines():
    metrics = Metrics()
    with structlog.testing.capture_logs() as lines:
        report = LimitReport(metrics, period_s=0)
        for _ in range(1_000):
            report("first_limit")
        report("second_limit")
        while sum(item.get("reason") in REASONS for item in lines) < 3:
            await asyncio.sleep(0)
    # A server of an earlier test may still report limits of its own.
    found = [(item["reason"], item["count"]) for item in lines if item.get("reason") in REASONS]
    assert found == [("first_limit", 1), ("second_limit", 1), ("first_limit", 999)]
    assert b'nicobar_http_limits_total{reason="first_limit"} 1000.0' in metrics.render()


def test_sources_are_limited_by_their_tokens():
    ingress, *others = request_shares(Settings(), {"token": "src_1"}.get)
    assert [ingress.group(path) for path in ("/in/token", "/in/token/", "/in/none")] == ["src_1", "src_1", None]
    assert all(share.group is None for share in others)


def test_trusted_proxies_are_addresses_and_networks():
    read = read_settings({"trusted_proxies": "10.0.0.5, 10.1.0.0/16,::1"}, {})
    assert [str(trusted_network) for trusted_network in read.trusted_networks] == [
        "10.0.0.5/32",
        "10.1.0.0/16",
        "::1/128",
    ]
    assert read_settings({"trusted_proxies": ""}, {}).trusted_networks == ()
    for wrong in ("proxy.example", "10.0.0.1/8", "*"):
        with pytest.raises(SettingsError, match="trusted_proxies"):
            read_settings({"trusted_proxies": wrong}, {})
