"""Payload searches: text, or a field with a value."""

from __future__ import annotations

import re

from nicobar.model import Record
from nicobar.store.bodies import holds
from nicobar.store.history import MAX_PATH_STEPS

AROUND_CHARS = 60
# data.customer.email = ada@northpine.example, $.data.product_cart[0].quantity == 2
_FIELD = re.compile(r"(?:\$\.)?([\w-]+(?:\[\d+\])*(?:\.[\w-]+(?:\[\d+\])*)*)\s*==?\s*(\S.*)", re.DOTALL)
_QUOTES = ('""', "''")


class Sought(Record):
    """`path` and `value` of a field, else `text`; all empty without a search."""

    text: str = ""
    path: tuple[str, ...] = ()
    value: str = ""

    @property
    def inside(self) -> bool:
        return bool(self.text or self.path)

    @property
    def contains(self) -> bytes | None:
        return self.text.encode("utf-8", "replace") or None


class Snippet(Record):
    """A part of a payload: the match and the text around it."""

    before: str
    match: str
    after: str


def read_search(query: str) -> Sought:
    """A field if the query has the form `name.name = value`; else text. Quotes force text."""
    query = query.strip()
    found = _FIELD.fullmatch(query)
    if found is None:
        return Sought(text=_bare(query))
    path = tuple(step for step in re.split(r"[.\[\]]+", found[1]) if step)
    return Sought(path=path[:MAX_PATH_STEPS], value=_bare(found[2].strip()))


def _bare(text: str) -> str:
    quoted = len(text) > 2 and text[0] + text[-1] in _QUOTES  # noqa: PLR2004 - two quotes and what they hold
    return text[1:-1] if quoted else text


def snippet(body: bytes, sought: Sought) -> Snippet | None:
    """The match; None without a search, or if the payload was deleted."""
    if sought.path:
        is_there = holds(body, sought.path, sought.value)
        return Snippet(before="", match=f"{'.'.join(sought.path)} = {sought.value}", after="") if is_there else None
    text = body.decode("utf-8", "replace")
    at = text.find(sought.text) if sought.text else -1
    if at < 0:
        return None
    end = at + len(sought.text)
    before, after = text[max(0, at - AROUND_CHARS) : at], text[end : end + AROUND_CHARS]
    return Snippet(
        before=("…" if at > AROUND_CHARS else "") + before,
        match=sought.text,
        after=after + ("…" if end + AROUND_CHARS < len(text) else ""),
    )
