"""The code that the test pages run: a draft's or an endpoint's."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from nicobar.model import Endpoint
from nicobar.pipeline.configuration import OpenEndpoint, endpoint_credentials, endpoint_headers, open_endpoint
from nicobar.store import Draft
from nicobar.use_cases.dry_run import target, unpublished
from nicobar.use_cases.test_events import TestTarget
from nicobar.web.dashboard.context import Context, find_draft, find_endpoint
from nicobar.web.dashboard.endpoint_new import credentials


@dataclass(frozen=True, slots=True)
class Bench:
    """The code of a draft, or an endpoint's published code. `here` is the page's URL; `running` is the published code
    if the draft belongs to an existing endpoint. `secrets` are never shown.
    """

    here: str
    app_id: str
    at: OpenEndpoint
    secrets: tuple[str, ...]
    running: OpenEndpoint | None = None
    draft: Draft | None = None
    endpoint: Endpoint | None = None

    @property
    def subject_id(self) -> str:
        """The object in the audit log."""
        return self.endpoint.id if self.endpoint else self.draft.id if self.draft else ""

    @property
    def test_target(self) -> TestTarget:
        return TestTarget(opened=self.at, app_id=self.app_id, subject_id=self.subject_id, secrets=self.secrets)


async def bench_of_draft(context: Context, draft_id: str) -> Bench:
    """Raises Refusal 404."""
    draft = await find_draft(context, draft_id)
    here = f"/webhooks/drafts/{draft.id}/test"
    if draft.endpoint_id is not None:
        endpoint = find_endpoint(await context.snapshot(), draft.endpoint_id)
        return Bench(
            here=here,
            app_id=draft.app_id,
            at=open_endpoint(context.services.vault, with_draft(endpoint, draft)),
            secrets=_secrets(context, endpoint),
            running=open_endpoint(context.services.vault, endpoint),
            draft=draft,
            endpoint=endpoint,
        )
    known_secrets = credentials(context, draft)
    at = target(
        kind=draft.connector,
        code=draft.code,
        settings=draft.settings,
        credentials=known_secrets,
        variables=draft.variables,
        event_types=draft.event_types,
        endpoint_id=draft.id,
    )
    return Bench(here=here, app_id=draft.app_id, at=at, secrets=tuple(known_secrets.values()), draft=draft)


async def bench_of_endpoint(context: Context, endpoint_id: str) -> Bench:
    """Raises Refusal 404."""
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    return Bench(
        here=f"/webhooks/{endpoint.id}/testing",
        app_id=endpoint.app_id,
        at=open_endpoint(context.services.vault, endpoint),
        secrets=_secrets(context, endpoint),
        endpoint=endpoint,
    )


def with_draft(endpoint: Endpoint, draft: Draft) -> Endpoint:
    """The endpoint with the draft published."""
    code = unpublished(draft.code) if draft.code.strip() else None
    return msgspec.structs.replace(
        endpoint, transformation=code, transformation_enabled=True, variables=draft.variables
    )


def _secrets(context: Context, endpoint: Endpoint) -> tuple[str, ...]:
    vault = context.services.vault
    return (*endpoint_credentials(vault, endpoint).values(), *endpoint_headers(vault, endpoint).values())
