"""Finds things by id or uid, for whoever may see them; what is not there and what may not be seen answer alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Protocol, TypeVar

from litestar.di import NamedDependency, Provide
from litestar.params import PathParameter

from nicobar.model import Application, Endpoint
from nicobar.store import Snapshot
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller, current_caller
from nicobar.web.api.deletion_preview import given_dry_run
from nicobar.web.api.errors import Invalid, not_found
from nicobar.web.api.shapes import UID_PATTERN

MAX_KEY_CHARS = 256


class _Known(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def uid(self) -> str | None: ...


K = TypeVar("K", bound=_Known)
AppKey = Annotated[str, PathParameter(description="The application's id or uid.", max_length=MAX_KEY_CHARS)]
EndpointKey = Annotated[str, PathParameter(description="The endpoint's id or uid.", max_length=MAX_KEY_CHARS)]
SourceKey = Annotated[str, PathParameter(description="The source's id or uid.", max_length=MAX_KEY_CHARS)]

# What handlers may ask for, by the names in DEPENDENCIES.
GivenServices = NamedDependency[Services]
GivenCaller = NamedDependency[Caller]
GivenSnapshot = NamedDependency[Snapshot]
GivenApplication = NamedDependency[Application]
GivenEndpoint = NamedDependency[Endpoint]


def find(every: Iterable[K], key: str) -> K | None:
    """The thing with this id, or else with this uid."""
    known = list(every)
    return next((item for item in known if item.id == key), None) or next(
        (entry for entry in known if entry.uid == key), None
    )


def application_of(snapshot: Snapshot, caller: Caller, key: str) -> Application:
    """Raises Refusal 404."""
    found = find(snapshot.applications, key)
    if found is None or not caller.sees(found.id):
        raise not_found("application")
    return found


def endpoint_of(snapshot: Snapshot, application: Application, key: str) -> Endpoint:
    """Raises Refusal 404."""
    found = find((endpoint for endpoint in snapshot.endpoints if endpoint.app_id == application.id), key)
    if found is None:
        raise not_found("endpoint")
    return found


def check_new_uid(key: str, where: str) -> None:
    """Raises Invalid where a key in a path cannot be the uid of what is made by it."""
    if not UID_PATTERN.fullmatch(key):
        raise Invalid(where, "It cannot be a uid.", "A uid has letters, digits, '-', '_' and '.' only.")


async def _snapshot(services: GivenServices) -> Snapshot:
    return await services.snapshot()


def _application(app_id: AppKey, snapshot: GivenSnapshot, caller: GivenCaller) -> Application:
    return application_of(snapshot, caller, app_id)


def _endpoint(endpoint_id: EndpointKey, snapshot: GivenSnapshot, application: GivenApplication) -> Endpoint:
    return endpoint_of(snapshot, application, endpoint_id)


# Beside these there is `services`.
DEPENDENCIES = {
    "caller": Provide(current_caller, sync_to_thread=False),
    "snapshot": Provide(_snapshot),
    "application": Provide(_application, sync_to_thread=False),
    "endpoint": Provide(_endpoint, sync_to_thread=False),
    "dry_run": Provide(given_dry_run, sync_to_thread=False),
}
