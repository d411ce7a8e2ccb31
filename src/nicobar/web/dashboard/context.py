"""Dependencies of the pages' handlers."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from nicobar.errors import Refusal
from nicobar.model import Application, Endpoint, Record
from nicobar.store import Draft, Snapshot
from nicobar.use_cases.applications import default_application
from nicobar.use_cases.dry_run import Coverage
from nicobar.use_cases.edit import Edit
from nicobar.use_cases.recipe_coverage import Use
from nicobar.use_cases.sample_events import Samples, application_samples
from nicobar.use_cases.services import Services
from nicobar.web.dashboard.language import noop

MAX_CREATED_ENDPOINTS = 200
NOT_FOUND = {
    "application": noop("Application not found."),
    "attempt": noop("Attempt not found."),
    "draft": noop("Draft not found."),
    "endpoint": noop("Endpoint not found."),
    "event type": noop("Event type not found."),
    "file": noop("File not found."),
    "connector": noop("Connector not found."),
    "merge": noop("Merge not found."),
    "message": noop("Message not found."),
    "page": noop("This page does not exist."),
    "replay": noop("Replay not found."),
    "sample": noop("Sample event not found."),
    "source": noop("Source not found."),
    "token": noop("Token not found."),
}


class KnownCoverage(Record):
    """The event types that a handler sends for, as determined at a monotonic time. `doubtful` if a later run may
    differ.
    """

    coverage: Coverage
    at_ms: int
    doubtful: bool


@dataclass(frozen=True, slots=True)
class Context:
    """The running services. `recipe_uses` is what the recipes send for each sample event type. `coverages` is what
    handlers send for, if known. `created` maps the ids of drafts to the endpoints created from them. `app_id` is the
    only application that the visitor can see.
    """

    services: Services
    recipe_uses: dict[tuple[str, ...], dict[str, tuple[Use, ...]]] = field(default_factory=dict)
    coverages: dict[str, KnownCoverage] = field(default_factory=dict)
    created: dict[str, str] = field(default_factory=dict)
    app_id: str | None = None

    def keep_created(self, draft_id: str, endpoint_id: str) -> None:
        """Remembers the endpoint created from a deleted draft, so that a second click finds it."""
        self.created[draft_id] = endpoint_id
        while len(self.created) > MAX_CREATED_ENDPOINTS:
            del self.created[next(iter(self.created))]

    async def snapshot(self) -> Snapshot:
        """The catalogue, limited to what the visitor can see. Raises Refusal 404 if their application was deleted."""
        return self.visible(await self.services.snapshot())

    def visible(self, snapshot: Snapshot) -> Snapshot:
        """A snapshot, limited to what the visitor can see. Raises Refusal 404 if their application was deleted."""
        return snapshot if self.app_id is None else _limited(snapshot, self.app_id)

    async def samples(self) -> Samples:
        """The samples for the visitor's application. Raises Refusal 404 if it was deleted."""
        snapshot = await self.snapshot()
        return application_samples(snapshot, current_application(snapshot).id)

    def endpoint(self, edit: Edit, endpoint_id: str) -> Endpoint:
        """The endpoint to change. Raises Refusal 404."""
        return find_endpoint(self.visible(edit.snapshot), endpoint_id)

    def now_ms(self) -> int:
        return self.services.clock.now_ms()


def _limited(snapshot: Snapshot, app_id: str) -> Snapshot:
    applications = tuple(application for application in snapshot.applications if application.id == app_id)
    if not applications:
        raise not_found("application")
    return msgspec.structs.replace(
        snapshot,
        applications=applications,
        sources=tuple(source for source in snapshot.sources if source.app_id == app_id),
        endpoints=tuple(endpoint for endpoint in snapshot.endpoints if endpoint.app_id == app_id),
    )


def current_application(snapshot: Snapshot) -> Application:
    """The visitor's application, or the default one."""
    return default_application(snapshot)


def find_endpoint(snapshot: Snapshot, endpoint_id: str) -> Endpoint:
    """Raises Refusal 404."""
    for endpoint in snapshot.endpoints:
        if endpoint.id == endpoint_id and endpoint.app_id == current_application(snapshot).id:
            return endpoint
    raise not_found("endpoint")


class FinishedDraft(Refusal):
    """The draft was finished: its endpoint is shown instead."""

    def __init__(self, endpoint_id: str) -> None:
        super().__init__(404, "not_found", NOT_FOUND["draft"], "Open the endpoint that was created from it.")
        self.location = f"/webhooks/{endpoint_id}"


async def find_draft(context: Context, draft_id: str) -> Draft:
    """Raises Refusal 404."""
    found = await context.services.store.draft(draft_id)
    if found is None and draft_id in context.created:
        raise FinishedDraft(context.created[draft_id])
    if found is None or found.app_id != current_application(await context.snapshot()).id:
        raise not_found("draft")
    return found


def not_found(what: str) -> Refusal:
    """A 404 for one of NOT_FOUND."""
    fix = noop("Check the URL.") if what == "page" else noop("It may have been deleted.")
    return Refusal(404, "not_found", NOT_FOUND[what], fix)
