"""`/settings/alerts`: where alerts are sent, with a test for each. Some recipients are process settings."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from msgspec import UNSET

from nicobar.errors import NicobarError, StoreUnusable, UserError
from nicobar.model import AlertResult, AlertTarget, Record, TargetKind
from nicobar.pipeline.alert_targets import open_address, shown_address
from nicobar.pipeline.alert_types import AlertType
from nicobar.pipeline.alerts import MAIL_ID
from nicobar.settings import shown
from nicobar.use_cases import alert_targets
from nicobar.use_cases.alert_targets import CHOSEN_TYPES, TargetPatch, TargetSpec, find_target
from nicobar.use_cases.edit import Edit, edited
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
    AlertType.ENDPOINT_UNUSABLE: noop("Endpoint cannot be used: its credentials cannot be read. Deliveries wait."),
    AlertType.ENDPOINT_USABLE: noop("Endpoint can be used again."),
    AlertType.EXHAUSTED: noop("Delivery failed permanently."),
    AlertType.ATTEMPT_RECOVERED: noop("A delivery that had failed permanently was sent after all."),
    AlertType.BACKLOG_OLD: noop("The oldest pending event of an endpoint is too old, 24 hours old or 60 hours old."),
    AlertType.BACKLOG_RECOVERED: noop("No pending event of the endpoint is too old."),
    AlertType.REFUSING: noop("Source rejected three requests in a row: invalid signatures."),
    AlertType.ACCEPTING: noop("Source accepts requests again."),
    AlertType.SOURCE_UNUSABLE: noop("Source cannot be used: its secrets cannot be read. Senders get status 503."),
    AlertType.SOURCE_USABLE: noop("Source can be used again."),
    AlertType.STORE_FAILING: noop("Events cannot be stored: the database cannot be written. Senders get status 503."),
    AlertType.STORE_RECOVERED: noop("Events can be stored again."),
    AlertType.STORE_DAMAGED: noop("The database is damaged."),
    AlertType.DISK_LOW: noop("Less than 5% of the database's disk is free."),
    AlertType.DISK_RECOVERED: noop("The database's disk has free space again."),
    AlertType.SANDBOX_FAILING: noop("Handlers cannot run: events are stored, deliveries wait."),
    AlertType.SANDBOX_RECOVERED: noop("Handlers can run again."),
    AlertType.PROCESS_FAILING: noop("Queues or the configuration cannot be read, or a background task has ended."),
    AlertType.PROCESS_RECOVERED: noop("All parts of the process work again."),
}
KINDS = {
    TargetKind.EMAIL: noop("Email"),
    TargetKind.WEBHOOK: noop("Webhook"),
    TargetKind.SLACK: "Slack",
    TargetKind.PAGERDUTY: "PagerDuty",
}
SETTINGS = ("alert_endpoint", "alert_smtp_url", "alert_mail_from", "alert_mail_to", "alert_backlog_minutes")
SENT, FAILED = "sent", "failed"
PAGE = "/settings/alerts"
ONE = f"{PAGE}/targets/{{target_id}}"


class Row(Record):
    """A target as the page shows it; `address` is empty if it cannot be read."""

    target: AlertTarget
    address: str
    result: AlertResult | None


class Form(Record):
    """A submitted form of a target, without its secret."""

    name: str = ""
    kind: str = TargetKind.WEBHOOK.value
    address: str = ""
    alert_types: tuple[str, ...] = ()


@get(PAGE, needs=Needs.USER)
async def show(context: Context, visitor: Visitor, sent_to: str = "", mail: str = "") -> Response[bytes]:
    """The targets and the recipients of the settings; `sent_to` and `mail` are the results of a test."""
    return await _page(context, visitor, sent_to=sent_to, mail=mail)


@post(f"{PAGE}/test", status=303, needs=Needs.OWNER)
async def test(context: Context, visitor: Visitor) -> Response[bytes]:
    """Sends a test alert to the recipients of the settings."""
    await context.snapshot()
    done = await context.services.alerts.test(visitor.name)
    outcome = {}
    if done.endpoint is not None:
        outcome["sent_to"] = done.endpoint.id
    if done.mail is not None:
        outcome["mail"] = FAILED if done.mail.reason else SENT
    return redirect(f"{PAGE}?{urlencode(outcome)}#test")


@post(f"{PAGE}/targets", status=303, needs=Needs.OWNER)
async def create(context: Context, visitor: Visitor) -> Response[bytes]:
    """Creates a target."""

    async def change(edit: Edit) -> AlertTarget:
        spec = TargetSpec(
            name=_name(visitor),
            kind=_kind(visitor),
            address=visitor.form.get("address", "").strip(),
            secret=visitor.form.get("secret", "").strip(),
            alert_types=_types(visitor),
        )
        return await alert_targets.create(edit, spec)

    try:
        await edited(context.services, visitor, change)
    except UserError as problem:
        return await _page(context, visitor, form=_form(visitor), problem=problem)
    return redirect(f"{PAGE}#targets")


@get(ONE, needs=Needs.OWNER)
async def show_target(target_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The form of one target."""
    target = find_target(await context.snapshot(), target_id)
    form = Form(name=target.name, kind=target.kind.value, alert_types=target.alert_types)
    return _target_page(context, visitor, target, form)


