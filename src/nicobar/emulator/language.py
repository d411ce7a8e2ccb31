"""The translations of the emulator's page."""

from __future__ import annotations

import gettext

from nicobar.web.language import read_catalogue

DOMAIN = "emulator"


def catalogue(language: str) -> gettext.NullTranslations:
    """The translations into one of the languages of all pages."""
    return read_catalogue(__package__, DOMAIN, language)
