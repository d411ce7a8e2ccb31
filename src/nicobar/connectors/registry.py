"""The connectors that there are."""

from __future__ import annotations

from nicobar.connectors import Connector
from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.http import HttpEndpoint
from nicobar.errors import UserError

CONNECTORS: tuple[Connector, ...] = (CustomerIo(), HttpEndpoint())


def connector(kind: str) -> Connector:
    """Raises UserError for a kind that does not exist."""
    for known in CONNECTORS:
        if known.kind == kind:
            return known
    raise UserError(
        "unknown_connector",
        "There is no connector %(kind)s.",
        "The connectors are %(kinds)s.",
        kind=repr(kind),
        kinds=", ".join(known.kind for known in CONNECTORS),
    )
