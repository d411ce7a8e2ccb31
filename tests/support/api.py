"""A real Nicobar with a token, for the tests of its API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nicobar.crypto import hash_token, new_token
from nicobar.model import Scope, Token
from nicobar.store import PutToken
from support.server import Running, running


@dataclass
class Answer:
    status: int
    body: Any
    headers: dict[str, str]  # names in lower case


@dataclass
class Api:
    """`nicobar` is the whole of it; `url` and `token` are what a client needs, `app` the application's path."""

    nicobar: Running
    url: str
    token: str

    @property
    def app(self) -> str:
        return f"/api/v1/app/{self.app_id}"

    @property
    def app_id(self) -> str:
        return next(
            application.id
            for application in self.nicobar.runtime.configuration.snapshot.applications
            if application.uid == "default"
        )

    async def ask(
        self, method: str, path: str, body: object = None, *, token: str | None = None, **headers: str
    ) -> Answer:
        """One request; header names with `_` for `-`. A token of "" sends none."""
        given = self.token if token is None else token
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if given:
            sent["authorization"] = f"Bearer {given}"
        data = body if isinstance(body, bytes) else None
        json = body if data is None and body is not None else None
        async with self.nicobar.http.request(
            method, f"{self.url}{path}", json=json, data=data, headers=sent, allow_redirects=False
        ) as answer:
            raw = await answer.read()
            is_json = answer.content_type == "application/json" and raw
            received = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, await answer.json() if is_json else raw, received)

    async def make_token(self, **fields: object) -> str:
        return await make_token(self.nicobar, **fields)


async def make_token(nicobar: Running, **fields: object) -> str:
    made = new_token()
    runtime = nicobar.runtime
    token_id = runtime.ids.new("tok")
    values: dict[str, Any] = {"name": token_id, "scope": Scope.ADMIN, **fields}
    token = Token(id=token_id, sha256=hash_token(made), created_at_ms=runtime.clock.now_ms(), **values)
    await runtime.store.change([PutToken(token=token)])
    return made


@asynccontextmanager
async def asking(directory: Path, handler: str | None = None, **settings: Any) -> AsyncIterator[Api]:
    settings = {"max_api_requests_per_s": 10_000, **settings}
    async with running(directory, handler, **settings) as nicobar:
        assert nicobar.runtime.server is not None
        yield Api(nicobar, nicobar.runtime.server.url, await make_token(nicobar))
