"""What the parent accepts from a child. Merchants' code runs there, so nothing that it says is taken on trust: each
bound is checked again, and the calls are decoded here.
"""

from __future__ import annotations

import json
import re

import msgspec

from nicobar.model import Call, Json
from nicobar.nesting import is_deeper
from nicobar.sandbox import Bounds, Broken, Calls, Canceled, Failure, Result, Untouched
from nicobar.sandbox.wire import MAX_REASON_CHARS, Kind, Reply

# The list of calls, and the call that the payload is in.
_LEVELS_AROUND_PAYLOAD = 2
# Room for what a reply has besides its calls and its console.
_OTHER_BYTES = 16 * 1024
_BYTES_PER_CHAR = 4
_BYTES_PER_LINE = 8
# In the words of the prelude, which finds most of them first.
_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]{0,4096}")


class _CallWithAnyNumbers(msgspec.Struct):
    """A call whose payload is JSON: `JSON.rawJSON` writes numbers of any length and size, which msgspec refuses."""

    method: str
    url: str
    headers: dict[str, str]
    payload: msgspec.Raw


_calls = msgspec.json.Decoder(tuple[Call, ...])
_calls_with_any_numbers = msgspec.json.Decoder(tuple[_CallWithAnyNumbers, ...])


class InvalidReply(ValueError):
    """A child said what none says that works. The text goes on after "The process that ran the handler sent"."""


def max_reply_bytes(bounds: Bounds) -> int:
    """No reply within the bounds is larger."""
    line_bytes = (bounds.console_line_chars + 1) * _BYTES_PER_CHAR + _BYTES_PER_LINE
    return bounds.output_bytes + (bounds.console_lines + 1) * line_bytes + _OTHER_BYTES


def judge(reply: Reply, number: int, bounds: Bounds) -> Result:
    """What the reply to the job of that number means. Raises InvalidReply."""
    if reply.number != number:
        raise InvalidReply("the answer to another job")
    if len(reply.console) > bounds.console_lines + 1:
        raise InvalidReply(f"{len(reply.console)} console lines; the limit is {bounds.console_lines}")
    if any(len(line) > bounds.console_line_chars + 1 for line in reply.console):
        raise InvalidReply(f"a console line of more than {bounds.console_line_chars} characters")
    match reply.kind:
        case Kind.BROKEN:
            return _broken(reply)
        case Kind.CANCELED:
            return Canceled(console=reply.console, duration_us=reply.duration_us)
        case Kind.UNTOUCHED:
            return Untouched(console=reply.console, duration_us=reply.duration_us)
        case Kind.CALLS:
            return _result(reply, bounds)


def _broken(reply: Reply) -> Broken:
    if reply.failure in {None, Failure.CRASHED}:  # the pool's word for a child that ended
        raise InvalidReply("a failure without its kind")
    if len(reply.reason) > MAX_REASON_CHARS:
        raise InvalidReply(f"a reason of {len(reply.reason)} characters; the limit is {MAX_REASON_CHARS}")
    return _failed(reply, reply.failure, reply.reason, reply.line)


def _failed(reply: Reply, failure: Failure, reason: str, line: int | None = None) -> Broken:
    return Broken(failure=failure, reason=reason, line=line, console=reply.console, duration_us=reply.duration_us)


def _result(reply: Reply, bounds: Bounds) -> Result:
    content = reply.calls
    if len(content) > bounds.output_bytes:
        reason = f"The handler's calls are larger than {bounds.output_bytes} bytes."
        return _failed(reply, Failure.OUTPUT_TOO_LARGE, reason)
    if is_deeper(content, bounds.depth_levels + _LEVELS_AROUND_PAYLOAD):
        return _failed(reply, Failure.BAD_RESULT, too_deep(bounds))
    try:
        calls = _calls.decode(content)
    except (msgspec.DecodeError, UnicodeError) as error:
        place = _half_pair(content)
        if place is None and _differs_only_in_numbers(content):
            return _failed(reply, Failure.BAD_RESULT, "The result has a number that JSON readers do not accept.")
        if place is None:
            raise InvalidReply(f"calls that cannot be read: {error}") from error
        reason = f"{place} is not valid Unicode: it has half of a surrogate pair. Cut texts by Array.from(text)."
        return _failed(reply, Failure.BAD_RESULT, reason)
    if not calls:
        raise InvalidReply("no calls")
    for call in calls:
        _check(call)
    return Calls(calls=calls, console=reply.console, duration_us=reply.duration_us)


def too_deep(bounds: Bounds) -> str:
    """The reason of a result that is nested too deeply; the prelude has the same words."""
    return f"The payload is nested deeper than {bounds.depth_levels} levels. Return a flatter one."


def _check(call: Call) -> None:
    if call.method not in _METHODS:
        raise InvalidReply("calls with another method than POST, PUT, PATCH or DELETE")
    for name, value in call.headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise InvalidReply("calls with a header that HTTP does not allow")


def _differs_only_in_numbers(content: bytes) -> bool:
    """Whether these are calls but for what their numbers are."""
    try:
        _calls_with_any_numbers.decode(content)
    except (msgspec.DecodeError, UnicodeError):
        return False
    return True


def _half_pair(content: bytes) -> str | None:
    """The path of the first text that no encoding can hold, `[call].field.field`; None where there is none."""
    try:
        value: Json = json.loads(content)
    except ValueError:
        return None
    left: list[tuple[str, Json]] = [("", value)]
    while left:
        path, one = left.pop()
        match one:
            case str() if not _is_text(one):
                return path
            case list():
                left += reversed([(f"{path}[{index}]", item) for index, item in enumerate(one)])
            case dict():
                if any(not _is_text(key) for key in one):
                    return f"A name in {path}"
                left += reversed([(f"{path}.{key}", item) for key, item in one.items()])
    return None


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
