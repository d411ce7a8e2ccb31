"""The transformation of an endpoint: checked, published, restored, switched on and off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import UNSET, UnsetType

from nicobar.audit import AuditAction
from nicobar.crypto import Vault
from nicobar.errors import Refusal, UserError
from nicobar.model import Endpoint, Record
from nicobar.pipeline.carried_settings import carried
from nicobar.sandbox import Sandbox
from nicobar.store import AddTransformation, Change, EnableTransformation, History
from nicobar.store.history import Version
from nicobar.use_cases.edit import Actor, Edit, OperationServices, edited
from nicobar.use_cases.endpoint_records import unchanged
from nicobar.use_cases.endpoint_secrets import with_variables
from nicobar.use_cases.handler_check import why_it_cannot_run
from nicobar.use_cases.lookups import endpoint_of_id

MAX_VERSION = 2**31 - 1


class TransformationServices(OperationServices, Protocol):
    """`OperationServices` that can run code."""

    @property
    def sandbox(self) -> Sandbox: ...


class TransformationPatch(Record):
    """Changes of a transformation; UNSET fields stay. New code becomes a version. Secret variables that are not named
    stay, and None removes one.
    """

    code: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    variables: Mapping[str, str] | UnsetType = UNSET
    secret_variables: Mapping[str, str | None] | UnsetType = UNSET


async def check_code(services: TransformationServices, code: str) -> None:
    """Raises UserError for code that could run on no event, and SandboxError."""
    if not code.strip():
        raise UserError("code_missing", "The code is empty.", "Write a handler, or keep the current one.")
    broken = await why_it_cannot_run(services.sandbox, code, services.clock.now_ms())
    if broken is not None:
        raise UserError(broken.failure.value, "%(reason)s", "Fix the code.", reason=broken.reason)


async def update_transformation(
    services: TransformationServices,
    actor: Actor,
    endpoint_id: str,
    patch: TransformationPatch,
    *,
    action: AuditAction = AuditAction.TRANSFORMATION_UPDATE,
    detail: str = "",
) -> Endpoint:
    """Applies the changes and returns the endpoint after them. Raises UserError for code that can never run, and
    Refusal 404.
    """
    if isinstance(patch.code, str):
        await check_code(services, patch.code)

    async def change(edit: Edit) -> Endpoint:
        endpoint = endpoint_of_id(edit.snapshot, endpoint_id)
        changes = _changes(services.vault, endpoint, patch, services.clock.now_ms())
        if not changes:
            return endpoint
        after = await edit.commit(action, endpoint.id, *changes, app_id=endpoint.app_id, detail=detail)
        return endpoint_of_id(after, endpoint_id)

    return await edited(services, actor, change)


def _changes(vault: Vault, endpoint: Endpoint, patch: TransformationPatch, now_ms: int) -> list[Change]:
    changes: list[Change] = []
    running = endpoint.transformation.code if endpoint.transformation else None
    if patch.variables is not UNSET or patch.secret_variables is not UNSET:
        before = unchanged(endpoint)
        after = with_variables(
            before, vault, variables=patch.variables, secret=patch.secret_variables, references=UNSET
        )
        after = carried(after, patch.code if isinstance(patch.code, str) else running)
        changes += [after] if after != before else []
    if isinstance(patch.code, str) and patch.code != running:
        changes.append(AddTransformation(endpoint_id=endpoint.id, code=patch.code, created_at_ms=now_ms))
    if isinstance(patch.enabled, bool) and patch.enabled is not endpoint.transformation_enabled:
        changes.append(EnableTransformation(endpoint_id=endpoint.id, enabled=patch.enabled))
    return changes


async def publish(
    services: TransformationServices,
    actor: Actor,
    endpoint_id: str,
    code: str,
    variables: Mapping[str, str] | UnsetType = UNSET,
) -> Endpoint:
    """Makes the code what runs: a new version where it differs, switched on. Raises as `update_transformation`."""
    patch = TransformationPatch(code=code, variables=variables, enabled=True)
    return await update_transformation(services, actor, endpoint_id, patch)


async def restore_version(services: TransformationServices, actor: Actor, endpoint_id: str, number: int) -> Endpoint:
    """Publishes the code of an old version. Raises as `update_transformation`, and Refusal 404 for a version that
    does not exist.
    """
    old = await find_version(services.store, endpoint_id, number)
    return await update_transformation(
        services,
        actor,
        endpoint_id,
        TransformationPatch(code=old.code or "", enabled=True),
        action=AuditAction.TRANSFORMATION_RESTORE,
        detail=f"version {number}",
    )


async def find_version(history: History, endpoint_id: str, number: int) -> Version:
    """A version with its code. Raises Refusal 404."""
    if 0 < number <= MAX_VERSION:
        found = await history.versions(endpoint_id, after=str(number - 1), limit=1, with_code=True)
        if found.items and found.items[0].version == number:
            return found.items[0]
    raise Refusal(404, "not_found", "Version %(number)s not found.", "Check the number.", number=number)
