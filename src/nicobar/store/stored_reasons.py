"""Reasons in columns and records. Versions before kept them as plain texts, which are shown as they are."""

from __future__ import annotations

from typing import Any

import msgspec

from nicobar.conversion import converter
from nicobar.model import Attempt, Breaker
from nicobar.reasons import Reason, plain, reason

EXPUNGED = reason("expunged", "expunged")
ENDPOINT_REMOVED = reason("endpoint_removed", "endpoint removed")

_REASON = msgspec.json.Decoder(Reason)
_ATTEMPT = msgspec.msgpack.Decoder(Attempt)
_BREAKER = msgspec.json.Decoder(Breaker)
_to_attempt = converter(Attempt)
_to_breaker = converter(Breaker)
_encoder = msgspec.json.Encoder()


def reason_column(why: Reason | None) -> str | None:
    """A reason as a column holds it."""
    return None if why is None else _encoder.encode(why).decode()


def read_reason(text: str | None) -> Reason | None:
    if text is None:
        return None
    if text.startswith('{"code":'):
        try:
            return _REASON.decode(text)
        except msgspec.DecodeError:  # a text that begins so
            pass
    return plain(text)


def read_refusal(code: str, detail: str) -> Reason:
    """A rejected request's reason, from its two columns."""
    why = read_reason(detail) or plain("")
    return msgspec.structs.replace(why, code=code)


def read_attempt(content: bytes) -> Attempt:
    try:
        return _ATTEMPT.decode(content)
    except msgspec.ValidationError:
        return _to_attempt(_of_before(msgspec.msgpack.decode(content)))


def read_breaker(content: str) -> Breaker:
    try:
        return _BREAKER.decode(content)
    except msgspec.ValidationError:
        return _to_breaker(_of_before(msgspec.json.decode(content)))


def _of_before(record: dict[str, Any]) -> dict[str, Any]:
    """A record's values, whose reasons were texts."""
    verdicts = [_verdict_of_before(verdict) for verdict in record.get("verdicts", ())]
    why = record["reason"]
    changed = {"reason": msgspec.to_builtins(plain(why)) if isinstance(why, str) else why}
    return {**record, **changed, **({"verdicts": verdicts} if verdicts else {})}


def _verdict_of_before(verdict: dict[str, Any]) -> dict[str, Any]:
    why = Reason(
        code=verdict["rule"],
        template="%(reason)s",
        fix_template="%(fix)s",
        values={"reason": verdict["reason"], "fix": verdict["fix"]},
        location=verdict["path"],
    )
    return {"level": verdict["level"], "reason": msgspec.to_builtins(why), "source": verdict["source"]}
