"""What identifies people was a variable of the recipes, before it became a setting of the endpoint."""

from __future__ import annotations

from collections.abc import Mapping

from nicobar.model import Setting
from nicobar.people import IDENTIFY_BY, IDENTIFY_FALLBACK, METADATA_PREFIX, Fallback, read_rule

VARIABLE = "IDENTIFIER"
# How the recipes read it. Without the variable, they name the sender's customer id, which the setting replaces.
_READ_BY_RECIPES = 'webhook.env.IDENTIFIER || "customer_id"'
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
    is_of_code = code is not None and VARIABLE in code and _READ_BY_RECIPES not in code
    if given is None or is_of_code or read_rule(given) is None:
        return None
    rest = {name: value for name, value in variables.items() if name != VARIABLE}
    if settings.get(IDENTIFY_BY):
        return dict(settings), rest
    as_before = _AS_BEFORE if given.startswith(METADATA_PREFIX) else {}
    return {**settings, IDENTIFY_BY: given, **as_before}, rest
