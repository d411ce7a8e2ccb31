"""Any URL; requests are signed by Standard Webhooks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from nicobar.addresses import origin_of
from nicobar.connectors import (
    BatchBounds,
    Checkup,
    Deferred,
    Delivered,
    Example,
    Field,
    FieldKind,
    Finding,
    Gone,
    IdentityQuestion,
    NoResponse,
    Origin,
    Outcome,
    Prepared,
    ReadyCall,
    Recipe,
    Request,
    Response,
    Transport,
)
from nicobar.connectors.answers import answered, deferred, retry_after_ms, summary_of, unsent
from nicobar.connectors.fields import address_error, is_plain_url, read_fields
from nicobar.connectors.identity import EarlierIds, EventIds, Identity
from nicobar.connectors.inspection import Inspection
from nicobar.connectors.payload import encoded
from nicobar.connectors.people_calls import PeopleCalls
from nicobar.connectors.people_merging import PeopleMerging
from nicobar.connectors.signing_secrets import SigningSecret, read_secrets
from nicobar.crypto import WebhookKey
from nicobar.errors import UserError
from nicobar.model import Call, Level, Setting, Verdict
from nicobar.people import IdentityRule
from nicobar.raw_payloads import RawPayload
from nicobar.reasons import Reason, reason

TEST_HEADER = "nicobar-test"  # marks test events
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")  # RFC 9110, section 5.6.2
_SOURCE = "https://www.standardwebhooks.com"
_GONE = 410
_TOO_MANY = 429
_SERVER_ERROR = 500
_MAX_SHOWN_CHARS = 100
_SIGNED_PARTS = ("id", "timestamp", "signature")
# Reserved: a handler that sets these could forge a signature or break the framing.
_OURS = frozenset(
    {
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        TEST_HEADER,
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
    }
)


class HttpEndpoint:
    kind = "http"
    name = "HTTP endpoint"
    monogram = "{ }"
    public_kind = "Custom"
    summary = "Signed POST requests to your own URL (Standard Webhooks)."
    identity_question: IdentityQuestion | None = None
    has_contract = False
    setup = (
        "Enter the URL that accepts POST requests.",
        (
            "Copy the signing secret to your receiver now. It won't be shown again. Requests are "
            "signed as described at standardwebhooks.com. For ed25519, rotate the key in the endpoint's settings."
        ),
        "Respond with a 2xx status within 15 seconds. Other responses are retried; 410 disables the endpoint.",
    )
    setup_note = ""
    test_notes = ("Your receiver gets a signed request with the header nicobar-test: true.",)
    example = Example(
        settings={"url": "https://example.com/"}, credentials={"secret": "whsec_ZHJ5LXJ1bi1kcnktcnVuLWRyeQ=="}
    )
    recipes: tuple[Recipe, ...] = ()
    fields = (
        Field(
            name="url",
            label="URL",
            kind=FieldKind.URL,
            help="The http or https URL to send events to.",
            required=True,
        ),
        Field(
            name="secret",
            label="Signing secret",
            kind=FieldKind.SECRET,
            help="Signs the requests: whsec_ and base64 for HMAC, or a private key whsk_ and base64 for ed25519. "
            "After a rotation, previous secrets follow as secret@expiry (Unix milliseconds).",
            required=True,
            signs=True,
        ),
        Field(
            name="svix_headers",
            label="Svix headers",
            kind=FieldKind.SWITCH,
            help="Also sends the ID, timestamp and signature as svix-id, svix-timestamp and svix-signature.",
            default=False,
        ),
    )

    def carried_settings(
        self, settings: Mapping[str, Setting], variables: Mapping[str, str], code: str | None
    ) -> None:
        """It never had any."""

    def settings_fix(self, settings: Mapping[str, Setting], why: Reason) -> None:
        """No answer names a setting."""

    def describe(self, call: ReadyCall) -> str:
        return call.method

    def url(self, settings: Mapping[str, Setting]) -> str:
        return str(settings.get("url", ""))

    def credentials_host(self, settings: Mapping[str, Setting]) -> str:
        return origin_of(self.url(settings))

    def open(
        self,
        settings: Mapping[str, Setting],
        credentials: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
    ) -> HttpDestination:
        values = read_fields(self.fields, settings, credentials)
        return HttpDestination(
            str(values["url"]),
            read_secrets(str(values["secret"])),
            _checked(headers or {}),
            svix_headers=bool(values["svix_headers"]),
        )


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OURS:
            raise UserError(
                "header_invalid",
                "Header %(name)s is not a valid HTTP header, or is set by Nicobar.",
                "Use another name.",
                name=repr(name),
            )
        if not value.isascii() or not (value.isprintable() or not value):
            raise UserError(
                "header_invalid",
                "Invalid value for header %(name)s.",
                "Use printable ASCII characters only.",
                name=repr(name),
            )
    return {name.lower(): value for name, value in headers.items()}


class HttpDestination:
    """One URL, its secrets and its headers."""

    batch_bounds: BatchBounds | None = None
    # Only the endpoint's own rate limit applies.
    max_requests_per_s: int | None = None
    workspaces: tuple[str, ...] = ()
    identity_rule: IdentityRule | None = None
    inspection: Inspection | None = None
    people_calls: PeopleCalls | None = None
    people_merging: PeopleMerging | None = None
    product_names: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self, url: str, secrets: Sequence[SigningSecret], headers: Mapping[str, str], *, svix_headers: bool = False
    ) -> None:
        self.url = url
        self._origin = origin_of(url)
        self._keys = [(WebhookKey(secret.secret), secret.until_ms) for secret in secrets]
        self._headers = headers
        self._families = ("webhook", "svix") if svix_headers else ("webhook",)
        self._reserved = _OURS | {f"{family}-{part}" for family in self._families for part in _SIGNED_PARTS}

    def prepare(self, calls: Sequence[Call], origin: Origin) -> Prepared:
        ready: list[ReadyCall] = []
        verdicts: list[Verdict] = []
        ids = EventIds(origin)
        for index, call in enumerate(calls):
            if not is_plain_url(call.url):
                verdicts.append(
                    _invalid(
                        f"[{index}].url",
                        '"%(url)s" is not an http or https URL.',
                        "Set `url` to a full URL.",
                        url=call.url[:_MAX_SHOWN_CHARS],
                    )
                )
                continue
            raw = _raw_of(call, origin)
            if raw is not None:
                body: bytes | None = raw.text.encode()
            else:
                body = origin.body if origin.untouched else encoded(call.payload)
            if body is None:
                verdicts.append(
                    _invalid(
                        f"[{index}].payload",
                        "The payload cannot be converted to JSON.",
                        "Send objects, lists, text, numbers, booleans and null only.",
                    )
                )
                continue
            if origin.replay_key is None:
                event_id = EarlierIds(origin).webhook_id(index, len(calls))
            else:
                event_id = f"evt_{ids.derive(self._identity(call)).id}"
            media_type = "application/json" if raw is None else raw.content_type
            headers = self._headers_of(call, event_id, body, origin, media_type)
            ready.append(
                ReadyCall(
                    method=call.method, url=call.url, headers=headers, body=body, batchable=False, event_id=event_id
                )
            )
        return Prepared(calls=() if verdicts else tuple(ready), verdicts=tuple(verdicts))

    def _headers_of(self, call: Call, event_id: str, body: bytes, origin: Origin, media_type: str) -> dict[str, str]:
        """Headers and signatures go to the endpoint's own host only, not to other hosts that a handler sets."""
        timestamp = str(origin.now_ms // 1000)
        is_own = origin_of(call.url) == self._origin
        signed = {"id": event_id, "timestamp": timestamp}
        if is_own:
            keys = [key for key, until_ms in self._keys if until_ms is None or origin.now_ms < until_ms]
            signed["signature"] = " ".join(key.sign(event_id, timestamp, body) for key in keys)
        return {
            "content-type": media_type,
            **(self._headers if is_own else {}),
            **{name.lower(): value for name, value in call.headers.items() if name.lower() not in self._reserved},
            **{f"{family}-{part}": value for family in self._families for part, value in signed.items()},
            **({TEST_HEADER: "true"} if origin.test else {}),
        }

    def _identity(self, call: Call) -> Identity:
        """The identity of a call: its receiver, method and event type. The endpoint's own URL is not included, since
        it may change.
        """
        event_type = call.payload.get("type") if isinstance(call.payload, dict) else None
        return Identity(
            person=("", "" if call.url == self.url else call.url),
            kind=call.method,
            name=event_type if isinstance(event_type, str) else "",
        )

    def pack(self, calls: Sequence[ReadyCall]) -> Request:
        (call,) = calls
        return Request(method=call.method, url=call.url, headers=call.headers, body=call.body)

    def read(self, calls: Sequence[ReadyCall], answer: Response | NoResponse) -> list[Outcome]:
        """Only a 2xx is success. Everything else is retried, as Standard Webhooks says; 410 disables the endpoint."""
        return [self._outcome(call, answer) for call in calls]

    def _outcome(self, call: ReadyCall, answer: Response | NoResponse) -> Outcome:
        blocked = unsent(answer, own=origin_of(call.url) == self._origin)
        if blocked is not None:
            return blocked
        if isinstance(answer, Response) and answer.status in range(200, 300):
            return Delivered()
        if isinstance(answer, NoResponse) or answer.status >= _SERVER_ERROR:
            return deferred(answer) or Deferred(reason=reason("no_answer", "No response."))
        if answer.status == _GONE and call.url == self.url:  # not if a handler sent it elsewhere
            return Gone(
                reason=reason(
                    "gone",
                    "The receiver responded with %(answer)s. Status 410 means that it no longer accepts "
                    "webhooks. Enable the endpoint once it does; the waiting deliveries are then sent.",
                    answer=summary_of(answer),
                )
            )
        # The receiver responded and may accept the event later, so its breaker does not open.
        return Deferred(
            reason=answered(answer),
            retry_after_ms=retry_after_ms(answer),
            throttled=answer.status == _TOO_MANY,
            reached=True,
        )

    async def check_credentials(self, transport: Transport) -> Checkup:
        """Sends nothing, since a webhook URL need not answer other requests; only checks whether its address is
        allowed.
        """
        refused = await transport.refused_address(self.url)
        if refused is not None:
            return Checkup(ok=False, reason=address_error(refused).reason, finding=Finding.REFUSED_ADDRESS)
        unchecked = reason(Finding.UNTRIED.value, "This URL is checked when the first delivery is sent.")
        return Checkup(ok=True, reason=unchecked, finding=Finding.UNTRIED)


def _raw_of(call: Call, origin: Origin) -> RawPayload | None:
    """The raw payload of the event, unless a handler has returned another payload."""
    if origin.raw is None or origin.untouched:
        return origin.raw
    return origin.raw if encoded(call.payload) == encoded(msgspec.json.decode(origin.body)) else None


def _invalid(path: str, detail: str, fix: str, /, **values: str) -> Verdict:
    return Verdict(level=Level.ERROR, reason=reason("invalid", detail, fix, location=path, **values), source=_SOURCE)
