"""What travels between the pool and its children: frames of four bytes of length and MessagePack."""

from __future__ import annotations

import struct
from typing import TypeVar

import msgspec

from nicobar.model import Json, Record
from nicobar.sandbox import Bounds, Job, Result

MAX_FRAME_BYTES = 256 * 1024 * 1024
LENGTH_BYTES = 4
_LENGTH = struct.Struct(">I")

T = TypeVar("T")


class Batch(Record):
    """Jobs for one child. Their `code` is empty and stands in `codes`, once for each `code_id`."""

    bounds: Bounds
    codes: dict[str, str]
    jobs: tuple[Job, ...]


class Reply(Record):
    """A child's answer to one job; the first frame of a child is a Reply without a result, its greeting."""

    result: Result | None


_encoder = msgspec.msgpack.Encoder()


def frame(value: Batch | Reply) -> bytes:
    try:
        content = _encoder.encode(value)
    except OverflowError:  # MessagePack ends at 64 bits, JSON does not
        content = _encoder.encode(_as_javascript(msgspec.to_builtins(value, builtin_types=(bytes,))))
    return _LENGTH.pack(len(content)) + content


def _as_javascript(value: Json | bytes) -> object:
    """The same with integers beyond 64 bits as JavaScript has them; text makes infinity of what no float holds."""
    match value:
        case int() if not -(2**63) <= value < 2**64:
            return float(str(value))
        case list() | tuple():
            return [_as_javascript(one) for one in value]
        case dict():
            return {key: _as_javascript(one) for key, one in value.items()}
        case _:
            return value


def frame_length(head: bytes) -> int:
    """Raises ValueError for a length that no frame has."""
    (length,) = _LENGTH.unpack(head)
    if not 0 < length <= MAX_FRAME_BYTES:
        raise ValueError(f"frame of {length} bytes")
    return int(length)


def read(content: bytes, kind: type[T]) -> T:
    return msgspec.msgpack.decode(content, type=kind)
