"""`…/endpoint/{endpoint_id}/secret`: what an endpoint's requests are signed with."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta

from nicobar.connectors.http import read_secrets, rotated
from nicobar.crypto import new_webhook_secret
from nicobar.errors import UserError
from nicobar.model import Endpoint
from nicobar.pipeline.configuration import endpoint_credentials, seal_credentials
from nicobar.use_cases.catalogue import same_endpoint
from nicobar.use_cases.services import Services, again_if_moved
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.endpoints import HTTP, ONE, TAGS, Secret
from nicobar.web.api.errors import Invalid, not_found
from nicobar.web.api.lookups import AppKey, EndpointKey, endpoint_to_change
from nicobar.web.api.shapes import Shape
from nicobar.web.operations import Response, ResponseSpec, get, post

DAY_S = 86_400
MAX_GRACE_S = 7 * DAY_S
# How the public clients name themselves: svix-libs/VERSION/LANGUAGE.
_OLDER_CLIENT = re.compile(r"svix-libs/v?[01]\.")


class EndpointSecretOut(Shape):
    """The current secret."""

    key: Secret


class EndpointSecretRotateIn(Shape):
    """The new secret; one is made where none is given. The one before it signs too for `gracePeriodSeconds`."""

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
    return EndpointSecretOut(key=read_secrets(_signed_with(services, endpoint))[0].secret)


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
@again_if_moved
async def rotate_secret(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    data: EndpointSecretRotateIn,
    services: Services,
    caller: Caller,
    user_agent: str,
) -> Response[EndpointSecretOut | None]:
    """Gives an endpoint a new secret. For a day, or as long as is said, requests are signed with the one before it
    too: `webhook-signature` then holds one signature for each. The answer is the new secret, which
    clients from 2.0 on read; those before it get 204, the only status that they accept.
    """
    async with endpoint_to_change(services, caller, app_id, endpoint_id) as known:
        now_ms = services.clock.now_ms()
        grace_s = DAY_S if data.grace_period_seconds is None else data.grace_period_seconds
        new = data.key or new_webhook_secret()
        try:
            secret = rotated(
                _signed_with(services, known),
                new,
                now_ms=now_ms,
                until_ms=now_ms + grace_s * 1000,
            )
        except UserError as error:
            raise Invalid("body.key", error.detail, error.fix, code=error.code) from error
        credentials = endpoint_credentials(services.vault, known) | {"secret": secret}
        change = same_endpoint(known, sealed_credentials=seal_credentials(services.vault, known.id, credentials))
        await services.change(caller, "endpoint.rotate-secret", known.id, change, app_id=known.app_id)
    if _OLDER_CLIENT.match(user_agent):
        return Response(None, status=204)
    return Response(EndpointSecretOut(key=new), status=200)


def _signed_with(services: Services, endpoint: Endpoint) -> str:
    if endpoint.connector != HTTP:
        raise not_found("signing secret: its connector signs nothing")
    return endpoint_credentials(services.vault, endpoint)["secret"]


OPERATIONS = (get_secret, rotate_secret)
