"""What it means where a row would exist twice, in our own words, for every database."""

from __future__ import annotations

from collections.abc import Sequence

from nicobar.errors import ConfigurationError
from nicobar.reasons import reason

# By table and columns, without that of the application.
_TAKEN = {
    ("applications", "uid"): reason(
        "conflict", "An application with this uid already exists.", "Choose another uid."
    ),
    ("sources", "name"): reason("conflict", "A source with this name already exists.", "Choose another name."),
    ("sources", "uid"): reason("conflict", "A source with this uid already exists.", "Choose another uid."),
    ("sources", "token"): reason(
        "conflict", "A source with this URL already exists.", "Choose another token for the URL."
    ),
    ("endpoints", "name"): reason("conflict", "An endpoint with this name already exists.", "Choose another name."),
    ("endpoints", "uid"): reason("conflict", "An endpoint with this uid already exists.", "Choose another uid."),
    ("users", "name"): reason("conflict", "A user with this name already exists.", "Choose another name."),
    ("alert_targets", "name"): reason(
        "conflict", "An alert target with this name already exists.", "Choose another name."
    ),
    ("tokens", "sha256"): reason("conflict", "This token already exists.", "Create a new token."),
}
_OTHER = reason("conflict", "An object with these values already exists.", "Choose other values.")


def conflict(table: str, columns: Sequence[str]) -> ConfigurationError:
    """For a table's row whose values in these columns another row has."""
    why = _TAKEN.get((table, ", ".join(column for column in columns if column != "app_id")), _OTHER)
    return ConfigurationError(why.code, why.template, why.fix_template)


def missing_reference() -> ConfigurationError:
    """For a row that belongs to one that does not exist."""
    return ConfigurationError(
        "conflict",
        "The change refers to an application or endpoint that does not exist.",
        "It may have been removed meanwhile. Reload and try again.",
    )
