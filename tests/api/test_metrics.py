"""Who may read the metrics."""

from __future__ import annotations

import pytest

from nicobar.errors import Refusal
from nicobar.web.api.ops import check_metrics_reader
from support.http import get, once
from support.server import running

TOKEN = "a-token-for-prometheus"


def read(client: str, token: str = "", **headers: str) -> None:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    check_metrics_reader({"client": (client, 1), "headers": raw}, token)


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080"])
def test_this_machine_reads_metrics_without_a_token(client, host):
    read(client, host=host)


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("192.0.2.7", {"host": "127.0.0.1"}),
        ("::ffff:192.0.2.7", {"host": "127.0.0.1"}),
        ("unknown", {"host": "127.0.0.1"}),
        ("127.0.0.1", {"host": "hooks.northpine.example"}),
        ("127.0.0.1", {"host": "localhost.evil.example"}),
        ("127.0.0.1", {"host": "[x"}),
        ("127.0.0.1", {"host": "127.0.0.1", "x_forwarded_for": "127.0.0.1"}),
        ("127.0.0.1", {"host": "127.0.0.1", "forwarded": "for=127.0.0.1"}),
    ],
)
def test_others_and_forwarded_requests_read_no_metrics(client, headers):
    with pytest.raises(Refusal, match=r"127\.0\.0\.1") as refused:
        read(client, **headers)
    assert (refused.value.status, refused.value.code) == (401, "authentication_failed")


def test_a_token_is_for_everybody():
    read("192.0.2.7", TOKEN, host="hooks.northpine.example", authorization=f"bearer {TOKEN}")
    for given in ("", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"):
        with pytest.raises(Refusal, match="metrics_token") as refused:
            read("127.0.0.1", TOKEN, host="127.0.0.1", authorization=given)
        assert TOKEN not in str(refused.value)


async def test_only_metrics_need_a_token(tmp_path):
    async with running(tmp_path, None, metrics_token=TOKEN) as nicobar:
        port = nicobar.runtime.server.port
        assert (await once(port, get("/healthz"))).status == 200
        answer = await once(port, get("/metrics"))
        assert (answer.status, answer.body["code"]) == (401, "authentication_failed")
        answer = await once(port, get("/metrics", f"authorization: Bearer {TOKEN}"))
        assert answer.body.startswith(b"# HELP")
