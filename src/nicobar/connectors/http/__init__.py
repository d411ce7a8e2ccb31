"""Any URL, signed by Standard Webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nicobar.connectors import (
    BatchBounds,
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
from nicobar.connectors.fields import is_plain_url, read_fields
from nicobar.connectors.payload import encoded
from nicobar.crypto import standard_webhooks_signature, webhook_secret_key
from nicobar.model import Call, Level, Setting, Verdict

_SOURCE = "https://www.standardwebhooks.com"
# Ours to set; a handler that could would sign for somebody else or break the framing.
_OURS = frozenset(
    {
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
    }
)


class HttpEndpoint:
    kind = "http"
    name = "HTTP endpoint"
    summary = "Posts to a URL of yours, signed as standardwebhooks.com describes."
    has_contract = False
    fields = (
        Field(
            name="url", label="URL", kind=FieldKind.URL, help="Where to post: an http or https URL.", required=True
        ),
        Field(
            name="secret",
            label="Signing secret",
            kind=FieldKind.SECRET,
            help="What the requests are signed with: whsec_ and base64.",
            required=True,
        ),
    )

    def open(self, settings: Mapping[str, Setting], credentials: Mapping[str, str]) -> HttpDestination:
        values = read_fields(self.fields, settings, credentials)
        return HttpDestination(str(values["url"]), webhook_secret_key(str(values["secret"])))


class HttpDestination:
    """One URL and its key."""

    batch_bounds: BatchBounds | None = None
    max_requests_per_s = 100

    def __init__(self, url: str, key: bytes) -> None:
        self.url = url
        self._key = key

    def prepare(self, calls: Sequence[Call], origin: Origin) -> Prepared:
        ready: list[ReadyCall] = []
        verdicts: list[Verdict] = []
        for index, call in enumerate(calls):
            if not is_plain_url(call.url):
                verdicts.append(_error(f"[{index}].url", "It is not an http or https URL.", "Set a whole URL."))
                continue
            body = encoded(call.payload)
            if body is None:
                verdicts.append(_error(f"[{index}].payload", "It cannot be written as JSON.", "Send plain values."))
                continue
            event_id = origin.own_id if len(calls) == 1 else f"{origin.own_id}.{index}"
            timestamp = str(origin.now_ms // 1000)
            signature = standard_webhooks_signature(self._key, event_id, timestamp, body)
            own = {name: value for name, value in call.headers.items() if name.lower() not in _OURS}
            headers = {
                "content-type": "application/json",
                **{name.lower(): value for name, value in own.items()},
                "webhook-id": event_id,
                "webhook-timestamp": timestamp,
                "webhook-signature": f"v1,{signature}",
            }
            ready.append(ReadyCall(method=call.method, url=call.url, headers=headers, body=body, batchable=False))
        return Prepared(calls=() if verdicts else tuple(ready), verdicts=tuple(verdicts))

    def pack(self, calls: Sequence[ReadyCall]) -> Request:
        (call,) = calls
        return Request(
            method=call.method,
            url=call.url,
            headers=call.headers,
            body=call.body,
            operator_host=call.url == self.url,
        )

    def read(self, calls: Sequence[ReadyCall], answer: Response | NoResponse) -> list[Outcome]:
        later = deferred(answer)
        if later is not None or isinstance(answer, NoResponse):
            return [later or Deferred(reason="No answer.") for _ in calls]
        outcome: Outcome = (
            Delivered() if answer.status in range(200, 300) else Refused(reason=f"The URL answered {said(answer)}.")
        )
        return [outcome for _ in calls]

    async def check_credentials(self, transport: Transport) -> Checkup:
        """Asks for nothing: a URL that takes webhooks need not answer anything else."""
        del transport
        return Checkup(ok=True, detail="A URL of your own is checked by the first delivery.")


def _error(path: str, reason: str, fix: str) -> Verdict:
    return Verdict(level=Level.ERROR, rule="invalid", path=path, reason=reason, fix=fix, source=_SOURCE)
