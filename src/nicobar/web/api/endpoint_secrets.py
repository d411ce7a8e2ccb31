"""`…/endpoint/{endpoint_id}/secret`: the signing secret of an endpoint."""

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
from nicobar.web.api.endpoint_bodies import Secret, Signature, located
from nicobar.web.api.endpoints import ONE, TAGS
from nicobar.web.api.lookups import AppKey, EndpointKey, application_of, endpoint_of
from nicobar.web.api.shapes import Shape
from nicobar.web.operations import Response, ResponseSpec, get, post

# The user agent of the public clients is svix-libs/VERSION/LANGUAGE.
_OLDER_CLIENT = re.compile(r"svix-libs/v?[01]\.")


class EndpointSecretOut(Shape):
    """What verifies the endpoint's signatures: the signing secret, or for ed25519 the public key `whpk_…`. A private
    key is never returned.
    """

    key: Secret


class EndpointSecretRotateIn(Shape):
    """The new signing secret. If omitted, one is generated for `signature`, by default the current scheme. Requests
    are also signed with the previous secret for `gracePeriodSeconds`. Defaults to 86400.
    """

    key: Secret | None = None
    grace_period_seconds: Annotated[int, Meta(ge=0, le=MAX_GRACE_S)] | None = DAY_S
    signature: Signature | None = None


@get(
    f"{ONE}/secret",
    id="v1.endpoint.get-secret",
    tags=TAGS,
    summary="Get endpoint secret",
    needs=Needs.WRITING,
)
async def get_secret(endpoint: Endpoint, services: Services) -> EndpointSecretOut:
    """Returns the signing secret of an endpoint, or its public key for ed25519. Requires a token with write
    access.
    """
    return EndpointSecretOut(key=endpoints.verification_key(services, endpoint))


@post(
    f"{ONE}/secret/rotate",
    id="v1.endpoint.rotate-secret",
    tags=TAGS,
    summary="Rotate endpoint secret",
    status=200,
    responses={
        200: ResponseSpec(EndpointSecretOut, description="The new signing secret."),
        204: ResponseSpec(None, description="Rotated. Clients before 2.0 get no body."),
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
    """Replaces the signing secret of an endpoint. During the grace period, `webhook-signature` has two signatures,
    one per secret, so that the scheme can be changed as well. Clients before 2.0 get 204, the only status they
    accept.
    """

    async def change(edit: Edit) -> str:
        endpoint = endpoint_of(edit.snapshot, application_of(edit.snapshot, caller, app_id), endpoint_id)
        grace_s = DAY_S if data.grace_period_seconds is None else data.grace_period_seconds
        with located("body.key"):
            return await endpoints.rotate_secret(edit, endpoint, data.key, scheme=data.signature, grace_s=grace_s)

    new = await edited(services, caller, change)
    if _OLDER_CLIENT.match(user_agent):
        return Response(None, status=204)
    return Response(EndpointSecretOut(key=new), status=200)


OPERATIONS = (get_secret, rotate_secret)
