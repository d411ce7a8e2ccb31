"""What can be done with applications: the API alone has more than one."""

from __future__ import annotations

from nicobar.audit import AuditAction
from nicobar.store import Change
from support.parity import Interface, Operation, World, api

PATH = "/api/v1/app"


def nothing(_world: World) -> list[Change]:
    return []


OPERATIONS = (
    Operation(
        "create an application",
        (AuditAction.APPLICATION_CREATE,),
        nothing,
        {Interface.API: api("POST", PATH, {"name": "Shop", "uid": "shop"})},
    ),
    Operation(
        "change an application",
        (AuditAction.APPLICATION_UPDATE,),
        nothing,
        {Interface.API: api("PATCH", f"{PATH}/shop", {"name": "Shops"})},
    ),
    Operation(
        "delete an application",
        (AuditAction.APPLICATION_DELETE,),
        nothing,
        {Interface.API: api("DELETE", f"{PATH}/shop")},
    ),
)
