"""`…/endpoint/{endpoint_id}/secret`: what an endpoint's requests are signed with."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta

from nicobar.model import Endpoint
from nicobar.use_cases import endpoints
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.endpoints import DAY_S, MAX_GRACE_S
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.endpoint_bodies import Secret, located
from nicobar.web.api.endpoints import ONE, TAGS
from nicobar.web.api.lookups import AppKey, EndpointKey, application_of, endpoint_of
from nicobar.web.api.shapes import Shape
from nicobar.web.operations import Response, ResponseSpec, get, post

# How the public clients name themselves: svix-libs/VERSION/LANGUAGE.
_OLDER_CLIENT = re.compile(r"svix-libs/v?[01]\.")


class EndpointSecretOut(Shape):
    """The current secret."""

    key: Secret


class EndpointSecretRotateIn(Shape):
    """The new secret; generated if omitted. The previous one signs too for `gracePeriodSeconds`."""

    key: Secret | None = None
    grace_period_seconds: Annotated[int, Meta(ge=0, le=MAX_GRACE_S)] | None = DAY_S


@get(
    f"{ONE}/secret",
    id="v1.endpoint.get-secret",
    tags=TAGS,
    summary="Get Endpoint Secret",
    needs=Needs.WRITING,
)
async def get_secret(endpoint: Endpoint, services: Services) -> EndpointSecretOut:
    """What an endpoint's requests are signed with. Needs a token that may write."""
    return EndpointSecretOut(key=endpoints.signing_secret(services, endpoint))


@post(
    f"{ONE}/secret/rotate",
    id="v1.endpoint.rotate-secret",
    tags=TAGS,
    summary="Rotate Endpoint Secret",
    status=200,
    responses={
        200: ResponseSpec(EndpointSecretOut, description="The new secret."),
        204: ResponseSpec(None, description="To clients before 2.0."),
    },
)
async def rotate_secret(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    data: EndpointSecretRotateIn,
    services: Services,
    caller: Caller,
    user_agent: str,
) -> Response[EndpointSecretOut | None]:
    """Gives an endpoint a new secret. For a day, or `gracePeriodSeconds`, requests are signed with the previous one
    too: `webhook-signature` then holds one signature for each. The answer is the new secret, which
    clients from 2.0 on read; those before it get 204, the only status that they accept.
    """

    async def change(edit: Edit) -> str:
        endpoint = endpoint_of(edit.snapshot, application_of(edit.snapshot, caller, app_id), endpoint_id)
        grace_s = DAY_S if data.grace_period_seconds is None else data.grace_period_seconds
        with located("body.key"):
            return await endpoints.rotate_secret(edit, endpoint, data.key, grace_s=grace_s)

    new = await edited(services, caller, change)
    if _OLDER_CLIENT.match(user_agent):
        return Response(None, status=204)
    return Response(EndpointSecretOut(key=new), status=200)


OPERATIONS = (get_secret, rotate_secret)
