"""The destinations' contracts. A connector is one folder here and one line in `CONNECTORS`, and inherits the contract
tests in `tests/contracts`. See `docs/how-to/add-a-connector.md` for an example. Connectors decide from plain values;
only `transport.py` sends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib.resources import files
from typing import TYPE_CHECKING, Protocol

from nicobar.addresses import RefusedAddress
from nicobar.model import Call, Customer, Json, Record, Setting, Verdict
from nicobar.people import IdentityRule
from nicobar.raw_payloads import RawPayload
from nicobar.reasons import Reason

if TYPE_CHECKING:
    from nicobar.connectors.inspection import Inspection
    from nicobar.connectors.people_calls import PeopleCalls
    from nicobar.connectors.people_merging import PeopleMerging

_CREDENTIAL = re.compile(r"auth|cookie|key|password|secret|token", re.IGNORECASE)
_PLAIN = frozenset({"idempotency-key", "proxy-authenticate", "www-authenticate"})
# What an attempt keeps of a response's headers.
MAX_KEPT_HEADERS = 50
MAX_KEPT_HEADER_CHARS = 1_024
MAX_KEPT_HEADERS_CHARS = 8_192


class FieldKind(StrEnum):
    TEXT = "text"
    SECRET = "secret"  # noqa: S105 - a kind of field, not a secret
    URL = "url"
    CHOICE = "choice"
    SWITCH = "switch"
    MAP = "map"


class Field(Record):
    """One setting of a connector: drives the form, the validation and the masking. The value of a MAP is texts by
    names. SECRET fields are credentials and
    belong to the host that they were entered for. A field that `signs` is never sent itself, so it is kept when the
    host changes.
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
    """The origin of a call, from which a destination may complete it. `customer` is the customer of the event,
    `body` the event itself as JSON, which is parsed only where a destination must look into it.

    Ids are derived from `app_uid`, `event_id` (the sender's; empty for none), `replay_key` and `test`: see
    `identity.py`. `replay_key` identifies the replay or resend that requested new ids, empty for none. It is None for
    a delivery of the version that used `message_id`, `endpoint_id`, `occurred_at_ms` and `edition` instead. `test`
    identifies a test event: the call is marked as a test and has its own id, so that the destination drops neither
    the test nor the real event as a duplicate of the other. `untouched`: the one call is the event itself, and a
    destination that takes events sends its bytes as they are. `raw` is sent instead of an unchanged payload.

    `shares_address`: another customer of the sender has the same email address. `changed_address`: the event is the
    first one with this address of a customer who had another one. `has_known_address`: this or an earlier event has
    one of the customer.

    `customer` is completed from what earlier events said: `remembered_email` says that its email is not the event's
    own. `reads_ledger`: the handler has read what all events say of the customer. `customer_id_attribute` is the
    attribute under which destinations keep the sender's customer id, empty for none. `other_metadata` are values of
    the customer's metadata that other events stated differently.
    """

    message_id: str
    endpoint_id: str
    occurred_at_ms: int
    now_ms: int
    customer: Customer | None
    body: bytes = b""
    edition: int = 0
    test: str = ""
    app_uid: str = ""
    event_id: str = ""
    replay_key: str | None = ""
    untouched: bool = False
    remembered_email: bool = False
    reads_ledger: bool = False
    customer_id_attribute: str = ""
    other_metadata: dict[str, Json] = {}
    shares_address: bool = False
    changed_address: bool = False
    has_known_address: bool = False
    raw: RawPayload | None = None

    @property
    def event_customer(self) -> Customer | None:
        """The customer as far as the event itself tells: ids do not depend on what is remembered."""
        if self.customer is None or not self.remembered_email:
            return self.customer
        return Customer(key=self.customer.key)

    @property
    def event_key(self) -> str:
        """Identifies the event within its application."""
        return self.event_id or self.message_id


class ReadyCall(Record):
    """A call that passed the contract check, without credentials. `body` is its exact bytes. `batchable` calls may
    share a request with others of the same destination. `added` marks a call that no handler returned. `is_event`
    says that the call reports an event; any other changes a state, which an earlier call must not change back.
    `event_id` is the id by which the destination recognizes the event, empty for none; `once` says that it was made
    of a natural key, so that other messages may have it.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    batchable: bool
    added: bool = False
    event_id: str = ""
    once: bool = False
    is_event: bool = True


class Prepared(Record):
    """Calls that are ready to send, or why not: `calls` is empty if and only if there is an ERROR among the verdicts,
    or `no_identity`. That is why no person is identified although a call is about the customer; then no call is sent,
    since a later event may say who the customer is.
    """

    calls: tuple[ReadyCall, ...]
    verdicts: tuple[Verdict, ...]
    no_identity: Reason | None = None


def is_credential(header: str) -> bool:
    """Whether a header carries a secret, judged by its name."""
    return _CREDENTIAL.search(header) is not None and header.lower() not in _PLAIN


def preview_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request that was not sent, without credentials and signatures: with a valid signature, every
    viewer could send the request in our name.
    """
    hidden = {name for name in headers if is_credential(name) or "signature" in name.lower()}
    return {name: "***" if name in hidden else value for name, value in headers.items()}


