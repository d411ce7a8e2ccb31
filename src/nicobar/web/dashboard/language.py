"""The dashboard's translations."""

from __future__ import annotations

import gettext

from nicobar.web.language import DEFAULT, LANGUAGES, choose, noop, read_catalogue

__all__ = ["DEFAULT", "DOMAIN", "LANGUAGES", "catalogue", "choose", "noop"]

DOMAIN = "nicobar"


def catalogue(language: str) -> gettext.NullTranslations:
    """The translations into one of LANGUAGES."""
    return read_catalogue(__package__, DOMAIN, language)
