"""Changes of an endpoint that its transformation needs."""

from __future__ import annotations

import msgspec

from nicobar.model import Endpoint
from nicobar.store import PutEndpoint
from nicobar.use_cases.endpoint_records import unchanged


def same_endpoint(known: Endpoint, *, variables: dict[str, str]) -> PutEndpoint:
    """A change of an endpoint's variables that leaves everything else as it is."""
    return msgspec.structs.replace(unchanged(known), variables=variables)
