"""Forms of other sites are rejected without form tokens."""

from __future__ import annotations

import pytest

from nicobar.errors import Refusal
from nicobar.web.middleware.cross_site import CrossSite
from support.asgi import ask


async def accept(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def is_accepted(
    method: str = "POST", *, public_url: str = "", needs_origin: bool = False, **headers: str
) -> bool:
    try:
        app = CrossSite(accept, public_url, needs_origin=needs_origin)
        await ask(app, method, "/form", host="nicobar.example:8080", **headers)
    except Refusal as refusal:
        if refusal.code != "cross_site":
            raise
        return False
    return True


@pytest.mark.parametrize(
    ("site", "accepted"), [("same-origin", True), ("none", True), ("same-site", False), ("cross-site", False)]
)
async def test_fetch_metadata_decides(site, accepted):
    assert await is_accepted(sec_fetch_site=site, cookie="s=1", origin="http://nicobar.example:8080") is accepted
    assert await is_accepted(sec_fetch_site=site, origin="https://shop.example") is accepted


@pytest.mark.parametrize(
    ("origin", "accepted"),
    [
        ("http://nicobar.example:8080", True),
        ("https://events.example.com", True),
        ("http://events.example.com", False),
        ("http://nicobar.example", False),
        ("https://shop.example", False),
        ("null", False),
        ("http://[", False),
    ],
)
async def test_without_it_the_origin_must_match(origin, accepted):
    assert await is_accepted(public_url="https://events.example.com/", origin=origin, cookie="s=1") is accepted


@pytest.mark.parametrize("public_url", ["https://Events.Example.com", "https://events.example.com:443/"])
async def test_public_url_matches_however_it_is_written(public_url):
    assert await is_accepted(public_url=public_url, origin="https://events.example.com", cookie="s=1")
    assert not await is_accepted(public_url=public_url, origin="https://events.example.com:8443", cookie="s=1")


async def test_without_either_header_a_session_is_rejected():
    assert not await is_accepted(cookie="nicobar_session=1")
    assert await is_accepted()
    assert await is_accepted(authorization="Bearer nbr_1")


async def test_forms_for_signing_in_need_an_origin():
    assert not await is_accepted(needs_origin=True)
    assert await is_accepted(needs_origin=True, origin="http://nicobar.example:8080")
    assert await is_accepted(needs_origin=True, sec_fetch_site="same-origin")


async def test_reading_is_never_rejected():
    for method in ("GET", "HEAD", "OPTIONS"):
        assert await is_accepted(method, sec_fetch_site="cross-site", cookie="s=1")
