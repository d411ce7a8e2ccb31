"""Sending for real, over loopback."""

from __future__ import annotations

import ast
import asyncio
import socket
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver
from yarl import URL

import nicobar
from nicobar.addresses import AllowedAddresses
from nicobar.connectors import NoResponse, Request, Response
from nicobar.connectors.transport import HttpTransport
from support.patience import PATIENCE_MS
from support.urls import NOT_PUBLIC, PUBLIC, UNUSUAL_LOOPBACK


async def ask(
    answer: bytes | None,
    *,
    allowed: str = "127.0.0.1",
    close: bool = True,
    timeout_ms: int = PATIENCE_MS,
    headers=None,
):
    """One request to a loopback server that answers with these bytes; None resets the connection."""
    seen: list[bytes] = []
    released = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        if answer is None:
            writer.transport.abort()
            return
        writer.write(answer)
        if not close:
            await released.wait()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with HttpTransport(allowed=AllowedAddresses.read(allowed), timeout_ms=timeout_ms) as transport:
        result = await transport.send(
            Request(
                method="POST",
                url=f"http://127.0.0.1:{port}/a%2Fb?c=1",
                headers={"x-plan": "pro", **(headers or {})},
                body=b"{}",
            )
        )
    released.set()
    server.close()
    return result, seen


async def test_response_is_read_and_request_is_sent_unchanged():
    result, (seen,) = await ask(b"HTTP/1.1 207 Multi\r\nRetry-After: 5\r\ncontent-length: 2\r\n\r\n{}")
    assert isinstance(result, Response)
    assert (result.status, result.headers["retry-after"], result.body) == (207, "5", b"{}")
    assert seen.startswith(b"POST /a%2Fb?c=1 HTTP/1.1\r\n")
    assert b"x-plan: pro" in seen


async def test_equal_response_headers_are_joined():
    result, _ = await ask(b"HTTP/1.1 200 OK\r\nVia: a\r\nvia: b\r\ncontent-length: 0\r\n\r\n")
    assert isinstance(result, Response)
    assert result.headers["via"] == "a, b"


async def test_responses_are_requested_uncompressed():
    _, (seen,) = await ask(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", headers={"Accept-Encoding": "gzip"})
    assert [line for line in seen.lower().splitlines() if b"accept-encoding" in line] == [
        b"accept-encoding: identity"
    ]


async def test_requests_of_all_endpoints_are_in_flight_at_once():
    count, arrived, everyone = 150, 0, asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        await reader.readuntil(b"\r\n\r\n")
        arrived += 1
        if arrived == count:
            everyone.set()
        await everyone.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=count)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    request = Request(method="POST", url=url, headers={}, body=b"")
    async with HttpTransport(allowed=AllowedAddresses.read("127.0.0.1"), timeout_ms=PATIENCE_MS) as transport:
        answers = await asyncio.gather(*(transport.send(request) for _ in range(count)))
    server.close()
    assert {answer.status for answer in answers if isinstance(answer, Response)} == {200}
    assert arrived == len(answers)


async def test_a_redirect_is_an_answer_and_not_followed():
    result, seen = await ask(b"HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")
    assert isinstance(result, Response)
    assert (result.status, len(seen)) == (301, 1)


async def test_a_long_answer_is_cut():
    for longer in (0, 1):
        result, _ = await ask(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (1_048_576 + longer))
        assert isinstance(result, Response)
        assert (len(result.body), result.truncated) == (1_048_576, bool(longer))


@pytest.mark.parametrize("answer", [None, b"nonsense\r\n\r\n"])
async def test_broken_response_counts_as_missing(answer):
    result, _ = await ask(answer)
    assert isinstance(result, NoResponse)
    assert result.reason


async def test_an_answer_that_does_not_come_is_timed_out():
    result, _ = await ask(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", close=False, timeout_ms=200)
    assert isinstance(result, NoResponse)
    assert str(result.reason) == "timed out after 200 ms"


class Names(AbstractResolver):
    """Resolves names from a table, one list of addresses per lookup, and records the lookups."""

    def __init__(self, table: dict[str, list[list[str]]]) -> None:
        self.table = table
        self.lookups: list[str] = []

    async def resolve(self, host, port=0, family=socket.AF_UNSPEC):  # noqa: ARG002 - the interface's
        self.lookups.append(host)
        answers = self.table.get(host.lower())
        if answers is None:
            raise OSError("unknown name")
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": 0,
            }
            for address in addresses
        ]

    async def close(self) -> None:
        pass


