"""Renders templates."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.resources import files
from typing import Any, cast
from urllib.parse import quote

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context, select_autoescape
from jinja2.runtime import Context as JinjaContext

from nicobar.clock import utc_time
from nicobar.connectors import Field, is_credential
from nicobar.connectors.registry import better_recipe
from nicobar.masking import MASK
from nicobar.model import WARNED, Json
from nicobar.nesting import is_deeper
from nicobar.reasons import Reason, Translate
from nicobar.use_cases.identity import unanswered
from nicobar.web.dashboard.formats import Formats, formats
from nicobar.web.dashboard.language import LANGUAGES, catalogue, noop
from nicobar.web.dashboard.navigation import PLACES, SETTINGS, TABS
from nicobar.web.dashboard.visitor import THEMES, Visitor, cookie
from nicobar.web.operations import Response

HTML = "text/html; charset=utf-8"
# Texts that templates use through a variable, so that the catalogue cannot find them there.
_THEME_NAMES = {"auto": noop("System theme"), "light": noop("Light theme"), "dark": noop("Dark theme")}
_LEVELS = {
    "error": noop("Error"),
    "warning": noop("Warning"),
    "correction": noop("Correction"),
    "addition": noop("Addition"),
}
_OUTCOMES = {
    "sends": noop("will be sent"),
    "not_handled": noop("not handled"),
    "left_out": noop("canceled by the handler"),
    "failed": noop("failed"),
}
_ROLES = {"owner": noop("Owner"), "editor": noop("Editor"), "viewer": noop("Viewer")}
_ROLE_MEANINGS = {
    "owner": noop("Full access, including users and tokens."),
    "editor": noop("Manages endpoints, sources and replays, but not users or tokens."),
    "viewer": noop("Read-only access."),
}
_CAMPAIGN_STATES = {
    "running": noop("running"),
    "draft": noop("draft"),
    "stopped": noop("stopped"),
    "unknown": noop("unknown"),
}
_STATES = {
    "success": noop("delivered"),
    WARNED: noop("delivered with warnings"),
    "pending": noop("waiting"),
    "sending": noop("sending"),
    "failed": noop("failed"),
    "canceled": noop("canceled"),
}


def page(
    visitor: Visitor, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> Response[bytes]:
    """A page, or a part of one, in the visitor's language."""
    text = environment(visitor.language).get_template(template).render(visitor=visitor, **values)
    return Response(text.encode(), status=status, media_type=HTML, headers=headers or {})


def redirect(location: str, *cookies: str) -> Response[bytes]:
    """The redirect after a form was accepted."""
    return Response(b"", status=303, headers={"location": location}, cookies=cookies)


def with_cookie(visitor: Visitor, location: str, name: str, value: str, *, max_age_s: int) -> Response[bytes]:
    return redirect(location, cookie(name, value, secure=visitor.secure, max_age_s=max_age_s))


def translate(visitor: Visitor, text: str) -> str:
    return catalogue(visitor.language).gettext(text)


def reason_text(visitor: Visitor, why: Reason) -> str:
    """A reason with what to do, in the visitor's language."""
    return why.text(catalogue(visitor.language).gettext)


@cache
def environment(language: str) -> Environment:
    """The template environment of one language."""
    made = Environment(
        loader=PackageLoader("nicobar.web.dashboard", "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The extension adds this method; its stub lacks it.
    made.install_gettext_translations(catalogue(language), newstyle=True)  # type: ignore[attr-defined]
    shown = formats(language)
    made.globals |= {
        "ngettext": _with_count(cast("Callable[..., str]", made.globals["ngettext"]), shown),
        "static": static_path,
        # For texts in variables. `_` is for literals in templates: it treats them as markup with placeholders.
        "tr": catalogue(language).gettext,
        "better_recipe": better_recipe,
        "places": PLACES,
        "tabs": TABS,
        "settings_pages": SETTINGS,
        "languages": LANGUAGES,
        "themes": THEMES,
        "theme_names": _THEME_NAMES,
        "level_names": _LEVELS,
        "outcome_names": _OUTCOMES,
        "state_names": _STATES,
        "campaign_states": _CAMPAIGN_STATES,
        "role_names": _ROLES,
        "role_meanings": _ROLE_MEANINGS,
    }
    made.filters |= {
        "render": partial(_rendered, Reason.text, catalogue(language).gettext),
        "render_detail": partial(_rendered, Reason.detail, catalogue(language).gettext),
        "render_fix": partial(_rendered, Reason.fix, catalogue(language).gettext),
        "pretty": pretty,
        "middle": middle,
        "iso": iso,
        "number": shown.number,
        "money": shown.money,
        "percent": shown.percent,
        "bytes": shown.size,
        "duration": shown.duration,
        "ago": shown.ago,
        "ahead": shown.ahead,
        "clock": shown.clock,
        "day": shown.day,
        "exact": shown.exact,
        "masked": masked,
        "help_of": help_of,
        "recipe_title": recipe_title,
        "unanswered": unanswered,
        "segment": partial(quote, safe=""),
    }
    return made


def _with_count(ngettext: Callable[..., str], shown: Formats) -> Callable[..., str]:
    """`ngettext` of the templates with the count, `%(num)s`, as the language writes it."""

    @pass_context
    def counted(context: JinjaContext, singular: str, plural: str, count: int, **values: object) -> str:
        return ngettext(context, singular, plural, count, num=shown.number(count), **values)

    return counted


def _rendered(part: Callable[[Reason, Translate], str], translate: Translate, why: Reason | None) -> str:
    """A reason, or a part of it, in the page's language."""
    return "" if why is None else part(why, translate)


@cache
def static_path(name: str) -> str:
    """The URL of a static file; it changes with the content, so that browsers can cache it."""
    return f"/static/{name}?v={hashlib.sha256(read_static(name)).hexdigest()[:12]}"


@cache
def read_static(name: str) -> bytes:
    """Raises FileNotFoundError."""
    return files(__package__).joinpath("static", *name.split("/")).read_bytes()


def pretty(value: str | bytes | Json) -> str:
    """Indented JSON; other text unchanged."""
    if isinstance(value, str | bytes):
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if is_deeper(text.encode("utf-8", "replace")):
            return text
        try:
            value = msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeError):
            return text
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def middle(text: str, chars: int = 20) -> str:
    """A long id without its middle: the start and the end tell ids apart."""
    if len(text) <= chars:
        return text
    return f"{text[: chars - 9]}…{text[-8:]}"


def iso(at_ms: int) -> str:
    return utc_time(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def masked(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: MASK if is_credential(name) else value for name, value in headers.items()}


def recipe_title(name: str) -> str:
    """The display name of a recipe: `payment_failure` becomes "Payment failure"."""
    return name.replace("_", " ").capitalize()


def help_of(field: Field) -> str:
    """A field's help text for the form, without the values that a settings file uses."""
    text = field.help.removeprefix(" or ".join(field.choices or ("true", "false")) + ": ")
    return text[:1].upper() + text[1:]