class Request(Record):
    """An HTTP request."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def shown_headers(self) -> dict[str, str]:
        """The headers as shown and stored, with credentials masked, including those set by a handler."""
        return {name: "***" if is_credential(name) else value for name, value in self.headers.items()}

    def __repr__(self) -> str:
        return f"Request({self.method} {self.url}, {self.shown_headers}, {len(self.body)} bytes)"


class Response(Record):
    """An HTTP response. Header names are in lower case, equal ones joined by commas. The body is cut at the
    transport's limit; `truncated` says that it was longer.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    duration_ms: int
    truncated: bool = False

    @property
    def kept_headers(self) -> dict[str, str]:
        """The headers as shown and stored: the first of them, cut, with credentials masked."""
        kept: dict[str, str] = {}
        left_chars = MAX_KEPT_HEADERS_CHARS
        for name, value in self.headers.items():
            shown = "***" if is_credential(name) else _readable(value[:MAX_KEPT_HEADER_CHARS])
            left_chars -= len(name) + len(shown)
            if left_chars < 0 or len(kept) == MAX_KEPT_HEADERS:
                break
            kept[_readable(name)] = shown
        return kept


def _readable(text: str) -> str:
    """The text, without the surrogates that stand for bytes that are not UTF-8: these cannot be stored."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class NoResponse(Record):
    """There was no response; `reason` says why in a few words (`timed out after 15000 ms`, `connection refused` …).
    `refused` says that nothing was sent because the host's address is neither public nor allowed.
    """

    reason: Reason
    duration_ms: int
    refused: RefusedAddress | None = None


class Delivered(Record, tag=True):
    """The destination accepted the call."""


class Refused(Record, tag=True):
    """The destination rejected the call permanently: never retried."""

    reason: Reason


class Deferred(Record, tag=True):
    """Retry later, after `retry_after_ms` if the destination said when. `throttled` marks a 429. `alone` requests
    that the call is sent at once in a smaller request: the response did not say which of several calls it
    meant. `failing` says that the destination failed, so that its circuit breaker counts it. `foreign` marks a
    response that is not the destination's own, such as a proxy's page: the operator is alerted at once. `reached`
    says that the destination itself responded, so that its breaker closes. `sent` is False if nothing of the delivery
    was sent, so that no attempt is used up.
    """

    reason: Reason
    retry_after_ms: int | None = None
    throttled: bool = False
    alone: bool = False
    sent: bool = True
    failing: bool = False
    foreign: bool = False
    reached: bool = False


class Blocked(Record, tag=True):
    """Nothing can be delivered with the current configuration (credentials, region, an address that is not allowed):
    the endpoint goes on hold and the delivery waits, without using up an attempt, until the destination's check
    passes.
    """

    reason: Reason


class Gone(Record, tag=True):
    """The destination accepts no more deliveries: the endpoint is disabled, and the delivery waits, without using up
    an attempt, until a user enables the endpoint.
    """

    reason: Reason


Outcome = Delivered | Refused | Deferred | Blocked | Gone


class BatchBounds(Record):
    """The maximum size of one request. `keeps_order` says that calls about one person take effect in their order, so
    that several deliveries of a customer may share a request.
    """

    max_items: int
    max_bytes: int
    keeps_order: bool = False


class Transport(Protocol):
    """Sends one request. Never raises for network errors, never follows redirects."""

    async def send(self, request: Request) -> Response | NoResponse: ...

    async def refused_address(self, url: str) -> RefusedAddress | None:
        """Why a request to this URL would be blocked, found without connecting; None if it would be sent, or if the
        name does not resolve.
        """
        ...


class Finding(StrEnum):
    """The result of a credential check."""

    GOOD = "good"
    NO_ANSWER = "no_answer"
    WRONG_CREDENTIALS = "wrong_credentials"
    WRONG_REGION = "wrong_region"
    REFUSED_ADDRESS = "refused_address"
    UNTRIED = "untried"  # a destination that cannot be checked without sending something


class Checkup(Record):
    """The outcome of a credential check: `ok`, the finding, and what is wrong and how to fix it."""

    ok: bool
    reason: Reason
    finding: Finding


class SettingsFix(Record):
    """A change of a setting that fixes what a destination answered."""

    name: str
    value: Setting


class Destination(Protocol):
    """A connector with the settings and credentials of one endpoint."""

    @property
    def url(self) -> str:
        """The initial value of `webhook.url`."""
        ...

    @property
    def batch_bounds(self) -> BatchBounds | None:
        """None if every call is a separate request."""
        ...

    @property
    def workspaces(self) -> tuple[str, ...]:
        """The names of the place where events arrive, for ids made of natural keys: the same for each endpoint that
        sends there, as far as it is known. Empty if the destination has no such ids.
        """
        ...

    @property
    def identity_rule(self) -> IdentityRule | None:
        """What identifies people there; None if the endpoint's settings do not say, or the destination has none."""
        ...

    @property
    def product_names(self) -> Mapping[str, str]:
        """What emails call the sender's products, by their ids."""
        ...

    @property
    def inspection(self) -> Inspection | None:
        """What the destination can be asked about itself; None if it cannot, or has no credential for it."""
        ...

    @property
    def people_calls(self) -> PeopleCalls | None:
        """What calls do to people there; None if the destination has none, or processes calls in the order in which
        they are sent.
        """
        ...

    @property
    def people_merging(self) -> PeopleMerging | None:
        """How two people there are merged; None if the destination has no people."""
        ...

    @property
    def max_requests_per_s(self) -> int | None:
        """The maximum requests per second of the destination; None for no limit."""
        ...

    def prepare(self, calls: Sequence[Call], origin: Origin) -> Prepared:
        """Checks the calls of one message against the contract, corrects them, and makes them ready to send. The same
        input gives the same bytes. Never raises, whatever the payload.
        """
        ...

    def pack(self, calls: Sequence[ReadyCall]) -> Request:
        """The request for these calls: one call, or several batchable ones within `batch_bounds`."""
        ...

    def read(self, calls: Sequence[ReadyCall], answer: Response | NoResponse) -> list[Outcome]:
        """What the response means for each call, in order."""
        ...

    async def check_credentials(self, transport: Transport) -> Checkup:
        """Asks the destination whether it accepts the credentials."""
        ...


