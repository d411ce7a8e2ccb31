"""Ours, `…/endpoint/{endpoint_id}/check`: whether its destination knows the credentials."""

from __future__ import annotations

from nicobar.connectors import Finding
from nicobar.connectors.registry import connector
from nicobar.errors import UserError
from nicobar.model import Endpoint
from nicobar.pipeline.configuration import endpoint_credentials
from nicobar.use_cases.destination_check import sent_secrets
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.endpoints import MASKED, ONE, TAGS, EndpointConnector, EndpointIn, configured
from nicobar.web.api.errors import Invalid
from nicobar.web.api.shapes import Shape
from nicobar.web.operations import post


class CheckIn(Shape):
    """What is to be checked: the endpoint as it is, or with this `connector`, as a PATCH would set it."""

    connector: EndpointConnector | None = None


class CheckOut(Shape):
    """What the destination said. `finding` is `good`, `wrong_credentials`, `wrong_region`, `no_answer`,
    `refused_address` where its address is neither public nor allowed, or `untried` where it cannot be asked without
    sending something; `detail` says what to do.
    """

    ok: bool
    finding: Finding
    detail: str


@post(f"{ONE}/check", id="nicobar.endpoint.check", tags=TAGS, summary="Check Credentials", status=200)
async def check_endpoint(
    *, endpoint: Endpoint, services: Services, caller: Caller, data: CheckIn | None = None
) -> CheckOut:
    """Asks the destination whether it knows the credentials, and in which region. Sends no event and changes nothing.
    Stored credentials go only to the host that they were entered for, and the audit log says so. Saving an endpoint
    does not ask: what cannot be reached today may be there tomorrow.
    """
    wanted = EndpointIn(connector=data.connector if data else None)
    kind = wanted.connector.kind if wanted.connector else endpoint.connector
    kept = endpoint if endpoint.connector == kind else None
    try:
        settings, credentials = configured(services, kind, wanted, kept)
        destination = connector(kind).open(settings, credentials)
    except UserError as error:
        raise Invalid("body.connector", error.detail, error.fix, code=error.code) from error
    given = {name for name, value in (wanted.connector.config if wanted.connector else {}).items() if value != MASKED}
    if kept is not None and sent_secrets(kind, endpoint_credentials(services.vault, kept).keys() - given):
        detail = f"stored credentials used for {connector(kind).credentials_host(settings)}"
        await services.change(caller, "endpoint.check", endpoint.id, app_id=endpoint.app_id, detail=detail)
    checkup = await destination.check_credentials(services.transport)
    return CheckOut(ok=checkup.ok, finding=checkup.finding, detail=checkup.detail)


OPERATIONS = (check_endpoint,)