class Dialed:
    """Records which addresses were to be connected to, and connects to none of them."""

    def __init__(self) -> None:
        self.addresses: list[tuple[str, int]] = []

    def __call__(self, info):
        self.addresses.append(info[4][:2])
        raise ConnectionRefusedError(111, "recorded")


async def dial(url: str, *, allowed: str = "", names: dict[str, list[list[str]]] | None = None):
    """What becomes of a request, which addresses it was to connect to, and which names were resolved."""
    dialed, resolver = Dialed(), Names(names or {})
    async with HttpTransport(
        allowed=AllowedAddresses.read(allowed), resolver=resolver, socket_factory=dialed
    ) as transport:
        result = await transport.send(Request(method="POST", url=url, headers={}, body=b""))
        checked = await transport.refused_address(url)
    assert isinstance(result, NoResponse)
    assert (checked is None) == (result.refused is None), url
    return result, dialed.addresses, resolver.lookups


async def test_loopback_is_not_reached_unless_it_is_allowed():
    refused, seen = await ask(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", allowed="")
    assert isinstance(refused, NoResponse)
    assert refused.refused is not None
    assert (refused.refused.host, str(refused.reason)) == (
        "127.0.0.1",
        "the address is not public and not in allowed_addresses",
    )
    assert not seen


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_an_address_that_is_not_public_is_never_dialed(address):
    host = f"[{address}]" if ":" in address else address
    for url in (f"http://{host}/", f"https://{host}:8443/x?y=1"):
        result, dialed, _ = await dial(url)
        assert (result.refused is not None, dialed) == (True, []), url
    result, dialed, _ = await dial("http://crm.example/", names={"crm.example": [[address]]})
    assert (result.refused.host, result.refused.entry, dialed) == ("crm.example", "crm.example:80", [])


@pytest.mark.parametrize("url", UNUSUAL_LOOPBACK)
async def test_unusual_forms_of_loopback_are_never_dialed(url):
    result, dialed, _ = await dial(url, names={"xn--localhost-.example": [["127.0.0.1"]]})
    assert dialed == []
    assert str(result.reason) != "connection refused"


@pytest.mark.parametrize("address", PUBLIC)
async def test_a_public_address_is_dialed(address):
    host = f"[{address}]" if ":" in address else address
    result, dialed, _ = await dial(f"http://{host}:81/")
    assert (result.refused, dialed) == (None, [(address, 81)])
    _, dialed, lookups = await dial("https://crm.example/", names={"crm.example": [[address]]})
    assert (dialed, lookups[:1]) == ([(address, 443)], ["crm.example"])


@pytest.mark.parametrize("public", [["1.1.1.1"], ["2606:4700::1111"], ["8.8.8.8", "1.1.1.1"]])
async def test_only_the_public_addresses_of_a_name_are_dialed(public):
    answers = ["10.0.0.1", *public, "fd00::1", "::ffff:127.0.0.1", "169.254.169.254"]
    result, dialed, _ = await dial("http://crm.example/", names={"crm.example": [answers]})
    assert (result.refused, {address for address, _ in dialed} <= set(public), bool(dialed)) == (None, True, True)


async def test_the_address_that_was_checked_is_the_one_dialed():
    rebinding = {"crm.example": [["1.1.1.1"], ["127.0.0.1"]]}
    dialed, resolver = Dialed(), Names(rebinding)
    async with HttpTransport(resolver=resolver, socket_factory=dialed) as transport:
        await transport.send(Request(method="POST", url="http://crm.example/", headers={}, body=b""))
    assert (dialed.addresses, resolver.lookups) == ([("1.1.1.1", 80)], ["crm.example"])
    async with HttpTransport(resolver=resolver, socket_factory=dialed) as transport:
        later = await transport.send(Request(method="POST", url="http://crm.example/", headers={}, body=b""))
    assert (later.refused is not None, len(dialed.addresses)) == (True, 1)


@pytest.mark.parametrize(
    ("allowed", "url", "answer", "reached"),
    [
        ("crm.internal", "http://crm.internal/", "10.0.0.5", True),
        ("crm.internal", "https://CRM.internal.:8443/", "::1", True),
        ("crm.internal:8443", "https://crm.internal:8443/", "10.0.0.5", True),
        ("crm.internal:8443", "https://crm.internal/", "10.0.0.5", False),
        ("crm.internal", "http://other.internal/", "10.0.0.5", False),
        ("crm.internal", "http://x.crm.internal/", "10.0.0.5", False),
        ("crm.internal", "http://10.0.0.5/", "", False),
        ("10.0.0.0/8", "http://crm.internal/", "10.0.0.5", True),
        ("10.0.0.0/8:80", "http://10.9.9.9/", "", True),
        ("10.0.0.0/8:80", "https://10.9.9.9/", "", False),
        ("10.0.0.5", "http://10.0.0.6/", "", False),
        ("[::1]:8081", "http://[::1]:8081/", "", True),
        ("[::1]:8081", "http://[::1]:8082/", "", False),
        ("fd00::/8", "http://crm.internal/", "fd12::1", True),
        ("x.example, 127.0.0.1:8081", "http://127.0.0.1:8081/", "", True),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]/", "", True),
        ("127.0.0.1", "http://localhost/", "127.0.0.1", True),
    ],
)
async def test_allowed_addresses_open_what_they_name_and_no_more(allowed, url, answer, reached):
    host = URL(url).host.rstrip(".") if answer else ""
    names = {name: [[answer]] for name in (host, f"{host}.")} if answer else {}
    result, dialed, _ = await dial(url, allowed=allowed, names=names)
    assert (bool(dialed), result.refused is None) == (reached, reached)


