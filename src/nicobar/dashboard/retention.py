"""`/settings/retention`: what is kept how long, and what was taken last."""

from __future__ import annotations

from litestar import Response, get

from nicobar.dashboard.desk import GivenDesk
from nicobar.dashboard.flow import KEEP_DRAFTS_MS
from nicobar.dashboard.pages import page
from nicobar.dashboard.rights import USER
from nicobar.dashboard.visitor import SESSION_MS, GivenVisitor
from nicobar.pipeline.maintain import ANSWER_HOURS, DAY_MS, MIN_ID_DAYS
from nicobar.store.history import MAX_REFUSALS


@get("/settings/retention", opt=USER)
async def show(desk: GivenDesk, visitor: GivenVisitor) -> Response[bytes]:
    """The setting, what follows from it, and the last clean-up."""
    settings = desk.services.settings
    return page(
        visitor,
        "settings_retention.html",
        days=settings.retention_days,
        id_days=max(settings.retention_days, MIN_ID_DAYS),
        from_where=desk.services.origins.get("retention_days", ""),
        answer_hours=ANSWER_HOURS,
        refusals=MAX_REFUSALS,
        draft_days=KEEP_DRAFTS_MS // DAY_MS,
        session_days=SESSION_MS // DAY_MS,
        last=await desk.services.store.last_clean_up(),
        now_ms=desk.now_ms(),
    )


HANDLERS = (show,)
