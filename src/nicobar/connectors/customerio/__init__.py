"""Customer.io's Track API."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote, urlsplit

import msgspec

from nicobar.addresses import origin_of
from nicobar.connectors import (
    BatchBounds,
    Checkup,
    Finding,
    NoResponse,
    Origin,
    Outcome,
    Prepared,
    ReadyCall,
    Request,
    Response,
    Transport,
)
from nicobar.connectors.answers import status_code
from nicobar.connectors.customerio import corrections, form, rules, track_api
from nicobar.connectors.customerio.answers import outcomes, read_object, why_foreign
from nicobar.connectors.customerio.corrections import Corrections, Corrector, Occurrence
from nicobar.connectors.customerio.error_checks import MAX_SHOWN_CHARS, check, shown
from nicobar.connectors.customerio.error_checks_v1 import check_v1
from nicobar.connectors.customerio.profiles import Profiles
from nicobar.connectors.customerio.recipes import RECIPES
from nicobar.connectors.customerio.track_api import V1Call
from nicobar.connectors.customerio.warning_checks import advise, advise_event, advise_person, no_address
from nicobar.connectors.fields import address_error, is_plain_url, read_fields
from nicobar.connectors.payload import encoded
from nicobar.errors import UserError
from nicobar.model import Call, Json, Level, Record, Setting, Verdict
from nicobar.reasons import Reason, reason

HOSTS = {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"}
ENTITY = "/api/v2/entity"
BATCH = "/api/v2/batch"
REGION = "/api/v1/accounts/region"
_ORIGINS = frozenset(map(origin_of, HOSTS.values()))


class _Object(Record):
    """An object of v2; `path` is its location in the handler's result."""

    path: str
    item: dict[str, Json]


class _Single(Record):
    """A call of v1, which is a separate request; `path` is the location of its payload."""

    path: str
    url_path: str
    call: V1Call
    payload: Json


class _Item(msgspec.Struct):
    """The part of a call that `describe` reads."""

    action: str = ""
    name: str = ""


class CustomerIo:
    kind = "customerio"
    name = "Customer.io"
    monogram = "C.io"
    public_kind = "CustomerIO"
    summary = "People, attributes and events for campaigns and journeys."
    has_contract = True
    setup = form.SETUP
    setup_note = form.SETUP_NOTE
    test_notes = form.TEST_NOTES
    example = form.EXAMPLE
    fields = form.FIELDS
    recipes = RECIPES

    def describe(self, call: ReadyCall) -> str:
        try:
            item = msgspec.json.decode(call.body, type=_Item)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return call.method
        return item.name or item.action or call.method

    def url(self, settings: Mapping[str, Setting]) -> str:
        return str(settings.get("base_url") or "").rstrip("/") or HOSTS.get(str(settings.get("region")), HOSTS["us"])

    def credentials_host(self, settings: Mapping[str, Setting]) -> str:
        """The hosts of both regions count as one, so that a wrong region can be corrected without entering the
        credentials again.
        """
        origin = origin_of(self.url(settings))
        return "Customer.io" if origin in _ORIGINS else origin

    def open(
        self,
        settings: Mapping[str, Setting],
        credentials: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
    ) -> CustomerIoDestination:
        if headers:
            raise UserError(
                "headers_unsupported", "Customer.io endpoints do not support custom headers.", "Remove the headers."
            )
        values = read_fields(self.fields, settings, credentials)
        site_id = str(values["site_id"])
        if ":" in site_id:
            # RFC 7617, section 2: the user name of Basic authentication cannot hold a colon.
            raise UserError(
                "field_invalid",
                "Invalid Site ID: it contains a colon.",
                "Copy only the Site ID, without the API key.",
            )
        region = str(values["region"])
        return CustomerIoDestination(
            base=str(values["base_url"]).rstrip("/") or HOSTS[region],
            region=region,
            authorization=base64.b64encode(f"{site_id}:{values['api_key']}".encode()).decode(),
            corrections=Corrections(
                action=bool(values["correct_action"]),
                event_id=bool(values["correct_event_id"]),
                timestamp=bool(values["correct_timestamp"]),
                profile=bool(values["keep_profile"]),
            ),
        )


