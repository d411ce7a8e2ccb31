"""Resumes, enables and disables endpoints: what `nicobar resume` and `enable`, the API and the dashboard have in
common.
"""

from __future__ import annotations

import shlex

from nicobar.errors import Refusal
from nicobar.model import Endpoint
from nicobar.store import PauseEndpoint
from nicobar.use_cases.catalogue import same_endpoint
from nicobar.use_cases.edit import Actor, OperationServices


def check_enabled(endpoint: Endpoint) -> None:
    """Raises Refusal 409 for a disabled endpoint: nothing is sent to it, whatever is put into its queue."""
    if endpoint.disabled:
        raise Refusal(
            409,
            "endpoint_disabled",
            f"Endpoint {endpoint.name} is disabled.",
            f"Enable it with the button on its page, with `nicobar enable {shlex.quote(endpoint.name)}`, or with "
            "`disabled: false` in the API.",
        )


def switch_action(known: Endpoint | None, *, disabled: bool) -> str | None:
    """The audit action of a change that enables or disables a known endpoint; None for one that does neither."""
    if known is None or known.disabled == disabled:
        return None
    return "endpoint.disable" if disabled else "endpoint.enable"


async def resume_endpoint(services: OperationServices, caller: Actor, endpoint: Endpoint) -> bool:
    """Ends a pause; what waits is sent. Returns False where the endpoint is not paused: nothing is changed. Raises
    Refusal 409 for a disabled endpoint.
    """
    if endpoint.disabled:
        raise Refusal(
            409,
            "endpoint_disabled",
            f"Endpoint {endpoint.name} is disabled, not paused.",
            f"Enable it with the button on its page, with `nicobar enable {shlex.quote(endpoint.name)}`, or with "
            "`disabled: false` in the API.",
        )
    if endpoint.paused_reason is None:
        return False
    change = PauseEndpoint(endpoint_id=endpoint.id, reason=None)
    await services.change(caller, "endpoint.resume", endpoint.id, change, app_id=endpoint.app_id)
    services.wake([endpoint.seq])
    return True


async def enable_endpoint(services: OperationServices, caller: Actor, endpoint: Endpoint) -> bool:
    """Makes deliveries for a disabled endpoint again; a pause stays. Returns False where it is enabled already."""
    if not endpoint.disabled:
        return False
    change = same_endpoint(endpoint, disabled=False)
    await services.change(caller, "endpoint.enable", endpoint.id, change, app_id=endpoint.app_id)
    services.wake([endpoint.seq])
    return True


async def disable_endpoint(services: OperationServices, caller: Actor, endpoint: Endpoint) -> bool:
    """Makes no deliveries for the endpoint until it is enabled. Returns False where it is disabled already."""
    if endpoint.disabled:
        return False
    change = same_endpoint(endpoint, disabled=True)
    await services.change(caller, "endpoint.disable", endpoint.id, change, app_id=endpoint.app_id)
    return True