class Recipe(Record):
    """A ready-made handler of a connector for the events of one source kind: the file `NAME.js` in `package`. It is
    offered beside warnings of the rules in `instead_of`: it does what code that they warn about probably means.
    """

    name: str
    summary: str
    source_kind: str
    package: str
    instead_of: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        return files(self.package).joinpath(f"{self.name}.js").read_text("utf-8")


class Example(Record):
    """Settings and credentials that `open` accepts, for dry runs without an endpoint; no real account has them."""

    settings: dict[str, Setting]
    credentials: dict[str, str]


class IdentityQuestion(Record):
    """The question that an endpoint's settings `identify_by` and `identify_fallback` answer, and its three answers:
    an id of the shop's own, the email address, or the sender's customer id. `%(sender)s` is the sender's name. `look`
    says where to find the answer.
    """

    title: str
    look: str
    by_metadata: str
    by_email: str
    by_customer_id: str
    unanswered: str


class Connector(Protocol):
    """One destination's contract. All texts are in English; the dashboard translates them."""

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
        """One to five characters that represent the connector in lists."""
        ...

    @property
    def public_kind(self) -> str:
        """Its name in the public Svix API; `Custom` if it has none."""
        ...

    @property
    def summary(self) -> str:
        """The sent data, in a few words."""
        ...

    @property
    def fields(self) -> tuple[Field, ...]:
        """The settings and credentials, in the order of the form."""
        ...

    @property
    def identity_question(self) -> IdentityQuestion | None:
        """What is asked about people when an endpoint is created; None if the connector has no settings for it."""
        ...

    @property
    def has_contract(self) -> bool:
        """Whether calls are checked; an event that a handler returns unchanged is then never sent."""
        ...

    @property
    def setup(self) -> tuple[str, ...]:
        """The setup steps in order, one sentence each."""
        ...

    @property
    def setup_note(self) -> str:
        """A note about the credentials; may be empty."""
        ...

    @property
    def test_notes(self) -> tuple[str, ...]:
        """The effects of a test event at the destination, one sentence each, shown before it is sent."""
        ...

    @property
    def example(self) -> Example: ...

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """Ready-made handlers; the first of a source kind is the default code of a new endpoint."""
        ...

    def carried_settings(
        self, settings: Mapping[str, Setting], variables: Mapping[str, str], code: str | None
    ) -> tuple[dict[str, Setting], dict[str, str]] | None:
        """The settings and variables of an endpoint with this code, with settings that an earlier version had as
        variables of the handler; None if there are none. Never raises.
        """
        ...

    def settings_fix(self, settings: Mapping[str, Setting], why: Reason) -> SettingsFix | None:
        """The change of a setting that fixes the reason of a hold; None if no setting is known to be wrong."""
        ...

    def describe(self, call: ReadyCall) -> str:
        """A prepared call in a word or two: its event's name or its action. Never raises."""
        ...

    def url(self, settings: Mapping[str, Setting]) -> str:
        """The URL of requests with these settings, valid or not."""
        ...

    def credentials_host(self, settings: Mapping[str, Setting]) -> str:
        """The host that credentials entered with these settings may be sent to, for comparison and for display."""
        ...

    def open(
        self,
        settings: Mapping[str, Setting],
        credentials: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
    ) -> Destination:
        """`headers` are added to every request of the endpoint. Raises UserError if a field is missing or malformed,
        and for headers that the destination does not support.
        """
        ...
