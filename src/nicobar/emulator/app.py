"""The emulator over HTTP: the Track API, its state as JSON, its settings, and a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from nicobar.emulator import app_api
from nicobar.emulator.activities import Activity
from nicobar.emulator.app_api import AppApi
from nicobar.emulator.campaign import Campaign, Email, Segment, Unsent
from nicobar.emulator.campaigns import Campaigns
from nicobar.emulator.clock import Move
from nicobar.emulator.contract import MAX_BATCH_BYTES, Mode
from nicobar.emulator.faults import MAX_FAULTS, Fault
from nicobar.emulator.inbox import Shown
from nicobar.emulator.origin import is_foreign
from nicobar.emulator.people import Person
from nicobar.emulator.routes import Desk, operations
from nicobar.emulator.setup import AllCampaigns, AllSegments
from nicobar.emulator.state import MAX_ACTIVITIES, SeenRequest, State
from nicobar.emulator.track import BODY_TIMEOUT_MS, PREFIXES, TrackApi
from nicobar.emulator.workspace import Workspace
from nicobar.errors import NicobarError, Refusal, UserError
from nicobar.model import Json, Record
from nicobar.web.asgi import App, Message, Receive, Send, headers_of, send_json
from nicobar.web.language import choose
from nicobar.web.middleware.body import Body, body_of
from nicobar.web.middleware.errors import Errors, Render
from nicobar.web.operations import Operation, Response, delete, get, put
from nicobar.web.parameters import read_path, read_query
from nicobar.web.providers import Handlers, Provider
from nicobar.web.query_names import given_values
from nicobar.web.routing import Routes

Limit = Annotated[int, Meta(ge=1, le=MAX_ACTIVITIES)]
Faults = Annotated[list[Fault], Meta(max_length=MAX_FAULTS)]
T = TypeVar("T")
_CROSS_ORIGIN: Json = {
    "code": "cross_origin",
    "detail": "Cross-site request rejected. Open the emulator by its IP address, localhost, or the name in --host. "
    "Scripts must not send an Origin header.",
}


class EmulatorSettings(Record):
    """The settings of `PUT /emulator/settings`; omitted fields stay unchanged. `settle_ms` is the delay before
    accepted calls take effect.
    """

    mode: Mode | None = None
    settle_ms: Annotated[int, Meta(ge=0, le=60_000)] | None = None


class Emulator:
    """An ASGI application for `state`. The Track API handles its own responses."""

    def __init__(
        self,
        state: State,
        *,
        region: str = "us",
        host: str = "",
        campaigns: Sequence[Campaign] = (),
        nicobar_url: str = "",
    ) -> None:
        self.state = state
        self._host = host
        self.track = TrackApi(state, region=region)
        self.campaigns = Campaigns(state.now)
        self.campaigns.put(campaigns)
        state.listeners.append(self.campaigns.consider)
        self.shown = Shown(state, self.campaigns, nicobar_url)
        self._app_api = AppApi(state, self.campaigns, self.settle)
        desk = Desk(
            shown=self.shown,
            faults=self.track.faults,
            settings=lambda: msgspec.to_builtins(self.settings()),
            put_campaigns=self.put_campaigns,
            change_settings=self.change_settings,
            move_clock=self.move_clock,
            clear=self.reset,
        )
        rows = [*_shown(self), *_switches(self), *_workspace(self), *operations(desk)]
        self._behind = _application(rows, partial(_error, desk))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PREFIXES):
            await self.track(scope, receive, send)
        elif scope["type"] == "http" and scope["path"].startswith(app_api.PREFIX):
            await self._app_api(scope, receive, send)
        elif scope["type"] == "http" and is_foreign(scope["method"], headers_of(scope), self._host):
            await send_json(send, 403, _CROSS_ORIGIN)
        else:
            self.settle()
            await self._behind(scope, receive, send)

    def settle(self) -> None:
        """Lets everything take effect that is due."""
        self.state.settle()
        self.state.version += self.campaigns.settle()

    def move_clock(self, wanted: Move) -> None:
        """Raises ValueError if the clock cannot be moved so."""
        self.settle()
        before = self.state.now()
        self.state.clock.move(wanted)
        self.settle()
        self.campaigns.time_passed(self.state.people, before)
        self.state.version += 1

    def put_segments(self, segments: Sequence[Segment]) -> None:
        self.campaigns.put_segments(segments)
        self.state.version += 1

    def settings(self) -> EmulatorSettings:
        return EmulatorSettings(mode=self.track.mode, settle_ms=self.state.settle_ms)

    def set(self, wanted: EmulatorSettings) -> None:
        self.track.mode = wanted.mode or self.track.mode
        self.state.settle_ms = self.state.settle_ms if wanted.settle_ms is None else wanted.settle_ms
        self.state.version += 1

    def change_settings(self, given: Mapping[str, Json]) -> None:
        """Changes the given fields of the settings and the workspace. Raises ValidationError or UserError."""
        settings = msgspec.convert(_only(EmulatorSettings, given), EmulatorSettings, strict=False)
        current = msgspec.to_builtins(self.state.workspace)
        workspace = msgspec.convert({**current, **_only(Workspace, given)}, Workspace, strict=False)
        self.state.put_workspace(workspace)
        self.set(settings)

    def put_campaigns(self, campaigns: Sequence[Campaign]) -> None:
        self.campaigns.put(campaigns)
        self.state.version += 1

    def put_faults(self, faults: Sequence[Fault]) -> None:
        self.track.faults.put(faults)
        self.state.version += 1

    def reset(self) -> None:
        """Deletes the state and resets the clock; campaigns, segments and settings are kept."""
        self.state.reset()
        self.campaigns.reset()
        self.track.faults.put([])


def create_app(
    state: State,
    *,
    region: str = "us",
    host: str = "",
    campaigns: Sequence[Campaign] = (),
    mode: Mode = Mode.STRICT,
    nicobar_url: str = "",
) -> Emulator:
    """The emulator's application for `state`. `host` is the name or address that it listens on; `nicobar_url` is
    where its page links to Nicobar's.
    """
    emulator = Emulator(state, region=region, host=host, campaigns=campaigns, nicobar_url=nicobar_url)
    emulator.track.mode = mode
    return emulator


def _application(rows: Sequence[Operation], render: Render) -> App:
    async def supply_body(scope: Message) -> bytes:
        return body_of(scope)

    async def supply_language(scope: Message) -> str:
        return _language(scope)

    providers = {"body": Provider(supply_body), "language": Provider(supply_language)}
    handlers: Handlers[Message] = Handlers(rows, providers)

    async def call(operation: Operation, scope: Message) -> Response[Any]:
        signature = handlers.signature(operation)
        path, wrong_path = read_path(signature.path, scope["path_params"])
        query, wrong_query = read_query(signature.query, given_values(scope["query_string"]))
        wrong = [*wrong_path, *wrong_query]
        if wrong:
            raise Refusal(400, "request_invalid", f"{wrong[0].name} {wrong[0].reason}.", "Correct the URL.")
        return await handlers.call(operation, scope, {**path, **query})

    return Errors(Body(Routes(rows, call), max_bytes=MAX_BATCH_BYTES, timeout_ms=BODY_TIMEOUT_MS), render)


def _language(scope: Message) -> str:
    return choose("", headers_of(scope).get("accept-language", ""))


def _error(desk: Desk, scope: Message, error: NicobarError) -> Response[Any]:
    """A page for browsers, JSON for everything else."""
    status = error.status if isinstance(error, Refusal) else 500
    if "text/html" in headers_of(scope).get("accept", ""):
        return desk.page(_language(scope), "error.html", "", status=status, error_status=status, why=error.reason)
    return Response({"code": error.code, "detail": str(error)}, status=status)


def _shown(emulator: Emulator) -> list[Operation]:
    """The state as JSON."""
    state = emulator.state

    @get("/emulator/people")
    async def people(limit: Limit = 1_000) -> Response[bytes]:
        shown: list[Json] = [_person(person) for person in list(state.people)[-limit:]]
        return _reply(200, {"count": len(state.people), "people": shown})

    @get("/emulator/activities")
    async def activities(limit: Limit = 1_000) -> Response[bytes]:
        return _listed("activities", list(state.activities), limit)

    @get("/emulator/requests")
    async def requests(limit: Limit = 1_000) -> Response[bytes]:
        return _listed("requests", list(state.requests), limit)

    @get("/emulator/emails")
    async def emails(limit: Limit = 1_000) -> Response[bytes]:
        waiting: Json = [msgspec.to_builtins(row) for row in emulator.campaigns.waiting(limit)]
        more = {"waiting": waiting, "waiting_count": emulator.campaigns.waiting_count}
        return _listed("emails", list(emulator.campaigns.emails), limit, more)

    @get("/emulator/unsent")
    async def unsent(limit: Limit = 1_000) -> Response[bytes]:
        return _listed("unsent", list(emulator.campaigns.unsent), limit)

    @get("/emulator/version")
    async def version() -> Response[bytes]:
        """A number that changes with every change of the state."""
        forgotten: Json = dict(state.forgotten)
        return _reply(200, {"version": state.version, "pending": state.pending, "forgotten": forgotten})

    return [people, activities, requests, emails, unsent, version]


def _switches(emulator: Emulator) -> list[Operation]:
    """The settings, campaigns, faults and state, for tests to change."""

    @get("/emulator/faults")
    async def faults() -> Response[bytes]:
        return _reply(200, {"faults": [msgspec.to_builtins(fault) for fault in emulator.track.faults.coming]})

    @put("/emulator/faults")
    async def set_faults(body: bytes) -> Response[bytes]:
        body = body.strip()
        return _put(body if body.startswith(b"[") else b"[" + body + b"]", Faults, emulator.put_faults)

    @get("/emulator/campaigns")
    async def campaigns() -> Response[bytes]:
        return _reply(
            200, {"campaigns": [msgspec.to_builtins(campaign) for campaign in emulator.campaigns.campaigns]}
        )

    @put("/emulator/campaigns")
    async def set_campaigns(body: bytes) -> Response[bytes]:
        return _put(body, AllCampaigns, emulator.put_campaigns)

    @get("/emulator/settings")
    async def settings() -> Response[bytes]:
        return _reply(200, msgspec.to_builtins(emulator.settings()))

    @put("/emulator/settings")
    async def set_settings(body: bytes) -> Response[bytes]:
        return _put(body, EmulatorSettings, emulator.set)

    @delete("/emulator/state", status=200)
    async def reset() -> Response[bytes]:
        emulator.reset()
        return _reply(200, {})

    return [faults, set_faults, campaigns, set_campaigns, settings, set_settings, reset]


def _workspace(emulator: Emulator) -> list[Operation]:
    """The workspace, its segments and its clock."""
    state = emulator.state

    @get("/emulator/workspace")
    async def workspace() -> Response[bytes]:
        return _reply(200, msgspec.to_builtins(state.workspace))

    @put("/emulator/workspace")
    async def set_workspace(body: bytes) -> Response[bytes]:
        """Omitted fields stay unchanged."""

        def change(given: dict[str, Json]) -> None:
            current = msgspec.to_builtins(state.workspace)
            state.put_workspace(msgspec.convert({**current, **given}, Workspace))

        return _put(body, dict[str, Json], change)

    @get("/emulator/segments")
    async def segments() -> Response[bytes]:
        manual: Json = {number: len(people) for number, people in state.people.segments.items()}
        defined: Json = [msgspec.to_builtins(segment) for segment in emulator.campaigns.segments]
        return _reply(200, {"segments": defined, "manual": manual})

    @put("/emulator/segments")
    async def set_segments(body: bytes) -> Response[bytes]:
        return _put(body, AllSegments, emulator.put_segments)

    @get("/emulator/clock")
    async def clock() -> Response[bytes]:
        return _reply(200, {"now": state.now(), "ahead_s": state.clock.ahead_s})

    @put("/emulator/clock")
    async def move_clock(body: bytes) -> Response[bytes]:
        return _put(body, Move, emulator.move_clock)

    return [workspace, set_workspace, segments, set_segments, clock, move_clock]


def _put(body: bytes, kind: type[T], use: Callable[[T], None]) -> Response[bytes]:
    try:
        use(msgspec.json.decode(body, type=kind))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        detail = f"Invalid request: {error}. See docs/reference/emulator.md for the fields."
        return _reply(422, {"code": "request_invalid", "detail": detail})
    except UserError as error:
        return _reply(409, {"code": error.code, "detail": str(error)})
    return _reply(200, {})


def _only(kind: type[Record], given: Mapping[str, Json]) -> dict[str, Json]:
    return {name: given[name] for name in kind.__struct_fields__ if name in given}


def _person(person: Person) -> dict[str, Json]:
    identifiers: dict[str, Json] = {"id": person.id, "email": person.email, "phone": person.phone}
    attributes: dict[str, Json] = dict(person.attributes)
    segments: list[Json] = [*sorted(person.segments)]
    return {
        **identifiers,
        "cio_id": person.cio_id,
        "created_at": person.created_at,
        "unsubscribed": person.unsubscribed,
        "segments": segments,
        "attributes": attributes,
        "devices": dict(person.devices),
        "relationships": dict(person.relationships),
    }


def _listed(
    name: str,
    rows: Sequence[Activity | SeenRequest | Email | Unsent],
    limit: int,
    more: Mapping[str, Json] | None = None,
) -> Response[bytes]:
    return _reply(
        200, {"count": len(rows), name: [msgspec.to_builtins(row) for row in rows[-limit:]], **(more or {})}
    )


def _reply(status: int, value: Json) -> Response[bytes]:
    return Response(msgspec.json.encode(value), media_type="application/json; charset=utf-8", status=status)
