"""The emulator over HTTP: the calls of the Track API, what it holds as JSON, and a page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Annotated

import msgspec
from jinja2 import Environment, PackageLoader, select_autoescape
from litestar import Litestar, Response, delete, get, post, put
from litestar.exceptions import HTTPException
from litestar.params import QueryParameter

from nicobar.emulator.contract import MAX_BATCH_BYTES
from nicobar.emulator.state import MAX_ACTIVITIES, Activity, SeenRequest, State
from nicobar.emulator.track import Asked, Faults, TrackApi, known, ok, reply, unauthorized
from nicobar.model import Json
from nicobar.serving import error_reply

PAGE_ROWS = 100
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_ACTIVITIES)]
_pages = Environment(loader=PackageLoader("nicobar.emulator", "templates"), autoescape=select_autoescape())
_pages.filters["json"] = lambda value: msgspec.json.encode(value).decode()
_CSP = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def create_app(state: State, *, region: str = "us") -> Litestar:  # noqa: C901 - a handler for each path
    """The emulator's application around `state`."""
    track = TrackApi(state)
    plan = track.plan

    @get("/auth", sync_to_thread=False)
    def auth(request: Asked) -> Response[bytes]:
        return ok() if known(request, state) else unauthorized()

    @get("/api/v1/accounts/region", sync_to_thread=False)
    def account_region(request: Asked) -> Response[bytes]:
        if not known(request, state):
            return unauthorized()
        url = "track.customer.io" if region == "us" else "track-eu.customer.io"
        return reply(200, {"url": f"https://{url}", "region": region, "environment_id": 1})

    @post("/api/v2/entity")
    async def entity(request: Asked) -> Response[bytes]:
        return await track.take(request, batch=False)

    @post("/api/v2/batch")
    async def batch(request: Asked) -> Response[bytes]:
        return await track.take(request, batch=True)

    @get("/emulator/people", sync_to_thread=False)
    def people(limit: Limit = 1_000) -> Response[bytes]:
        shown = [_person(state, key) for key in list(state.people)[-limit:]]
        return reply(200, {"count": len(state.people), "people": list(shown)})

    @get("/emulator/activities", sync_to_thread=False)
    def activities(limit: Limit = 1_000) -> Response[bytes]:
        return _listed("activities", list(state.activities), limit)

    @get("/emulator/requests", sync_to_thread=False)
    def requests(limit: Limit = 1_000) -> Response[bytes]:
        return _listed("requests", list(state.requests), limit)

    @get("/emulator/faults", sync_to_thread=False)
    def faults_now() -> Response[bytes]:
        return reply(200, {"faults": [msgspec.to_builtins(fault) for fault in plan]})

    @put("/emulator/faults")
    async def set_faults(request: Asked) -> Response[bytes]:
        try:
            fault = msgspec.json.decode(await request.body(), type=Faults)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return reply(
                422, {"code": "fault_invalid", "detail": f"{error}. Send status, retry_after_s, delay_ms, times."}
            )
        plan[:] = [fault] if fault.times else []
        return ok()

    @delete("/emulator/state", status_code=200, sync_to_thread=False)
    def reset() -> Response[bytes]:
        state.reset()
        plan.clear()
        return ok()

    @get("/", sync_to_thread=False)
    def page() -> Response[bytes]:
        html = _pages.get_template("emulator.html").render(
            people=[_person(state, key) for key in reversed(list(state.people)[-PAGE_ROWS:])],
            activities=list(reversed(state.activities))[:PAGE_ROWS],
            requests=list(reversed(state.requests))[:PAGE_ROWS],
            counts={
                "people": len(state.people),
                "activities": len(state.activities),
                "requests": len(state.requests),
            },
            faults=plan,
            moment=_moment,
        )
        return Response(
            html.encode(), media_type="text/html; charset=utf-8", headers={"content-security-policy": _CSP}
        )

    @get("/emulator.css", sync_to_thread=False)
    def style() -> Response[bytes]:
        text = files("nicobar.emulator").joinpath("templates", "emulator.css").read_text("utf-8")
        return Response(text.encode(), media_type="text/css")

    return Litestar(
        [
            auth,
            account_region,
            entity,
            batch,
            people,
            activities,
            requests,
            faults_now,
            set_faults,
            reset,
            page,
            style,
        ],
        openapi_config=None,
        logging_config=None,
        exception_handlers={HTTPException: error_reply},
        request_max_body_size=2 * MAX_BATCH_BYTES,
    )


def _person(state: State, key: str) -> dict[str, Json]:
    person = state.people[key]
    attributes: dict[str, Json] = dict(person.attributes)
    return {"id": person.key, "cio_id": person.cio_id, "attributes": attributes}


def _listed(name: str, rows: Sequence[Activity | SeenRequest], limit: int) -> Response[bytes]:
    return reply(200, {"count": len(rows), name: [msgspec.to_builtins(row) for row in rows[-limit:]]})


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
