"""Texts in the forms that people and programs write them in."""

from __future__ import annotations

from collections.abc import Sequence

from fuzz.choices import Choices

VALUES = (
    '""', '"a"', "'a'", '"5s"', "1", "-1", "1.5", "true", "[]", "{}", '["a", "b"]', '{env="A"}', '[{env="A"}]',
    "1979-05-27T07:32:00Z", "07:32:00", "nan", "inf", "0x10", "1e999", '"""\na"""', "9" * 30, '"\\ud800"',
    '"http"', '"customerio"', '"dodo-payments"', '{url="https://a.example/"}',
)  # fmt: skip


def toml_of(it: Choices, tables: Sequence[str], names: Sequence[str]) -> bytes:
    """Mostly TOML."""
    lines = []
    while it.left and len(lines) < 40:
        kind = it.byte() % 8
        if kind == 0:
            lines.append(f"[[{it.pick(tables)}]]")
        elif kind == 1:
            lines.append(f"[{it.pick((*tables, it.text(12)))}]")
        elif kind == 2:
            lines.append(it.text(20))
        else:
            lines.append(f"{it.pick(names)} = {it.pick(VALUES) if it.byte() % 8 else it.text(20)}")
    return "\n".join(lines).encode()
