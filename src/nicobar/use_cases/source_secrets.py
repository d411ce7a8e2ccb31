"""Signing secrets of sources, and samples that are signed with them: what `nicobar trigger` and the dashboard have in
common.
"""

from __future__ import annotations

from nicobar.errors import Refusal
from nicobar.model import Source
from nicobar.pipeline.configuration import source_secrets
from nicobar.sources.registry import source_kind
from nicobar.store import PutSource
from nicobar.use_cases.catalogue import rotated
from nicobar.use_cases.edit import Actor, OperationServices


async def keep_secret(
    services: OperationServices, caller: Actor, source: Source, secret: str, *, until_ms: int | None = None
) -> None:
    """Gives the source a new signing secret; the one before it is accepted until `until_ms`, without it no longer.
    Raises UserError for a secret that cannot be one.
    """
    now_ms = services.clock.now_ms()
    changed = rotated(services.vault, source, secret, until_ms=until_ms or now_ms, now_ms=now_ms)
    await services.change(caller, "source.rotate-secret", source.id, PutSource(source=changed), app_id=source.app_id)


async def create_trial_secret(services: OperationServices, caller: Actor, source: Source) -> str:
    """Creates a signing secret for a source that has none, and returns it. Raises Refusal 409 where it has one."""
    if source_secrets(services.vault, source):
        raise Refusal(
            409,
            "secret_exists",
            f"Source {source.name} has a signing secret.",
            "Send a sample with it, or replace it.",
        )
    secret = source_kind(source.kind).new_secret()
    await keep_secret(services, caller, source, secret)
    return secret
