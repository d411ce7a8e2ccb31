"""`/settings/retention`: retention periods, and the last cleanup."""

from __future__ import annotations

from nicobar.pipeline.retention import ANSWER_HOURS, DAY_MS, MIN_ID_DAYS
from nicobar.store.history import MAX_REFUSALS
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context
from nicobar.web.dashboard.endpoint_new import KEEP_DRAFTS_MS
from nicobar.web.dashboard.pages import page
from nicobar.web.dashboard.visitor import SESSION_MS, Visitor
from nicobar.web.operations import Response, get


@get("/settings/retention", needs=Needs.USER)
async def show(context: Context, visitor: Visitor) -> Response[bytes]:
    """The setting, the resulting retention periods, and the last cleanup."""
    settings = context.services.settings
    return page(
        visitor,
        "settings_retention.html",
        days=settings.retention_days,
        id_days=max(settings.retention_days, MIN_ID_DAYS),
        from_where=context.services.origins.get("retention_days", ""),
        answer_hours=ANSWER_HOURS,
        refusals=MAX_REFUSALS,
        draft_days=KEEP_DRAFTS_MS // DAY_MS,
        session_days=SESSION_MS // DAY_MS,
        last=await context.services.store.last_clean_up(),
        now_ms=context.now_ms(),
    )


OPERATIONS = (show,)