@post(ONE, status=303, needs=Needs.OWNER)
async def update(target_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Changes a target. An empty address or secret keeps the stored one."""

    async def change(edit: Edit) -> AlertTarget:
        patch = TargetPatch(
            name=_name(visitor),
            kind=_kind(visitor),
            address=visitor.form.get("address", "").strip() or UNSET,
            secret=visitor.form.get("secret", "").strip() or UNSET,
            alert_types=_types(visitor),
        )
        return await alert_targets.update(edit, target_id, patch)

    try:
        await edited(context.services, visitor, change)
    except UserError as problem:
        target = find_target(await context.snapshot(), target_id)
        return _target_page(context, visitor, target, _form(visitor), problem)
    return redirect(f"{PAGE}#targets")


@post(f"{ONE}/test", status=303, needs=Needs.OWNER)
async def test_target(target_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Sends a test alert to one target. The list shows the result."""
    await alert_targets.send_test(context.services, visitor, target_id)
    return redirect(f"{PAGE}#targets")


@get(f"{ONE}/delete", needs=Needs.OWNER)
async def ask_delete(target_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Asks for confirmation."""
    return page(visitor, "alert_target_delete.html", target=find_target(await context.snapshot(), target_id))


@post(f"{ONE}/delete", status=303, needs=Needs.OWNER)
async def delete(target_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Deletes a target."""

    async def change(edit: Edit) -> None:
        await alert_targets.delete(edit, target_id)

    await edited(context.services, visitor, change)
    return redirect(f"{PAGE}#targets")


def _name(visitor: Visitor) -> str:
    return " ".join(visitor.form.get("name", "").split())


def _kind(visitor: Visitor) -> TargetKind:
    """Raises UserError."""
    try:
        return TargetKind(visitor.form.get("kind", ""))
    except ValueError as error:
        raise UserError("kind_unknown", "Unknown kind of alert target.", "Choose one from the list.") from error


def _types(visitor: Visitor) -> tuple[AlertType, ...]:
    """The chosen types; all are stored as none, so that later types are sent too."""
    chosen = visitor.every.get("alert_type", ())
    types = tuple(kind for kind in CHOSEN_TYPES if kind.value in chosen)
    return () if len(types) == len(CHOSEN_TYPES) else types


def _form(visitor: Visitor) -> Form:
    return Form(
        name=_name(visitor),
        kind=visitor.form.get("kind", ""),
        address=visitor.form.get("address", "").strip(),
        alert_types=tuple(kind.value for kind in _types(visitor)),
    )


def _target_page(
    context: Context, visitor: Visitor, target: AlertTarget, form: Form, problem: NicobarError | None = None
) -> Response[bytes]:
    return page(
        visitor,
        "alert_target.html",
        status=422 if problem else 200,
        target=target,
        shown=_address(context, target),
        form=form,
        kinds=KINDS,
        meanings=MEANINGS,
        problem=problem,
    )


def _address(context: Context, target: AlertTarget) -> str:
    try:
        return shown_address(target.kind, open_address(context.services.vault, target).address)
    except StoreUnusable:
        return ""


async def _page(
    context: Context,
    visitor: Visitor,
    *,
    sent_to: str = "",
    mail: str = "",
    form: Form | None = None,
    problem: NicobarError | None = None,
) -> Response[bytes]:
    services = context.services
    settings = services.settings
    snapshot = await context.snapshot()
    results: Mapping[str, AlertResult] = await services.alerts.results()
    return page(
        visitor,
        "settings_alerts.html",
        status=422 if problem else 200,
        rows=[
            Row(target=target, address=_address(context, target), result=results.get(target.id))
            for target in snapshot.alert_targets
        ],
        form=form or Form(),
        kinds=KINDS,
        problem=problem,
        endpoint=services.alerts.endpoint,
        wanted=settings.alert_endpoint,
        has_mail=bool(settings.alert_recipients),
        values={name: shown(settings, name) for name in SETTINGS},
        origins=services.origins,
        meanings=MEANINGS,
        tested_endpoint_id=next((endpoint.id for endpoint in snapshot.endpoints if endpoint.id == sent_to), ""),
        mail=results.get(MAIL_ID) if mail in {SENT, FAILED} else None,
        now_ms=context.now_ms(),
    )


OPERATIONS = (show, test, create, show_target, update, test_target, ask_delete, delete)
