"""The API and the pages as one application with a database: no request makes the server fail."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self
from unittest import mock
from urllib.parse import quote, urlencode, urlsplit

import nicobar.runtime
import nicobar.store
from fuzz.asgi import ask
from fuzz.choices import Choices
from fuzz.targets.api_requests import NAMES, ROWS, odd_query_of
from fuzz.typed import body_of, query_of
from nicobar.connectors import NoResponse, Request
from nicobar.crypto import new_webhook_secret
from nicobar.reasons import plain
from nicobar.sandbox import Canceled, Job
from nicobar.settings import Role, Settings
from nicobar.web.dashboard.app import OPERATIONS as PAGES
from nicobar.web.operations import Operation
from support.api import make_token
from support.installation import PASSWORD, SAME_ORIGIN
from support.records import make_endpoint, make_source

# More than forms may have.
MANY_FIELDS = 1_100
# What changes add up to is thrown away after so many requests.
MAX_REQUESTS = 2_000
FIELDS = (
    "name", "kind", "connector", "event_type", "before", "after", "since", "until", "customer", "failure", "state",
    "code", "payload", "key", "role", "password", "secret", "retries", "rate", "variables", "header_name", "next",
    "which", "zone", "q", "search", "field_url", "field_secret", "language", "back", "page", "description",
)  # fmt: skip
TEXTS = (
    "default", "owner", "http", "payment.succeeded", "2026-03-01", "2026-03-01T09:30", "succeeded", "5s, 5m",
    "data.a = b", "function handler(webhook) { return webhook; }", '{"type":"a.b"}', "1", "0", "-1", "9" * 30, "//[",
    "%", "Europe/Berlin",
)  # fmt: skip
SEEDS = (bytes(16), *(bytes([kind, number, 1, 0, 2, 3, 5, 7]) * 5 for kind in (0, 1) for number in range(0, 100, 25)))


class Nowhere:
    """Sends nothing: no packet leaves this process."""

    def __init__(self, **_: object) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def send(self, _: Request) -> NoResponse:
        return NoResponse(reason=plain("nowhere"), duration_ms=0)

    async def refused_address(self, _: str) -> None:
        return None


class Idle:
    """Runs no handler."""

    async def run(self, jobs: list[Job]) -> list[Canceled]:
        return [Canceled(console=(), duration_us=0) for _ in jobs]


class House:
    """An installation with an application, a source, an endpoint and an owner who is signed in."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp(prefix="nicobar-fuzz-"))
        self.stack = AsyncExitStack()
        self.left = MAX_REQUESTS
        self.loop.run_until_complete(self.open())

    async def open(self) -> None:
        settings = Settings(data_dir=self.directory, port=0, role=Role.WEB, max_api_requests_per_s=100_000)
        with mock.patch.object(nicobar.runtime, "HttpTransport", Nowhere):
            running = nicobar.runtime.run(settings, sandbox=Idle())  # type: ignore[arg-type]
            self.runtime = await self.stack.enter_async_context(running)
        assert self.runtime.server is not None
        # Behind the limits of connections, which have a target of their own.
        self.app = self.runtime.server._server.config.app._app
        self.token = await make_token(self)
        await self.furnish()
        status, self.cookie = 0, ""
        path = urlsplit(self.runtime.setup_url or "").path
        form = urlencode({"password": PASSWORD, "again": PASSWORD}).encode()
        status, headers, _ = await self.ask("POST", path, b"", form, {**FORM, **SAME_ORIGIN})
        assert status == 303
        self.cookie = headers["set-cookie"].partition(";")[0]

    async def furnish(self) -> None:
        runtime = self.runtime
        app_id = runtime.configuration.snapshot.applications[0].id
        common = {"vault": runtime.vault, "ids": runtime.ids, "app_id": app_id}
        credentials = {"secret": new_webhook_secret()}
        made = make_endpoint(
            **common, name="a", kind="http", settings={"url": "https://a.example/"}, credentials=credentials
        )
        source = make_source(**common, name="b", kind="dodo-payments", secrets=[new_webhook_secret()])
        await runtime.store.change([made, nicobar.store.PutSource(source=source)])
        await runtime.configuration.refresh()
        body = json.dumps({"eventType": "a.b", "payload": {"data": {"customer": {"customer_id": "c"}}}}).encode()
        headers = {"authorization": f"Bearer {self.token}"}
        _, _, answer = await self.ask("POST", f"/api/v1/app/{app_id}/msg", b"", body, headers)
        message_id = json.loads(answer)["id"]
        self.ids = {"app_id": app_id, "endpoint_id": made.id, "source_id": source.id, "msg_id": message_id}
        self.ids |= {"message_id": message_id, "event_type_name": "a.b", "connector_id": "http", "kind": "http"}

    async def ask(
        self, method: str, path: str, query: bytes, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        return await ask(self.app, method, path, query=query, body=body, headers=headers)

    def close(self) -> None:
        self.loop.run_until_complete(self.stack.aclose())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.directory)


