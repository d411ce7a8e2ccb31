"""Finds what a use case acts on."""

from __future__ import annotations

from nicobar.errors import Refusal
from nicobar.model import Endpoint
from nicobar.store import Snapshot


def endpoint_of_id(snapshot: Snapshot, endpoint_id: str) -> Endpoint:
    """The endpoint in this version of the configuration. Raises Refusal 404 where it was deleted."""
    for endpoint in snapshot.endpoints:
        if endpoint.id == endpoint_id:
            return endpoint
    raise Refusal(404, "not_found", "Endpoint %(id)s not found.", "It may have been deleted.", id=endpoint_id)
