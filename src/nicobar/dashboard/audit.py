"""`/settings/audit`: who changed what, narrowed by what stands in the address."""

from __future__ import annotations

from datetime import UTC
from urllib.parse import urlencode

from litestar import Response, get
from litestar.params import FromQuery

from nicobar.dashboard.desk import GivenDesk
from nicobar.dashboard.lists import day_ms
from nicobar.dashboard.pages import page
from nicobar.dashboard.places import PAGE, Number, shown, text
from nicobar.dashboard.rights import USER
from nicobar.dashboard.visitor import GivenVisitor
from nicobar.store.history import AuditFilter

PATH = "/settings/audit"


@get(PATH, opt=USER)
async def show(
    *,
    desk: GivenDesk,
    visitor: GivenVisitor,
    actor: FromQuery[str] = "",
    action: FromQuery[str] = "",
    subject: FromQuery[str] = "",
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
    before: Number = None,
    after: Number = None,
) -> Response[bytes]:
    """Changes, the newest first. Days are those of UTC, both ends included."""
    asked = {"actor": actor, "action": action, "subject": subject, "since": since, "until": until}
    wanted = {name: value.strip() for name, value in asked.items() if value.strip()}
    which = AuditFilter(
        actor=wanted.get("actor"),
        action=wanted.get("action"),
        subject=wanted.get("subject"),
        since_ms=day_ms(wanted.get("since", ""), UTC),
        until_ms=day_ms(wanted.get("until", ""), UTC, end=True),
    )
    found = await desk.services.store.audit(which, before=text(before), after=text(after), limit=PAGE)
    return page(
        visitor,
        "settings_audit.html",
        changes=shown(found, before=before, after=after, key=lambda item: str(item.seq)),
        wanted=wanted,
        here=f"{PATH}?{urlencode(wanted)}" if wanted else PATH,
        now_ms=desk.now_ms(),
    )


HANDLERS = (show,)
