"""`/keys`: which keys do what, for browsers without scripts; with them a page shows the list itself."""

from __future__ import annotations

from litestar import Response, get

from nicobar.web.dashboard.pages import page
from nicobar.web.dashboard.visitor import GivenVisitor


@get("/keys")
async def show(visitor: GivenVisitor) -> Response[bytes]:
    """The list."""
    return page(visitor, "keys.html")


HANDLERS = (show,)
