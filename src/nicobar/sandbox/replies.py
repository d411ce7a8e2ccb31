"""What the parent accepts from a child. Merchants' code runs there, so nothing is trusted: every limit is checked
again, and the calls are decoded here.
"""

from __future__ import annotations

import json
import re

import msgspec

from nicobar.model import Call, Json
from nicobar.nesting import is_deeper
from nicobar.reasons import Reason, bounded, reason
from nicobar.sandbox import Bounds, Broken, Calls, Canceled, Failure, NeedsLedger, Run, Untouched
from nicobar.sandbox.failures import KINDS, TEXTS, WARNINGS
from nicobar.sandbox.wire import MAX_REASON_CHARS, MAX_REASON_VALUES, MAX_WARNING_CHARS, MAX_WARNINGS, Kind, Reply

# The list of calls and the call around the payload.
_LEVELS_AROUND_PAYLOAD = 2
# Room for the reply's fields besides calls and console.
_OTHER_BYTES = 32 * 1024
_BYTES_PER_CHAR = 4
_BYTES_PER_LINE = 8
# The same rules as in the prelude, which finds most violations first.
_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]{0,4096}")


class _CallWithAnyNumbers(msgspec.Struct):
    """A call whose payload is JSON: `JSON.rawJSON` writes numbers of any length and size, which msgspec rejects."""

    method: str
    url: str
    headers: dict[str, str]
    payload: msgspec.Raw


_calls = msgspec.json.Decoder(tuple[Call, ...])
_calls_with_any_numbers = msgspec.json.Decoder(tuple[_CallWithAnyNumbers, ...])


class InvalidReply(ValueError):
    """A child sent a reply that no working child sends. The text says what is wrong with the reply."""


def max_reply_bytes(bounds: Bounds) -> int:
    """The maximum size of a reply within the limits."""
    line_bytes = (bounds.console_line_chars + 1) * _BYTES_PER_CHAR + _BYTES_PER_LINE
    return bounds.output_bytes + (bounds.console_lines + 1) * line_bytes + _OTHER_BYTES


def judge(reply: Reply, number: int, bounds: Bounds, *, has_ledger: bool = False) -> Run:
    """The result in the reply to the job of that number, which has a ledger or not. Raises InvalidReply."""
    if reply.number != number:
        raise InvalidReply("a reply to another job")
    if len(reply.console) > bounds.console_lines + 1:
        raise InvalidReply(f"{len(reply.console)} console lines; the limit is {bounds.console_lines}")
    if any(len(line) > bounds.console_line_chars + 1 for line in reply.console):
        raise InvalidReply(f"a console line of more than {bounds.console_line_chars} characters")
    if (reply.kind is Kind.NEEDS_LEDGER) if has_ledger else reply.used_ledger:
        raise InvalidReply("a ledger that is needed though it was given, or used though it was not")
    warnings = _warnings(reply)
    used = reply.used_ledger
    match reply.kind:
        case Kind.NEEDS_LEDGER:
            return NeedsLedger()
        case Kind.BROKEN:
            return _broken(reply, bounds)
        case Kind.CANCELED:
            return Canceled(console=reply.console, duration_us=reply.duration_us, warnings=warnings, used_ledger=used)
        case Kind.UNTOUCHED:
            return Untouched(console=reply.console, duration_us=reply.duration_us, used_ledger=used)
        case Kind.CALLS:
            return _result(reply, bounds, warnings)


def _warnings(reply: Reply) -> tuple[Reason, ...]:
    if len(reply.warnings) > MAX_WARNINGS or any(len(given) > MAX_WARNING_CHARS + 1 for _, given in reply.warnings):
        raise InvalidReply(f"{len(reply.warnings)} warnings, or a long one")
    if any(code not in WARNINGS for code, _ in reply.warnings):
        raise InvalidReply("an unknown warning")
    return tuple(
        msgspec.structs.replace(WARNINGS[code], values={"given": given})
        for code, given in dict.fromkeys(reply.warnings)
    )


