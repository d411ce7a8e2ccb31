"""The addresses of the emulator's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Annotated
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta

from nicobar.emulator.campaign import Campaign, Outcome
from nicobar.emulator.campaigns import MAX_CAMPAIGNS
from nicobar.emulator.clock import Move
from nicobar.emulator.faults import Faults
from nicobar.emulator.inbox import FAILURE, MAX_PAGE, MAX_WAITING_SHOWN, PER_PAGE, Shown, listed
from nicobar.emulator.page import frame, page
from nicobar.emulator.recipe_campaigns import NAMES, read_campaigns
from nicobar.errors import Refusal, UserError
from nicobar.model import Json
from nicobar.web.language import noop
from nicobar.web.operations import Operation, Response, get, post
from nicobar.web.parameters import Name

Page = Annotated[int, Meta(ge=1, le=MAX_PAGE), Name("page")]
_GONE = noop("It was deleted, or dropped as one of the oldest. Go back to the inbox.")
_CORRECT = noop("Go back and correct the form.")
_SWITCHES = ("email_updates_by_id", "automatic_merging")
_STATIC = {"emulator.css": "text/css; charset=utf-8", "emulator.js": "text/javascript; charset=utf-8"}


class Sent(StrEnum):
    """Which emails the inbox lists."""

    ALL = "all"
    YES = "sent"
    NO = "not_sent"


class Kind(StrEnum):
    """Which activities are listed."""

    ALL = "all"
    FAILURES = "failures"


@dataclass(frozen=True, slots=True)
class Desk:
    """What the page shows and changes."""

    shown: Shown
    faults: Faults
    settings: Callable[[], Mapping[str, Json]]
    put_campaigns: Callable[[Sequence[Campaign]], None]
    change_settings: Callable[[Mapping[str, Json]], None]
    move_clock: Callable[[Move], None]
    clear: Callable[[], None]

    def page(self, language: str, template: str, tab: str, *, status: int = 200, **values: object) -> Response[bytes]:
        """With what every page shows."""
        state, campaigns = self.shown.state, self.shown.campaigns
        common: dict[str, object] = {
            "counts": {
                "inbox": len(campaigns.emails),
                "people": len(state.people),
                "events": len(state.activities),
                "requests": len(state.requests),
                "campaigns": len(campaigns.campaigns),
            },
            "version": state.version,
            "pending": state.pending,
            "forgotten": sorted(state.forgotten.items()),
            "faults": self.faults.coming,
            "settings": self.settings(),
            "workspace": state.workspace,
            "ahead_s": state.clock.ahead_s,
            "now": state.now(),
            "shown": self.shown,
            "tab": tab,
        }
        return page(language, template, common | values, status=status)


def operations(desk: Desk) -> list[Operation]:
    return [
        *_inbox(desk),
        *_people(desk),
        *_others(desk),
        *_campaigns(desk),
        *_workspace(desk),
        *map(_static, _STATIC),
    ]


def _inbox(desk: Desk) -> list[Operation]:
    shown = desk.shown

    def inbox(language: str, number: int | None, show: Sent, at: int) -> Response[bytes]:
        emails = listed(shown.emails(sent=None if show is Sent.ALL else show is Sent.YES), at, "/", show=_query(show))
        newest = emails.rows[0] if emails.rows else None
        email = newest if number is None else shown.email(number)
        if number is not None and email is None:
            raise _no_email(number)
        return desk.page(
            language,
            "inbox.html",
            "inbox",
            emails=emails,
            email=email,
            chosen=number is not None,
            show=show,
            has_sent=any(item.outcome is Outcome.SENT for item in shown.campaigns.emails),
            failures=shown.failures(),
            waiting=shown.campaigns.waiting(MAX_WAITING_SHOWN),
            waiting_count=shown.campaigns.waiting_count,
            silences=shown.silent_campaigns(),
            unheard=shown.events_without_campaign(),
            recipes=NAMES,
            person=None if email is None else shown.state.find("cio_id", email.cio_id),
            cause=None if email is None else shown.cause(email),
        )

    @get("/")
    async def show_inbox(language: str, show: Sent = Sent.ALL, at: Page = 1) -> Response[bytes]:
        return inbox(language, None, show, at)

    @get("/emails/{number:int}")
    async def show_email(language: str, number: int, show: Sent = Sent.ALL, at: Page = 1) -> Response[bytes]:
        return inbox(language, number, show, at)

    @get("/emails/{number:int}/body")
    async def show_body(language: str, number: int) -> Response[bytes]:
        email = shown.email(number)
        if email is None:
            raise _no_email(number)
        return frame(language, "body.html", {"email": email})

    return [show_inbox, show_email, show_body]


def _people(desk: Desk) -> list[Operation]:
    shown = desk.shown

    @get("/people")
    async def show_people(language: str, at: Page = 1) -> Response[bytes]:
        failures = shown.failures()
        suppressed = [
            f"{kind} {value}" for kind, value in reversed(shown.state.people.suppressed) if kind != "cio_id"
        ]
        return desk.page(
            language,
            "people.html",
            "people",
            people=listed(reversed(shown.state.people), at, "/people"),
            failures=failures,
            failed_ids={shown.state.activities.owner(failure.number) for failure in failures},
            suppressed=suppressed[:PER_PAGE],
        )

    @get("/people/{cio_id}")
    async def show_person(language: str, cio_id: str, at: Page = 1) -> Response[bytes]:
        person = shown.state.find("cio_id", cio_id)
        if person is None:
            detail = noop("The emulator has no person %(id)s.")
            raise Refusal(404, "not_found", detail, _GONE, id=cio_id)
        activities = [activity for _, activity in reversed(shown.state.activities.of(cio_id))]
        rows = listed(activities, at, f"/people/{cio_id}")
        return desk.page(
            language,
            "person.html",
            "people",
            person=person,
            activities=rows,
            triggered=shown.emails_by_activity(rows.rows),
            emails=shown.emails_of(person)[:PER_PAGE],
            failures=[activity for activity in activities if activity.type == FAILURE],
            segments=shown.segments_of(person),
        )

    return [show_people, show_person]


def _others(desk: Desk) -> list[Operation]:
    shown = desk.shown

    @get("/events")
    async def show_events(language: str, show: Kind = Kind.ALL, at: Page = 1) -> Response[bytes]:
        failures = shown.failures()
        every = failures if show is Kind.FAILURES else reversed(shown.state.activities)
        rows = listed(every, at, "/events", show=_query(show))
        return desk.page(
            language,
            "events.html",
            "events",
            show=show,
            activities=rows,
            triggered=shown.emails_by_activity(rows.rows),
            failures=failures,
        )

    @get("/requests")
    async def show_requests(language: str, at: Page = 1) -> Response[bytes]:
        rows = listed(reversed(shown.state.requests), at, "/requests")
        return desk.page(language, "requests.html", "requests", requests=rows)

    return [show_events, show_requests]


def _campaigns(desk: Desk) -> list[Operation]:
    @get("/campaigns")
    async def show_campaigns(language: str) -> Response[bytes]:
        return desk.page(
            language,
            "campaigns.html",
            "campaigns",
            campaigns=desk.shown.campaigns.campaigns,
            silences={item.title: item.why for item in desk.shown.silent_campaigns()},
            recipes=NAMES,
        )

    @post("/campaigns")
    async def change_campaigns(body: bytes) -> Response[bytes]:
        """The page's forms: adds or removes a campaign, or adds those of a recipe."""
        given = _form(body)
        campaigns = list(desk.shown.campaigns.campaigns)
        if "remove" in given:
            wanted = [item for item in campaigns if item.title != given["remove"]]
        else:
            new = read_campaigns(given["recipe"]) if given.get("recipe") in NAMES else [_campaign(given)]
            titles = {item.title for item in new}
            wanted = [*(item for item in campaigns if item.title not in titles), *new]
        if len(wanted) > MAX_CAMPAIGNS:
            detail = noop("A workspace has at most %(count)s campaigns.")
            fix = noop("Go back and remove some first.")
            raise Refusal(422, "request_invalid", detail, fix, count=MAX_CAMPAIGNS)
        desk.put_campaigns(wanted)
        return _redirect("/campaigns")

    return [show_campaigns, change_campaigns]


