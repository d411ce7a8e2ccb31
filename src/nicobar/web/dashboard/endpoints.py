"""`/webhooks`: the list of endpoints; one endpoint's overview, its first event, pause and resume."""

from __future__ import annotations

from nicobar.connectors import FieldKind, SettingsFix
from nicobar.connectors.answers import ANSWERED, CREDENTIAL_STATUSES
from nicobar.connectors.registry import connector
from nicobar.errors import NicobarError, UserError
from nicobar.model import Breaker, BreakerState, Endpoint, Record, Source
from nicobar.pipeline.breaker import next_probe_at_ms
from nicobar.pipeline.subscriptions import wants
from nicobar.reasons import Reason
from nicobar.sources.registry import first_source, source_kind
from nicobar.store import Backlog, Snapshot
from nicobar.store.history import AttemptFilter, MessageAttempt, MessageFilter, RejectedRequest, Tally
from nicobar.use_cases import endpoints, sources
from nicobar.use_cases.destination_check import sent_secrets
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.endpoint_records import EndpointPatch
from nicobar.use_cases.statistics import DAY_MS, Counts, count
from nicobar.web.dashboard.activity import error_percent, last_day
from nicobar.web.dashboard.context import Context, current_application, find_endpoint, not_found
from nicobar.web.dashboard.coverage import coverage_of_endpoint
from nicobar.web.dashboard.endpoint_inspection import can_be_asked
from nicobar.web.dashboard.pages import page, redirect
from nicobar.web.dashboard.sources import receive_sample, samples_of
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

ATTEMPTS = 10
MAX_UNFINISHED = 20
_CREDENTIAL_CODES = frozenset(f"{ANSWERED}{status}" for status in CREDENTIAL_STATUSES)


class EndpointRow(Record):
    """An endpoint in the list. `state` is `active`, `paused`, `on_hold`, `failing` or `disabled`. `oldest_ms` is when
    the oldest pending message was received. `counts` are the attempts of the last 24 hours, `error_percent` is the
    share of failed ones. `fix` may end a hold; `credentials_field` is the
    first credential where they may be the cause.
    """

    endpoint: Endpoint
    connector_name: str
    has_contract: bool
    state: str
    reason: Reason | None
    unfinished: int
    oldest_ms: int | None
    counts: Counts
    error_percent: float | None
    probe_at_ms: int | None
    fix: SettingsFix | None = None
    credentials_field: str = ""


class UnfinishedDraft(Record):
    """A set-up that was not finished."""

    id: str
    name: str
    connector_name: str
    updated_at_ms: int


class First(Record):
    """An endpoint's first event: the latest attempt, or else the latest request that its source rejected."""

    tried: MessageAttempt | None
    latency_ms: int
    refused: RejectedRequest | None


@get("/webhooks")
async def show_all(context: Context, visitor: Visitor) -> Response[bytes]:
    """The endpoints, by name, and the set-ups that were not finished."""
    snapshot = await context.snapshot()
    app_id = current_application(snapshot).id
    return page(
        visitor,
        "endpoints.html",
        rows=await rows_of(context, snapshot, app_id),
        drafts=await _unfinished(context, app_id) if visitor.may_change else (),
        now_ms=context.now_ms(),
    )


async def _unfinished(context: Context, app_id: str) -> list[UnfinishedDraft]:
    found = await context.services.store.unfinished_drafts(app_id, limit=MAX_UNFINISHED)
    return [
        UnfinishedDraft(
            id=draft.id,
            name=draft.name,
            connector_name=connector(draft.connector).name,
            updated_at_ms=draft.updated_at_ms,
        )
        for draft in found
    ]


async def rows_of(context: Context, snapshot: Snapshot, app_id: str) -> list[EndpointRow]:
    """The application's current endpoints, by name."""
    store = context.services.store
    backlog = {waiting.endpoint_seq: waiting for waiting in await store.backlog()}
    breakers = await store.breakers()
    tallies: dict[str, list[Tally]] = {}
    since_ms, until_ms = _last_day(context)
    for tally in await store.tallies_by_endpoint(app_id, since_ms=since_ms, until_ms=until_ms):
        tallies.setdefault(tally.endpoint_id, []).append(tally)
    own = sorted(
        (endpoint for endpoint in snapshot.endpoints if endpoint.app_id == app_id),
        key=lambda endpoint: endpoint.name.casefold(),
    )
    return [
        _row(item, breakers.get(item.seq), backlog.get(item.seq), count(tallies.get(item.id, []))) for item in own
    ]


def _last_day(context: Context) -> tuple[int, int]:
    now_ms = context.now_ms()
    return now_ms - DAY_MS, now_ms + 1


