"""Makes values of bytes: a fuzzer that changes bytes changes the choices that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

MAX_JSON_LEVELS = 5
MAX_JSON_ITEMS = 6
# Values that have broken programs before.
HOSTILE: tuple[object, ...] = (
    "", " ", "\0", "\ufeff", "\u202e", "\U0001f600", "x" * 300, "__proto__", "constructor", "%(x)s", "{{7*7}}",
    "\r\nset-cookie: a=b", "'; --", "<script>", "../../..", "²", "٣", "1e999", "0x10", "true", "null", "NaN", "-0",
    0, -1, 1, -0.0, 0.1, 1e308, -1e308, 5e-324, 2**31, 2**53, 2**53 + 1, -(2**63), 2**63 - 1, 2**64 - 1,
    True, False, None, [], {}, [[]], {"": {}}, [None], "9" * 400, "2026-02-30T25:61:61Z", "9999-12-31T23:59:59-23:59",
)  # fmt: skip


class Choices:
    """Reads from the front. After the last byte everything is zero, empty or the first choice."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return max(0, len(self._data) - self._at)

    def byte(self) -> int:
        at = self._at
        self._at = at + 1
        return self._data[at] if at < len(self._data) else 0

    def flag(self) -> bool:
        return self.byte() & 1 == 1

    def number(self, most: int) -> int:
        """From 0 to `most`, up to 64 bits."""
        value = self.byte()
        if most > 255:
            for _ in range((most.bit_length() - 1) // 8):
                value = value << 8 | self.byte()
        return value % (most + 1)

    def pick(self, items: Sequence[T]) -> T:
        return items[self.number(len(items) - 1)]

    def chunk(self, most: int = 255) -> bytes:
        """Up to so many bytes."""
        size = self.number(most)
        found = self._data[self._at : self._at + size]
        self._at += size
        return found

    def rest(self) -> bytes:
        found = self._data[self._at :]
        self._at = len(self._data)
        return found

    def text(self, most: int = 255) -> str:
        return self.chunk(most).decode("utf-8", "replace")

    def json(self, names: Sequence[str] = (), values: Sequence[object] = HOSTILE, levels: int = MAX_JSON_LEVELS):
        """A value as JSON has it, made of these names and values and of any others."""
        kind = self.byte() % 8
        if kind < 3:
            return self.pick(values)
        if kind == 3:
            return self.text()
        if kind == 4:
            return self.number(2**64 - 1) - 2**63
        if kind == 5 or levels == 0 or not self.left:
            return self.number(2**32) / (self.byte() + 1)
        count = self.byte() % MAX_JSON_ITEMS
        if kind == 6:
            return [self.json(names, values, levels - 1) for _ in range(count)]
        return {self.name(names): self.json(names, values, levels - 1) for _ in range(count)}

    def name(self, names: Sequence[str]) -> str:
        return self.pick(names) if names and self.byte() % 8 else self.text(31)

    def changed(self, value: object, names: Sequence[str], values: Sequence[object] = HOSTILE):
        """The value with up to three of its parts replaced, removed or added."""
        for _ in range(self.byte() % 4):
            value = self._changed(value, names, values)
        return value

    def _changed(self, value: object, names: Sequence[str], values: Sequence[object]):
        if isinstance(value, dict) and value and self.byte() % 4:
            name = self.name([*value, *names] if self.flag() else list(value))
            if self.byte() % 8 == 0:
                return {key: item for key, item in value.items() if key != name}
            return {**value, name: self._changed(value.get(name), names, values)}
        if isinstance(value, list) and value and self.byte() % 4:
            at = self.number(len(value) - 1)
            return [*value[:at], self._changed(value[at], names, values), *value[at + 1 :]]
        return self.json(names, values)
