"""`/preferences`: language and theme, kept in the browser; `/static/…`: the pages' files."""

from __future__ import annotations

from urllib.parse import urlsplit

from litestar import Response, get, post
from litestar.params import FromPath

from nicobar.web.dashboard.authorization import OPEN
from nicobar.web.dashboard.context import not_found
from nicobar.web.dashboard.language import LANGUAGES
from nicobar.web.dashboard.pages import read_static, redirect, with_cookie
from nicobar.web.dashboard.visitor import CHOICE_S, LANGUAGE, THEME, THEMES, GivenVisitor

# The files that there are, each with its type; nothing else is served.
FILES = {
    "dashboard.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript; charset=utf-8",
    "portal.js": "text/javascript; charset=utf-8",
    "reading.js": "text/javascript; charset=utf-8",
    "workbench.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "vendor/editor.js": "text/javascript; charset=utf-8",
    "vendor/editor.LICENSES.txt": "text/plain; charset=utf-8",
}
_KEEP = "public, max-age=31536000, immutable"


@post("/preferences", status_code=303, opt=OPEN)
async def prefer(visitor: GivenVisitor) -> Response[bytes]:
    """Keeps what was chosen and goes back to the page where it was."""
    back = urlsplit(visitor.form.get("back", "/"))
    location = (back.path or "/") + (f"?{back.query}" if back.query else "")
    location = location if location.startswith("/") and not location.startswith(("//", "/\\")) else "/"
    if visitor.form.get("language") in LANGUAGES:
        return with_cookie(visitor, location, LANGUAGE, visitor.form["language"], max_age_s=CHOICE_S)
    if visitor.form.get("theme") in THEMES:
        return with_cookie(visitor, location, THEME, visitor.form["theme"], max_age_s=CHOICE_S)
    return redirect(location)


@get("/static/{name:path}", sync_to_thread=False, opt=OPEN)
def static(name: FromPath[str]) -> Response[bytes]:
    """One of FILES."""
    known = name.removeprefix("/")
    if known not in FILES:
        raise not_found("file")
    return Response(read_static(known), media_type=FILES[known], headers={"cache-control": _KEEP})


HANDLERS = (prefer, static)
