"""`…/endpoint/{endpoint_id}/check` (an addition to the Svix API): tests the credentials with the destination."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from nicobar.connectors import Finding
from nicobar.connectors.registry import connector
from nicobar.model import Endpoint
from nicobar.pipeline.configuration import endpoint_credentials, endpoint_variables
from nicobar.use_cases import endpoints
from nicobar.use_cases.destination_check import sent_secrets
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.endpoint_bodies import MASKED, EndpointConnector, EndpointPatch, located, patch_of
from nicobar.web.api.endpoints import ONE, TAGS
from nicobar.web.api.shapes import Shape
from nicobar.web.operations import post


class CheckIn(Shape):
    """The configuration to check: the stored one, changed by `connector` as a PATCH would."""

    connector: EndpointConnector | None = None


class CheckOut(Shape):
    """The result. `finding` is `good`, `wrong_credentials`, `wrong_region`, `no_answer`, `refused_address` (the
    address is neither public nor allowed) or `untried` (the destination has no way to check without sending an
    event). `detail` explains what to do.
    """

    ok: bool
    finding: Finding
    detail: str


@post(f"{ONE}/check", id="nicobar.endpoint.check", tags=TAGS, summary="Check credentials", status=200)
async def check_endpoint(
    *, endpoint: Endpoint, services: Services, caller: Caller, data: CheckIn | None = None
) -> CheckOut:
    """Checks the credentials and the region with the destination. Sends no event and changes nothing. Stored
    credentials are sent only to the host they were entered for, and each such check is recorded in the audit log.
    Creating or updating an endpoint does not check its credentials, so it works while the destination is unavailable.
    """
    body = data.connector if data else None
    with located("body.connector"):
        patch = patch_of(services.vault, endpoint, EndpointPatch(connector=body or UNSET))
        # A check sends no variables, wherever it goes.
        unsent = dict.fromkeys(endpoint_variables(services.vault, endpoint))
        put = endpoints.after_patch(services, endpoint, msgspec.structs.replace(patch, secret_variables=unsent))
        destination = connector(put.connector).open(put.settings, endpoint_credentials(services.vault, put))
    given = {name for name, value in (body.config if body else {}).items() if value != MASKED}
    stored = endpoint_credentials(services.vault, endpoint).keys() if put.connector == endpoint.connector else set()
    if sent_secrets(put.connector, stored - given):
        host = connector(put.connector).credentials_host(put.settings)
        await endpoints.note_check(services, caller, endpoint.id, endpoint.app_id, host)
    checkup = await destination.check_credentials(services.transport)
    return CheckOut(ok=checkup.ok, finding=checkup.finding, detail=checkup.reason.text())


OPERATIONS = (check_endpoint,)
