"""Customer.io's Track API."""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from nicobar.connectors import (
    BatchBounds,
    Blocked,
    Checkup,
    Deferred,
    Delivered,
    Field,
    FieldKind,
    NoResponse,
    Origin,
    Outcome,
    Prepared,
    ReadyCall,
    Refused,
    Request,
    Response,
    Transport,
)
from nicobar.connectors.answers import deferred, said
from nicobar.connectors.customerio import contract
from nicobar.connectors.fields import is_plain_url, read_fields
from nicobar.errors import UserError
from nicobar.ids import stable_ulid
from nicobar.model import Call, Json, Level, Setting, Verdict

HOSTS = {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"}
ENTITY = "/api/v2/entity"
BATCH = "/api/v2/batch"
REGION = "/api/v1/accounts/region"
MAX_REMEMBERED_PROFILES = 10_000


class CustomerIo:
    kind = "customerio"
    name = "Customer.io"
    summary = "People, attributes and events for campaigns and journeys."
    has_contract = True
    fields = (
        Field(
            name="site_id",
            label="Site ID",
            kind=FieldKind.SECRET,
            help="The workspace's Site ID, from Customer.io's settings under API credentials.",
            required=True,
        ),
        Field(
            name="api_key",
            label="API key",
            kind=FieldKind.SECRET,
            help="The Track API key that belongs to the Site ID.",
            required=True,
        ),
        Field(
            name="region",
            label="Region",
            kind=FieldKind.CHOICE,
            help="Where the workspace is: us or eu.",
            choices=("us", "eu"),
            default="us",
        ),
        Field(
            name="base_url",
            label="Base URL",
            kind=FieldKind.URL,
            help="Another server that speaks the Track API, such as the emulator: http://127.0.0.1:8081.",
        ),
        Field(
            name="keep_profile",
            label="Keep the person's profile up to date",
            kind=FieldKind.SWITCH,
            help="true or false: send the customer's e-mail and name before an event, since a mail needs an address.",
            default=True,
        ),
    )

    def open(self, settings: Mapping[str, Setting], credentials: Mapping[str, str]) -> CustomerIoDestination:
        values = read_fields(self.fields, settings, credentials)
        site_id = str(values["site_id"])
        if ":" in site_id:
            # RFC 7617, section 2: the user name of Basic authentication cannot hold a colon.
            raise UserError("field_invalid", "site_id does not fit: it has a colon.", "Copy the Site ID alone.")
        region = str(values["region"])
        return CustomerIoDestination(
            base=str(values["base_url"]).rstrip("/") or HOSTS[region],
            region=region,
            authorization=base64.b64encode(f"{site_id}:{values['api_key']}".encode()).decode(),
            keep_profile=bool(values["keep_profile"]),
        )


class CustomerIoDestination:
    """One workspace."""

    # The request may have 500 KB; how many items is not documented. Both leave room.
    batch_bounds: BatchBounds | None = BatchBounds(max_items=100, max_bytes=450_000)
    # The documented fair use is 1000 a second for a workspace, which others use too.
    max_requests_per_s = 100

    def __init__(self, *, base: str, region: str, authorization: str, keep_profile: bool) -> None:
        self._base = base
        self._region = region
        self._authorization = authorization
        self._keep_profile = keep_profile
        self._profiles: OrderedDict[bytes, None] = OrderedDict()

    @property
    def url(self) -> str:
        return self._base + ENTITY

    def prepare(self, calls: Sequence[Call], origin: Origin) -> Prepared:
        verdicts: list[Verdict] = []
        ready: list[ReadyCall] = []
        items: list[tuple[str, dict[str, Json]]] = []
        for index, call in enumerate(calls):
            path = self._path(call.url)
            if path is None:
                verdicts.append(
                    contract.error(
                        "host",
                        f"[{index}].url",
                        "The URL is not one of Customer.io's Track API; credentials go nowhere else.",
                        f"Use {self.url}.",
                    )
                )
            elif path in {ENTITY, BATCH} and call.method == "POST":
                items += self._items(index, path, call.payload, verdicts)
            else:
                single = self._single(index, path, call, verdicts)
                ready += [single] if single else []
        corrected = [self._correct(place, path, item, origin, verdicts) for place, (path, item) in enumerate(items)]
        for (path, _), item in zip(items, corrected, strict=True):
            verdicts += contract.check(path, item)
        if any(one.level is Level.ERROR for one in verdicts):
            return Prepared(calls=(), verdicts=tuple(verdicts))
        profile = self._profile(corrected, origin, verdicts)
        ready = [self._ready(item) for item in [*profile, *corrected]] + ready
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
            operator_host=True,
        )

    def read(self, calls: Sequence[ReadyCall], answer: Response | NoResponse) -> list[Outcome]:
        outcomes = self._outcomes(calls, answer)
        for call, outcome in zip(calls, outcomes, strict=True):
            if isinstance(outcome, Delivered) and b'"action":"identify"' in call.body:
                self._remember(call.body)
        return outcomes

    async def check_credentials(self, transport: Transport) -> Checkup:
        request = Request(
            method="GET",
            url=self._base + REGION,
            headers={"authorization": f"Basic {self._authorization}"},
            body=b"",
            operator_host=True,
        )
        answer = await transport.send(request)
        if isinstance(answer, NoResponse):
            return Checkup(
                ok=False, detail=f"{self._base} did not answer: {answer.reason}. Check this machine's network."
            )
        if answer.status in range(300, 400):
            return Checkup(ok=False, detail=f"The workspace is not in the region {self._region}. Set the other one.")
        if answer.status != 200:  # noqa: PLR2004 - the one documented success
            return Checkup(
                ok=False,
                detail=f"{self._base} answered {answer.status}. Check Site ID and API key (the Track API's, not the "
                "App API's), and the region.",
            )
        region = _object(answer.body).get("region")
        if region in HOSTS and region != self._region:
            return Checkup(ok=False, detail=f"The workspace is in the region {region}. Set region to {region}.")
        return Checkup(ok=True, detail=f"{self._base} knows the credentials; the region is {region or self._region}.")

    def _path(self, url: str) -> str | None:
        """The path below the base, for our own base and for either of Customer.io's hosts; None for others."""
        for base in (self._base, *HOSTS.values()):
            if url.startswith(base + "/") and is_plain_url(url):
                parts = urlsplit(url[len(base) :])
                if ".." in parts.path.split("/"):
                    return None
                return parts.path + (f"?{parts.query}" if parts.query else "")
        return None

    def _items(
        self, index: int, path: str, payload: Json, verdicts: list[Verdict]
    ) -> Iterator[tuple[str, dict[str, Json]]]:
        where = f"[{index}].payload"
        if path == BATCH or (isinstance(payload, dict) and "batch" in payload):
            payload = payload.get("batch") if isinstance(payload, dict) else None
            where += ".batch"
        many = isinstance(payload, list)
        for number, item in enumerate(payload if isinstance(payload, list) else [payload]):
            own = f"{where}[{number}]" if many else where
            if isinstance(item, dict):
                yield own, item
            else:
                verdicts.append(
                    contract.error("payload", own, "It is not an object.", "Send {type, action, identifiers, …}.")
                )

    def _single(self, index: int, path: str, call: Call, verdicts: list[Verdict]) -> ReadyCall | None:
        """A call of another path of the Track API: it goes as it is, in a request of its own."""
        try:
            body = b"" if call.method == "DELETE" and call.payload is None else msgspec.json.encode(call.payload)
        except (msgspec.EncodeError, UnicodeEncodeError, RecursionError, TypeError):
            verdicts.append(
                contract.error("json", f"[{index}].payload", "It cannot be written as JSON.", "Send plain values.")
            )
            return None
        return ReadyCall(method=call.method, url=self._base + path, headers={}, body=body, batchable=False)

    def _correct(
        self, place: int, path: str, item: dict[str, Json], origin: Origin, verdicts: list[Verdict]
    ) -> dict[str, Json]:
        """The few things that are put right; each that changes what was written says so."""
        kind, action = item.get("type"), item.get("action")
        known = contract.ACTIONS.get(kind) if isinstance(kind, str) else None
        if known is None:
            verdicts.append(
                contract.error(
                    "type", f"{path}.type", "It is none of person, object, delivery.", 'Set type: "person".'
                )
            )
            return item
        if action not in known:
            if kind != "person" or not isinstance(item.get("name"), str):
                verdicts.append(
                    contract.error(
                        "unknown_action",
                        f"{path}.action",
                        f"Customer.io has no action {_quote(action)} for a {kind}.",
                        f"Use one of {', '.join(sorted(known))}.",
                    )
                )
                return item
            verdicts.append(
                contract.verdict(
                    Level.CORRECTION,
                    "unknown_action",
                    f"{path}.action",
                    f"Customer.io has no action {_quote(action)} and would refuse the call; it is sent as an event "
                    f"named {_quote(item['name'])}.",
                    'Write action: "event".',
                )
            )
            item = {**item, "action": "event"}
        if kind == "person" and item["action"] in contract.NAMED:
            item = self._identify_event(place, path, item, origin, verdicts)
        return item

    def _identify_event(
        self, place: int, path: str, item: dict[str, Json], origin: Origin, verdicts: list[Verdict]
    ) -> dict[str, Json]:
        """Gives an event what makes a repetition harmless (`id`) and tells when it happened (`timestamp`)."""
        given = item.get("id")
        if not contract.is_ulid(given):
            if given is not None:
                verdicts.append(
                    contract.verdict(
                        Level.CORRECTION,
                        "event_id",
                        f"{path}.id",
                        "The id is not a ULID, which Customer.io needs to leave repetitions out; one was made.",
                        "Leave id out.",
                    )
                )
            own = "" if given is None else repr(given)[:300]
            made = stable_ulid(origin.occurred_at_ms, origin.message_id, origin.endpoint_id, str(place), own)
            item = {**item, "id": made}
        if item.get("timestamp") is None:
            item = {**item, "timestamp": max(0, origin.occurred_at_ms // 1000)}
        return item

    def _profile(
        self, items: Sequence[dict[str, Json]], origin: Origin, verdicts: list[Verdict]
    ) -> list[dict[str, Json]]:
        """An identify before the event of a customer whose address Customer.io may not have.

        Without a timestamp: one older than the profile's last edit would be dropped without a word, and a retry is
        always older. It is left out once it was delivered and has not changed.
        """
        customer = origin.customer
        if not self._keep_profile or customer is None or not customer.email:
            return []
        identifiers: dict[str, Json] = {"id": customer.key}
        about = [item for item in items if item.get("type") == "person" and item.get("identifiers") == identifiers]
        if not any(item.get("action") in contract.NAMED for item in about) or any(
            item.get("action") == "identify" and "email" in _attributes(item) for item in about
        ):
            return []
        attributes: dict[str, Json] = {"email": customer.email, **({"name": customer.name} if customer.name else {})}
        made: dict[str, Json] = {
            "type": "person",
            "action": "identify",
            "identifiers": identifiers,
            "attributes": attributes,
        }
        if any(contract.check("", made)) or msgspec.json.encode(made) in self._profiles:
            return []
        verdicts.append(
            contract.verdict(
                Level.CORRECTION,
                "profile_added",
                "[0].payload",
                "The customer's e-mail and name are sent before the event, since a mail needs an address.",
                "Set keep_profile to false on the endpoint to send them yourself.",
            )
        )
        return [made]

    def _ready(self, item: dict[str, Json]) -> ReadyCall:
        return ReadyCall(method="POST", url=self.url, headers={}, body=msgspec.json.encode(item), batchable=True)

    def _remember(self, body: bytes) -> None:
        self._profiles[body] = None
        self._profiles.move_to_end(body)
        while len(self._profiles) > MAX_REMEMBERED_PROFILES:
            self._profiles.popitem(last=False)

    def _outcomes(self, calls: Sequence[ReadyCall], answer: Response | NoResponse) -> list[Outcome]:
        later = deferred(answer)
        if later is not None:
            return [later for _ in calls]
        if isinstance(answer, NoResponse):
            raise AssertionError(answer)  # noqa: TRY004 - `deferred` has dealt with it
        status = answer.status
        one: Outcome
        if status in range(200, 300):
            return _by_item(calls, answer)
        if status in {401, 403}:
            one = Blocked(
                reason=f"Customer.io does not take the credentials ({status}). Check Site ID, API key and region."
            )
        elif status in range(300, 400):
            one = Blocked(
                reason=f"Customer.io answered {status}: the workspace is not in the region {self._region}. "
                "Set the other region."
            )
        elif len(calls) > 1 and status in {400, 413}:
            # Nothing of the request was accepted, and the answer need not say because of which item.
            one = Deferred(reason=f"Customer.io refused the batch: {said(answer)}.", alone=True)
        else:
            one = Refused(reason=f"Customer.io refused the call: {said(answer)}.")
        return [one for _ in calls]


def _by_item(calls: Sequence[ReadyCall], answer: Response) -> list[Outcome]:
    """A 2xx may still list refused items, a 207 does; what it does not list was accepted."""
    refused: dict[int, str] = {}
    unplaced = False
    errors = _object(answer.body).get("errors")
    for entry in errors if isinstance(errors, list) else []:
        fields = entry if isinstance(entry, dict) else {}
        index = fields.get("batch_index", 0 if len(calls) == 1 else None)
        if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(calls):
            words = [str(fields[name]) for name in ("reason", "field", "message") if fields.get(name)]
            refused[index] = " ".join(words)[:300]
        else:
            unplaced = True
    # Refused, but which: alone each is told. Events carry ids, so the accepted ones are not doubled.
    rest: Outcome = Deferred(reason="Customer.io refused an unnamed item.", alone=True) if unplaced else Delivered()
    if unplaced and len(calls) > 1:
        return [rest for _ in calls]
    if unplaced:
        return [Refused(reason=f"Customer.io refused the call: {said(answer)}.")]
    return [
        Refused(reason=f"Customer.io refused the call: {refused[index] or 'without a reason'}.")
        if index in refused
        else rest
        for index in range(len(calls))
    ]


def _object(body: bytes) -> dict[str, Json]:
    try:
        value: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _attributes(item: dict[str, Json]) -> dict[str, Json]:
    attributes = item.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _quote(value: Json) -> str:
    return f'"{value[:100]}"' if isinstance(value, str) else "(none)"
