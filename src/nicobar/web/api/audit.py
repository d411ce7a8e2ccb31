"""`/api/v1/audit-log` (an addition to the Svix API): the audit log."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from nicobar.audit import stored_names
from nicobar.store import Snapshot
from nicobar.store.history import AuditFilter, Change
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.listing import After, Before, page_of_found, since, span_of, until
from nicobar.web.api.lookups import MAX_KEY_CHARS, application_of
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, Order, Ordering, read_iterator
from nicobar.web.api.rejected_requests import numbered
from nicobar.web.api.shapes import Moment, Page, Shape, moment
from nicobar.web.operations import get
from nicobar.web.parameters import Name

TAGS = ["Audit Log"]


class ChangeOut(Shape):
    """A change: the user or token (`actor`), the `action`, such as `endpoint.update`, and the ID of the changed
    object (`subject`).
    """

    id: str
    at: Moment
    actor: str
    action: str
    app_id: str | None
    subject: str
    detail: str


def shown(change: Change) -> ChangeOut:
    return ChangeOut(
        id=str(change.seq),
        at=moment(change.at_ms),
        actor=change.actor,
        action=change.action,
        app_id=change.app_id,
        subject=change.subject,
        detail=change.detail,
    )


@get(
    "/api/v1/audit-log",
    id="nicobar.audit-log.list",
    tags=TAGS,
    summary="List audit log",
    needs=Needs.OWN,
)
async def list_changes(
    *,
    services: Services,
    snapshot: Snapshot,
    caller: Caller,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    order: Order = None,
    of_application: Annotated[
        Annotated[str, Meta(max_length=MAX_KEY_CHARS, description="Filter by application, by ID or uid.")] | None,
        Name("app_id"),
    ] = None,
    actor: Annotated[str, Meta(max_length=256, description="Filter by actor.")] | None = None,
    action: Annotated[str, Meta(max_length=256, description="Filter by action.")] | None = None,
    subject: Annotated[str, Meta(max_length=256, description="Filter by the ID of the changed object.")]
    | None = None,
    before: Before = None,
    after: After = None,
) -> Page[ChangeOut]:
    """Lists changes, newest first by default. A token limited to one application gets only the changes in it."""
    app_id = caller.app_id if of_application is None else application_of(snapshot, caller, of_application).id
    which = AuditFilter(
        app_id=app_id,
        actor=actor,
        actions=stored_names(action) if action is not None else (),
        subject=subject,
        since_ms=since(after),
        until_ms=until(before),
    )
    place = numbered(read_iterator(iterator))
    span = span_of(place, order or Ordering.DESCENDING, start="0")
    found = await services.store.audit(which, **span, limit=limit)
    return page_of_found(found, place=place, key=lambda item: str(item.seq), shape=shown)


OPERATIONS = (list_changes,)
