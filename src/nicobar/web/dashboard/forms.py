"""Renders a connector's fields as a form and parses the result."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from nicobar.connectors import Connector, Field, FieldKind
from nicobar.errors import NicobarError, UserError
from nicobar.masking import MASK
from nicobar.model import Mode, Record, Setting
from nicobar.people import RULE_SETTINGS
from nicobar.retry_schedule import read_schedule
from nicobar.use_cases.bounds import check_bounds, out_of_bounds
from nicobar.use_cases.endpoint_records import EndpointPatch
from nicobar.web.dashboard.pages import help_of

MAX_RATE_DIGITS = 9


class Given(Record):
    """The input for an endpoint. `credentials` omits secrets that were left empty."""

    name: str
    settings: dict[str, Setting]
    credentials: dict[str, str]


def read_fields(connector: Connector, form: Mapping[str, str], before: Mapping[str, Setting] | None = None) -> Given:
    """The fields as settings and credentials; a missing switch is off. What identifies people has a page of its own
    and stays as it was `before`. Raises UserError.
    """
    settings = {name: value for name, value in (before or {}).items() if name in RULE_SETTINGS}
    credentials: dict[str, str] = {}
    for field in _fields(connector):
        text = form.get(f"field_{field.name}", "").strip()
        match field.kind:
            case FieldKind.SECRET:
                if text:
                    credentials[field.name] = text
            case FieldKind.SWITCH:
                # One that is off by default is left out while it is off, as in the API and in files.
                if f"field_{field.name}" in form or field.default is not False:
                    settings[field.name] = f"field_{field.name}" in form
            case FieldKind.MAP:
                if text:
                    settings[field.name] = read_map(text)
            case _:
                if text:
                    settings[field.name] = text
    return Given(name=_name(form, connector), settings=settings, credentials=credentials)


def with_label(problem: NicobarError, connector: Connector, translate: Callable[[str], str]) -> NicobarError:
    """An error about a field, with the label that the form shows instead of the field's name."""
    field = next((field for field in connector.fields if field.name == problem.reason.values.get("name")), None)
    if field is None:
        return problem
    label, fix = translate(field.label), help_of(field)
    if problem.code == "field_missing":
        return UserError("field_missing", "Enter the %(label)s.", fix, label=label)
    if problem.code == "field_invalid":
        return UserError("field_invalid", "Invalid value for %(label)s.", fix, label=label)
    return problem


def _name(form: Mapping[str, str], connector: Connector) -> str:
    return " ".join(form.get("name", "").split()) or connector.name


def free_name(wanted: str, taken: Sequence[str]) -> str:
    """The name, with a number appended if another endpoint has it."""
    number = 2
    name = wanted
    while name in taken:
        name = f"{wanted} {number}"
        number += 1
    return name


def main_fields(connector: Connector) -> list[Field]:
    """The fields that every user fills in."""
    return [field for field in _fields(connector) if field.required or field.kind is FieldKind.CHOICE]


def further_fields(connector: Connector) -> list[Field]:
    """The fields with defaults that suit most users."""
    return [field for field in _fields(connector) if not field.required and field.kind is not FieldKind.CHOICE]


def _fields(connector: Connector) -> list[Field]:
    """The fields, without those that are the answer to a question on a page of its own."""
    return [field for field in connector.fields if field.name not in RULE_SETTINGS]


def value_of(field: Field, settings: Mapping[str, Setting]) -> Setting:
    """The value that a field shows; settings never contain secrets."""
    value = settings.get(field.name, field.default)
    if isinstance(value, dict):
        return "\n".join(f"{name} = {text}" for name, text in value.items())
    return "" if value is None else value


