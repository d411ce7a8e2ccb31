"""`/settings/alerts`: the alert recipients, and a test alert. Recipients are process settings."""

from __future__ import annotations

from urllib.parse import urlencode

from nicobar.pipeline.alert_types import AlertType
from nicobar.settings import shown
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context
from nicobar.web.dashboard.language import noop
from nicobar.web.dashboard.pages import page, redirect
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

MEANINGS = {
    AlertType.DISABLED: noop("Endpoint disabled: every delivery failed for five days, or its URL responded 410."),
    AlertType.PAUSED: noop("Endpoint on hold: the destination rejects the credentials or the URL."),
    AlertType.FAILING: noop("Destination failing, or another server responds in its place. Deliveries are on hold."),
    AlertType.RECOVERED: noop("Destination recovered, or the endpoint is no longer on hold."),
    AlertType.EXHAUSTED: noop("Delivery failed permanently."),
    AlertType.REFUSING: noop("Source rejected three requests in a row: invalid signatures."),
}
SETTINGS = ("alert_endpoint", "alert_smtp_url", "alert_mail_from", "alert_mail_to")
SENT = "sent"


@get("/settings/alerts", needs=Needs.USER)
async def show(context: Context, visitor: Visitor, sent_to: str = "", mail: str = "") -> Response[bytes]:
    """The recipients; `sent_to` and `mail` are the results of a test."""
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
        tested_endpoint_id=next((endpoint.id for endpoint in snapshot.endpoints if endpoint.id == sent_to), ""),
        mail=mail,
    )


@post("/settings/alerts/test", status=303, needs=Needs.OWNER)
async def test(context: Context, visitor: Visitor) -> Response[bytes]:
    """Sends a test alert to all recipients."""
    await context.snapshot()
    done = await context.services.alerts.test(visitor.name)
    outcome = {}
    if done.endpoint is not None:
        outcome["sent_to"] = done.endpoint.id
    if done.mail_error is not None:
        outcome["mail"] = done.mail_error or SENT
    return redirect(f"/settings/alerts?{urlencode(outcome)}#test")


OPERATIONS = (show, test)
