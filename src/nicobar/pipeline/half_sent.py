"""An attempt that ended without success after a request had left: the next one repeats its calls.

The destination may have accepted some of them. Calls that another version of the handler returns instead would be
lost, or arrive twice.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable

import msgspec

from nicobar.connectors import ReadyCall
from nicobar.logs import log
from nicobar.masking import MIN_CREDENTIAL_CHARS
from nicobar.model import Call, Customer, Json, Record, Verdict
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.transform import Ready, Subject, masked_verdict, origin_of
from nicobar.pipeline.work import Work
from nicobar.store import Claimed

# A larger attempt is not kept: its next one runs the handler again. The limit of a handler's output, twice.
MAX_BYTES = 1024 * 1024


class HalfSent(Record):
    """The calls of an attempt, for the destination at `url`. `calls` are the sent ones, unless each request is signed
    separately: then `requested` are the handler's calls. Secret variables are not stored: `mark` marks the places of
    their values, empty if they have none. `variables` is for short values, which may stand where they are not meant:
    the places can be filled only while no variable was changed. `snapshot` as in `Ready`.
    """

    url: str
    version: int | None
    app_uid: str
    customer: Customer | None
    calls: tuple[ReadyCall, ...]
    requested: tuple[Call, ...]
    verdicts: tuple[Verdict, ...]
    untouched: bool = False
    mark: str = ""
    variables: str = ""
    snapshot: str = ""


# With places of values, it is stored in a list: versions before read no list, and would send the places as they are.
_DECODER = msgspec.msgpack.Decoder(HalfSent | tuple[HalfSent])


def kept(target: OpenEndpoint, work: Work) -> bytes | None:
    """What the next attempt of a delivery needs: of this one, or of one before if no request of this one has left.
    None if none has, or if it is too large.
    """
    subject, ready = work.subject, work.ready
    if not work.left or subject is None or ready is None:
        return work.claimed.half_sent
    # The headers have signatures and secrets, and are created again.
    signed = any(call.headers for call in ready.calls)
    version = target.endpoint.transformation
    mark = secrets.token_hex(8) if target.hidden else ""
    half_sent = HalfSent(
        url=target.destination.url,
        version=(version.version if version else None) if ready.version is None else ready.version,
        app_uid=subject.app_uid,
        customer=subject.customer,
        calls=() if signed else tuple(_call(call, target.hidden.taken_out, mark) for call in ready.calls),
        requested=tuple(_request(call, target.hidden.taken_out, mark) for call in ready.requested) if signed else (),
        verdicts=ready.verdicts,
        untouched=ready.untouched,
        mark=mark,
        variables=_sealed(target) if _has_short(target) else "",
        snapshot=ready.snapshot,
    )
    try:
        content = msgspec.msgpack.encode((half_sent,) if mark else half_sent)
    except (OverflowError, ValueError):  # a number that only JSON can hold
        return None
    return content if len(content) <= MAX_BYTES else None


def repeated(target: OpenEndpoint, claimed: Claimed, subject: Subject, now_ms: int) -> Ready | None:
    """The calls of the attempt before; None if the handler runs: nothing of it had left, or for another place."""
    if claimed.half_sent is None:
        return None
    try:
        stored = _DECODER.decode(claimed.half_sent)
    except msgspec.DecodeError:  # of a version that stores it in another form
        log.warning("half-sent attempt not readable", message_id=claimed.message.id, endpoint_id=target.endpoint.id)
        return None
    half_sent = stored[0] if isinstance(stored, tuple) else stored
    if half_sent.url != target.destination.url:
        return None
    half_sent = _with_secrets(target, half_sent)
    calls, verdicts = half_sent.calls, half_sent.verdicts
    if half_sent.requested:
        as_before = msgspec.structs.replace(subject, app_uid=half_sent.app_uid, customer=half_sent.customer)
        reads_ledger = bool(half_sent.snapshot)
        origin = origin_of(target, as_before, now_ms, untouched=half_sent.untouched, reads_ledger=reads_ledger)
        prepared = target.destination.prepare(half_sent.requested, origin)
        calls = prepared.calls
        verdicts = tuple(masked_verdict(target.hidden, verdict) for verdict in prepared.verdicts)
    if not calls:
        return None
    return Ready(
        requested=half_sent.requested,
        calls=calls,
        verdicts=verdicts,
        version=half_sent.version,
        untouched=half_sent.untouched,
        snapshot=half_sent.snapshot,
    )


def packed(target: OpenEndpoint, place: str, call: ReadyCall) -> bytes:
    """A call that was sent to a place, without the values of secret variables, to be sent again."""
    mark = secrets.token_hex(8) if target.hidden else ""
    kept_call = HalfSent(
        url=place,
        version=None,
        app_uid="",
        customer=None,
        calls=(_call(call, target.hidden.taken_out, mark),),
        requested=(),
        verdicts=(),
        mark=mark,
        variables=_sealed(target) if _has_short(target) else "",
    )
    return msgspec.msgpack.encode((kept_call,) if mark else kept_call)


def unpacked(target: OpenEndpoint, place: str, content: bytes) -> ReadyCall | None:
    """The call; None if it was sent to another place, or if a secret variable that it needs was changed."""
    try:
        stored = _DECODER.decode(content)
    except msgspec.DecodeError:  # of a version that stores it in another form
        return None
    kept_call = stored[0] if isinstance(stored, tuple) else stored
    calls = _with_secrets(target, kept_call).calls if kept_call.url == place else ()
    return calls[0] if calls else None


def _with_secrets(target: OpenEndpoint, half_sent: HalfSent) -> HalfSent:
    """The calls with the current values of secret variables; without calls if one of them is gone, or if the place of
    a changed one is uncertain.
    """
    if not half_sent.mark:
        return half_sent
    if half_sent.variables and half_sent.variables != _sealed(target):
        return msgspec.structs.replace(half_sent, calls=(), requested=())
    try:
        return msgspec.structs.replace(
            half_sent,
            calls=tuple(_call(call, target.hidden.put_back, half_sent.mark) for call in half_sent.calls),
            requested=tuple(_request(call, target.hidden.put_back, half_sent.mark) for call in half_sent.requested),
        )
    except KeyError:
        return msgspec.structs.replace(half_sent, calls=(), requested=())


def _has_short(target: OpenEndpoint) -> bool:
    return any(len(value) < MIN_CREDENTIAL_CHARS for value in target.secret_variables.values())


def _sealed(target: OpenEndpoint) -> str:
    """Changes with every change of a secret variable, and says nothing about any."""
    return hashlib.sha256(target.endpoint.sealed_variables).hexdigest()


def _call(call: ReadyCall, change: Callable[[Json, str], Json], mark: str) -> ReadyCall:
    if not mark:
        return call
    body = str(change(call.body.decode("utf-8", "surrogateescape"), mark)).encode("utf-8", "surrogateescape")
    return msgspec.structs.replace(call, url=str(change(call.url, mark)), body=body)


def _request(call: Call, change: Callable[[Json, str], Json], mark: str) -> Call:
    if not mark:
        return call
    headers = {name: str(change(value, mark)) for name, value in call.headers.items()}
    return msgspec.structs.replace(
        call, url=str(change(call.url, mark)), headers=headers, payload=change(call.payload, mark)
    )