def _workspace(desk: Desk) -> list[Operation]:
    @get("/workspace")
    async def show_workspace(language: str) -> Response[bytes]:
        return desk.page(language, "workspace.html", "workspace")

    @post("/workspace")
    async def change_workspace(body: bytes) -> Response[bytes]:
        given: dict[str, Json] = dict(_form(body))
        try:
            # A form omits a box that is not checked.
            desk.change_settings(given | {name: name in given for name in _SWITCHES})
        except msgspec.ValidationError as error:
            detail = noop("The settings are invalid: %(reason)s.")
            raise Refusal(422, "request_invalid", detail, _CORRECT, reason=str(error)) from error
        except UserError as error:
            detail = noop("The identifiers cannot change while the workspace has people.")
            raise Refusal(409, error.code, detail, "Go back and delete the data first.") from error
        return _redirect("/workspace")

    @post("/workspace/clock")
    async def move_clock(body: bytes) -> Response[bytes]:
        try:
            desk.move_clock(msgspec.convert(_form(body), Move, strict=False))
        except ValueError as error:
            detail = noop("The clock was not moved: %(reason)s.")
            raise Refusal(422, "request_invalid", detail, _CORRECT, reason=str(error)) from error
        return _redirect("/workspace")

    @post("/workspace/clear")
    async def clear() -> Response[bytes]:
        desk.clear()
        return _redirect("/")

    return [show_workspace, change_workspace, move_clock, clear]


def _form(body: bytes) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _redirect(location: str) -> Response[bytes]:
    return Response(b"", status=303, headers={"location": location}, media_type="text/plain")


def _campaign(given: Mapping[str, str]) -> Campaign:
    try:
        return msgspec.convert({name: value for name, value in given.items() if value}, Campaign, strict=False)
    except msgspec.ValidationError as error:
        detail = noop("The campaign is invalid: %(reason)s.")
        raise Refusal(422, "request_invalid", detail, _CORRECT, reason=str(error)) from error


def _static(name: str) -> Operation:
    content = files("nicobar.emulator").joinpath("templates", name).read_bytes()

    @get(f"/{name}")
    async def show_static() -> Response[bytes]:
        return Response(content, media_type=_STATIC[name])

    return show_static


def _query(chosen: StrEnum) -> str:
    """A choice in an address; the default is omitted."""
    return "" if chosen.value == "all" else chosen.value


def _no_email(number: int) -> Refusal:
    return Refusal(404, "not_found", "The emulator has no email %(number)s.", _GONE, number=number)
