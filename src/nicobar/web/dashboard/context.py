"""What the pages' handlers work with."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from nicobar.errors import Refusal
from nicobar.model import Application, Endpoint, Record
from nicobar.store import Draft, Snapshot
from nicobar.use_cases.applications import default_application
from nicobar.use_cases.dry_run import Coverage, Samples, application_samples
from nicobar.use_cases.edit import Edit
from nicobar.use_cases.recipe_coverage import Use
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
    "integration": noop("Integration not found."),
    "message": noop("Message not found."),
    "page": noop("This page does not exist."),
    "replay": noop("Replay not found."),
    "sample": noop("Sample event not found."),
    "source": noop("Source not found."),
    "token": noop("Token not found."),
}


class KnownCoverage(Record):
    """What a handler was found to send for at that steady time; `doubtful` where it may be otherwise now."""

    coverage: Coverage
    at_ms: int
    doubtful: bool


@dataclass(frozen=True, slots=True)
class Context:
    """The running parts. `recipe_uses` is what recipes make of each event type, by the samples, `coverages` what
    handlers send for, as far as it was found; `created` are the endpoints that drafts became, by the draft's id;
    `app_id` is the one application that there is for the visitor.
    """

    services: Services
    recipe_uses: dict[tuple[str, ...], dict[str, tuple[Use, ...]]] = field(default_factory=dict)
    coverages: dict[str, KnownCoverage] = field(default_factory=dict)
    created: dict[str, str] = field(default_factory=dict)
    app_id: str | None = None

    def keep_created(self, draft_id: str, endpoint_id: str) -> None:
        """Keeps which endpoint was created from a draft that is gone, so that a second click finds it."""
        self.created[draft_id] = endpoint_id
        while len(self.created) > MAX_CREATED_ENDPOINTS:
            del self.created[next(iter(self.created))]

    async def snapshot(self) -> Snapshot:
        """The catalogue, as far as there is one for the visitor: pages find nothing else in it. Raises Refusal 404
        where their application is gone.
        """
        return self.visible(await self.services.snapshot())

    def visible(self, snapshot: Snapshot) -> Snapshot:
        """What there is of a snapshot for the visitor. Raises Refusal 404 where their application is gone."""
        return snapshot if self.app_id is None else _limited(snapshot, self.app_id)

    async def samples(self) -> Samples:
        """The samples for the visitor's application. Raises Refusal 404 where it is gone."""
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
    """Whose things the pages show: the visitor's, or else the default one's."""
    return default_application(snapshot)


def find_endpoint(snapshot: Snapshot, endpoint_id: str) -> Endpoint:
    """Raises Refusal 404."""
    for endpoint in snapshot.endpoints:
        if endpoint.id == endpoint_id and endpoint.app_id == current_application(snapshot).id:
            return endpoint
    raise not_found("endpoint")


async def find_draft(context: Context, draft_id: str) -> Draft:
    """Raises Refusal 404."""
    found = await context.services.store.draft(draft_id)
    if found is None or found.app_id != current_application(await context.snapshot()).id:
        raise not_found("draft")
    return found


def not_found(what: str) -> Refusal:
    """The answer where there is none of what NOT_FOUND names."""
    fix = noop("Check the URL.") if what == "page" else noop("It may have been deleted.")
    return Refusal(404, "not_found", NOT_FOUND[what], fix)
