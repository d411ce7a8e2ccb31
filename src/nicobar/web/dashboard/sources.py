"""`/sources`: the list of sources; one source's URL, secrets, rejected requests, and sample events."""

from __future__ import annotations

import uuid

from msgspec import UNSET

from nicobar.clock import utc_time
from nicobar.errors import NicobarError, StoreUnusable, UserError
from nicobar.model import EventType, Mode, Record, Source
from nicobar.pipeline.configuration import Unusable, source_secrets
from nicobar.sources.envelope import unix_ms
from nicobar.sources.registry import SOURCES, source_kind
from nicobar.store import Snapshot
from nicobar.store.history import RejectedRequest
from nicobar.use_cases import sources
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.sources import SourcePatch, SourceSpec, suggested_mode
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context, current_application, not_found
from nicobar.web.dashboard.forms import read_mode
from nicobar.web.dashboard.pages import page, redirect
from nicobar.web.dashboard.paging import PAGE, Number, Shown, shown, text
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

HOUR_MS = 3_600_000
_MAX_SHOWN_CHARS = 50
# How long the previous secret is accepted, in hours.
GRACE_HOURS = (24, 1, 168, 0)
SAMPLE = EventType(name="sample.sent")


class SourceRow(Record):
    """A source in the list, with its last rejected request. `secrets` is the number of accepted secrets."""

    source: Source
    kind_name: str
    secrets: int
    refused: RejectedRequest | None


class LedgerForm(Record):
    """The mode, and the day since which the history is complete, as texts."""

    mode: str
    since: str


@get("/sources")
async def show_all(context: Context, visitor: Visitor) -> Response[bytes]:
    """The sources, by name."""
    snapshot = await context.snapshot()
    app_id = current_application(snapshot).id
    own = [source for source in snapshot.sources if source.app_id == app_id]
    rows = [await _row(context, item) for item in sorted(own, key=lambda item: item.name.casefold())]
    return page(visitor, "sources.html", rows=rows, now_ms=context.now_ms())


@get("/sources/new", needs=Needs.CHANGING)
async def ask_new(visitor: Visitor) -> Response[bytes]:
    """The form for a new source."""
    return _new(visitor, name="", kind=SOURCES[0].kind)


@post("/sources/new", status=303)
async def create(context: Context, visitor: Visitor) -> Response[bytes]:
    """Creates a source. Its secret may follow later, since senders show it once they have the URL."""
    secret = visitor.form.get("secret", "").strip()
    spec = SourceSpec(
        kind=visitor.form.get("kind", ""),
        name=" ".join(visitor.form.get("name", "").split()),
        secrets=(secret,) if secret else (),
    )

    async def change(edit: Edit) -> Source:
        app_id = current_application(context.visible(edit.snapshot)).id
        return await sources.create(edit, app_id, spec)

    try:
        created = await edited(context.services, visitor, change)
    except UserError as problem:
        return _new(visitor, name=spec.name, kind=spec.kind, problem=problem)
    return redirect(f"/sources/{created.id}")


@get("/sources/{source_id}")
async def show(
    *,
    source_id: str,
    context: Context,
    visitor: Visitor,
    before: Number = None,
    after: Number = None,
    sent: str = "",
) -> Response[bytes]:
    """One source; `sent` is the id of the message that a sample event became."""
    return await _page(context, visitor, source_id, before=before, after=after, sent=sent)


