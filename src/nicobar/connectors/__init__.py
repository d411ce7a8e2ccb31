"""Destinations' contracts. A connector is one folder here and one line in `CONNECTORS`; it inherits the contract
tests in `tests/contracts`. `docs/how-to/add-a-connector.md` shows one. Everything in a connector is decided from
plain values; only `transport.py` sends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib.resources import files
from typing import Protocol

from nicobar.addresses import RefusedAddress
from nicobar.model import Call, Customer, Json, Record, Setting, Verdict

_CREDENTIAL = re.compile(r"auth|cookie|key|password|secret|token", re.IGNORECASE)
_PLAIN = frozenset({"idempotency-key"})


class FieldKind(StrEnum):
    TEXT = "text"
    SECRET = "secret"  # noqa: S105 - a kind of field, not a secret
    URL = "url"
    CHOICE = "choice"
    SWITCH = "switch"


class Field(Record):
    """One setting of a connector; it drives the form, the check and the masking. SECRET fields are credentials, which
    belong to the host that they were entered for. One that `signs` is never sent itself, so it stays when the host
    changes.
    """

    name: str
    label: str
    kind: FieldKind
    help: str
    required: bool = False
    choices: tuple[str, ...] = ()
    default: Setting | None = None
    signs: bool = False


class Origin(Record):
    """Where a call comes from: what a destination may use to complete it. `customer` is whom the event is about,
    `payload` the event itself.

    Ids are derived from `app_uid`, `event_id` (the sender's; empty if there is none), `replay_key` and `test`: see
    `identity.py`. `replay_key` names the replay or resend that requested new ids, empty for none. It is None for a
    delivery of the version that used `message_id`, `endpoint_id`, `occurred_at_ms` and `edition` instead. `test`
    names a test that a user sends: the call is marked as a test and has an id of its own, so that the destination
    drops neither it as a duplicate of the real event nor the real event as a duplicate of it.
    """

    message_id: str
    endpoint_id: str
    occurred_at_ms: int
    now_ms: int
    customer: Customer | None
    payload: Json = None
    edition: int = 0
    test: str = ""
    app_uid: str = ""
    event_id: str = ""
    replay_key: str | None = ""

    @property
    def event_key(self) -> str:
        """What tells the event from all others of its application."""
        return self.event_id or self.message_id


class ReadyCall(Record):
    """A call that passed the contract, without credentials. `body` is its exact bytes. Calls that are `batchable`
    may share a request with others of the same destination. `added` is one that no handler asked for.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    batchable: bool
    added: bool = False


class Prepared(Record):
    """Calls made ready, or the verdicts that say why not: `calls` is empty if and only if an ERROR is among them."""

    calls: tuple[ReadyCall, ...]
    verdicts: tuple[Verdict, ...]


def is_credential(header: str) -> bool:
    """Whether a header of this name carries a secret, as far as names tell."""
    return _CREDENTIAL.search(header) is not None and header.lower() not in _PLAIN


def preview_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request that was not sent, without credentials and signatures: with a valid signature, anyone
    who may look could send it in our name.
    """
    hidden = {name for name in headers if is_credential(name) or "signature" in name.lower()}
    return {name: "***" if name in hidden else value for name, value in headers.items()}


class Request(Record):
    """What goes over the wire."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def shown_headers(self) -> dict[str, str]:
        """The headers as they are shown and kept: those that carry credentials, ours or a handler's, masked."""
        return {name: "***" if is_credential(name) else value for name, value in self.headers.items()}

    def __repr__(self) -> str:
        return f"Request({self.method} {self.url}, {self.shown_headers}, {len(self.body)} bytes)"


class Response(Record):
    """An answer. Header names in lower case, the body cut at the transport's bound: `truncated` says that it was
    longer.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    duration_ms: int
    truncated: bool = False


class NoResponse(Record):
    """No answer came; `reason` says why in a few words (`timed out after 15000 ms`, `connection refused` …).
    `refused` says that nothing was sent, because the host's address is neither public nor allowed.
    """

    reason: str
    duration_ms: int
    refused: RefusedAddress | None = None


class Delivered(Record, tag=True):
    """The destination took the call."""


class Refused(Record, tag=True):
    """The destination will not take this call, now or later: never retried."""

    reason: str


class Deferred(Record, tag=True):
    """Not now: one more try later, `retry_after_ms` if the destination said when. `throttled` marks a 429. `alone`
    asks for the call to be sent at once in a smaller request: the answer did not say which call of several it meant.
    `failing` says that the destination itself is to blame, so that its breaker counts it. `foreign` marks an answer
    that is not the destination's own, such as a proxy's page: the operator is alerted at once. `reached` says that
    the destination itself answered, so that its breaker closes.
    `sent` is False when nothing of the delivery went out, so that no try is spent.
    """

    reason: str
    retry_after_ms: int | None = None
    throttled: bool = False
    alone: bool = False
    sent: bool = True
    failing: bool = False
    foreign: bool = False
    reached: bool = False


class Blocked(Record, tag=True):
    """Nothing can be delivered as things are configured now (credentials, region, an address that is not allowed):
    the endpoint goes on hold and the delivery waits, no try spent, until the destination's check is good again.
    """

    reason: str


class Gone(Record, tag=True):
    """The destination asks for no more deliveries: the endpoint is disabled, and the delivery waits, no try spent,
    until somebody enables it.
    """

    reason: str


Outcome = Delivered | Refused | Deferred | Blocked | Gone


class BatchBounds(Record):
    """How much one request may hold."""

    max_items: int
    max_bytes: int


class Transport(Protocol):
    """Sends one request. Never raises for what the network does, never follows a redirect."""

    async def send(self, request: Request) -> Response | NoResponse: ...

    async def refused_address(self, url: str) -> RefusedAddress | None:
        """Why a request to this URL would not be sent, found without connecting; None where it would be, or where the
        name does not resolve.
        """
        ...


class Finding(StrEnum):
    """What a credential check found."""

    GOOD = "good"
    NO_ANSWER = "no_answer"
    WRONG_CREDENTIALS = "wrong_credentials"
    WRONG_REGION = "wrong_region"
    REFUSED_ADDRESS = "refused_address"
    UNTRIED = "untried"  # a destination that cannot be asked without sending something


class Checkup(Record):
    """The verdict of a credential check: `ok`, what was found, and one sentence that says what is wrong and what to
    do.
    """

    ok: bool
    detail: str
    finding: Finding


class Destination(Protocol):
    """A connector with one endpoint's settings and credentials."""

    @property
    def url(self) -> str:
        """What `webhook.url` starts as."""
        ...

    @property
    def batch_bounds(self) -> BatchBounds | None:
        """None where every call is a request of its own."""
        ...

    @property
    def max_requests_per_s(self) -> int | None:
        """How many requests a second the destination accepts; None where it names no limit."""
        ...

    def prepare(self, calls: Sequence[Call], origin: Origin) -> Prepared:
        """Checks the calls of one message against the contract, corrects what it corrects, and makes them ready.
        The same input gives the same bytes. Never raises, whatever the payload.
        """
        ...

    def pack(self, calls: Sequence[ReadyCall]) -> Request:
        """One request for these calls: one call, or several batchable ones within `batch_bounds`."""
        ...

    def read(self, calls: Sequence[ReadyCall], answer: Response | NoResponse) -> list[Outcome]:
        """What the answer means for each of the calls, in their order."""
        ...

    async def check_credentials(self, transport: Transport) -> Checkup:
        """Asks the destination whether it knows us."""
        ...


class Recipe(Record):
    """A ready-made handler of a connector for the events of one source kind: the file `NAME.js` in `package`."""

    name: str
    summary: str
    source_kind: str
    package: str

    @property
    def code(self) -> str:
        return files(self.package).joinpath(f"{self.name}.js").read_text("utf-8")


class Example(Record):
    """Settings and credentials that `open` accepts and that lead nowhere: for dry runs without an endpoint."""

    settings: dict[str, Setting]
    credentials: dict[str, str]


class Connector(Protocol):
    """Knows one destination's contract. All texts are in English; the dashboard translates them."""

    @property
    def kind(self) -> str:
        """The name in the API, the configuration file and the database: lower case, with hyphens."""
        ...

    @property
    def name(self) -> str:
        """The destination's name."""
        ...

    @property
    def monogram(self) -> str:
        """One to five characters that stand for it in a list."""
        ...

    @property
    def public_kind(self) -> str:
        """What the public Svix API calls it; `Custom` for what it does not have."""
        ...

    @property
    def summary(self) -> str:
        """One sentence: what is sent there."""
        ...

    @property
    def fields(self) -> tuple[Field, ...]:
        """Settings and credentials, in the order of the form."""
        ...

    @property
    def has_contract(self) -> bool:
        """Whether calls are checked, so that an event which a handler returns unchanged is never sent."""
        ...

    @property
    def setup(self) -> tuple[str, ...]:
        """The steps of filling in the fields, a sentence each, in order."""
        ...

    @property
    def setup_note(self) -> str:
        """What to know about the credentials; may be empty."""
        ...

    @property
    def test_notes(self) -> tuple[str, ...]:
        """What a test event does at the destination, a sentence each: shown before it is sent."""
        ...

    @property
    def example(self) -> Example: ...

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """Ready-made handlers; the first one of a source kind is the default code of a new endpoint."""
        ...

    def describe(self, call: ReadyCall) -> str:
        """What a prepared call does, in a word or two: the name of its event, or its action. Never raises."""
        ...

    def url(self, settings: Mapping[str, Setting]) -> str:
        """Where requests go with these settings, valid or not."""
        ...

    def credentials_host(self, settings: Mapping[str, Setting]) -> str:
        """Whom credentials entered with these settings may be sent to, for comparison and for people to read."""
        ...

    def open(
        self,
        settings: Mapping[str, Setting],
        credentials: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
    ) -> Destination:
        """`headers` go with every request of the endpoint. Raises UserError when a field is missing or malformed, and
        for headers where the destination has no use for them.
        """
        ...