def _row(endpoint: Endpoint, breaker: Breaker | None, waiting: Backlog | None, counts: Counts) -> EndpointRow:
    state, reason = _state(endpoint, breaker)
    held_for = reason if state == "on_hold" else None
    return EndpointRow(
        endpoint=endpoint,
        connector_name=connector(endpoint.connector).name,
        has_contract=connector(endpoint.connector).has_contract,
        state=state,
        reason=reason,
        unfinished=waiting.unfinished if waiting else 0,
        oldest_ms=waiting.oldest_accepted_at_ms if waiting else None,
        counts=counts,
        error_percent=error_percent(counts),
        probe_at_ms=next_probe_at_ms(breaker) if breaker else None,
        fix=connector(endpoint.connector).settings_fix(endpoint.settings, held_for) if held_for else None,
        credentials_field=_credentials_field(endpoint) if held_for and held_for.code in _CREDENTIAL_CODES else "",
    )


def _credentials_field(endpoint: Endpoint) -> str:
    names = [field.name for field in connector(endpoint.connector).fields if field.kind is FieldKind.SECRET]
    return next(iter(sent_secrets(endpoint.connector, names)), "")


def _state(endpoint: Endpoint, breaker: Breaker | None) -> tuple[str, Reason | None]:
    if endpoint.disabled:
        return "disabled", endpoint.disabled_reason
    if endpoint.paused_reason is not None:
        return "on_hold" if endpoint.on_hold else "paused", endpoint.paused_reason
    if breaker is not None and breaker.state is not BreakerState.CLOSED:
        return "failing", breaker.reason
    return "active", None


@get("/webhooks/{endpoint_id}")
async def show(
    *,
    endpoint_id: str,
    context: Context,
    visitor: Visitor,
    sent: bool = False,
    kept: bool = False,
) -> Response[bytes]:
    """One endpoint: status, source, latest attempts. The connection steps stay visible after a sample was `sent` or a
    secret was `kept`, even if the first event has arrived in the meantime.
    """
    return await _page(context, visitor, endpoint_id, is_connecting=sent or kept)


