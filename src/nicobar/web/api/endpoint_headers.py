"""`…/endpoint/{endpoint_id}/headers`: what goes with each request to an endpoint."""

from __future__ import annotations

from collections.abc import Mapping

from nicobar.connectors import is_credential
from nicobar.connectors.registry import connector
from nicobar.errors import UserError
from nicobar.model import Endpoint
from nicobar.pipeline.configuration import endpoint_credentials, endpoint_headers, seal_headers
from nicobar.store import PutEndpoint
from nicobar.use_cases.catalogue import same_endpoint
from nicobar.use_cases.services import Services, again_if_moved
from nicobar.web.api.auth import Caller
from nicobar.web.api.endpoints import ONE, TAGS, HeaderName, Headers, HeaderValue
from nicobar.web.api.errors import Invalid
from nicobar.web.api.lookups import AppKey, EndpointKey, endpoint_to_change
from nicobar.web.api.shapes import Shape
from nicobar.web.operations import get, patch, put

MAX_HEADERS = 50


class EndpointHeadersOut(Shape):
    """The headers. Of those that seem to carry credentials only the names are shown, as `sensitive`."""

    headers: dict[str, str]
    sensitive: list[str]


class EndpointHeadersIn(Shape):
    """All of the headers; those that are left out go."""

    headers: Headers


class EndpointHeadersPatchIn(Shape):
    """Headers to set (null takes one out), and names to take out."""

    headers: dict[HeaderName, HeaderValue | None] = {}
    delete_headers: list[str] = []


@get(f"{ONE}/headers", id="v1.endpoint.get-headers", tags=TAGS, summary="Get Endpoint Headers")
async def get_headers(endpoint: Endpoint, services: Services) -> EndpointHeadersOut:
    """The headers that go with each request to an endpoint."""
    headers = endpoint_headers(services.vault, endpoint)
    return EndpointHeadersOut(
        headers={name: value for name, value in headers.items() if not is_credential(name)},
        sensitive=[name for name in headers if is_credential(name)],
    )


@put(
    f"{ONE}/headers",
    id="v1.endpoint.set-headers",
    tags=TAGS,
    summary="Set Endpoint Headers",
    status=204,
)
@again_if_moved
async def set_headers(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    data: EndpointHeadersIn,
    services: Services,
    caller: Caller,
) -> None:
    """Replaces the headers that go with each request to an endpoint."""
    async with endpoint_to_change(services, caller, app_id, endpoint_id) as known:
        change = _with_headers(services, known, data.headers)
        await services.change(caller, "endpoint.set-headers", known.id, change, app_id=known.app_id)


@patch(
    f"{ONE}/headers",
    id="v1.endpoint.patch-headers",
    tags=TAGS,
    summary="Patch Endpoint Headers",
    status=204,
)
@again_if_moved
async def patch_headers(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    data: EndpointHeadersPatchIn,
    services: Services,
    caller: Caller,
) -> None:
    """Sets and takes out some of the headers that go with each request to an endpoint."""
    async with endpoint_to_change(services, caller, app_id, endpoint_id) as known:
        headers = {name.lower(): value for name, value in endpoint_headers(services.vault, known).items()}
        for name, value in data.headers.items():
            if value is None:
                headers.pop(name.lower(), None)
            else:
                headers[name.lower()] = value
        for name in data.delete_headers:
            headers.pop(name.lower(), None)
        change = _with_headers(services, known, headers)
        await services.change(caller, "endpoint.set-headers", known.id, change, app_id=known.app_id)


def _with_headers(services: Services, known: Endpoint, headers: Mapping[str, str]) -> PutEndpoint:
    if len(headers) > MAX_HEADERS:
        raise Invalid("body.headers", f"There are more than {MAX_HEADERS} headers.", "Leave some out.")
    try:
        connector(known.connector).open(known.settings, endpoint_credentials(services.vault, known), headers)
    except UserError as error:
        raise Invalid("body.headers", error.detail, error.fix, code=error.code) from error
    return same_endpoint(known, sealed_headers=seal_headers(services.vault, known.id, dict(headers)))


OPERATIONS = (get_headers, set_headers, patch_headers)
