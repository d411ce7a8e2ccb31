"""Keeps secret values out of what is stored and shown. What is sent stays as it is."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from urllib.parse import quote, quote_plus

from nicobar.model import Json

MASK = "***"
# Shorter ones, such as a flag in a header, would mask text that has nothing to do with them.
MIN_CREDENTIAL_CHARS = 8
# A text that was cut may end within a value. A shorter beginning reveals little, and many texts end like it.
MIN_PART_CHARS = 4
_CUT = "…"


def forms_of(value: str) -> tuple[str, ...]:
    """The value as it appears in text, JSON, JSON within JSON, URLs, forms and HTML. The order never changes."""
    as_json = json.dumps(value, ensure_ascii=False)[1:-1]
    return (
        value,
        as_json,
        json.dumps(value)[1:-1],
        json.dumps(as_json, ensure_ascii=False)[1:-1],
        quote(value, safe=""),
        quote(value, safe="!~*'()"),
        quote_plus(value),
        html.escape(value),
    )


class Secrets:
    """Values that no reader may see. `named` are replaced whatever their length, `others` if they are long enough."""

    def __init__(self, named: Mapping[str, str] | None = None, others: Iterable[str] = ()) -> None:
        self._named = {name: value for name, value in (named or {}).items() if value}
        self._others = tuple(value for value in others if len(value) >= MIN_CREDENTIAL_CHARS)

    def __bool__(self) -> bool:
        return bool(self._named or self._others)

    def __repr__(self) -> str:
        return f"Secrets({MASK})"

    @cached_property
    def _forms(self) -> list[str]:
        values = (*self._named.values(), *self._others)
        return sorted({form for value in values for form in forms_of(value)}, key=len, reverse=True)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return _any_of(self._forms)

    def masked(self, text: str) -> str:
        """The text with a mask in place of each value, and of the beginning of one at its end."""
        if not self:
            return text
        # Most texts have none; looking for them one by one takes less time than the expression of all.
        masked = self._pattern.sub(MASK, text) if any(form in text for form in self._forms) else text
        bare = masked.removesuffix(_CUT)
        part = max((_begun(bare, form) for form in self._forms), default=0)
        return f"{bare[:-part]}{MASK}{masked[len(bare) :]}" if part else masked

    def masked_bytes(self, body: bytes) -> bytes:
        if not self:
            return body
        return self.masked(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def masked_texts(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The same for each value."""
        return {name: self.masked(text) for name, text in texts.items()}

    def masked_json(self, value: Json) -> Json:
        return changed(value, self.masked) if self else value

    def taken_out(self, value: Json, mark: str) -> Json:
        """The value with a place holder for each named value. `mark` is random, so that no text contains it."""
        places = {
            form: f"\0{mark}:{number}:{name}\0"
            for name, secret in self._named.items()
            for number, form in reversed(list(enumerate(forms_of(secret))))
        }
        if not places:
            return value
        pattern = _any_of(sorted(places, key=len, reverse=True))
        return changed(value, lambda text: pattern.sub(lambda found: places[found[0]], text))

    def put_back(self, value: Json, mark: str) -> Json:
        """The value with the current named values in place of the place holders. Raises KeyError for one that is no
        longer known.
        """

        def filled(found: re.Match[str]) -> str:
            return forms_of(self._named[found[2]])[int(found[1])]

        pattern = re.compile(f"\0{re.escape(mark)}:(\\d):([^\0]*)\0")
        return changed(value, lambda text: pattern.sub(filled, text))


NO_SECRETS = Secrets()


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, texts)))


def _begun(text: str, form: str) -> int:
    """How many characters at the end of the text are the beginning of a value that goes on behind it."""
    start = form[:MIN_PART_CHARS]
    at = text.find(start, max(0, len(text) - len(form) + 1))
    while at >= 0 and not form.startswith(text[at:]):
        at = text.find(start, at + 1)
    return len(text) - at if at >= 0 else 0


def changed(value: Json, change: Callable[[str], str]) -> Json:
    """The value with each of its texts changed. Names of fields are texts too."""
    match value:
        case str():
            return change(value)
        case list() | tuple():
            return [changed(item, change) for item in value]
        case dict():
            return {change(name): changed(item, change) for name, item in value.items()}
        case _:
            return value
