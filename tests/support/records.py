"""Endpoints and sources as records, for tests that put them into a store themselves."""

from __future__ import annotations

from collections.abc import Sequence

from nicobar.crypto import Vault
from nicobar.ids import IdFactory
from nicobar.model import Endpoint, Source
from nicobar.store import PutEndpoint
from nicobar.use_cases import sources
from nicobar.use_cases.endpoint_records import EndpointPatch, EndpointSpec, changed, created

NOW_MS = 1


def make_endpoint(
    *, vault: Vault, ids: IdFactory, app_id: str, kind: str, replaced: Endpoint | None = None, **fields
) -> PutEndpoint:
    """An endpoint, or the `replaced` one with these fields."""
    if replaced is not None:
        return changed(replaced, EndpointPatch(connector=kind, **fields), vault=vault, now_ms=NOW_MS)
    spec = EndpointSpec(connector=kind, **fields)
    return created(spec, vault=vault, endpoint_id=ids.new("ep"), app_id=app_id, now_ms=NOW_MS)


def make_source(*, vault: Vault, ids: IdFactory, app_id: str, secrets: Sequence[str], **fields) -> Source:
    spec = sources.SourceSpec(secrets=tuple(secrets), **fields)
    return sources.created(spec, vault=vault, source_id=ids.new("src"), app_id=app_id, now_ms=NOW_MS)
