"""Who may open which page and send which form.

Without `opt` a page needs somebody who is signed in, and a form somebody who may change things. For who came by a
link to one application there are no pages of the whole installation.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from nicobar.errors import Refusal
from nicobar.web.dashboard.context import not_found
from nicobar.web.dashboard.visitor import current_visitor


class Needs(StrEnum):
    """What a handler needs beyond that, as `needs` in its `opt`."""

    NOTHING = "nothing"  # for somebody who is not signed in, too
    LOOKING = "looking"  # a form that changes nothing
    CHANGING = "changing"  # a page that is there for changing something
    USER = "user"  # a page of the whole installation, or a form that concerns the user alone
    OWNER = "owner"  # a form that concerns the whole installation


OPEN = {"needs": Needs.NOTHING}
LOOKING = {"needs": Needs.LOOKING}
CHANGING = {"needs": Needs.CHANGING}
USER = {"needs": Needs.USER}
OWNER = {"needs": Needs.OWNER}


def allowed(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Raises Refusal 403, or 404 where there is no such page for the visitor."""
    reads = connection.scope.get("method") in {"GET", "HEAD"}
    needs = handler.opt.get("needs", Needs.LOOKING if reads else Needs.CHANGING)
    if needs == Needs.NOTHING:
        return
    visitor = current_visitor(connection.scope)
    match needs:
        case Needs.LOOKING:
            may = visitor.is_in
        case Needs.CHANGING:
            may = visitor.may_change
        case Needs.USER | Needs.OWNER if visitor.user is None:
            raise not_found("page")
        case Needs.USER:
            may = True
        case _:
            may = visitor.may_manage
    if not may:
        raise Refusal(403, "forbidden", "You may look at this and not change it.", "An owner can.")