def read_map(text: str) -> Setting:
    """Lines of the form `name = text` as a map. The text itself if a line is malformed or a name comes twice, so that
    the form shows it with the connector's error.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    names: dict[str, str] = {}
    for line in lines:
        name, sign, to = line.partition("=")
        if not sign or name.strip() in names:
            return text
        names[name.strip()] = to.strip()
    return names


def read_variables(text: str) -> dict[str, str]:
    """Lines of the form NAME=value. Raises UserError with the line number."""
    variables: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, sign, value = line.partition("=")
        name = name.strip()
        if not line.strip():
            continue
        if not sign or not name:
            raise UserError(
                "variable_malformed",
                "Line %(number)s of the variables is not in the form NAME=value.",
                "Correct the line.",
                number=number,
            )
        variables[name] = value.strip()
    check_bounds(EndpointPatch(variables=variables))
    return variables


def read_rate(text: str) -> int | None:
    """Messages per second; None for an empty text. Raises UserError unless it is an integer."""
    if not text:
        return None
    if not text.isdecimal() or len(text) > MAX_RATE_DIGITS:
        raise out_of_bounds("max_messages_per_s")
    return int(text)


def read_mode(text: str) -> Mode | None:
    """A mode; None for an empty text. Raises UserError."""
    if text and text not in set(Mode):
        raise out_of_bounds("mode")
    return Mode(text) if text else None


def read_ids(text: str) -> tuple[str, ...]:
    """IDs that are separated by commas or spaces."""
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def read_retries(text: str) -> tuple[int, ...] | None:
    """A retry schedule; None for an empty text. Raises UserError."""
    return read_schedule(text) if text.strip() else None


def write_variables(variables: Mapping[str, str]) -> str:
    return "\n".join(f"{name}={value}" for name, value in variables.items())


def families(event_types: Collection[str], more: Sequence[str] = ()) -> dict[str, list[str]]:
    """The known event types by family, the first word of their name, plus unknown ones from `more`."""
    found: dict[str, list[str]] = {}
    for name in event_types:
        found.setdefault(re.split("[./]", name, maxsplit=1)[0], []).append(name)
    for name in more:
        if name not in event_types:
            found.setdefault("…", []).append(name)
    return found


def chosen_types(event_types: Collection[str], form: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The checked event types, and all types of a checked family."""
    checked_families = form.get("event_family", ())
    found = dict.fromkeys(item for item in form.get("event_type", ()) if item)
    for family, names in families(event_types).items():
        if family in checked_families:
            found |= dict.fromkeys(names)
    return tuple(found)


def read_headers(
    form: Mapping[str, Sequence[str]], stored: Mapping[str, str], public: Collection[str] = ()
) -> dict[str, str]:
    """The names and values of the form's rows. Rows without a name are skipped. A secret header without a value keeps
    its stored value; `public` are those that were none.
    """
    kept = kept_values(form, stored, public)
    headers: dict[str, str] = {}
    for name, value in zip(form.get("header_name", ()), form.get("header_value", ()), strict=False):
        wanted = name.strip().lower()
        if wanted:
            headers[wanted] = value.strip() or kept.get(wanted, "")
    return headers


def kept_values(
    form: Mapping[str, Sequence[str]], stored: Mapping[str, str], public: Collection[str]
) -> dict[str, str]:
    """The stored values of secret headers that the form leaves empty."""
    rows = zip(form.get("header_name", ()), form.get("header_value", ()), strict=False)
    empty = [name.strip().lower() for name, value in rows if not value.strip()]
    return {name: stored[name] for name in empty if name not in public and name in stored}


def read_public(form: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The names of the rows that are public."""
    rows = zip(form.get("header_name", ()), form.get("header_access", ()), strict=False)
    return tuple(name.strip().lower() for name, access in rows if access == "public" and name.strip())


def shown_headers(stored: Mapping[str, str], public: Collection[str]) -> dict[str, str | None]:
    """Headers as the form shows them: None in place of a secret."""
    return {name: value if name.lower() in public else None for name, value in stored.items()}


def read_secret_variables(text: str, stored: Collection[str]) -> dict[str, str | None]:
    """The changes of the secret variables in lines of the form NAME=value: masked and empty ones keep their values,
    missing ones are removed. Raises UserError for a new one without a value.
    """
    given = read_variables(text)
    changes: dict[str, str | None] = dict.fromkeys(name for name in stored if name not in given)
    for name, value in given.items():
        if value not in {"", MASK}:
            changes[name] = value
        elif name not in stored:
            raise UserError("variable_empty", "Secret variable %(name)s has no value.", "Enter its value.", name=name)
    return changes


def masked_variables(names: Collection[str]) -> str:
    """Secret variables as the form shows them."""
    return write_variables(dict.fromkeys(sorted(names), MASK))
