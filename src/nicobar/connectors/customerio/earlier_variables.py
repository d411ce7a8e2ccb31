"""What identifies people was a variable of the recipes, before it became a setting of the endpoint."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nicobar.model import Json, Setting
from nicobar.people import IDENTIFY_BY, IDENTIFY_FALLBACK, METADATA_PREFIX, Fallback, metadata_identifier, read_rule

VARIABLE = "IDENTIFIER"
# The setting that keeps the ids of events as they were: they depended on the id of the metadata.
EVENT_IDS_BY = "event_ids_by"
# How the recipes read it. Without the variable, they name the sender's customer id, which the setting replaces.
_READ_BY_RECIPES = 'webhook.env.IDENTIFIER || "customer_id"'
# What else their code and its comments say of it.
_SAID_BY_RECIPES = (_READ_BY_RECIPES, "variable IDENTIFIER")
# The recipes sent nothing without the metadata, and wrote email and name to whom it names. That stays as it was, with
# the warnings that come with it.
_AS_BEFORE: dict[str, Setting] = {IDENTIFY_FALLBACK: Fallback.REJECT.value, "trust_metadata": True}


def carried_settings(
    settings: Mapping[str, Setting], variables: Mapping[str, str], code: str | None
) -> tuple[dict[str, Setting], dict[str, str]] | None:
    """The settings with the variable's rule, and the other variables; None if the variable is none of the recipes',
    has no valid value, or if code reads it in a way of its own.
    """
    given = variables.get(VARIABLE)
    if given is None or _is_read_otherwise(code or "") or read_rule(given) is None:
        return None
    rest = {name: value for name, value in variables.items() if name != VARIABLE}
    if settings.get(IDENTIFY_BY):
        return dict(settings), rest
    as_before = {**_AS_BEFORE, EVENT_IDS_BY: given} if given.startswith(METADATA_PREFIX) else {}
    return {**settings, IDENTIFY_BY: given, **as_before}, rest


def _is_read_otherwise(code: str) -> bool:
    """Whether code reads the variable in a way that is not the recipes'."""
    for text in _SAID_BY_RECIPES:
        code = code.replace(text, "")
    return VARIABLE in code


class _Customer(msgspec.Struct):
    metadata: dict[str, Json] | None = None


class _Data(msgspec.Struct):
    metadata: dict[str, Json] | None = None
    customer: _Customer | None = None


class _Body(msgspec.Struct):
    data: _Data


def earlier_id(event_ids_by: str, body: bytes) -> str:
    """The id that the recipes named for the event's customer; empty without the setting, or without an id."""
    if not event_ids_by.startswith(METADATA_PREFIX):
        return ""
    try:
        data = msgspec.json.decode(body, type=_Body).data
    except (msgspec.MsgspecError, UnicodeError, RecursionError):  # the recipes found nothing there
        return ""
    key, of_customer = event_ids_by.removeprefix(METADATA_PREFIX), data.customer.metadata if data.customer else None
    given = (data.metadata or {}).get(key)
    return metadata_identifier((of_customer or {}).get(key) if given is None else given)
