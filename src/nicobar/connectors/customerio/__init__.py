"""Customer.io's Track API."""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from nicobar.connectors import (
    BatchBounds,
    Checkup,
    Delivered,
    Field,
    FieldKind,
    NoResponse,
    Origin,
    Outcome,
    Prepared,
    ReadyCall,
    Request,
    Response,
    Transport,
)
from nicobar.connectors.customerio import contract, corrections
from nicobar.connectors.customerio.answers import outcomes, read_object
from nicobar.connectors.fields import is_plain_url, read_fields
from nicobar.connectors.payload import encoded
from nicobar.errors import UserError
from nicobar.model import Call, Json, Level, Record, Setting, Verdict

HOSTS = {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"}
ENTITY = "/api/v2/entity"
BATCH = "/api/v2/batch"
REGION = "/api/v1/accounts/region"
MAX_REMEMBERED_PROFILES = 10_000


class _Object(Record):
    """A v2 object as a handler wrote it; `path` says where."""

    path: str
    item: dict[str, Json]


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
        asked = [part for index, call in enumerate(calls) for part in self._parts(index, call, verdicts)]
        objects = [part for part in asked if isinstance(part, _Object)]
        corrected = [
            corrections.correct(place, part.path, part.item, origin, verdicts) for place, part in enumerate(objects)
        ]
        for part, item in zip(objects, corrected, strict=True):
            verdicts += contract.check(part.path, item)
        if any(one.level is Level.ERROR for one in verdicts):
            return Prepared(calls=(), verdicts=tuple(verdicts))
        ready = self._profile(corrected, origin, verdicts)
        of_objects = map(self._ready, corrected)
        ready += [next(of_objects) if isinstance(part, _Object) else part for part in asked]
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
        read = outcomes(calls, answer, self._region)
        for call, outcome in zip(calls, read, strict=True):
            if isinstance(outcome, Delivered) and b'"action":"identify"' in call.body:
                self._remember(call.body)
        return read

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
        region = read_object(answer.body).get("region")
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

    def _parts(self, index: int, call: Call, verdicts: list[Verdict]) -> Iterator[_Object | ReadyCall]:
        """What one call of the handler becomes, in order: v2 objects, or one request of its own."""
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
            yield from _objects(index, path, call.payload, verdicts)
        else:
            yield from self._single(index, path, call, verdicts)

    def _single(self, index: int, path: str, call: Call, verdicts: list[Verdict]) -> Iterator[ReadyCall]:
        """A call of another path of the Track API: it goes as it is, in a request of its own."""
        body = b"" if call.method == "DELETE" and call.payload is None else encoded(call.payload)
        if body is None:
            verdicts.append(
                contract.error("json", f"[{index}].payload", "It cannot be written as JSON.", "Send plain values.")
            )
            return
        yield ReadyCall(method=call.method, url=self._base + path, headers={}, body=body, batchable=False)

    def _profile(self, items: Sequence[dict[str, Json]], origin: Origin, verdicts: list[Verdict]) -> list[ReadyCall]:
        """The customer's profile, if it has to go before these; not again while it is delivered and unchanged."""
        made = corrections.profile(items, origin) if self._keep_profile else None
        if made is None:
            return []
        ready = self._ready(made)
        if ready.body in self._profiles:
            return []
        verdicts.append(corrections.profile_added())
        return [ready]

    def _ready(self, item: dict[str, Json]) -> ReadyCall:
        return ReadyCall(method="POST", url=self.url, headers={}, body=msgspec.json.encode(item), batchable=True)

    def _remember(self, body: bytes) -> None:
        self._profiles[body] = None
        self._profiles.move_to_end(body)
        while len(self._profiles) > MAX_REMEMBERED_PROFILES:
            self._profiles.popitem(last=False)


def _objects(index: int, path: str, payload: Json, verdicts: list[Verdict]) -> Iterator[_Object]:
    """The v2 objects of a payload: one, a list of them, or the `batch` of a ready-made batch."""
    where = f"[{index}].payload"
    if path == BATCH or (isinstance(payload, dict) and "batch" in payload):
        payload = payload.get("batch") if isinstance(payload, dict) else None
        where += ".batch"
    if payload == []:
        verdicts.append(
            contract.error(
                "empty", where, "There is nothing in it.", "Set webhook.cancel = true to leave an event out."
            )
        )
    many = isinstance(payload, list)
    for number, item in enumerate(payload if isinstance(payload, list) else [payload]):
        own = f"{where}[{number}]" if many else where
        if isinstance(item, dict):
            yield _Object(path=own, item=item)
        else:
            verdicts.append(
                contract.error("payload", own, "It is not an object.", "Send {type, action, identifiers, …}.")
            )
