"""The languages of all pages: gettext catalogs, compiled by `make messages`."""

from __future__ import annotations

import gettext
from functools import cache
from importlib.resources import files

# The first one is the language of the texts in the code.
LANGUAGES = {"en": "English", "ko": "한국어"}
DEFAULT = "en"
_MAX_ACCEPTED = 20


@cache
def read_catalogue(package: str, domain: str, language: str) -> gettext.NullTranslations:
    """The translations of a package's texts into one of LANGUAGES, from the package's folder `locale`."""
    compiled = files(package).joinpath("locale", language, "LC_MESSAGES", f"{domain}.mo")
    if not compiled.is_file():
        return gettext.NullTranslations()
    with compiled.open("rb") as file:
        return gettext.GNUTranslations(file)


def choose(chosen: str, accept_language: str) -> str:
    """The language that the user chose, else the first supported one that the browser asks for."""
    if chosen in LANGUAGES:
        return chosen
    weighted: list[tuple[float, str]] = []
    for part in accept_language.split(",")[:_MAX_ACCEPTED]:
        tag, _, quality = part.partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        weighted.append((weight, tag.strip().lower().partition("-")[0]))
    accepted = [tag for weight, tag in sorted(weighted, key=lambda item: -item[0]) if tag in LANGUAGES and weight > 0]
    return accepted[0] if accepted else DEFAULT


def noop(text: str) -> str:
    """Marks a text that is translated when it is shown."""
    return text
