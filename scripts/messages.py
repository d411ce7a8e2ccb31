"""Extracts the texts of the dashboard and of the emulator's page, updates each language's catalogs and compiles them,
and writes each language's formats of numbers and dates: `make messages`. New texts get an empty translation in
`locale/<language>/LC_MESSAGES/`, `nicobar.po` of the dashboard and `emulator.po` of the emulator.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import msgspec
from babel import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir, extract_python
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from nicobar import emulator
from nicobar.connectors.registry import CONNECTORS
from nicobar.emulator.language import DOMAIN as EMULATOR
from nicobar.settings import Settings, description
from nicobar.sources.registry import SOURCES
from nicobar.web import dashboard
from nicobar.web.dashboard.formats import FILE, Patterns
from nicobar.web.dashboard.language import DEFAULT, DOMAIN, LANGUAGES
from nicobar.web.dashboard.pages import help_of, recipe_title

ROOT = Path(dashboard.__file__).parent
ROOTS = {DOMAIN: ROOT, EMULATOR: Path(emulator.__file__).parent}
METHODS = [("templates/**.html", "jinja2"), ("**.py", "python")]
_KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "noop": None}
# A fixed date, so that the catalog changes only with its texts.
_WHEN = datetime(2026, 1, 1, tzinfo=UTC)
OPTIONS = {"templates/**.html": {"newstyle_gettext": "true"}}
PACKAGE = ROOT.parent.parent
# Modules whose reasons and errors the dashboard shows; those of others are shown by commands and the API only.
REASONS = (
    "connectors",
    "crypto.py",
    "people.py",
    "pipeline",
    "reasons.py",
    "retry_schedule.py",
    "sandbox",
    "sources",
    "store",
    "use_cases",
    "web/asgi.py",
    "web/dashboard",
    "web/middleware/cross_site.py",
)
NOT_SHOWN = frozenset(
    f"use_cases/{name}.py" for name in ("applications", "config_file", "config_file_export", "event_type_import")
)
_OWNERS = {DOMAIN: "The dashboard's", EMULATOR: "The emulator's"}
# The arguments that are templates, counted from 0.
TEMPLATES = {
    "reason": (1, 2),
    "at": (1, 2),
    "_invalid": (1, 2),
    "UserError": (1, 2),
    "Conflict": (0, 1),
    "ConfigurationError": (1, 2),
    "Refusal": (2, 3),
    "SandboxError": (1, 2),
    "_disabled": (1,),
}


def gather(domain: str = DOMAIN) -> Catalog:
    """All texts of templates and code; for the dashboard, the descriptions of settings, connectors, sources and
    recipes too.
    """
    catalogue = Catalog(domain=domain, project="nicobar", fuzzy=False)
    for _, _, text, comments, _ in extract_from_dir(str(ROOTS[domain]), METHODS, OPTIONS, _KEYWORDS):
        catalogue.add(text, auto_comments=comments)
    if domain == EMULATOR:
        for template in _templates_in(sorted(ROOTS[EMULATOR].glob("*.py"))):
            catalogue.add(template)
        return catalogue
    for text in filter(None, (*_of_connectors(), *_of_sources())):
        catalogue.add(text)
    for setting in msgspec.structs.fields(Settings):
        catalogue.add(description(setting))
    for template in reason_templates(PACKAGE):
        catalogue.add(template)
    return catalogue


def reason_templates(package: Path) -> Iterator[str]:
    """The templates of reasons, from the calls that create them."""
    for name in REASONS:
        path = package / name
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        yield from _templates_in([file for file in files if str(file.relative_to(package)) not in NOT_SHOWN])


def _templates_in(files: Sequence[Path]) -> Iterator[str]:
    for file in files:
        with file.open("rb") as source:
            for _, function, arguments, _ in extract_python(source, list(TEMPLATES), [], {}):
                given = dict(enumerate(arguments if isinstance(arguments, tuple) else (arguments,)))
                yield from filter(None, (given.get(position) for position in TEMPLATES[function]))


def _of_connectors() -> Iterator[str]:
    for connector in CONNECTORS:
        yield from (connector.name, connector.summary, *connector.setup, connector.setup_note, *connector.test_notes)
        if connector.identity_question is not None:
            yield from msgspec.structs.astuple(connector.identity_question)
        for field in connector.fields:
            yield from (field.label, help_of(field))
        for recipe in connector.recipes:
            yield from (recipe_title(recipe.name), recipe.summary)


def _of_sources() -> Iterator[str]:
    for source in SOURCES:
        yield from (source.summary, source.rotation_note, *(step.text for step in source.setup))
        yield from (event_type.description for event_type in source.event_types())


def patterns_of(language: str) -> Patterns:
    """A language's conventions, from the Unicode CLDR. Raises ValueError if `Formats` cannot follow them."""
    locale = Locale.parse(language)
    decimal = locale.decimal_formats[None]
    if decimal.grouping != (3, 3):
        raise ValueError(f"{language} groups digits by {decimal.grouping}")
    symbols = locale.number_symbols["latn"]
    return Patterns(
        decimal=symbols["decimal"],
        group=symbols["group"],
        percent=re.sub(r"[#,.0]+", "{}", locale.percent_formats[None].pattern),
        months=tuple(locale.months["format"]["abbreviated"][month] for month in range(1, 13)),
        date=locale.datetime_skeletons["yMMMd"].format,
        clock=locale.datetime_skeletons["Hm"].format,
        moment=str(locale.datetime_formats["medium"]),
    )


