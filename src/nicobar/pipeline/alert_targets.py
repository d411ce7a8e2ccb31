"""The targets of alerts: their addresses, sealed in the store, and the requests that are sent there."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

from nicobar.connectors import Request
from nicobar.crypto import Vault, WebhookKey
from nicobar.errors import StoreUnusable
from nicobar.masking import MASK
from nicobar.model import AlertTarget, Json, Record, TargetKind
from nicobar.pipeline.alert_types import ENDS, Alert, AlertType

MAX_SLACK_TEXT_CHARS = 2_900
MAX_PAGERDUTY_SUMMARY_CHARS = 1_024
# No problem that could end: without an end of its own, its incident would stay open.
_WITHOUT_PROBLEM = frozenset({AlertType.TEST, AlertType.ATTEMPT_RECOVERED})


class Address(Record):
    """Where a target is. `secret` signs the requests of a webhook, and is the routing key of PagerDuty."""

    address: str
    secret: str = ""

    def __repr__(self) -> str:
        return "Address(***)"


_ADDRESS = msgspec.json.Decoder(Address)


def seal_address(vault: Vault, target_id: str, address: Address) -> bytes:
    return vault.seal(msgspec.json.encode(address), target_id)


def open_address(vault: Vault, target: AlertTarget) -> Address:
    """Raises StoreUnusable if it was sealed with another key or is malformed."""
    try:
        return _ADDRESS.decode(vault.unseal(target.sealed, target.id))
    except msgspec.MsgspecError:
        # The error's text may contain a part of the secret.
        raise StoreUnusable(
            "secret_unreadable",
            "The stored address of %(id)s is malformed.",
            "Set the address again, or restore a backup of the database.",
            id=target.id,
        ) from None


def shown_address(kind: TargetKind, address: str) -> str:
    """The address as people may see it: the path of a URL may be its secret."""
    if kind is TargetKind.EMAIL:
        return address
    url = urlsplit(address)
    return f"{url.scheme}://{url.netloc}/{MASK if url.path.strip('/') or url.query else ''}"


def alert_requests(kind: TargetKind, to: Address, alert: Alert, alert_id: str, now_ms: int) -> tuple[Request, ...]:
    """The requests that send an alert, in order. Raises UserError for a malformed signing secret."""
    match kind:
        case TargetKind.SLACK:
            bodies: tuple[Json, ...] = (_slack(alert),)
        case TargetKind.PAGERDUTY:
            bodies = tuple(_pagerduty(alert, to.secret, action) for action in _pagerduty_actions(alert.type))
        case _:
            at = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat()
            bodies = ({"type": alert.type.value, "timestamp": at, "data": dict(alert.facts)},)
    return tuple(_request(kind, to, msgspec.json.encode(body), alert_id, now_ms) for body in bodies)


def _request(kind: TargetKind, to: Address, encoded: bytes, alert_id: str, now_ms: int) -> Request:
    headers = {"content-type": "application/json"}
    if kind is TargetKind.WEBHOOK:
        timestamp = str(now_ms // 1000)
        headers |= {"webhook-id": alert_id, "webhook-timestamp": timestamp}
        if to.secret:
            headers["webhook-signature"] = WebhookKey(to.secret).sign(alert_id, timestamp, encoded)
    return Request(method="POST", url=to.address, headers=headers, body=encoded)


def _slack(alert: Alert) -> Json:
    """The form of Slack's incoming webhooks, in which these three characters are escaped."""
    text = f"{alert.title}\n{alert.text}"[:MAX_SLACK_TEXT_CHARS]
    return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}


def _pagerduty_actions(alert_type: AlertType) -> tuple[str, ...]:
    """The end of a problem resolves its incident. What is no problem opens an incident and resolves it, because a
    change event, the other kind of PagerDuty, notifies no one.
    """
    if alert_type in _WITHOUT_PROBLEM:
        return ("trigger", "resolve")
    return ("resolve",) if alert_type in ENDS else ("trigger",)


def _pagerduty(alert: Alert, key: str, action: str) -> Json:
    """The form of PagerDuty's Events API v2."""
    return {
        "routing_key": key,
        "event_action": action,
        "dedup_key": f"nicobar/{alert.family.value}/{alert.subject_id}",
        "payload": {
            "summary": f"{alert.title}: {alert.text}"[:MAX_PAGERDUTY_SUMMARY_CHARS],
            "source": alert.host or "nicobar",
            "severity": "info" if alert.type in _WITHOUT_PROBLEM else "error",
            "custom_details": dict(alert.facts),
        },
    }
