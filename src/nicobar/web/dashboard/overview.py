"""`/`: the last 24 hours, the queue, and problems that need attention."""

from __future__ import annotations

from nicobar.model import Record, Source
from nicobar.store.history import MAX_PAGE, RejectedRequest
from nicobar.use_cases.identity import unanswered
from nicobar.use_cases.statistics import DAY_MS
from nicobar.web.dashboard.activity import last_day
from nicobar.web.dashboard.context import Context, current_application
from nicobar.web.dashboard.coverage import is_known_silent
from nicobar.web.dashboard.endpoints import EndpointRow, rows_of
from nicobar.web.dashboard.failures import row_of
from nicobar.web.dashboard.logs import endpoint_names
from nicobar.web.dashboard.navigation import PLACES
from nicobar.web.dashboard.pages import page
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get

MAX_GROUPS = 5
SOURCES = "/sources"


class Refusing(Record):
    """A source that rejected requests in the last 24 hours; `more` is true if there were more than `count`."""

    source: Source
    count: int
    more: bool
    latest: RejectedRequest


@get("/")
async def show(context: Context, visitor: Visitor) -> Response[bytes]:
    """The overview."""
    snapshot = await context.snapshot()
    app_id = current_application(snapshot).id
    rows = await rows_of(context, snapshot, app_id)
    sources = [source for source in snapshot.sources if source.app_id == app_id]
    own = {row.endpoint.id for row in rows}
    groups = [
        failure_group
        for failure_group in await context.services.store.failure_groups(app_id)
        if failure_group.endpoint_id in own
    ]
    now_ms = context.now_ms()
    samples = await context.samples()
    return page(
        visitor,
        "overview.html",
        rows=rows,
        needing_attention=[row for row in rows if _needs_attention(row)],
        disabled=[row for row in rows if row.state == "disabled" and not _needs_attention(row)],
        silent=[row for row in rows if row.state != "disabled" and is_known_silent(context, samples, row.endpoint)],
        unidentified=await context.services.store.count_unidentified(app_id),
        unanswered=[row for row in rows if row.state != "disabled" and unanswered(row.endpoint) is not None],
        day=await last_day(context, app_id),
        groups=[row_of(group) for group in groups[:MAX_GROUPS]],
        more_groups=max(0, len(groups) - MAX_GROUPS),
        names=endpoint_names(snapshot),
        refusing=[found for source in sources if (found := await _refusing(context, source, now_ms))],
        without_secret=[source for source in sources if not context.services.has_secret(source)],
        sources_path=next((place.path for place in PLACES if place.path == SOURCES), None),
        unfinished=sum(row.unfinished for row in rows),
        oldest_ms=min((row.oldest_ms for row in rows if row.oldest_ms is not None), default=None),
        now_ms=now_ms,
    )


def _needs_attention(row: EndpointRow) -> bool:
    """A disabled endpoint does not: it was disabled on purpose."""
    return row.state in {"paused", "on_hold", "failing"} or (row.state == "disabled" and bool(row.reason))


async def _refusing(context: Context, source: Source, now_ms: int) -> Refusing | None:
    found = await context.services.store.refusals(source.id, limit=MAX_PAGE)
    recent = [item for item in found.items if item.at_ms >= now_ms - DAY_MS]
    if not recent:
        return None
    more = found.next is not None and len(recent) == len(found.items)
    return Refusing(source=source, count=len(recent), more=more, latest=recent[0])


OPERATIONS = (show,)