def formats_file(language: str) -> bytes:
    return msgspec.json.format(msgspec.json.encode(patterns_of(language)), indent=2) + b"\n"


def compiled(catalogue: Catalog) -> bytes:
    out = BytesIO()
    write_mo(out, catalogue)
    return out.getvalue()


def path_of(language: str, domain: str = DOMAIN) -> Path:
    return ROOTS[domain] / "locale" / language / "LC_MESSAGES" / f"{domain}.po"


def forms(message: Message) -> tuple[str, ...]:
    """The translation, or one for each plural form."""
    return message.string if isinstance(message.string, tuple) else (message.string,)


def read(language: str, domain: str = DOMAIN) -> Catalog:
    """The existing translations."""
    path = path_of(language, domain)
    if not path.exists():
        return Catalog(locale=language, domain=domain)
    with path.open("rb") as file:
        return read_po(file, locale=language, domain=domain)


def _empty(language: str, domain: str) -> Catalog:
    """An empty catalog. Babel's default header names people."""
    catalogue = Catalog(locale=language, domain=domain, fuzzy=False, creation_date=_WHEN, revision_date=_WHEN)
    catalogue.project = "nicobar"
    catalogue.version = ""
    catalogue.last_translator = catalogue.language_team = catalogue.msgid_bugs_address = ""
    catalogue.header_comment = f"# {_OWNERS[domain]} texts in {LANGUAGES[language]}, kept by `make messages`."
    return catalogue


def main() -> None:
    for language in LANGUAGES:
        folder = ROOT / "locale" / language
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_bytes(formats_file(language))
    for domain in ROOTS:
        template = gather(domain)
        for language in LANGUAGES:
            if language != DEFAULT:
                update(language, domain, template)


def update(language: str, domain: str, template: Catalog) -> None:
    """Writes and compiles a catalog with exactly the texts of the template."""
    path = path_of(language, domain)
    path.parent.mkdir(parents=True, exist_ok=True)
    catalog = _empty(language, domain)
    for message in read(language, domain):
        if message.id:
            catalog[message.id] = message
    catalog.update(template, no_fuzzy_matching=True, update_creation_date=False)
    catalog.obsolete.clear()
    with path.open("wb") as out:
        write_po(out, catalog, width=110, sort_output=True, no_location=True, omit_header=False)
    path.with_suffix(".mo").write_bytes(compiled(catalog))
    missing = [message.id for message in catalog if message.id and not all(forms(message))]
    sys.stdout.write(f"{language} {domain}: {len(catalog)} texts, {len(missing)} untranslated\n")


if __name__ == "__main__":
    main()
