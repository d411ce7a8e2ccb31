"""`/keys`: keyboard shortcuts, for browsers without JavaScript; with it, every page shows the list in a dialog."""

from __future__ import annotations

from nicobar.web.dashboard.pages import page
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get


@get("/keys")
async def show(visitor: Visitor) -> Response[bytes]:
    """The list."""
    return page(visitor, "shortcuts.html")


OPERATIONS = (show,)
