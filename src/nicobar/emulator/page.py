"""The emulator's pages. They work without JavaScript; JavaScript keeps them up to date and shows local times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from urllib.parse import quote

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from nicobar.emulator.language import catalogue
from nicobar.emulator.sentences import as_reason
from nicobar.model import Json
from nicobar.reasons import Reason, Translate
from nicobar.web.operations import Response

HTML = "text/html; charset=utf-8"
CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; frame-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
# Of the frame with an email. Its scripts never run, and it loads nothing: pictures are those that it contains.
BODY_CSP = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


def page(language: str, template: str, values: Mapping[str, object], *, status: int = 200) -> Response[bytes]:
    return _response(language, template, CSP, values, status)


def frame(language: str, template: str, values: Mapping[str, object]) -> Response[bytes]:
    """The rendered email, in a frame of its own."""
    return _response(language, template, BODY_CSP, values, 200)


def _response(language: str, template: str, csp: str, values: Mapping[str, object], status: int) -> Response[bytes]:
    html = _environment(language).get_template(template).render(language=language, **values)
    headers = {"content-security-policy": csp, "cache-control": "no-store", "vary": "accept-language"}
    return Response(html.encode(), status=status, media_type=HTML, headers=headers)


@cache
def _environment(language: str) -> Environment:
    """The template environment of one language."""
    made = Environment(
        loader=PackageLoader("nicobar.emulator", "templates"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    translations = catalogue(language)
    # The extension adds this method; its stub lacks it.
    made.install_gettext_translations(translations, newstyle=True)  # type: ignore[attr-defined]
    made.filters |= {
        "json": _json,
        "utc": _utc,
        "iso": _iso,
        "duration": partial(_duration, ngettext=translations.ngettext),
        "segment": partial(quote, safe=""),
        "sentence": partial(_sentence, translate=translations.gettext),
        "paragraphs": _paragraphs,
    }
    return made


def _sentence(said: Reason | str, translate: Translate) -> str:
    """A reason, or a sentence of the state, in the page's language."""
    return (as_reason(said) if isinstance(said, str) else said).text(translate)


def _json(value: Json) -> str:
    """Text unchanged, everything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _duration(seconds: float, ngettext: Callable[[str, str, int], str]) -> str:
    """In the largest unit that gives an integer."""
    whole = int(seconds)
    if whole and whole % 86_400 == 0:
        return ngettext("%(num)s day", "%(num)s days", whole // 86_400) % {"num": whole // 86_400}
    if whole and whole % 3_600 == 0:
        return ngettext("%(num)s hour", "%(num)s hours", whole // 3_600) % {"num": whole // 3_600}
    if whole and whole % 60 == 0:
        return ngettext("%(num)s minute", "%(num)s minutes", whole // 60) % {"num": whole // 60}
    return ngettext("%(num)s second", "%(num)s seconds", whole) % {"num": whole}


def _paragraphs(text: str) -> list[list[str]]:
    """The paragraphs of a text, each with its lines."""
    return [block.splitlines() for block in text.replace("\r\n", "\n").split("\n\n") if block.strip()]
