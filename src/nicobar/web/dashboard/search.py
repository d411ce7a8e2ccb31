"""What somebody looks for in payloads: a text, or a field with a value."""

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
    """`path` and `value` for a field, else `text`; neither where nothing is looked for."""

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
    """A piece of a payload: what was found, and what stands around it."""

    before: str
    match: str
    after: str


def read_search(query: str) -> Sought:
    """A field where it has the form `name.name = value`; a text where it has not, or stands in quotes."""
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
    """Where it was found; None where nothing was looked for, or the body is gone."""
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
