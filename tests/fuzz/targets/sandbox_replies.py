"""What a child process sends, taken over by whatever ran in it: a result within the limits, or rejected."""

from __future__ import annotations

import msgspec

from fuzz.choices import HOSTILE, Choices
from nicobar.sandbox import Bounds, Broken, Calls, NeedsLedger
from nicobar.sandbox.failures import TEXTS, WARNINGS
from nicobar.sandbox.replies import InvalidReply, judge, max_reply_bytes
from nicobar.sandbox.wire import LENGTH_BYTES, Kind, Reply, frame_length, read

BOUNDS = Bounds(output_bytes=400, console_lines=3, console_line_chars=40, depth_levels=4)
NAMES = ("method", "url", "headers", "payload", "type", "action", "authorization", "a b")
VALUES = (
    "POST",
    "GET",
    "https://track.example/api/v2/entity",
    "\r\n",
    {},
    {"x": "y"},
    {"x": 5},
    {"a\n": "b"},
    *HOSTILE,
)
CALL = {"method": "POST", "url": "https://track.example/", "headers": {"x-a": "b"}, "payload": {"a": [1, "b"]}}
FIELDS = ("number", "kind", "calls", "code", "values", "line", "console", "warnings", "duration_us", "used_ledger")
SEEDS = (
    b"\0\0\0" + bytes(30),
    b"\1\0\0\2" + bytes(range(40)),
    b"\2" + msgspec.msgpack.encode(Reply(number=0, kind=Kind.CALLS, calls=msgspec.json.encode([CALL]))),
    b"\2" + msgspec.msgpack.encode(Reply(number=0, kind=Kind.BROKEN, code="threw", values={"error": "x"}, line=3)),
)


def run(data: bytes) -> None:
    it = Choices(data)
    check_length(it.chunk(7))
    content = it.rest() if it.byte() % 4 == 2 else msgspec.msgpack.encode(reply_of(it))
    try:
        reply = read(content, Reply)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return
    try:
        result = judge(reply, 0, BOUNDS)
    except InvalidReply as error:
        assert len(str(error)) < 1_000
        return
    if isinstance(result, NeedsLedger):
        return
    assert len(result.console) <= BOUNDS.console_lines + 1
    assert all(len(line) <= BOUNDS.console_line_chars + 1 for line in result.console)
    if isinstance(result, Calls):
        assert result.calls
        assert len(reply.calls) <= BOUNDS.output_bytes
        for call in result.calls:
            assert call.method in {"POST", "PUT", "PATCH", "DELETE"}
            assert not any(set("\r\n\0") & set(name + value) for name, value in call.headers.items())
    if isinstance(result, Broken):
        assert result.reason.text().isprintable() or result.reason.text()
    # It can be stored.
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(result), type=type(result)) == result


def check_length(head: bytes) -> None:
    if len(head) != LENGTH_BYTES:
        return
    try:
        length = frame_length(head, max_reply_bytes(BOUNDS))
    except ValueError:
        return
    assert 0 < length <= max_reply_bytes(BOUNDS)


def reply_of(it: Choices) -> dict[str, object]:
    """A reply as a child writes it, with wrong parts."""
    calls = [it.changed(CALL, NAMES, VALUES) for _ in range(it.byte() % 4)]
    written = msgspec.json.encode(calls) if it.byte() % 8 else it.chunk()
    reply: dict[str, object] = {
        "number": it.pick((0, 0, 0, 1, -1)),
        "kind": it.pick([*Kind, "calls"]),
        "calls": written,
        "code": it.pick((*TEXTS, "no such code")),
        "values": {it.text(7): it.text(40) for _ in range(it.byte() % 3)},
        "line": it.pick((None, 1, 2**40)),
        "console": [it.text(60) for _ in range(it.byte() % 6)],
        "warnings": [[it.pick((*WARNINGS, "no")), it.text(120)] for _ in range(it.byte() % 3)],
        "duration_us": it.pick((0, 5, 2**63)),
    }
    return it.changed(reply, FIELDS) if it.byte() % 4 == 0 else reply
