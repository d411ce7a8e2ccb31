"""The App API of Customer.io, as far as it reads people, activities, campaigns and segments:
https://docs.customer.io/integrations/api/app/. It has its own host there, `api.customer.io`; here it is below `/v1/`.

Answers have the documented shapes; the texts of errors are not documented. Nothing can be changed through it.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from urllib.parse import parse_qs, unquote

from nicobar.emulator.activities import Activity
from nicobar.emulator.campaign import Campaign, CampaignState, Trigger
from nicobar.emulator.campaigns import Campaigns
from nicobar.emulator.people import Person
from nicobar.emulator.state import SeenRequest, State
from nicobar.model import Json, Record
from nicobar.web.asgi import Message, Receive, Send, headers_of, send_json

PREFIX = "/v1/"
# https://docs.customer.io/integrations/api/app/: 10 by default, at most 100.
DEFAULT_LIMIT = 10
MAX_LIMIT = 100
MAX_SHOWN_CHARS = 100
_MAX_DIGITS = 18
_TYPES = {"attribute_update_failure": "failed_attribute_change"}


class _Answer(Record):
    status: int
    body: Json


class AppApi:
    """The calls on `state` and `campaigns`; `settle` lets everything take effect that is due."""

    def __init__(self, state: State, campaigns: Campaigns, settle: Callable[[], None]) -> None:
        self._state = state
        self._campaigns = campaigns
        self._settle = settle
        self._times: deque[float] = deque()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:  # noqa: ARG002 - bodies are not read
        headers = headers_of(scope)
        path = scope["raw_path"].decode("latin-1")
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        answer = self._answer(scope["method"], path, query, headers.get("authorization", ""))
        self._note(scope["method"], path, headers, answer.status)
        await send_json(send, answer.status, answer.body)

    def _note(self, method: str, path: str, headers: Mapping[str, str], status: int) -> None:
        shown = {name: "***" if name == "authorization" else value for name, value in headers.items()}
        at_ms = int(self._state.now() * 1000)
        self._state.note(
            SeenRequest(
                at_ms=at_ms,
                method=method,
                path=path,
                headers=shown,
                status=status,
                invented=status >= 400,  # noqa: PLR2004
            )
        )

    def _answer(self, method: str, path: str, query: Mapping[str, Sequence[str]], authorization: str) -> _Answer:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(key.strip().encode(), self._state.app_key.encode()):
            return _error(401, "unauthorized")
        if self._is_too_fast():
            return _error(429, "too many requests")
        if method != "GET":
            return _error(404, f"the emulator offers no {method} here, it only reads")
        self._settle()
        segments = [unquote(segment) for segment in path.removeprefix(PREFIX).split("/")]
        return self._read(segments, {name: values[0] for name, values in query.items()})

    def _is_too_fast(self) -> bool:
        most, now = self._state.workspace.app_api_per_second, self._state.now()
        while self._times and self._times[0] <= now - 1:
            self._times.popleft()
        if not most:
            return False
        if len(self._times) >= most:
            return True
        self._times.append(now)
        return False

    def _read(self, segments: Sequence[str], query: Mapping[str, str]) -> _Answer:  # noqa: PLR0911 - one a route
        match segments:
            case ["customers"]:
                found: Json = [
                    _identifiers(person) for person in self._state.people.with_address(query.get("email", ""))
                ]
                return _Answer(status=200, body={"results": found})
            case ["customers", who, "attributes" | "activities" | "segments" as what]:
                return self._of_person(who, what, query)
            case ["activities"]:
                return self._activities(query)
            case ["campaigns"]:
                campaigns: Json = [self._campaign(campaign) for campaign in self._campaigns.campaigns]
                return _Answer(status=200, body={"campaigns": campaigns})
            case ["campaigns", number]:
                return _one("campaign", number, (self._campaign(item) for item in self._campaigns.campaigns))
            case ["segments"]:
                return _Answer(status=200, body={"segments": list(self._segments())})
            case ["segments", number]:
                return _one("segment", number, self._segments())
            case _:
                return _error(404, "not found")

    # --- people ---

    def _of_person(self, who: str, what: str, query: Mapping[str, str]) -> _Answer:
        person = self._find(who, query.get("id_type", "id"))
        if isinstance(person, _Answer):
            return person
        if what == "activities":
            rows = [activity for _, activity in self._state.activities.of(person.cio_id)]
            return _page(reversed(rows), query, lambda _: person)
        if what == "segments":
            own: Json = [row for row in self._segments() if self._contains(str(row["id"]), person)]
            return _Answer(status=200, body={"segments": own})
        attributes: dict[str, Json] = dict(person.attributes)
        customer: Json = {
            "id": person.id,
            "identifiers": _identifiers(person),
            "attributes": {**attributes, "cio_id": person.cio_id, **({"id": person.id} if person.id else {})},
            "timestamps": {"cio_id": person.created_at},
            "unsubscribed": person.unsubscribed,
            "devices": [{"id": token, **device} for token, device in person.devices.items()],
        }
        return _Answer(status=200, body={"customer": customer})

    def _find(self, who: str, kind: str) -> Person | _Answer:
        if kind not in {"id", "email", "phone", "cio_id"}:
            return _error(400, "id_type must be id, email, phone or cio_id")
        if kind == "email" and not self._state.workspace.identifies("email"):
            return _error(400, "email is not an identifier of this workspace")
        value = who.removeprefix("cio_") if kind == "cio_id" else who
        return self._state.find(kind, value) or _error(404, f"customer {who[:MAX_SHOWN_CHARS]} does not exist")

    def _activities(self, query: Mapping[str, str]) -> _Answer:
        """Of everyone, or of the person in `customer_id`."""
        if "customer_id" in query:
            return self._of_person(query["customer_id"], "activities", query)
        return _page(reversed(self._state.activities), query, self._owner)

    def _owner(self, activity: Activity) -> Person | None:
        owner = self._state.activities.owner(activity.number)
        return self._state.find("cio_id", owner) if owner is not None else None

    # --- campaigns and segments ---

    def _campaign(self, campaign: Campaign) -> dict[str, Json]:
        number = self._campaigns.id_of(campaign)
        if campaign.trigger is Trigger.EVENT:
            trigger: dict[str, Json] = {"type": "event", "event_name": campaign.name}
        else:
            is_number = campaign.trigger is Trigger.ENTERS and campaign.name.isdecimal()
            trigger = {"type": "segment", "trigger_segment_ids": [int(campaign.name)] if is_number else []}
        return {
            "id": number,
            "deduplicate_id": f"{number}:0",
            "name": campaign.title,
            "active": campaign.state is CampaignState.RUNNING,
            "state": campaign.state.value,
            "actions": [{"type": "email", "id": number}],
            "tags": [],
            **trigger,
        }

    def _contains(self, number: str, person: Person) -> bool:
        return self._campaigns.is_in(number, person, person.attributes, self._state.now())

    def _segments(self) -> Iterator[dict[str, Json]]:
        defined = {str(segment.id): segment.name for segment in self._campaigns.segments}
        manual = [number for number in self._state.people.segments if number not in defined and number.isdecimal()]
        for number in (*defined, *manual):
            yield {
                "id": int(number),
                "deduplicate_id": f"{number}:0",
                "name": defined.get(number, f"Segment {number}"),
                "description": "",
                "state": "finished",
                "progress": None,
                "type": "dynamic" if number in defined else "manual",
                "tags": None,
            }


def _page(rows: Iterable[Activity], query: Mapping[str, str], owner: Callable[[Activity], Person | None]) -> _Answer:
    """A page of activities, the newest first. Their order is not documented."""
    start, limit = query.get("start", ""), query.get("limit", str(DEFAULT_LIMIT))
    if not all(text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS for text in (start or "0", limit)):
        return _error(400, "start or limit is invalid")
    size = int(limit)
    if not 1 <= size <= MAX_LIMIT:
        return _error(400, f"limit must be 1 to {MAX_LIMIT}")
    wanted = (row for row in rows if (not start or row.number <= int(start)) and _matches(row, query))
    found = list(islice(wanted, size + 1))
    shown: Json = [_activity(row, owner(row)) for row in found[:size]]
    return _Answer(
        status=200, body={"activities": shown, "next": str(found[size].number) if len(found) > size else ""}
    )


def _matches(activity: Activity, query: Mapping[str, str]) -> bool:
    name = activity.data.get("attribute") if activity.type in _TYPES else activity.name
    return query.get("type", _type(activity)) == _type(activity) and query.get("name", name) == name


def _type(activity: Activity) -> str:
    return _TYPES.get(activity.type, activity.type)


def _activity(activity: Activity, person: Person | None) -> dict[str, Json]:
    data = activity.data
    if activity.type in _TYPES:
        # The data of a failed change is not documented; here it has the shape of a successful one.
        data = {str(data["attribute"]): {"from": data["from"], "to": data["value"]}}
    return {
        "id": f"{activity.number:026d}",
        "type": _type(activity),
        "name": activity.name,
        "timestamp": activity.timestamp,
        "data": data,
        "customer_id": person.id if person else None,
        "customer_identifiers": _identifiers(person) if person else None,
    }


def _identifiers(person: Person) -> dict[str, Json]:
    return {"id": person.id, "email": person.email, "cio_id": person.cio_id}


def _one(kind: str, number: str, rows: Iterable[dict[str, Json]]) -> _Answer:
    row = next((row for row in rows if str(row["id"]) == number), None)
    if row is None:
        return _error(404, f"{kind} {number[:MAX_SHOWN_CHARS]} does not exist")
    return _Answer(status=200, body={kind: row})


def _error(status: int, detail: str) -> _Answer:
    """The shape is documented for another call: https://docs.customer.io/messaging/send/broadcasts/api-triggered-errors."""
    return _Answer(status=status, body={"errors": [{"detail": detail, "status": str(status)}]})
