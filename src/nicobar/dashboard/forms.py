"""What a connector's fields look like as a form, and what comes back from one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nicobar.connectors import Connector, Field, FieldKind
from nicobar.errors import UserError
from nicobar.model import Record, Setting

MAX_NAME_CHARS = 256
MAX_VARIABLES = 50
MAX_VARIABLE_CHARS = 4_096


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
    name = " ".join(form.get("name", "").split()) or connector.name
    if len(name) > MAX_NAME_CHARS:
        raise UserError("name_long", f"The name has more than {MAX_NAME_CHARS} characters.", "Choose a shorter one.")
    return name


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
    return [one for one in connector.fields if one.required or one.kind is FieldKind.CHOICE]


def further_fields(connector: Connector) -> list[Field]:
    """What most people leave as it is."""
    return [one for one in connector.fields if not one.required and one.kind is not FieldKind.CHOICE]


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
        if not sign or not name.isidentifier() or len(value) > MAX_VARIABLE_CHARS:
            raise UserError(
                "variable_malformed", f"Line {number} of the variables is not of the form NAME=value.", "Mend it."
            )
        variables[name] = value.strip()
    if len(variables) > MAX_VARIABLES:
        raise UserError("variables_many", f"There are more than {MAX_VARIABLES} variables.", "Leave some out.")
    return variables


def write_variables(variables: Mapping[str, str]) -> str:
    return "\n".join(f"{name}={value}" for name, value in variables.items())
