"""Endpoints as this version has them: settings that an earlier version had as variables of the handler are carried
over whenever an endpoint is read. The database keeps them as they are until the endpoint is changed, so that
processes of the earlier version go on, and reach the same people.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from nicobar.connectors.registry import CONNECTORS
from nicobar.model import Endpoint
from nicobar.store import Catalogue, PutEndpoint, Snapshot

E = TypeVar("E", Endpoint, PutEndpoint)


async def read_snapshot(catalogue: Catalogue) -> Snapshot:
    """The configuration with carried settings. Raises StoreError."""
    snapshot = await catalogue.snapshot()
    endpoints = tuple(carried(endpoint, _code(endpoint)) for endpoint in snapshot.endpoints)
    return msgspec.structs.replace(snapshot, endpoints=endpoints)


def carried(endpoint: E, code: str | None) -> E:
    """An endpoint with this code; the same if nothing is carried over."""
    kind = next((candidate for candidate in CONNECTORS if candidate.kind == endpoint.connector), None)
    found = None if kind is None else kind.carried_settings(endpoint.settings, endpoint.variables, code)
    if found is None:
        return endpoint
    settings, variables = found
    return msgspec.structs.replace(endpoint, settings=settings, variables=variables)


def _code(endpoint: Endpoint) -> str | None:
    return None if endpoint.transformation is None else endpoint.transformation.code
