"""`/app-portal`: the target of a link to one application's dashboard. The key follows the `#`, which browsers do not
send; a script submits it as a form.
"""

from __future__ import annotations

from nicobar.use_cases.tokens import live_token
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context
from nicobar.web.dashboard.pages import page, redirect
from nicobar.web.dashboard.visitor import SESSION, Visitor, cookie
from nicobar.web.operations import Response, get, post


@get("/app-portal", needs=Needs.NOTHING)
async def open_link(visitor: Visitor) -> Response[bytes]:
    """The form for the key; without JavaScript, the user pastes it."""
    return page(visitor, "portal.html", is_over=False)


@post("/app-portal", status=303, needs=Needs.NOTHING)
async def take_key(context: Context, visitor: Visitor) -> Response[bytes]:
    """Exchanges the key for a cookie that expires with the link."""
    now_ms = context.now_ms()
    key = visitor.form.get("key", "").strip()
    link = await live_token(context.services.store, context.services.token_uses, key, now_ms)
    if link is None or not link.portal:
        return page(visitor, "portal.html", status=422, is_over=True)
    left_s = None if link.expires_at_ms is None else (link.expires_at_ms - now_ms) // 1000
    return redirect("/", cookie(SESSION, key, secure=visitor.secure, max_age_s=left_s))


OPERATIONS = (open_link, take_key)
