"""Customer.io's App API, of which only GET calls are used: people by email, campaigns, failed attribute changes.

Responses are read tolerantly, since not all of them are documented: what is missing or of another form is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote, unquote, urlencode

import msgspec

from nicobar.connectors import NoResponse, Request, Response, Transport
from nicobar.connectors.answers import status_code, summary_of
from nicobar.connectors.customerio.answers import read_object
from nicobar.connectors.customerio.track_api import MAX_TIMESTAMP_S
from nicobar.connectors.fields import address_error
from nicobar.connectors.inspection import Campaign, CampaignState, FailedChange, Profile, Unanswered
from nicobar.masking import MASK
from nicobar.model import Json, RequestRecord
from nicobar.reasons import Reason, reason

HOSTS = {"us": "https://api.customer.io", "eu": "https://api-eu.customer.io"}
MAX_PAGES = 5
MAX_PEOPLE = 3  # of one delivery
MAX_ACTIVITIES = 100  # the most that a page may have
MAX_SHOWN_CHARS = 300
_KINDS = ("id", "email", "cio_id")
_V1_PEOPLE = "/api/v1/customers/"
_FAILED = "failed_attribute_change"
_OK = 200
_UNKNOWN_PERSON = 404


_NOBODY = reason(
    "app_api_nobody",
    "The stored requests name no person by an id or email, or the identifier is masked, so nothing was looked up.",
    "Search for the person in Customer.io.",
)


class AppApi:
    """An `Inspection` of one workspace."""

    def __init__(self, base: str, key: str) -> None:
        self._base = base
        self._key = key

    async def people(self, transport: Transport, email: str) -> tuple[Profile, ...] | Unanswered:
        answer = await self._get(transport, "/v1/customers?" + urlencode({"email": email}, quote_via=quote))
        if isinstance(answer, Unanswered):
            return answer
        results = answer.get("results")
        if not isinstance(results, list):
            return Unanswered(reason=_unreadable("results"))
        people = [Profile(id=_text(item.get("id")), email=_text(item.get("email"))) for item in _objects(results)]
        # Addresses are compared without case there. A response about another person is none.
        wanted = email.strip().lower()
        return tuple(person for person in people if person.email.strip().lower() in {"", wanted})

    async def campaigns(self, transport: Transport) -> tuple[Campaign, ...] | Unanswered:
        found: list[Campaign] = []
        place = ""
        for _ in range(MAX_PAGES):
            path = "/v1/campaigns" + ("?" + urlencode({"start": place}) if place else "")
            answer = await self._get(transport, path)
            if isinstance(answer, Unanswered):
                return answer
            listed = answer.get("campaigns")
            if not isinstance(listed, list):
                return Unanswered(reason=_unreadable("campaigns"))
            found += [_campaign(item) for item in _objects(listed)]
            place = _text(answer.get("next"))
            if not place:
                break
        return tuple(found)

    async def failures(
        self, transport: Transport, requests: Sequence[RequestRecord], since_ms: int, until_ms: int
    ) -> tuple[FailedChange, ...] | Unanswered:
        found: list[FailedChange] = []
        people = list(dict.fromkeys(people_of(requests)))
        if not people:
            return Unanswered(reason=_NOBODY)
        for kind, value in people[:MAX_PEOPLE]:
            identifier = f"cio_{value.removeprefix('cio_')}" if kind == "cio_id" else value
            query = urlencode({"type": _FAILED, "id_type": kind, "limit": MAX_ACTIVITIES})
            path = f"/v1/customers/{quote(identifier, safe='')}/activities?{query}"
            answer = await self._get(transport, path, absent=_UNKNOWN_PERSON)
            if isinstance(answer, Unanswered):
                return answer
            listed = answer.get("activities", [])
            if not isinstance(listed, list):
                return Unanswered(reason=_unreadable("activities"))
            found += [_failed_change(item, value) for item in _objects(listed) if item.get("type") == _FAILED]
        within = [item for item in found if since_ms <= item.at_ms <= until_ms]
        return tuple(sorted(within, key=lambda item: -item.at_ms))

    def event_names(self, requests: Sequence[RequestRecord]) -> tuple[str, ...]:
        """Pages and screens start no campaign that an event starts."""
        names = [_event_name(request.url, line) for request in requests for line in request.body.split("\n")]
        return tuple(dict.fromkeys(name for name in names if name))

    async def _get(self, transport: Transport, path: str, absent: int | None = None) -> dict[str, Json] | Unanswered:
        """The JSON object of a response; an empty one for the status `absent`."""
        request = Request(
            method="GET", url=self._base + path, headers={"authorization": f"Bearer {self._key}"}, body=b""
        )
        answer = await transport.send(request)
        if isinstance(answer, NoResponse):
            return Unanswered(reason=self._unreached(answer))
        if answer.status == absent:
            return {}
        found = read_object(answer) if answer.status == _OK else None
        return Unanswered(reason=self._refused(answer)) if found is None else found

    def _unreached(self, answer: NoResponse) -> Reason:
        if answer.refused is not None:
            return address_error(answer.refused).reason
        return reason(
            "app_api_no_answer",
            "No response from %(base)s: %(reason)s.",
            "Check this machine's network connection.",
            base=self._base,
            reason=answer.reason,
        )

    def _refused(self, answer: Response) -> Reason:
        code = f"app_api_{status_code(answer)}"
        if answer.status == 400:  # noqa: PLR2004 - an identifier that the workspace does not use
            return reason(
                code,
                "%(base)s responded with %(answer)s. People can be looked up by email only where the workspace "
                "identifies them by it.",
                "Check the workspace settings in Customer.io.",
                base=self._base,
                answer=summary_of(answer),
            )
        if answer.status in {401, 403}:
            return reason(
                code,
                "%(base)s responded with status %(status)s.",
                "Check the App API key (not the Track API key) and the region.",
                base=self._base,
                status=answer.status,
            )
        if answer.status == 429:  # noqa: PLR2004 - too many requests
            return reason(
                code,
                "%(base)s responded with status 429: too many requests.",
                "Try again in a minute.",
                base=self._base,
            )
        return reason(
            code,
            "%(base)s responded with %(answer)s, which is not a response of the App API.",
            "Check the region and base_url.",
            base=self._base,
            answer=summary_of(answer),
        )


def people_of(requests: Sequence[RequestRecord]) -> Iterator[tuple[str, str]]:
    """The kind and value of the identifiers of people in stored requests. Masked ones are left out."""
    for request in requests:
        for line in request.body.split("\n"):
            found = _identifier_of_item(line) or _identifier_of_url(request.url)
            if found is not None and found[1] and MASK not in found[1]:
                yield found


class _Item(msgspec.Struct):
    """The part of a call that says who and what it is about. In v1, `type` is that of the event."""

    type: str = ""
    action: str = ""
    identifiers: dict[str, Json] = {}
    name: Json = None


def _read_item(line: str) -> _Item | None:
    try:
        return msgspec.json.decode(line, type=_Item)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):  # cut, or of another form
        return None


def _event_name(url: str, line: str) -> str:
    """The name of the event in a call, empty for any other call."""
    item = _read_item(line)
    if item is None or not isinstance(item.name, str):
        return ""
    if "/api/v1/" in url:
        return item.name if url.endswith("/events") and item.type in {"", "event"} else ""
    return item.name if (item.type, item.action) == ("person", "event") else ""


def _identifier_of_item(line: str) -> tuple[str, str] | None:
    item = _read_item(line)
    if item is None or item.type != "person":
        return None
    return next(((kind, _text(item.identifiers[kind])) for kind in _KINDS if kind in item.identifiers), None)


def _identifier_of_url(url: str) -> tuple[str, str] | None:
    _, found, rest = url.partition(_V1_PEOPLE)
    value = unquote(rest.partition("/")[0]) if found else ""
    if not value:
        return None
    if value.startswith("cio_"):
        return "cio_id", value
    return ("email" if "@" in value else "id"), value


def _campaign(item: Mapping[str, Json]) -> Campaign:
    state = _text(item.get("state"))
    known = CampaignState(state) if state in set(CampaignState) else CampaignState.UNKNOWN
    if known is CampaignState.UNKNOWN and isinstance(active := item.get("active"), bool):
        known = CampaignState.RUNNING if active else CampaignState.STOPPED
    name = _text(item.get("name")) or _text(item.get("id"))
    return Campaign(name=name[:MAX_SHOWN_CHARS], event=_text(item.get("event_name"))[:MAX_SHOWN_CHARS], state=known)


def _failed_change(item: Mapping[str, Json], person: str) -> FailedChange:
    data, at_s = item.get("data"), item.get("timestamp")
    is_time = isinstance(at_s, int | float) and not isinstance(at_s, bool) and 0 <= at_s <= MAX_TIMESTAMP_S
    return FailedChange(
        at_ms=int(at_s * 1000) if is_time and isinstance(at_s, int | float) else 0,
        person=person,
        attributes=tuple(data) if isinstance(data, dict) else (),
        detail=msgspec.json.encode(data).decode()[:MAX_SHOWN_CHARS] if data else "",
    )


def _objects(values: Sequence[Json]) -> list[dict[str, Json]]:
    return [value for value in values if isinstance(value, dict)]


def _text(value: Json) -> str:
    """A text or a number as text; empty for anything else. Ids are numbers in some of its examples."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _unreadable(field: str) -> Reason:
    return reason(
        "app_api_unreadable",
        "The App API's response has no list %(field)s.",
        "Check the region and base_url.",
        field=field,
    )
