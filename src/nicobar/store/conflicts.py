"""What it means where a row would be there twice, in our own words, whichever database says so."""

from __future__ import annotations

from collections.abc import Sequence

from nicobar.errors import ConfigurationError

# By table and columns, those of the application left out.
_TAKEN = {
    ("applications", "uid"): ("An application with this uid already exists.", "Choose another uid."),
    ("sources", "name"): ("A source with this name already exists.", "Choose another name."),
    ("sources", "uid"): ("A source with this uid already exists.", "Choose another uid."),
    ("sources", "token"): ("A source with this URL already exists.", "Choose another token for the URL."),
    ("endpoints", "name"): ("An endpoint with this name already exists.", "Choose another name."),
    ("endpoints", "uid"): ("An endpoint with this uid already exists.", "Choose another uid."),
    ("users", "name"): ("A user with this name already exists.", "Choose another name."),
    ("tokens", "sha256"): ("This token already exists.", "Create a new token."),
}


def conflict(table: str, columns: Sequence[str]) -> ConfigurationError:
    """For a table's row whose values in these columns another row has."""
    names = [column for column in columns if column != "app_id"]
    detail, fix = _TAKEN.get(
        (table, ", ".join(names)), (f"Another row of {table} has the same {', '.join(names)}.", "Send it again.")
    )
    return ConfigurationError("conflict", detail, fix)


def missing_reference() -> ConfigurationError:
    """For a row that belongs to one that is not there."""
    return ConfigurationError(
        "conflict",
        "The change refers to an application or endpoint that does not exist.",
        "It may have been removed meanwhile. Reload and try again.",
    )
