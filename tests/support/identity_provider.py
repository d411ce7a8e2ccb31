"""An OpenID Connect provider on loopback that signs what a test tells it to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey

from nicobar.web.asgi import read_body, send_body
from nicobar.web.serving import Server

CLIENT = "nicobar-tests"
CLIENT_SECRET = "a secret of both"


def new_key(kid: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid, "use": "sig"})


@dataclass
class Grant:
    """A code: what the browser was sent with, and what the token will say. `header` and `key` sign it."""

    asked: dict[str, str]
    claims: dict[str, Any]
    header: dict[str, str]
    key: Any


def signed(grant: Grant) -> str:
    """A key of bytes is a secret, which the library would not take; none signs nothing."""
    if not isinstance(grant.key, bytes):
        return jwt.encode(dict(grant.header), grant.claims, grant.key, [grant.header["alg"]])
    parts = [json.dumps(part).encode() for part in (grant.header, grant.claims)]
    text = b".".join(map(unpadded, parts))
    signature = hmac.digest(grant.key, text, "sha256") if grant.key else b""
    return (text + b"." + unpadded(signature)).decode()


def unpadded(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


@dataclass
class Provider:
    """`document` and `answers` replace what it says of itself, and whole answers: path to status, headers, body. A
    browser that it sends back at once has signed in as `user`.
    """

    url: str = ""
    keys: list[ECKey] = field(default_factory=lambda: [new_key("first")])
    grants: dict[str, Grant] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, tuple[int, list[tuple[bytes, bytes]], bytes]] = field(default_factory=dict)
    user: dict[str, Any] = field(default_factory=dict)
    user_info: dict[str, Any] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    now_s: int = 0

    def grant(self, location: str, claims: dict[str, Any], *, header: dict[str, str] | None = None, key=None) -> str:
        """What the provider does once the user has signed in: the query of the callback. A claim of None is left
        out.
        """
        asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        now_s = self.now_s or int(time.time())
        said = {
            "iss": self.url,
            "aud": CLIENT,
            "iat": now_s,
            "exp": now_s + 300,
            "nonce": asked["nonce"],
            "email_verified": True,
            **claims,
        }
        code = f"code-{len(self.grants)}"
        self.grants[code] = Grant(
            asked,
            {name: value for name, value in said.items() if value is not None},
            header or {"alg": "ES256", "kid": self.keys[-1].kid},
            self.keys[-1] if key is None else key,
        )
        return f"code={code}&state={asked['state']}&iss={self.url}"

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        self.asked[path] += 1
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = await read_body(headers, receive, max_bytes=100_000, timeout_ms=10_000)
        if path == "/authorize":
            query = self.grant("?" + scope["query_string"].decode(), self.user)
            location = f"{next(reversed(self.grants.values())).asked['redirect_uri']}?{query}"
            status, more, content = 303, [(b"location", location.encode())], b""
        else:
            status, more, content = self.answers.get(path) or self._answer(path, headers, body)
        await send_body(send, status, content, [(b"content-type", b"application/json"), *more])

    def _answer(self, path: str, headers: dict[str, str], body: bytes):
        match path:
            case "/.well-known/openid-configuration":
                said = {
                    "issuer": self.url,
                    "authorization_endpoint": f"{self.url}/authorize",
                    "token_endpoint": f"{self.url}/token",
                    "jwks_uri": f"{self.url}/keys",
                    "authorization_response_iss_parameter_supported": True,
                    **self.document,
                }
            case "/keys":
                said = {"keys": [key.as_dict(private=False) for key in self.keys]}
            case "/token":
                return self._token(headers, {name: values[0] for name, values in parse_qs(body.decode()).items()})
            case "/userinfo" if headers.get("authorization") == "Bearer access":
                said = self.user_info
            case _:
                return 404, [], b"{}"
        return 200, [], json.dumps(said).encode()

    def _token(self, headers: dict[str, str], form: dict[str, str]):
        grant = self.grants.pop(form.get("code", ""), None)
        pair = base64.b64encode(f"{CLIENT}:{CLIENT_SECRET.replace(' ', '%20')}".encode()).decode()
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            grant is None
            or headers.get("authorization") != f"Basic {pair}"
            or grant.asked["code_challenge_method"] != "S256"
            or grant.asked["code_challenge"] != unpadded(challenge).decode()
            or grant.asked["redirect_uri"] != form.get("redirect_uri")
        ):
            return 400, [], b'{"error": "invalid_grant"}'
        token = signed(grant)
        return 200, [], json.dumps({"id_token": token, "access_token": "access", "token_type": "Bearer"}).encode()


@asynccontextmanager
async def providing() -> AsyncIterator[Provider]:
    provider = Provider()
    server = await Server.start(provider, "127.0.0.1", 0)
    provider.url = server.url
    try:
        yield provider
    finally:
        await server.stop()
