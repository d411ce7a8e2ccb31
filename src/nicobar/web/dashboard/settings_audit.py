"""`/settings/audit`: the audit log, with filters in the query."""

from __future__ import annotations

from datetime import UTC
from urllib.parse import urlencode

from nicobar.audit import stored_names
from nicobar.store.history import AuditFilter
from nicobar.web.dashboard.audit_actions import ACTION_NAMES
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context
from nicobar.web.dashboard.filters import day_ms
from nicobar.web.dashboard.pages import page
from nicobar.web.dashboard.paging import PAGE, Number, shown, text
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get

PATH = "/settings/audit"


@get(PATH, needs=Needs.USER)
async def show(
    *,
    context: Context,
    visitor: Visitor,
    actor: str = "",
    action: str = "",
    subject: str = "",
    since: str = "",
    until: str = "",
    before: Number = None,
    after: Number = None,
) -> Response[bytes]:
    """Changes, newest first. Dates are in UTC, both ends included."""
    filters = {"actor": actor, "action": action, "subject": subject, "since": since, "until": until}
    wanted = {name: value.strip() for name, value in filters.items() if value.strip()}
    which = AuditFilter(
        actor=wanted.get("actor"),
        actions=stored_names(wanted["action"]) if "action" in wanted else (),
        subject=wanted.get("subject"),
        since_ms=day_ms(wanted.get("since", ""), UTC),
        until_ms=day_ms(wanted.get("until", ""), UTC, end=True),
    )
    found = await context.services.store.audit(which, before=text(before), after=text(after), limit=PAGE)
    return page(
        visitor,
        "settings_audit.html",
        changes=shown(found, before=before, after=after, key=lambda item: str(item.seq)),
        wanted=wanted,
        action_names=ACTION_NAMES,
        here=f"{PATH}?{urlencode(wanted)}" if wanted else PATH,
        now_ms=context.now_ms(),
    )


OPERATIONS = (show,)