def _broken(reply: Reply, bounds: Bounds) -> Broken:
    template = TEXTS.get(reply.code)
    if template is None:
        raise InvalidReply("an unknown failure code")
    chars = sum(len(f"{name}{value}") for name, value in reply.values.items())
    if chars > MAX_REASON_CHARS or len(reply.values) > MAX_REASON_VALUES:
        raise InvalidReply(f"a reason of {chars} characters; the limit is {MAX_REASON_CHARS}")
    limits = {"run_ms": bounds.run_ms} if reply.code == "timed_out" else {}
    if reply.code == "out_of_memory":
        limits = {"memory_mib": bounds.memory_bytes // 1024**2}
    why = msgspec.structs.replace(template, values=bounded({**reply.values, **limits}), location=reply.line)
    return _failed(reply, KINDS[reply.code], why)


def _failed(reply: Reply, failure: Failure, why: Reason) -> Broken:
    return Broken(
        failure=failure,
        reason=why,
        console=reply.console,
        duration_us=reply.duration_us,
        used_ledger=reply.used_ledger,
    )


def _result(reply: Reply, bounds: Bounds, warnings: tuple[Reason, ...]) -> Broken | Calls:
    content = reply.calls
    if len(content) > bounds.output_bytes:
        why = msgspec.structs.replace(TEXTS["output_too_large"], values={"output_bytes": bounds.output_bytes})
        return _failed(reply, Failure.OUTPUT_TOO_LARGE, why)
    if is_deeper(content, bounds.depth_levels + _LEVELS_AROUND_PAYLOAD):
        return _failed(reply, Failure.BAD_RESULT, too_deep(bounds))
    try:
        calls = _calls.decode(content)
    except (msgspec.DecodeError, UnicodeError) as error:
        place = _half_pair(content)
        if place is None and _differs_only_in_numbers(content):
            why = reason("number_not_json", "The result contains a number that is not valid JSON. Send it as text.")
            return _failed(reply, Failure.BAD_RESULT, why)
        if place is None:
            raise InvalidReply(f"malformed calls: {error}") from error
        why = reason(
            "half_pair",
            "%(place)s is not valid Unicode: it contains half of a surrogate pair. Shorten text with "
            "Array.from(text).",
            place=place.encode("utf-8", "replace").decode(),
        )
        return _failed(reply, Failure.BAD_RESULT, why)
    if not calls:
        raise InvalidReply("no calls")
    for call in calls:
        _check(call)
    return Calls(
        calls=calls,
        console=reply.console,
        duration_us=reply.duration_us,
        warnings=warnings,
        used_ledger=reply.used_ledger,
    )


def too_deep(bounds: Bounds) -> Reason:
    """The reason for a result that is nested too deeply."""
    return msgspec.structs.replace(TEXTS["too_deep"], values={"levels": bounds.depth_levels})


def _check(call: Call) -> None:
    if call.method not in _METHODS:
        raise InvalidReply("a call whose method is not POST, PUT, PATCH or DELETE")
    for name, value in call.headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise InvalidReply("a call with an invalid header")


def _differs_only_in_numbers(content: bytes) -> bool:
    """Whether only the numbers keep these calls from being decoded."""
    try:
        _calls_with_any_numbers.decode(content)
    except (msgspec.DecodeError, UnicodeError):
        return False
    return True


def _half_pair(content: bytes) -> str | None:
    """The path of the first text that is not valid Unicode, `[call].field.field`; None if there is none."""
    try:
        value: Json = json.loads(content)
    except ValueError:
        return None
    left: list[tuple[str, Json]] = [("", value)]
    while left:
        path, node = left.pop()
        match node:
            case str() if not _is_text(node):
                return path
            case list():
                left += reversed([(f"{path}[{index}]", item) for index, item in enumerate(node)])
            case dict():
                if any(not _is_text(key) for key in node):
                    return f"A name in {path}"
                left += reversed([(f"{path}.{key}", item) for key, item in node.items()])
    return None


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
