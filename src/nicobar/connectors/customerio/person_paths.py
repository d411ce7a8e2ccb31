"""People in the paths of v1, whose form says the kind of the identifier."""

from __future__ import annotations

from nicobar.connectors.customerio import rules
from nicobar.model import Verdict


def of_path(value: str) -> tuple[str, str]:
    """The kind of an identifier in a v1 path, by its form, and the identifier."""
    if value.startswith("cio_"):
        return "cio_id", value.removeprefix("cio_")
    return "email" if "@" in value else "id", value


def fits_path(kind: str, value: str) -> bool:
    """Whether a v1 path can name this person, and no other: dots are steps of a path."""
    return (kind, value) == of_path(value) and value not in {".", ".."}


def not_in_path(path: str, kind: str) -> Verdict:
    return rules.PATH.at(
        path,
        # Without the identifier: it may be an address, and errors are logged.
        "The URL of a v1 call cannot name the customer by their %(kind)s: Customer.io would read it as another kind "
        "of identifier or another path, and the call could reach another person.",
        "Use nicobar.event and nicobar.identify, or POST /api/v2/entity, which say the kind of the identifier.",
        kind=kind,
    )
