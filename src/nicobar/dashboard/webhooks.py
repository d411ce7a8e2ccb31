"""`/webhooks`: the endpoints; one endpoint's page, its first event, and pausing it."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.params import FromPath

from nicobar.admin.catalogue import make_source, same_endpoint
from nicobar.connectors.kinds import connector
from nicobar.dashboard.desk import Desk, GivenDesk, application, endpoint, not_found, source
from nicobar.dashboard.language import noop
from nicobar.dashboard.pages import page, redirect
from nicobar.dashboard.visitor import GivenVisitor, Visitor
from nicobar.errors import NicobarError, UserError
from nicobar.model import Breaker, BreakerState, Endpoint, Record, Source
from nicobar.store import PauseEndpoint, PutSource
from nicobar.store.history import AttemptFilter, Refused, Tried

ATTEMPTS = 25
MAX_RATE = 65_535
PAUSED = "paused by hand"
# The reason that the dashboard itself gives; others come from the destination and stand as they are.
_PAUSED_SHOWN = noop("paused by hand")


class Row(Record):
    """An endpoint in the list. `state` is `active`, `paused`, `failing` or `disabled`."""

    endpoint: Endpoint
    connector_name: str
    state: str
    reason: str
    unfinished: int


class First(Record):
    """What is known of an endpoint's first event: the latest try, or else what its source refused last."""

    tried: Tried | None
    latency_ms: int
    refused: Refused | None


@get("/webhooks")
async def show_all(desk: GivenDesk, visitor: GivenVisitor) -> Response[bytes]:
    """The endpoints, by name."""
    snapshot = await desk.snapshot()
    app_id = application(snapshot).id
    backlog = {one.endpoint_seq: one.unfinished for one in await desk.services.store.backlog()}
    breakers = await desk.services.store.breakers()
    rows = [
        _row(one, breakers.get(one.seq), backlog.get(one.seq, 0))
        for one in sorted(snapshot.endpoints, key=lambda one: one.name.casefold())
        if one.app_id == app_id
    ]
    return page(visitor, "webhooks.html", rows=rows)


def _row(one: Endpoint, breaker: Breaker | None, unfinished: int) -> Row:
    state, reason = _state(one, breaker)
    name = connector(one.connector).name
    return Row(endpoint=one, connector_name=name, state=state, reason=reason, unfinished=unfinished)


def _state(one: Endpoint, breaker: Breaker | None) -> tuple[str, str]:
    if one.disabled:
        return "disabled", one.disabled_reason or ""
    if one.paused_reason is not None:
        return "paused", one.paused_reason
    if breaker is not None and breaker.state is not BreakerState.CLOSED:
        return "failing", breaker.reason or ""
    return "active", ""


@get("/webhooks/{endpoint_id:str}")
async def show(endpoint_id: FromPath[str], desk: GivenDesk, visitor: GivenVisitor) -> Response[bytes]:
    """One endpoint: its state, where its events come in, its latest tries."""
    return await _page(desk, visitor, endpoint_id)


@get("/webhooks/{endpoint_id:str}/first")
async def first(endpoint_id: FromPath[str], desk: GivenDesk, visitor: GivenVisitor) -> Response[bytes]:
    """What is known of the first event, as a part of the page that asks again and again."""
    snapshot = await desk.snapshot()
    known = endpoint(snapshot, endpoint_id)
    found = await _first(desk, known, source(snapshot, known.app_id))
    return page(visitor, "part_first.html", endpoint=known, first=found, now_ms=desk.now_ms())


@post("/webhooks/{endpoint_id:str}/secret", status_code=303)
async def set_secret(endpoint_id: FromPath[str], desk: GivenDesk, visitor: GivenVisitor) -> Response[bytes]:
    """Keeps the signing secret that the sender shows."""
    async with desk.services.changing:
        snapshot = await desk.snapshot()
        known = endpoint(snapshot, endpoint_id)
        incoming = source(snapshot, known.app_id)
        if incoming is None:
            raise not_found("source")
        try:
            changed = make_source(
                vault=desk.services.vault,
                ids=desk.services.ids,
                app_id=incoming.app_id,
                name=incoming.name,
                kind=incoming.kind,
                secrets=[visitor.form.get("secret", "").strip()],
                known=incoming,
            )
        except UserError as problem:
            return await _page(desk, visitor, endpoint_id, problem=problem)
        await desk.services.change(
            visitor, "source.secret.update", incoming.id, PutSource(source=changed), app_id=incoming.app_id
        )
    return redirect(f"/webhooks/{known.id}?kept=1#connect")


@post("/webhooks/{endpoint_id:str}/pause", status_code=303)
async def pause(endpoint_id: FromPath[str], desk: GivenDesk, visitor: GivenVisitor) -> Response[bytes]:
    """Stops sending; events are kept meanwhile."""
    known = endpoint(await desk.snapshot(), endpoint_id)
    change = PauseEndpoint(endpoint_id=known.id, reason=PAUSED)
    await desk.services.change(visitor, "endpoint.pause", known.id, change, app_id=known.app_id)
    return redirect(f"/webhooks/{known.id}")


@post("/webhooks/{endpoint_id:str}/resume", status_code=303)
async def resume(endpoint_id: FromPath[str], desk: GivenDesk, visitor: GivenVisitor) -> Response[bytes]:
    """Sends again, and enables an endpoint that was disabled."""
    async with desk.services.changing:
        known = endpoint(await desk.snapshot(), endpoint_id)
        changes = [PauseEndpoint(endpoint_id=known.id, reason=None)]
        enabled = [same_endpoint(known, disabled=False)] if known.disabled else []
        await desk.services.change(visitor, "endpoint.resume", known.id, *changes, *enabled, app_id=known.app_id)
    desk.services.wake([known.seq])
    return redirect(f"/webhooks/{known.id}")


async def _page(
    desk: Desk, visitor: Visitor, endpoint_id: str, problem: NicobarError | None = None
) -> Response[bytes]:
    snapshot = await desk.snapshot()
    known = endpoint(snapshot, endpoint_id)
    incoming = source(snapshot, known.app_id)
    store = desk.services.store
    breaker = (await store.breakers()).get(known.seq)
    backlog = {one.endpoint_seq: one.unfinished for one in await store.backlog()}
    tried = await store.attempts_of_endpoint(known.id, AttemptFilter(), limit=ATTEMPTS)
    return page(
        visitor,
        "endpoint.html",
        status=422 if problem else 200,
        row=_row(known, breaker, backlog.get(known.seq, 0)),
        source=incoming,
        has_secret=incoming is not None and desk.services.has_secret(incoming),
        source_url=f"{visitor.base_url}/in/{incoming.token}" if incoming else "",
        is_local=not visitor.base_url.startswith("https://"),
        tried=tried.items,
        first=await _first(desk, known, incoming),
        problem=problem,
        now_ms=desk.now_ms(),
    )


async def _first(desk: Desk, known: Endpoint, incoming: Source | None) -> First:
    store = desk.services.store
    tried = await store.attempts_of_endpoint(known.id, AttemptFilter(), limit=1)
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


HANDLERS = (
    show_all,
    show,
    first,
    set_secret,
    pause,
    resume,
)