@post("/sources/{source_id}/secret", status=303)
async def rotate_secret(source_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Adds a new secret; the previous one is accepted for the chosen time."""
    chosen = visitor.form.get("hours", "")
    hours = int(chosen) if chosen in {str(grace_hour) for grace_hour in GRACE_HOURS} else GRACE_HOURS[0]
    secret = visitor.form.get("secret", "").strip()

    async def change(edit: Edit) -> None:
        until_ms = context.now_ms() + hours * HOUR_MS
        await sources.rotate_secret(edit, _source(context, edit, source_id), secret, until_ms=until_ms)

    try:
        await edited(context.services, visitor, change)
    except UserError as problem:
        return await _page(context, visitor, source_id, problem=problem)
    return redirect(f"/sources/{source_id}#secrets")


@post("/sources/{source_id}/ledger", status=303)
async def change_ledger(source_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Saves the mode and the time since which the history is complete."""

    async def change(edit: Edit) -> None:
        source, since = _source(context, edit, source_id), form.since.strip()
        # The form has days only: a time of the same day stays as it is.
        is_kept = since == _stored_form(source).since
        patch = SourcePatch(mode=read_mode(form.mode), history_complete_since_ms=UNSET if is_kept else _since(since))
        await sources.update(edit, source, patch)

    form = LedgerForm(mode=visitor.form.get("mode", ""), since=visitor.form.get("history_complete_since", ""))
    try:
        await edited(context.services, visitor, change)
    except UserError as problem:
        return await _page(context, visitor, source_id, problem=problem, form=form)
    return redirect(f"/sources/{source_id}#ledger")


def _stored_form(source: Source) -> LedgerForm:
    since_ms = source.history_complete_since_ms
    since = "" if since_ms is None else utc_time(since_ms).date().isoformat()
    return LedgerForm(mode=source.mode or "", since=since)


def _since(text: str) -> int | None:
    """A day in UTC, or a time; None for an empty text. Raises UserError."""
    since_ms = unix_ms(text)
    if text and since_ms is None:
        given = text[:_MAX_SHOWN_CHARS]
        raise UserError("time_invalid", "Invalid date %(text)s.", "Enter it as 2026-01-31.", text=given)
    return since_ms


@post("/sources/{source_id}/test-secret", status=201)
async def test_secret(source_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Creates a test secret and shows it once."""

    async def change(edit: Edit) -> str:
        return await sources.create_test_secret(edit, _source(context, edit, source_id))

    secret = await edited(context.services, visitor, change)
    return await _page(context, visitor, source_id, made=secret)


@post("/sources/{source_id}/end-older", status=303)
async def end_older(source_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Revokes the previous secret."""

    async def change(edit: Edit) -> None:
        await sources.end_older_secret(edit, _source(context, edit, source_id))

    await edited(context.services, visitor, change)
    return redirect(f"/sources/{source_id}#secrets")


@get("/sources/{source_id}/address", needs=Needs.CHANGING)
async def ask_address(source_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Explains the replacement of the URL and asks for confirmation."""
    return page(visitor, "source_address.html", source=source(await context.snapshot(), source_id))


@post("/sources/{source_id}/address", status=303)
async def rotate_address(source_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Replaces the source's URL; the previous one responds 404 immediately."""

    async def change(edit: Edit) -> None:
        await sources.rotate_url(edit, _source(context, edit, source_id))

    await edited(context.services, visitor, change)
    return redirect(f"/sources/{source_id}")


@post("/sources/{source_id}/sample", status=303)
async def send_sample(source_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Receives a sample event, signed with the newest secret, as if the sender had sent it."""
    snapshot = await context.snapshot()
    incoming = source(snapshot, source_id)
    message_id = await receive_sample(context, snapshot, incoming, visitor.form.get("event_type", ""))
    return redirect(f"/sources/{incoming.id}?sent={message_id}#sample")


@get("/sources/{source_id}/delete", needs=Needs.CHANGING)
async def ask_delete(source_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Explains the deletion and asks for confirmation."""
    return page(visitor, "source_delete.html", source=source(await context.snapshot(), source_id))


@post("/sources/{source_id}/delete", status=303)
async def delete(source_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Deletes the source; its messages are kept."""

    async def change(edit: Edit) -> None:
        await sources.delete(edit, _source(context, edit, source_id))

    await edited(context.services, visitor, change)
    return redirect("/sources")


def _source(context: Context, edit: Edit, source_id: str) -> Source:
    """The source to change. Raises Refusal 404."""
    return source(context.visible(edit.snapshot), source_id)


def source(snapshot: Snapshot, source_id: str) -> Source:
    """Raises Refusal 404."""
    for source in snapshot.sources:
        if source.id == source_id and source.app_id == current_application(snapshot).id:
            return source
    raise not_found("source")


def _new(visitor: Visitor, *, name: str, kind: str, problem: UserError | None = None) -> Response[bytes]:
    status = 422 if problem else 200
    return page(visitor, "source_new.html", status=status, name=name, kind=kind, kinds=SOURCES, problem=problem)


async def receive_sample(context: Context, snapshot: Snapshot, incoming: Source, name: str) -> str:
    """Receives a sample event of that type, signed with the newest secret, as if the sender had sent it. Returns the
    message's id. Raises Refusal 404.
    """
    event_type = next((item for item in samples_of(snapshot, incoming) if item.name == name), None)
    opened = await context.services.configuration.source(incoming.token)
    if isinstance(opened, Unusable):
        raise opened.error
    if event_type is None or opened is None or not opened.secrets:
        raise not_found("sample")
    now_ms = context.now_ms()
    event_id = f"test_{uuid.uuid4().hex}"
    body = opened.kind.sample(event_type, now_ms, event_id=event_id)
    headers = opened.kind.sign(event_id, body, opened.secrets[0], now_ms, event_type=event_type.name)
    return (await context.services.receiver.receive(opened, headers, body)).message_id


def samples_of(snapshot: Snapshot, incoming: Source) -> list[EventType]:
    """The sample event types of this source."""
    of_kind = source_kind(incoming.kind).event_types()
    names = {item.name for item in of_kind}
    own = [
        event_type for event_type in snapshot.event_types if event_type.name not in names and not event_type.archived
    ]
    return [*of_kind, *own] or [SAMPLE]


async def _row(context: Context, source: Source) -> SourceRow:
    refused = await context.services.store.refusals(source.id, limit=1)
    return SourceRow(
        source=source,
        kind_name=source_kind(source.kind).name,
        secrets=_secrets(context, source),
        refused=refused.items[0] if refused.items else None,
    )


def _secrets(context: Context, source: Source) -> int:
    """The number of accepted secrets; 0 if they cannot be read."""
    try:
        kept = len(source_secrets(context.services.vault, source))
    except StoreUnusable:
        return 0
    is_over = source.older_until_ms is not None and source.older_until_ms <= context.now_ms()
    return min(kept, 1) if is_over else kept


async def _page(
    context: Context,
    visitor: Visitor,
    source_id: str,
    *,
    before: int | None = None,
    after: int | None = None,
    sent: str = "",
    made: str = "",
    problem: NicobarError | None = None,
    form: LedgerForm | None = None,
) -> Response[bytes]:
    snapshot = await context.snapshot()
    incoming = source(snapshot, source_id)
    found = await context.services.store.refusals(incoming.id, before=text(before), after=text(after), limit=PAGE)
    refused: Shown[RejectedRequest] = shown(found, before=before, after=after, key=lambda item: str(item.seq))
    return page(
        visitor,
        "source.html",
        status=422 if problem else 201 if made else 200,
        made=made,
        row=await _row(context, incoming),
        kind=source_kind(incoming.kind),
        address=f"{context.services.public_url}/in/{incoming.token}",
        is_local=not context.services.public_url.startswith("https://"),
        hours=GRACE_HOURS,
        samples=samples_of(snapshot, incoming),
        modes=[mode.value for mode in Mode],
        form=form or _stored_form(incoming),
        suggested=await suggested_mode(context.services.store, incoming),
        sent=sent,
        refused=refused,
        problem=problem,
        now_ms=context.now_ms(),
    )


OPERATIONS = (
    show_all,
    ask_new,
    create,
    show,
    rotate_secret,
    change_ledger,
    test_secret,
    end_older,
    ask_address,
    rotate_address,
    send_sample,
    ask_delete,
    delete,
)