class CustomerIoDestination:
    """One workspace."""

    # A request may have 500 KB; the number of items is not documented. Both values leave room.
    batch_bounds: BatchBounds | None = BatchBounds(max_items=100, max_bytes=450_000)
    # The documented fair use is 1000 per second for a workspace, which is shared with other clients.
    max_requests_per_s: int | None = 100

    def __init__(self, *, base: str, region: str, authorization: str, corrections: Corrections) -> None:
        self._base = base
        self._region = region
        self._authorization = authorization
        self._corrections = corrections
        self._profiles = Profiles()
        self._now_ms = 0

    @property
    def url(self) -> str:
        return self._base + ENTITY

    def prepare(self, calls: Sequence[Call], origin: Origin) -> Prepared:
        verdicts: list[Verdict] = []
        corrector = Corrector(self._corrections, origin, verdicts)
        requested = [part for index, call in enumerate(calls) for part in self._parts(index, call, verdicts)]
        parts = [_corrected(corrector, part) for part in requested]
        items = [part.item for part in parts if isinstance(part, _Object)]
        profile = corrections.profile(items, origin) if self._corrections.profile else None
        people = [*items, profile] if profile else items
        for part in parts:
            verdicts += _check_object(part, people, origin) if isinstance(part, _Object) else _check_v1(part, origin)
        if any(verdict.level is Level.ERROR for verdict in verdicts):
            return Prepared(calls=(), verdicts=tuple(verdicts))
        ready = [self._ready(part) for part in parts]
        if profile is not None:
            first = msgspec.structs.replace(self._ready(_Object(path="", item=profile)), added=True)
            self._now_ms = origin.now_ms
            if origin.customer is None or not self._profiles.has(origin.customer.key, first, origin.now_ms):
                verdicts.append(corrections.profile_added())
                ready.insert(0, first)
        return Prepared(calls=tuple(ready), verdicts=tuple(verdicts))

    def pack(self, calls: Sequence[ReadyCall]) -> Request:
        if len(calls) == 1:
            (call,) = calls
            method, url, body, headers = call.method, call.url, call.body, call.headers
        else:
            method, url, headers = "POST", self._base + BATCH, {}
            body = b'{"batch":[' + b",".join(call.body for call in calls) + b"]}"
        return Request(
            method=method,
            url=url,
            headers={
                **headers,
                "content-type": "application/json",
                "authorization": f"Basic {self._authorization}",
            },
            body=body,
        )

    def read(self, calls: Sequence[ReadyCall], answer: Response | NoResponse) -> list[Outcome]:
        read = outcomes(calls, answer, self._region)
        for call, outcome in zip(calls, read, strict=True):
            self._profiles.saw(call, outcome, self._now_ms)
        return read

    async def check_credentials(self, transport: Transport) -> Checkup:
        request = Request(
            method="GET",
            url=self._base + REGION,
            headers={"authorization": f"Basic {self._authorization}"},
            body=b"",
        )
        answer = await transport.send(request)
        if isinstance(answer, NoResponse) and answer.refused is not None:
            return _found(Finding.REFUSED_ADDRESS, address_error(answer.refused).reason)
        if isinstance(answer, NoResponse):
            unanswered = reason(
                "no_answer",
                "No response from %(base)s: %(reason)s. Check this machine's network connection.",
                base=self._base,
                reason=answer.reason,
            )
            return _found(Finding.NO_ANSWER, unanswered)
        return self._checkup(answer)

    def _checkup(self, answer: Response) -> Checkup:
        """The meaning of the response to the region call."""
        if answer.status in range(300, 400):
            elsewhere = reason(
                "wrong_region",
                "The workspace is not in region %(region)s. Choose the other region.",
                region=self._region,
            )
            return _found(Finding.WRONG_REGION, elsewhere)
        if answer.status != 200:  # noqa: PLR2004 - the one documented success
            rejected = reason(
                status_code(answer),
                "%(base)s responded with status %(status)s. Check the Site ID, the API key (Track API, "
                "not App API) and the region.",
                base=self._base,
                status=answer.status,
            )
            return _found(Finding.WRONG_CREDENTIALS if answer.status in {401, 403} else Finding.NO_ANSWER, rejected)
        region = (read_object(answer) or {}).get("region")
        if not isinstance(region, str) or region not in HOSTS:
            return _found(Finding.NO_ANSWER, why_foreign(answer))
        if region != self._region:
            elsewhere = reason(
                "wrong_region",
                "The workspace is in region %(region)s. Set the region to %(region)s.",
                region=region,
            )
            return _found(Finding.WRONG_REGION, elsewhere)
        good = reason(
            "good", "%(base)s accepted the credentials. The region is %(region)s.", base=self._base, region=region
        )
        return _found(Finding.GOOD, good)

    def _path(self, url: str) -> str | None:
        """The path below the base URL or either of Customer.io's hosts; None for other URLs."""
        for base in (self._base, *HOSTS.values()):
            if url.startswith(base + "/") and is_plain_url(url):
                parts = urlsplit(url[len(base) :])
                if ".." in parts.path.split("/"):
                    return None
                return parts.path + (f"?{parts.query}" if parts.query else "")
        return None

    def _parts(self, index: int, call: Call, verdicts: list[Verdict]) -> Iterator[_Object | _Single]:
        """The parts of one call, in order: v2 objects, or one v1 request."""
        path = self._path(call.url)
        if path is None:
            verdicts.append(
                rules.HOST.at(
                    f"[{index}].url",
                    '"%(given)s" is not a URL of Customer.io\'s Track API. Credentials are only sent there.',
                    "Use %(url)s.",
                    given=call.url[:MAX_SHOWN_CHARS],
                    url=self.url,
                )
            )
            return
        documented_call = track_api.v1_call(call.method, path)
        if path in {ENTITY, BATCH} and call.method == "POST":
            yield from _objects(index, path, call.payload, verdicts)
        elif documented_call is not None and documented_call.segments[0] == "customers" and "?" in call.url:
            verdicts.append(
                rules.PATH.at(
                    f"[{index}].url",
                    "The URL contains a ?, so everything after it would be cut off the id.",
                    "Encode the id: encodeURIComponent(id).",
                )
            )
        elif documented_call is not None:
            # Calls without a body are sent without one, whatever the payload.
            payload = None if documented_call.body == "none" else call.payload
            yield _Single(path=f"[{index}].payload", url_path=path, call=documented_call, payload=payload)
        else:
            verdicts.append(
                rules.PATH.at(
                    f"[{index}].url",
                    "The Track API has no %(method)s %(value)s.",
                    "Use POST %(url)s.",
                    method=call.method,
                    value=path[:MAX_SHOWN_CHARS],
                    url=self.url,
                )
            )

    def _ready(self, part: _Object | _Single) -> ReadyCall:
        if isinstance(part, _Object):
            body = msgspec.json.encode(part.item)
            return ReadyCall(method="POST", url=self.url, headers={}, body=body, batchable=True)
        body = b"" if part.payload is None else msgspec.json.encode(part.payload)
        url = self._base + part.url_path
        return ReadyCall(method=part.call.method, url=url, headers={}, body=body, batchable=False)


