"""`/preferences`: language and theme, stored in the browser; `/static/…`: static files."""

from __future__ import annotations

from urllib.parse import urlsplit

from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import not_found
from nicobar.web.dashboard.language import LANGUAGES
from nicobar.web.dashboard.pages import read_static, redirect, with_cookie
from nicobar.web.dashboard.visitor import CHOICE_S, LANGUAGE, THEME, THEMES, Visitor
from nicobar.web.operations import Response, get, post

# All static files with their types; nothing else is served.
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


@post("/preferences", status=303, needs=Needs.NOTHING)
async def prefer(visitor: Visitor) -> Response[bytes]:
    """Saves the choice and returns to the previous page."""
    location = _own_page(visitor.form.get("back", "/"))
    if visitor.form.get("language") in LANGUAGES:
        return with_cookie(visitor, location, LANGUAGE, visitor.form["language"], max_age_s=CHOICE_S)
    if visitor.form.get("theme") in THEMES:
        return with_cookie(visitor, location, THEME, visitor.form["theme"], max_age_s=CHOICE_S)
    return redirect(location)


def _own_page(location: str) -> str:
    """The path and query of a page of this server; `/` for anything else."""
    try:
        back = urlsplit(location)
    except ValueError:
        return "/"
    page = (back.path or "/") + (f"?{back.query}" if back.query else "")
    return page if page.startswith("/") and not page.startswith(("//", "/\\")) else "/"


@get("/static/{name:path}", needs=Needs.NOTHING)
async def static(name: str) -> Response[bytes]:
    """One of FILES."""
    if name not in FILES:
        raise not_found("file")
    return Response(read_static(name), media_type=FILES[name], headers={"cache-control": _KEEP})


OPERATIONS = (prefer, static)
