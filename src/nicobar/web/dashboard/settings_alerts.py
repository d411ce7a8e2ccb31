"""`/settings/alerts`: who is told of what, and a test of it. Where alerts go stands in the process's settings."""

from __future__ import annotations

from urllib.parse import urlencode

from nicobar.pipeline.alerts import AlertType
from nicobar.settings import shown
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context
from nicobar.web.dashboard.language import noop
from nicobar.web.dashboard.pages import page, redirect
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

MEANINGS = {
    AlertType.DISABLED: noop("an endpoint was disabled: it only failed for five days, or its URL answered 410"),
    AlertType.PAUSED: noop("an endpoint went on hold: its destination rejects the credentials or the address"),
    AlertType.FAILING: noop("a destination fails, or something else answers in its place; deliveries wait"),
    AlertType.RECOVERED: noop("a destination answers again, or an endpoint is off hold"),
    AlertType.EXHAUSTED: noop("a delivery failed for good"),
    AlertType.REFUSING: noop("a source refused three requests in a row: their signatures do not fit"),
}
SETTINGS = ("alert_endpoint", "alert_smtp_url", "alert_mail_from", "alert_mail_to")
SENT = "sent"


@get("/settings/alerts", needs=Needs.USER)
async def show(context: Context, visitor: Visitor, told: str = "", mail: str = "") -> Response[bytes]:
    """Where alerts go; `told` and `mail` are what became of a test."""
    settings = context.services.settings
    snapshot = await context.snapshot()
    return page(
        visitor,
        "settings_alerts.html",
        endpoint=context.services.alerts.endpoint,
        wanted=settings.alert_endpoint,
        has_mail=bool(settings.alert_smtp_url),
        values={name: shown(settings, name) for name in SETTINGS},
        origins=context.services.origins,
        meanings=MEANINGS,
        told=next((endpoint.id for endpoint in snapshot.endpoints if endpoint.id == told), ""),
        mail=mail,
    )


@post("/settings/alerts/test", status=303, needs=Needs.OWNER)
async def test(context: Context, visitor: Visitor) -> Response[bytes]:
    """Sends one the ways that alerts go."""
    await context.snapshot()
    done = await context.services.alerts.test(visitor.name)
    outcome = {}
    if done.endpoint is not None:
        outcome["told"] = done.endpoint.id
    if done.mail_error is not None:
        outcome["mail"] = done.mail_error or SENT
    return redirect(f"/settings/alerts?{urlencode(outcome)}#test")


OPERATIONS = (show, test)