def _objects(index: int, path: str, payload: Json, verdicts: list[Verdict]) -> Iterator[_Object]:
    """The v2 objects of a payload: one, a list, or those in `batch`."""
    where = f"[{index}].payload"
    if path == BATCH or (isinstance(payload, dict) and "batch" in payload):
        payload = payload.get("batch") if isinstance(payload, dict) else None
        where += ".batch"
    if payload == []:
        verdicts.append(
            rules.EMPTY.at(where, "The list of calls is empty.", "To send nothing, set webhook.cancel = true.")
        )
    many = isinstance(payload, list)
    for number, item in enumerate(payload if isinstance(payload, list) else [payload]):
        own = f"{where}[{number}]" if many else where
        if isinstance(item, dict):
            yield _Object(path=own, item=item)
        else:
            verdicts.append(
                rules.PAYLOAD.at(
                    own,
                    "The payload must be an object, but is %(given)s.",
                    "Send {type, action, identifiers, …}.",
                    given=shown(item),
                )
            )


def _corrected(corrector: Corrector, part: _Object | _Single) -> _Object | _Single:
    if isinstance(part, _Object):
        return msgspec.structs.replace(part, item=corrector.correct(part.path, part.item))
    if part.call.body == "event" and isinstance(part.payload, dict):
        kind, data = part.payload.get("type", "event"), part.payload.get("data")
        event = Occurrence(
            who=_person_v1(part),
            kind=kind if isinstance(kind, str) else "event",
            data="data",
            recipient=data.get("recipient") if isinstance(data, dict) else None,
        )
        return msgspec.structs.replace(part, payload=corrector.correct_event(part.path, part.payload, event))
    return part


def _person_v1(part: _Single) -> Json:
    """The person of a v1 event: identified by the path, or anonymous in the payload."""
    segments = part.url_path.partition("?")[0].split("/")
    payload = part.payload if isinstance(part.payload, dict) else {}
    person_id = unquote(segments[4]) if part.call.segments[0] == "customers" else None
    return {corrections.V1_PATH_ID: person_id, "anonymous_id": payload.get("anonymous_id")}


def _check_object(part: _Object, people: Sequence[dict[str, Json]], origin: Origin) -> Iterator[Verdict]:
    """The verdicts on an object of v2; `people` are all objects sent with it."""
    errors = list(check(part.path, part.item))
    yield from errors
    if errors:
        return
    yield from advise(part.path, part.item, origin)
    is_event = (part.item["type"], part.item["action"]) == ("person", "event")
    if is_event and not corrections.has_address(part.item["identifiers"], people):
        yield no_address(part.path)


def _check_v1(part: _Single, origin: Origin) -> Iterator[Verdict]:
    if encoded(part.payload) is None:
        yield rules.JSON.at(
            part.path,
            "The payload cannot be converted to JSON.",
            "Send objects, lists, text, numbers, booleans and null only.",
        )
        return
    errors = list(check_v1(part.path, part.call, part.url_path, part.payload))
    yield from errors
    if errors or not isinstance(part.payload, dict):
        return
    if part.call.body == "identify":
        yield from advise_person(part.path, part.payload, origin)
    elif part.call.body == "event":
        data = part.payload.get("data")
        values = data if isinstance(data, dict) else {}
        yield from advise_event(part.path, part.payload, f"{part.path}.data", values, origin)


def _found(finding: Finding, why: Reason) -> Checkup:
    return Checkup(ok=finding is Finding.GOOD, reason=why, finding=finding)