FORM = {"content-type": "application/x-www-form-urlencoded"}
_houses: list[House] = []


def run(data: bytes) -> None:
    if _houses and _houses[0].left <= 0:
        close()
    if not _houses:
        _houses.append(House())
    house = _houses[0]
    house.left -= 1
    it = Choices(data)
    asked = api_request(it, house) if it.flag() else page_request(it, house)
    status, headers, body = house.loop.run_until_complete(house.ask(*asked))
    assert status < 500 or status == 503, (asked, status, body[:2_000])
    assert not any(set("\r\n\0") & set(value) for value in headers.values()), (asked, headers)


def close() -> None:
    while _houses:
        _houses.pop().close()


def path_of(it: Choices, row: Operation, house: House) -> str:
    path = row.plain_path
    for name in row.path_names:
        right = house.ids.get(name, "1")
        key = right if it.byte() % 8 else it.pick((*house.ids.values(), "%", it.text(20)))
        path = path.replace(f"{{{name}}}", key if it.byte() % 4 else quote(key))
    odd = ("//[", "/\\", path + "/", path + "//", "/../" + path, "/" + it.text(20))
    return path if it.byte() % 16 != 15 else it.pick(odd)


def api_request(it: Choices, house: House) -> tuple[str, str, bytes, bytes, dict[str, str]]:
    row, signature = it.pick(ROWS)
    path = path_of(it, row, house)
    query = query_of(it, signature) if it.byte() % 4 else odd_query_of(it, NAMES[row])
    value = None if signature.body is None else body_of(it, signature, NAMES[row])
    body = b"" if value is None else json.dumps(value).encode("utf-8", "surrogatepass")
    headers = {"authorization": f"Bearer {house.token}"}
    if it.byte() % 8 == 7:
        headers["idempotency-key"] = it.pick(("", "a", it.text(20)))
    return method_of(it, row), path, query, body, headers


def method_of(it: Choices, row: Operation) -> str:
    """Mostly another one than that of a deletion: most requests are about what exists."""
    deletes = row.method == "DELETE" or row.path.endswith(("/delete", "/remove"))
    return "GET" if deletes and it.byte() % 16 != 15 else row.method


def page_request(it: Choices, house: House) -> tuple[str, str, bytes, bytes, dict[str, str]]:
    row = it.pick(PAGES)
    # A sign-in hashes, and an owner who signs out or removes themselves ends all that follows.
    signed_in = not row.path.startswith(("/login", "/logout", "/setup", "/settings/users", "/settings/account"))
    pairs = [(it.pick(FIELDS), it.pick((*TEXTS, it.text(20)))) for _ in range(it.byte() % 6)]
    many = MANY_FIELDS if it.byte() % 32 == 31 else 1
    query = urlencode(pairs * many).encode() if it.byte() % 4 else it.chunk(40)
    body = urlencode([(it.pick(FIELDS), it.pick((*TEXTS, it.text(40)))) for _ in range(it.byte() % 8)]).encode()
    headers = {**FORM, **SAME_ORIGIN, "accept-language": it.pick(("ko", "en", it.text(10)))}
    if signed_in and it.byte() % 8:
        headers["cookie"] = house.cookie
    return method_of(it, row), path_of(it, row, house), query, body, headers
