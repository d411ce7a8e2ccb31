"""What errors, verdicts and reasons say, in the visitor's language.

They are made in English, with values in them, where they happen; the API, the commands and what is kept say them so.
The dashboard finds the sentence that a text was made from among those of the catalogue, `The name has more than
%(max_name_chars)s characters.`, takes the values out and says it again. So there is one text, in the code, and what
was kept long ago is said in Korean as well. What is no sentence of ours, such as a destination's own words, stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from nicobar.web.dashboard.language import DEFAULT, catalogue, noop

# The reasons that Nicobar itself gives are translated; others stay as the code or the destination wrote them.
_REASONS = (
    noop("canceled by the handler"),
    noop("canceled by hand"),
    noop("endpoint removed"),
    noop("replay canceled"),
    noop("expunged"),
    noop("an alert; this is not the alert endpoint"),
)
SAID = "said"  # the context of these texts in the catalogues
# How sentences are put together: see pipeline/transform.py.
JOINED = ("line %(line)s: %(reason)s", "%(reason)s (and %(count)s more)")
MAX_CHARS = 4_000
MAX_DEPTH = 4
_SEPARATOR = "\x04"  # between context and text, in a compiled catalogue
_PLACE = re.compile(r"%\((\w+)\)s")
_END = re.compile(r"(?<=[.?!:\"”)]) ")
_PATH = re.compile(r"\[\d+\]\S*: ")


class _Sentence(NamedTuple):
    """`literals` are what stands around the places, one more than `places`."""

    literals: tuple[str, ...]
    places: tuple[str, ...]
    translated: str


def say(language: str, text: str) -> str:
    """A text of ours in a language; any other text as it is."""
    if language == DEFAULT or not text or len(text) > MAX_CHARS:
        return text
    return _said(language, text) or text


@lru_cache(maxsize=4_096)
def _said(language: str, text: str) -> str | None:
    plain = catalogue(language).gettext(text) if " " in text else text
    return _whole(language, text, MAX_DEPTH) or (None if plain == text else plain) or _parts(language, text)


def _whole(language: str, text: str, depth: int) -> str | None:
    """The text as one sentence; None for one that is none of ours."""
    exact, patterns = _sentences(language)
    if text in exact:
        return exact[text]
    for pattern in patterns:
        values = _values(pattern.literals, text)
        if values is None:
            continue
        found: dict[str, str] = {}
        if all(found.setdefault(name, value) == value for name, value in zip(pattern.places, values, strict=True)):
            for name, value in found.items():
                if depth and " " in value:
                    found[name] = _whole(language, value, depth - 1) or value
            return pattern.translated % found
    return None


def _parts(language: str, text: str) -> str | None:
    """The text as a place in a call, and sentences one after the other."""
    head = _PATH.match(text)
    if head is not None:
        rest = _said(language, text[head.end() :])
        return None if rest is None else head[0] + rest
    for end in _END.finditer(text):
        first = _whole(language, text[: end.start()], MAX_DEPTH)
        if first is not None:
            rest = text[end.end() :]
            return f"{first} {_said(language, rest) or rest}"
    return None


def _values(literals: tuple[str, ...], text: str) -> list[str] | None:
    """What stands in the places, each as short as it may be; in time that grows with the text only."""
    first, *middle, last = literals
    place, end = len(first), len(text) - len(last)
    if place > end or not text.startswith(first) or not text.endswith(last):
        return None
    values = []
    for literal in middle:
        found = text.find(literal, place, end)
        if found < 0:
            return None
        values.append(text[place:found])
        place = found + len(literal)
    values.append(text[place:end])
    return values


@cache
def _sentences(language: str) -> tuple[dict[str, str], tuple[_Sentence, ...]]:
    """Those without places by their text, and those with places, the most telling first."""
    exact: dict[str, str] = {}
    patterns: list[_Sentence] = []
    for template, translated in _all(language):
        pieces = _PLACE.split(template)
        if len(pieces) == 1:
            exact[template.replace("%%", "%")] = translated.replace("%%", "%")
        else:
            literals = tuple(piece.replace("%%", "%") for piece in pieces[::2])
            patterns.append(_Sentence(literals=literals, places=tuple(pieces[1::2]), translated=translated))
    patterns.sort(key=lambda item: -sum(map(len, item.literals)))
    return exact, tuple(patterns)


def _all(language: str) -> Iterator[tuple[str, str]]:
    texts: dict[object, str] = getattr(catalogue(language), "_catalog", {})  # gettext has no other way to list them
    for key, translated in texts.items():
        if isinstance(key, str) and key.startswith(SAID + _SEPARATOR):
            yield key.partition(_SEPARATOR)[2], translated
