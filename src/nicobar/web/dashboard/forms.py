"""What a connector's fields look like as a form, and what comes back from one."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from nicobar.connectors import Connector, Field, FieldKind, is_credential
from nicobar.errors import UserError
from nicobar.model import Record, Setting
from nicobar.use_cases.bounds import check_bounds, out_of_bounds
from nicobar.use_cases.endpoint_records import EndpointPatch

MAX_RATE_DIGITS = 9


class Given(Record):
    """What a form said of an endpoint. Secrets that were left empty are not among `credentials`."""

    name: str
    settings: dict[str, Setting]
    credentials: dict[str, str]


def read_fields(connector: Connector, form: Mapping[str, str]) -> Given:
    """The fields as settings and credentials; a switch that is not in the form is off. Raises UserError."""
    settings: dict[str, Setting] = {}
    credentials: dict[str, str] = {}
    for field in connector.fields:
        text = form.get(f"field_{field.name}", "").strip()
        match field.kind:
            case FieldKind.SECRET:
                if text:
                    credentials[field.name] = text
            case FieldKind.SWITCH:
                settings[field.name] = f"field_{field.name}" in form
            case _:
                if text:
                    settings[field.name] = text
    return Given(name=_name(form, connector), settings=settings, credentials=credentials)


def _name(form: Mapping[str, str], connector: Connector) -> str:
    return " ".join(form.get("name", "").split()) or connector.name


def free_name(wanted: str, taken: Sequence[str]) -> str:
    """The name, with a number behind it where another endpoint has it."""
    number = 2
    name = wanted
    while name in taken:
        name = f"{wanted} {number}"
        number += 1
    return name


def main_fields(connector: Connector) -> list[Field]:
    """What everybody fills in."""
    return [field for field in connector.fields if field.required or field.kind is FieldKind.CHOICE]


def further_fields(connector: Connector) -> list[Field]:
    """What most people leave as it is."""
    return [field for field in connector.fields if not field.required and field.kind is not FieldKind.CHOICE]


def value_of(field: Field, settings: Mapping[str, Setting]) -> Setting:
    """What a field shows; secrets are never among the settings."""
    value = settings.get(field.name, field.default)
    return "" if value is None else value


def read_variables(text: str) -> dict[str, str]:
    """Lines of the form NAME=value. Raises UserError, naming the line."""
    variables: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, sign, value = line.partition("=")
        name = name.strip()
        if not line.strip():
            continue
        if not sign or not name:
            raise UserError(
                "variable_malformed",
                "Line %(number)s of the variables is not of the form NAME=value.",
                "Fix it.",
                number=number,
            )
        variables[name] = value.strip()
    check_bounds(EndpointPatch(variables=variables))
    return variables


def read_rate(text: str) -> int | None:
    """Messages per second; None for an empty text. Raises UserError for what is no whole number."""
    if not text:
        return None
    if not text.isdecimal() or len(text) > MAX_RATE_DIGITS:
        raise out_of_bounds("max_messages_per_s")
    return int(text)


def write_variables(variables: Mapping[str, str]) -> str:
    return "\n".join(f"{name}={value}" for name, value in variables.items())


def families(event_types: Collection[str], more: Sequence[str] = ()) -> dict[str, list[str]]:
    """The known event types by what they are about, the first word of their name, with `more` that are not known."""
    found: dict[str, list[str]] = {}
    for name in event_types:
        found.setdefault(re.split("[./]", name, maxsplit=1)[0], []).append(name)
    for name in more:
        if name not in event_types:
            found.setdefault("…", []).append(name)
    return found


def chosen_types(event_types: Collection[str], form: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The event types of a tree of the known ones: those that are checked, and all of a family that is."""
    whole = form.get("event_family", ())
    found = dict.fromkeys(item for item in form.get("event_type", ()) if item)
    for family, names in families(event_types).items():
        if family in whole:
            found |= dict.fromkeys(names)
    return tuple(found)


def read_headers(form: Mapping[str, Sequence[str]], stored: Mapping[str, str]) -> dict[str, str]:
    """Names and values of a form's rows. A row without a name is none; one without a value keeps what is known of a
    name that carries a secret.
    """
    kept = kept_values(form, stored)
    headers: dict[str, str] = {}
    for name, value in zip(form.get("header_name", ()), form.get("header_value", ()), strict=False):
        wanted = name.strip().lower()
        if wanted:
            headers[wanted] = value.strip() or kept.get(wanted, "")
    return headers


def kept_values(form: Mapping[str, Sequence[str]], stored: Mapping[str, str]) -> dict[str, str]:
    """The known values of the secret headers that a form leaves empty."""
    rows = zip(form.get("header_name", ()), form.get("header_value", ()), strict=False)
    empty = [name.strip().lower() for name, value in rows if not value.strip()]
    return {name: stored[name] for name in empty if is_credential(name) and name in stored}


def shown_headers(stored: Mapping[str, str]) -> dict[str, str | None]:
    """What a form shows of headers: None in the place of a secret."""
    return {name: None if is_credential(name) else value for name, value in stored.items()}
