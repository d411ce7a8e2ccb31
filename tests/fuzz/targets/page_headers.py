"""The headers and forms of a browser: cookies, languages, origins and fields never stop a page."""

from __future__ import annotations

from fuzz.choices import Choices
from nicobar.errors import Refusal
from nicobar.web.connection_pool import LOOPBACK, address_key
from nicobar.web.dashboard.language import LANGUAGES, choose
from nicobar.web.dashboard.sessions import _cookies
from nicobar.web.dashboard.visitor import FORM_TYPE, Visitor, cookie, with_form
from nicobar.web.middleware.cross_site import CrossSite
from nicobar.web.query_names import given_names, given_values

LANGUAGE_PARTS = ("ko", "en-US", "*", "ko;q=0.5", "en;q=nan", "de;q=-1", "ko;q=inf", "x" * 50, ";", "q=1")
ORIGINS = (
    "https://nicobar.example",
    "http://nicobar.example",
    "null",
    "https://nicobar.example:443",
    "https://[",
    "",
)
SITES = ("same-origin", "none", "cross-site", "same-site", "SAME-ORIGIN", "")
PAGES = CrossSite(None, "https://nicobar.example")  # type: ignore[arg-type]
VISITOR = Visitor(
    user=None, session="", browser="", language="en", theme="auto", secure=True, address="127.0.0.1", path="/"
)
SEEDS = (
    b"\0nicobar_session=abc; nicobar_language=ko",
    bytes(range(40)),
    b"\3\1\4\1\5" * 8,
    b"\x20a=b&c=%ff&d" + bytes(9),
)


def run(data: bytes) -> None:
    it = Choices(data)
    assert isinstance(_cookies(it.chunk(60).decode("latin-1")), dict)
    accepted = ",".join(it.pick((*LANGUAGE_PARTS, it.text(12))) for _ in range(it.byte() % 6))
    assert choose(it.pick(("", "ko", "xx")), accepted) in LANGUAGES
    check_origin(it)
    address = it.pick(("::1", "127.0.0.1", "::ffff:127.0.0.1", "203.0.113.7", it.text(24)))
    key = address_key(address, LOOPBACK)
    assert key is None or isinstance(key, str)
    assert not set("\r\n;, ") & set(cookie("a", it.text(24), secure=True).partition("=")[2].partition(";")[0])
    query = it.rest()
    assert given_names(query).keys() == given_values(query).keys()
    scope = {"headers": [(b"content-type", FORM_TYPE.encode())], "nicobar.body": query}
    try:
        visitor = with_form(VISITOR, scope)
    except Refusal as refusal:
        assert refusal.status == 400
    else:
        assert visitor.form.keys() == visitor.every.keys()


def check_origin(it: Choices) -> None:
    """Another site's page never gets through."""
    given = {"host": "nicobar.example"}
    site, origin = it.pick((*SITES, None)), it.pick((*ORIGINS, it.text(24), None))
    given |= {name: value for name, value in (("sec-fetch-site", site), ("origin", origin)) if value is not None}
    if it.flag():
        given["cookie"] = "nicobar_session=a"
    headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in given.items()]
    try:
        PAGES._check({"headers": headers})
    except Refusal as refusal:
        assert refusal.status == 403
        return
    if site is not None:
        assert site in {"same-origin", "none"}
    elif origin is not None:
        assert origin.lower().partition("://")[2].removesuffix(":443").removesuffix(":80") == "nicobar.example"
    else:
        assert "cookie" not in given
