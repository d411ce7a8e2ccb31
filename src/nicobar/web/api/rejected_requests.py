"""`/ingest/api/v1/source/{source_id}/log`: rejected requests of a source."""

from __future__ import annotations

from msgspec import field

from nicobar.store import Snapshot
from nicobar.store.history import RejectedRequest
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.errors import not_found
from nicobar.web.api.listing import page_of_found, span_of
from nicobar.web.api.lookups import SourceKey, find
from nicobar.web.api.paging import (
    DEFAULT_LIMIT,
    Iterator,
    Limit,
    Order,
    Ordering,
    Place,
    invalid_iterator,
    read_iterator,
)
from nicobar.web.api.shapes import Moment, Page, Shape, SourceId, moment
from nicobar.web.operations import get

TAGS = ["Ingest Log"]
_ID_DIGITS = 22


class IngestLogOut(Shape):
    """A rejected request. Its payload and signature are not stored. `code` is an addition to the Svix API."""

    id: str
    source_id: SourceId = field(name="source_id")
    status_code: int = field(name="status_code")
    error_text: str = field(name="error_text")
    code: str
    headers: dict[str, str]
    payload: str
    created_at: Moment = field(name="created_at")
    updated_at: Moment = field(name="updated_at")


def shown(rejected: RejectedRequest) -> IngestLogOut:
    return IngestLogOut(
        id=f"log{rejected.seq:0{_ID_DIGITS}}",
        source_id=rejected.source_id,
        status_code=rejected.status,
        error_text=rejected.reason.text(),
        code=rejected.code,
        headers={"webhook-id": rejected.event_id} if rejected.event_id else {},
        payload="",
        created_at=moment(rejected.at_ms),
        updated_at=moment(rejected.at_ms),
    )


def numbered(place: Place) -> Place:
    """A place whose key is a number. Raises Invalid."""
    if place.key is not None and not (place.key.isdecimal() and len(place.key) < _ID_DIGITS - 3):
        raise invalid_iterator(place.key)
    return place


@get(
    "/ingest/api/v1/source/{source_id}/log",
    id="v1.ingest.log.list",
    tags=TAGS,
    summary="List rejected requests",
    needs=Needs.OWN,
)
async def list_rejected(
    *,
    source_id: SourceKey,
    services: Services,
    snapshot: Snapshot,
    caller: Caller,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    order: Order = None,
) -> Page[IngestLogOut]:
    """Lists the latest 1,000 rejected requests of a source, newest first by default."""
    source = find(snapshot.sources, source_id)
    if source is None or not caller.sees(source.app_id):
        raise not_found("source", source_id)
    place = numbered(read_iterator(iterator))
    span = span_of(place, order or Ordering.DESCENDING, start="0")
    found = await services.store.refusals(source.id, **span, limit=limit)
    return page_of_found(found, place=place, key=lambda item: str(item.seq), shape=shown)


OPERATIONS = (list_rejected,)
