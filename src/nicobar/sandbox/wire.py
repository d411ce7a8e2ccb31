"""The frames between the pool and its children: four bytes of length, then MessagePack."""

from __future__ import annotations

import struct
from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from nicobar.model import Json, Record
from nicobar.sandbox import Bounds, Job

# The limit for frames of the pool, which is trusted.
MAX_FRAME_BYTES = 256 * 1024 * 1024
LENGTH_BYTES = 4
# A child keeps so many codes compiled.
MAX_CONTEXTS = 16
MAX_GREETING_BYTES = 512
MAX_REASON_CHARS = 1_000
MAX_REASON_VALUES = 4
# Values that helpers could not use, of one event; each is cut.
MAX_WARNINGS = 20
MAX_WARNING_CHARS = 100
# A child cuts values to this length, so that the reason stays within its bound.
MAX_VALUE_CHARS = 700
_MAX_DURATION_US = 3_600_000_000
_LENGTH = struct.Struct(">I")

T = TypeVar("T")


class Batch(Record):
    """Jobs for one child. Their `code` is empty: `codes` has it once per `code_id`. Jobs are numbered from
    `first_number`, and their replies carry the numbers.
    """

    bounds: Bounds
    first_number: int
    codes: dict[str, str]
    jobs: tuple[Job, ...]


class Greeting(Record):
    """A child's first frame, before it runs any handler: its process, and why its second layer cannot be used."""

    pid: int
    failure: str = ""


class Kind(StrEnum):
    """The outcome of a job."""

    CALLS = "calls"
    CANCELED = "canceled"
    UNTOUCHED = "untouched"
    BROKEN = "broken"
    NEEDS_LEDGER = "needs_ledger"


class Reply(Record):
    """A child's reply to one job. `calls` is the JSON of the calls as the engine wrote it; the parent checks and
    decodes it. `code`, `values` and `line` belong to BROKEN, `warnings` are codes with a value: see `failures.py`.
    """

    number: int
    kind: Kind
    calls: bytes = b""
    code: str = ""
    values: dict[str, str | int] = {}
    line: int | None = None
    console: tuple[str, ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()
    used_ledger: bool = False
    duration_us: Annotated[int, Meta(ge=0, le=_MAX_DURATION_US)] = 0


_encoder = msgspec.msgpack.Encoder()


def frame(value: Batch | Greeting | Reply) -> bytes:
    try:
        content = _encoder.encode(value)
    except OverflowError:  # MessagePack ends at 64 bits, JSON does not
        content = _encoder.encode(_as_javascript(msgspec.to_builtins(value, builtin_types=(bytes,))))
    return _LENGTH.pack(len(content)) + content


def _as_javascript(value: Json | bytes) -> object:
    """The value with integers beyond 64 bits as JavaScript numbers; via text, so that overflow becomes infinity."""
    match value:
        case int() if not -(2**63) <= value < 2**64:
            return float(str(value))
        case list() | tuple():
            return [_as_javascript(item) for item in value]
        case dict():
            return {key: _as_javascript(item) for key, item in value.items()}
        case _:
            return value


def frame_length(head: bytes, max_bytes: int = MAX_FRAME_BYTES) -> int:
    """Raises ValueError for an invalid length."""
    (length,) = _LENGTH.unpack(head)
    if not 0 < length <= max_bytes:
        raise ValueError(f"a frame of {length} bytes; the limit is {max_bytes} bytes")
    return int(length)


def read(content: bytes, kind: type[T]) -> T:
    return msgspec.msgpack.decode(content, type=kind)