async def test_unresolvable_name_differs_from_a_blocked_one():
    result, dialed, _ = await dial("http://nowhere.example/")
    assert (str(result.reason), result.refused, dialed) == ("unknown host name", None, [])


async def test_a_failed_connection_differs_from_an_invalid_url():
    async with HttpTransport(allowed=AllowedAddresses.read("127.0.0.1"), timeout_ms=PATIENCE_MS) as transport:
        refused = await transport.send(Request(method="POST", url="http://127.0.0.1:1/", headers={}, body=b""))
        bad = await transport.send(Request(method="POST", url="http://", headers={}, body=b""))
    assert isinstance(refused, NoResponse)
    assert isinstance(bad, NoResponse)
    assert str(refused.reason) == "connection refused"
    assert str(bad.reason) == "invalid URL or header"


# Modules and functions that open connections, and the files that may: the transport, the mail server that the
# operator's settings name, and the address to listen on.
OPENS = {
    "aiohttp": {"connectors/transport.py"},
    "smtplib": {"pipeline/alert_mail.py", "pipeline/alert_sending.py"},
    "getaddrinfo": {"web/serving.py"},
    # To a child, over a pair of sockets.
    "open_unix_connection": {"sandbox/children.py"},
}
MODULES = {
    "httpx",
    "requests",
    "urllib3",
    "urllib.request",
    "http.client",
    "ftplib",
    "xmlrpc",
    "websockets",
}
NOBODY_OPENS = MODULES | {
    *("open_connection", "create_connection", "sock_connect", "connect_ex", "urlopen"),
    *("create_datagram_endpoint", "gethostbyname", "PoolManager", "dns.resolver"),
}


def test_every_outgoing_connection_is_opened_by_the_transport():
    root = Path(nicobar.__file__).parent
    used: dict[str, set[str]] = {}
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Import(names=names):
                    found = [name.name for name in names]
                case ast.ImportFrom(module=str(module), names=names):
                    found = [
                        module,
                        *(f"{module}.{candidate.name}" for candidate in names),
                        *(name.name for name in names),
                    ]
                case ast.Attribute(attr=name) if name not in MODULES:
                    found = [name]
                case _:
                    continue
            for name in found:
                used.setdefault(name, set()).add(str(path.relative_to(root)))
    assert not {name: used[name] for name in NOBODY_OPENS & used.keys()}
    for name, allowed in OPENS.items():
        assert {path for item in used if item.split(".")[0] == name for path in used[item]} == allowed, name


def test_every_transport_is_given_the_operator_s_addresses_and_proxy():
    calls = [
        ast.unparse(node)
        for path in Path(nicobar.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "HttpTransport"
    ]
    assert len(calls) >= 6
    assert all("allowed=" in call for call in calls), calls
    by_settings = [call for call in calls if "settings.allowed" in call]
    assert all("proxy=" in call for call in by_settings), by_settings
