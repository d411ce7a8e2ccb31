"""Finds objects by ID or uid. Objects outside the token's scope are not found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Protocol, TypeVar

from msgspec import Meta

from nicobar.model import Application, Endpoint
from nicobar.store import Snapshot
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller, unauthenticated
from nicobar.web.api.errors import Invalid, not_found
from nicobar.web.api.shapes import UID_PATTERN
from nicobar.web.providers import Provider
from nicobar.web.query_names import shortened

MAX_KEY_CHARS = 256


class _Known(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def uid(self) -> str | None: ...


K = TypeVar("K", bound=_Known)
AppKey = Annotated[str, Meta(description="The application's ID or uid.", max_length=MAX_KEY_CHARS)]
EndpointKey = Annotated[str, Meta(description="The endpoint's ID or uid.", max_length=MAX_KEY_CHARS)]
SourceKey = Annotated[str, Meta(description="The source's ID or uid.", max_length=MAX_KEY_CHARS)]


class ApiRequest:
    """A request to the API. The configuration is read once per request."""

    def __init__(
        self,
        *,
        services: Services,
        caller: Caller | None,
        path: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        self.services = services
        self.path = path
        self.headers = headers
        self.body = body
        self._caller = caller
        self._snapshot: Snapshot | None = None

    @property
    def caller(self) -> Caller:
        """Raises Refusal 401."""
        if self._caller is None:
            raise unauthenticated()
        return self._caller

    async def snapshot(self) -> Snapshot:
        if self._snapshot is None:
            self._snapshot = await self.services.snapshot()
        return self._snapshot

    async def application(self) -> Application:
        """Raises Refusal 404."""
        return application_of(await self.snapshot(), self.caller, self.path["app_id"])

    async def endpoint(self) -> Endpoint:
        """Raises Refusal 404."""
        return endpoint_of(await self.snapshot(), await self.application(), self.path["endpoint_id"])


def find(every: Iterable[K], key: str) -> K | None:
    """The object with this ID, or else with this uid."""
    entries = list(every)
    return next((item for item in entries if item.id == key), None) or next(
        (entry for entry in entries if entry.uid == key), None
    )


def application_of(snapshot: Snapshot, caller: Caller, key: str) -> Application:
    """Raises Refusal 404."""
    found = find(snapshot.applications, key)
    if found is None or not caller.sees(found.id):
        raise not_found("application", key)
    return found


def endpoint_of(snapshot: Snapshot, application: Application, key: str) -> Endpoint:
    """Raises Refusal 404."""
    found = find((endpoint for endpoint in snapshot.endpoints if endpoint.app_id == application.id), key)
    if found is None:
        raise not_found("endpoint", key)
    return found


def check_new_uid(key: str, where: str) -> None:
    """Raises Invalid for a key in a path that cannot be the uid of a new object."""
    if not UID_PATTERN.fullmatch(key):
        raise Invalid(where, f'Invalid uid "{shortened(key)}".', "Use letters, digits, '-', '_' and '.'.")


async def _services(request: ApiRequest) -> Services:
    return request.services


async def _caller(request: ApiRequest) -> Caller:
    return request.caller


async def _body(request: ApiRequest) -> bytes:
    return request.body


async def _user_agent(request: ApiRequest) -> str:
    return request.headers.get("user-agent", "")


async def _idempotency_key(request: ApiRequest) -> str:
    return request.headers.get("idempotency-key", "")


_APP = {"app_id": AppKey}
# The values that handlers receive, by argument name.
PROVIDERS: dict[str, Provider[ApiRequest]] = {
    "services": Provider(_services),
    "caller": Provider(_caller),
    "snapshot": Provider(ApiRequest.snapshot),
    "application": Provider(ApiRequest.application, path=_APP),
    "endpoint": Provider(ApiRequest.endpoint, path={**_APP, "endpoint_id": EndpointKey}),
    "body": Provider(_body),
    "user_agent": Provider(_user_agent),
    "idempotency_key": Provider(_idempotency_key),
}
