"""`…/endpoint/{endpoint_id}/headers`: custom headers of an endpoint's requests."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from nicobar.model import Endpoint
from nicobar.pipeline.configuration import endpoint_headers
from nicobar.use_cases import endpoints
from nicobar.use_cases.bounds import MAX_HEADERS, HeaderName, HeaderValue
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.endpoint_bodies import Headers, located, replacing
from nicobar.web.api.endpoints import ONE, TAGS
from nicobar.web.api.lookups import AppKey, EndpointKey, application_of, endpoint_of
from nicobar.web.api.shapes import Shape
from nicobar.web.operations import get, patch, put

Public = Annotated[
    list[HeaderName],
    Meta(max_length=MAX_HEADERS, description="The names of headers whose values are shown."),
]


class EndpointHeadersOut(Shape):
    """The custom headers that are public. `sensitive` lists the names of the secret ones, whose values are not
    returned.
    """

    headers: dict[str, str]
    sensitive: list[str]


class EndpointHeadersIn(Shape):
    """The custom headers. Omitted headers are removed. Maximum 50. All are secret except those in `public` (an
    addition to the Svix API). If it is omitted, public headers stay public.
    """

    headers: Headers
    public: Public | None = None


class EndpointHeadersPatchIn(Shape):
    """The headers to set, or to remove (null), and the names of headers to remove. `public` (an addition to the Svix
    API) replaces the names of the public headers. A secret header becomes public only together with its value.
    """

    headers: dict[HeaderName, HeaderValue | None] = {}
    delete_headers: list[str] = []
    public: Public | None = None


@get(f"{ONE}/headers", id="v1.endpoint.get-headers", tags=TAGS, summary="Get endpoint headers")
async def get_headers(endpoint: Endpoint, services: Services) -> EndpointHeadersOut:
    """Returns the custom headers of an endpoint's requests."""
    headers = endpoint_headers(services.vault, endpoint)
    return EndpointHeadersOut(
        headers={name: value for name, value in headers.items() if name.lower() in endpoint.public_headers},
        sensitive=[name for name in headers if name.lower() not in endpoint.public_headers],
    )


@put(
    f"{ONE}/headers",
    id="v1.endpoint.set-headers",
    tags=TAGS,
    summary="Replace endpoint headers",
    status=204,
)
async def set_headers(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    data: EndpointHeadersIn,
    services: Services,
    caller: Caller,
) -> None:
    """Replaces the custom headers of an endpoint's requests."""

    async def change(edit: Edit) -> None:
        endpoint = endpoint_of(edit.snapshot, application_of(edit.snapshot, caller, app_id), endpoint_id)
        stored = endpoint_headers(services.vault, endpoint)
        with located("body.headers"):
            await endpoints.set_headers(edit, endpoint, replacing(stored, data.headers), data.public)

    await edited(services, caller, change)


@patch(
    f"{ONE}/headers",
    id="v1.endpoint.patch-headers",
    tags=TAGS,
    summary="Update endpoint headers",
    status=204,
)
async def patch_headers(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    data: EndpointHeadersPatchIn,
    services: Services,
    caller: Caller,
) -> None:
    """Sets and removes custom headers. Omitted headers keep their values."""

    async def change(edit: Edit) -> None:
        endpoint = endpoint_of(edit.snapshot, application_of(edit.snapshot, caller, app_id), endpoint_id)
        with located("body.headers"):
            headers = {**data.headers, **dict.fromkeys(data.delete_headers)}
            await endpoints.set_headers(edit, endpoint, headers, data.public)

    await edited(services, caller, change)


OPERATIONS = (get_headers, set_headers, patch_headers)