@get("/webhooks/{endpoint_id}/first")
async def first(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The first event, as a part of the page that is polled."""
    snapshot = await context.snapshot()
    endpoint = find_endpoint(snapshot, endpoint_id)
    found = await _first(context, endpoint, first_source(snapshot.sources, endpoint.app_id))
    return page(visitor, "part_first.html", endpoint=endpoint, first=found, now_ms=context.now_ms())


@post("/webhooks/{endpoint_id}/secret", status=303)
async def set_secret(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Saves the sender's signing secret."""

    async def change(edit: Edit) -> None:
        await sources.rotate_secret(edit, _source(context, edit, endpoint_id), visitor.form.get("secret", "").strip())

    try:
        await edited(context.services, visitor, change)
    except UserError as problem:
        return await _page(context, visitor, endpoint_id, problem=problem)
    return redirect(f"/webhooks/{endpoint_id}?kept=1#connect")


@post("/webhooks/{endpoint_id}/test-secret", status=201)
async def test_secret(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Creates a test secret and shows it once."""

    async def change(edit: Edit) -> str:
        return await sources.create_test_secret(edit, _source(context, edit, endpoint_id))

    secret = await edited(context.services, visitor, change)
    return await _page(context, visitor, endpoint_id, made=secret)


def _source(context: Context, edit: Edit, endpoint_id: str) -> Source:
    """The source of the endpoint's events. Raises Refusal 404."""
    incoming = first_source(edit.snapshot.sources, context.endpoint(edit, endpoint_id).app_id)
    if incoming is None:
        raise not_found("source")
    return incoming


@post("/webhooks/{endpoint_id}/sample", status=303)
async def send_sample(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Receives a sample event at the source, as if the sender had sent it."""
    snapshot = await context.snapshot()
    endpoint = find_endpoint(snapshot, endpoint_id)
    incoming = first_source(snapshot.sources, endpoint.app_id)
    if incoming is None:
        raise not_found("source")
    await receive_sample(context, snapshot, incoming, visitor.form.get("event_type", ""))
    return redirect(f"/webhooks/{endpoint.id}?sent=1#connect")


@post("/webhooks/{endpoint_id}/pause", status=303)
async def pause(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Pauses sending; events are stored."""

    async def change(edit: Edit) -> None:
        await endpoints.pause(edit, context.endpoint(edit, endpoint_id))

    await edited(context.services, visitor, change)
    return redirect(f"/webhooks/{endpoint_id}")


@post("/webhooks/{endpoint_id}/resume", status=303)
async def resume(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Resumes sending; queued events are sent."""

    async def change(edit: Edit) -> None:
        await endpoints.resume(edit, context.endpoint(edit, endpoint_id))

    await edited(context.services, visitor, change)
    return redirect(f"/webhooks/{endpoint_id}")


@post("/webhooks/{endpoint_id}/fix", status=303)
async def fix(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Changes the setting for which the endpoint is on hold, and sends again. Nothing if it is on hold for something
    else by now.
    """

    async def change(edit: Edit) -> bool:
        endpoint = context.endpoint(edit, endpoint_id)
        why = endpoint.paused_reason if endpoint.on_hold else None
        found = None if why is None else connector(endpoint.connector).settings_fix(endpoint.settings, why)
        if found is None:
            return False
        settings = {**endpoint.settings, found.name: found.value}
        await endpoints.update(edit, endpoint, EndpointPatch(settings=settings))
        return True

    async def send_again(edit: Edit) -> None:
        await endpoints.resume(edit, context.endpoint(edit, endpoint_id))

    if await edited(context.services, visitor, change):
        await edited(context.services, visitor, send_again)
    return redirect(f"/webhooks/{endpoint_id}")


@post("/webhooks/{endpoint_id}/enable", status=303)
async def enable(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Enables a disabled endpoint. A pause stays in effect, and the page shows it."""

    async def change(edit: Edit) -> None:
        await endpoints.enable(edit, context.endpoint(edit, endpoint_id))

    await edited(context.services, visitor, change)
    return redirect(f"/webhooks/{endpoint_id}")


async def _page(
    context: Context,
    visitor: Visitor,
    endpoint_id: str,
    *,
    made: str = "",
    is_connecting: bool = False,
    problem: NicobarError | None = None,
) -> Response[bytes]:
    snapshot = await context.snapshot()
    endpoint = find_endpoint(snapshot, endpoint_id)
    incoming = first_source(snapshot.sources, endpoint.app_id)
    store = context.services.store
    breaker = (await store.breakers()).get(endpoint.seq)
    waiting = next(iter(await store.backlog(endpoint.seq)), None)
    since_ms, until_ms = _last_day(context)
    tallies = await store.tallies_by_type(
        endpoint.app_id, since_ms=since_ms, until_ms=until_ms, endpoint_id=endpoint.id
    )
    tried = await store.attempts_of_endpoint(endpoint.id, AttemptFilter(alerts=visitor.sees_alerts), limit=ATTEMPTS)
    return page(
        visitor,
        "endpoint.html",
        status=422 if problem else 201 if made else 200,
        made=made,
        is_connecting=is_connecting,
        is_receiving=not (made or problem) and await _is_receiving(context, endpoint.app_id),
        coverage=await coverage_of_endpoint(context, visitor, endpoint),
        can_ask=can_be_asked(context, endpoint),
        samples=_samples(snapshot, incoming, endpoint) if incoming else [],
        row=_row(endpoint, breaker, waiting, count(tallies)),
        day=await last_day(context, endpoint.app_id, endpoint.id),
        source=incoming,
        kind=source_kind(incoming.kind) if incoming else None,
        has_secret=incoming is not None and context.services.has_secret(incoming),
        source_url=f"{context.services.public_url}/in/{incoming.token}" if incoming else "",
        is_local=not context.services.public_url.startswith("https://"),
        tried=tried.items,
        first=await _first(context, endpoint, incoming),
        problem=problem,
        now_ms=context.now_ms(),
    )


async def _is_receiving(context: Context, app_id: str) -> bool:
    """Whether the application's source has received events, so that it is set up: this is a further endpoint."""
    found = await context.services.store.messages(app_id, MessageFilter(), limit=1, with_body=False)
    return bool(found.items)


def _samples(snapshot: Snapshot, incoming: Source, endpoint: Endpoint) -> list[str]:
    """The source's event types that the endpoint subscribes to, the usual one first."""
    names = [item.name for item in samples_of(snapshot, incoming) if wants(endpoint, item.name, ())]
    usual = source_kind(incoming.kind).usual_event_type
    return sorted(names, key=lambda name: name != usual)


async def _first(context: Context, endpoint: Endpoint, incoming: Source | None) -> First:
    store = context.services.store
    tried = await store.attempts_of_endpoint(endpoint.id, AttemptFilter(), limit=1)
    latest = tried.items[0] if tried.items else None
    refused = None
    if latest is None and incoming is not None:
        found = await store.refusals(incoming.id, limit=1)
        refused = found.items[0] if found.items else None
    latency_ms = 0
    if latest is not None:
        ended_ms = latest.attempt.started_at_ms + latest.attempt.duration_ms
        latency_ms = max(0, ended_ms - latest.message.accepted_at_ms)
    return First(tried=latest, latency_ms=latency_ms, refused=refused)


OPERATIONS = (
    show_all,
    show,
    first,
    set_secret,
    test_secret,
    send_sample,
    pause,
    resume,
    fix,
    enable,
)
