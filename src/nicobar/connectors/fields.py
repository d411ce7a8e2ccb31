"""Validates an endpoint's settings and credentials against its connector's fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from nicobar.addresses import RefusedAddress
from nicobar.connectors import Field, FieldKind
from nicobar.errors import UserError
from nicobar.model import Setting

# A name or address and a port, without anything that parsers read differently (%, \\, an empty port).
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")

_TYPES = {FieldKind.SWITCH: bool, FieldKind.MAP: dict}


def read_fields(
    fields: Sequence[Field], settings: Mapping[str, Setting], credentials: Mapping[str, str]
) -> dict[str, Setting]:
    """The values of all fields, with defaults. Raises UserError, which never contains a secret."""
    for given, secret in ((settings, False), (credentials, True)):
        names = [field.name for field in fields if (field.kind is FieldKind.SECRET) is secret]
        for name in given:
            if name not in names:
                raise _unknown(name, ", ".join(names) or "none", secret=secret)
    return {field.name: _value(field, {**settings, **credentials}.get(field.name)) for field in fields}


def _unknown(name: str, names: str, *, secret: bool) -> UserError:
    if secret:
        return UserError(
            "field_unknown",
            "Unknown credential %(name)s.",
            "This connector has: %(names)s.",
            name=repr(name),
            names=names,
        )
    return UserError(
        "field_unknown",
        "Unknown setting %(name)s.",
        "This connector has: %(names)s.",
        name=repr(name),
        names=names,
    )


def _value(field: Field, value: Setting | None) -> Setting:
    if value is None or value in ("", {}):
        if field.required:
            raise UserError("field_missing", "Missing field %(name)s.", field.help, name=field.name)
        return "" if field.default is None else field.default
    fits = isinstance(value, _TYPES.get(field.kind, str))
    if isinstance(value, dict):
        fits = fits and all(isinstance(text, str) for text in value.values())
    if isinstance(value, str):
        fits = fits and _fits(field, value)
    if not fits:
        raise UserError("field_invalid", "Invalid value for %(name)s.", field.help, name=field.name)
    return value


def _fits(field: Field, value: str) -> bool:
    match field.kind:
        case FieldKind.CHOICE:
            return value in field.choices
        case FieldKind.URL:
            return is_plain_url(value)
        case FieldKind.SECRET:
            return value.isascii() and value.isprintable()
        case _:
            return True


def is_plain_url(value: str) -> bool:
    """Whether the value is an http or https URL without user, password, zone and fragment."""
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:
        return False
    return (
        port != 0
        and url.scheme in {"http", "https"}
        and _AUTHORITY.fullmatch(url.netloc) is not None
        and not url.fragment
        and value.isascii()
        and value.isprintable()
        and " " not in value
    )


def address_error(refused: RefusedAddress) -> UserError:
    """The error for a host that requests must not reach, with the fix."""
    return UserError(
        "address_not_allowed",
        "Requests to %(host)s are blocked: its address is not public.",
        "To allow it, add %(entry)s to allowed_addresses (NICOBAR_ALLOWED_ADDRESSES=%(entry)s) and restart Nicobar.",
        host=refused.host,
        entry=refused.entry,
    )
