"""Access to pages and forms. Without `needs`, a page is open to all signed-in visitors and a form to those with write
access. Visitors with a link to one application cannot open pages of the whole installation.
"""

from __future__ import annotations

from enum import StrEnum

from nicobar.errors import Refusal
from nicobar.web.dashboard.context import not_found
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.middleware.cross_site import SAFE_METHODS
from nicobar.web.operations import Operation


class Needs(StrEnum):
    """Additional requirements of an operation."""

    NOTHING = "nothing"  # no sign-in needed
    LOOKING = "looking"  # a form that changes nothing
    RUNNING = "running"  # a page that runs code
    CHANGING = "changing"  # a page whose purpose is a change
    USER = "user"  # a page of the whole installation, or a form that concerns the user alone
    OWNER = "owner"  # a form that concerns the whole installation


def check_access(visitor: Visitor, operation: Operation) -> None:
    """Raises Refusal 403, or 404 if the page does not exist for this visitor."""
    needs = operation.needs or (Needs.LOOKING if operation.method in SAFE_METHODS else Needs.CHANGING)
    match needs:
        case Needs.NOTHING:
            return
        case Needs.LOOKING:
            may = visitor.is_in
        case Needs.RUNNING:
            may = visitor.may_run
        case Needs.CHANGING:
            may = visitor.may_change
        case Needs.USER | Needs.OWNER if visitor.user is None:
            raise not_found("page")
        case Needs.USER:
            may = True
        case _:
            may = visitor.may_manage
    if not may:
        raise Refusal(403, "forbidden", "You have read-only access.", "Ask an owner for permission.")
