"""Operations on endpoints. Every function gets an open edit, decides on its snapshot and commits."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta

from nicobar.audit import AuditAction
from nicobar.connectors import signing_secrets
from nicobar.connectors.registry import connector, default_code
from nicobar.connectors.signing_secrets import SignatureScheme
from nicobar.errors import Conflict, Refusal, UserError
from nicobar.model import Endpoint, Record
from nicobar.pipeline.carried_settings import carried
from nicobar.pipeline.configuration import endpoint_credentials
from nicobar.reasons import Reason, plain, reason
from nicobar.retry_schedule import check_schedule
from nicobar.sources.registry import application_kinds
from nicobar.store import AddTransformation, Change, PauseEndpoint, PutEndpoint, RemoveEndpoint, Snapshot
from nicobar.use_cases.bounds import MAX_PAUSE_REASON_CHARS, check_bounds
from nicobar.use_cases.destination_check import check_address, redirected
from nicobar.use_cases.edit import Act, Actor, Edit, OperationServices, edited
from nicobar.use_cases.endpoint_records import EndpointPatch, EndpointSpec, changed, created, unchanged
from nicobar.use_cases.lookups import endpoint_of_id

PAUSED = reason("paused_by_hand", "paused by hand")
DAY_S = 86_400
MAX_GRACE_S = 7 * DAY_S


class Pause(Record):
    """Why an endpoint is paused."""

    reason: Annotated[str, Meta(min_length=1, max_length=MAX_PAUSE_REASON_CHARS)] = PAUSED.template


def creation(
    services: OperationServices, snapshot: Snapshot, app_id: str, spec: EndpointSpec, *extra: Change
) -> tuple[PutEndpoint, Act]:
    """A new endpoint and the act that creates it, with `extra` changes. Raises UserError."""
    check_bounds(spec)
    check_schedule(spec.retry_after_ms or ())
    _check_free(snapshot, app_id, name=spec.name, uid=spec.uid)
    check_address(services.settings.allowed, spec.connector, spec.settings)
    now_ms = services.clock.now_ms()
    put = created(spec, vault=services.vault, endpoint_id=services.ids.new("ep"), app_id=app_id, now_ms=now_ms)
    kinds = [kind.kind for kind in application_kinds(snapshot.sources, app_id)]
    code = default_code(connector(spec.connector), kinds) if spec.code is UNSET else spec.code
    put = carried(put, code)
    changes: list[Change] = [*extra, put]
    if code is not None and code.strip():
        changes.append(AddTransformation(endpoint_id=put.id, code=code, created_at_ms=now_ms))
    return put, Act(action=AuditAction.ENDPOINT_CREATE, subject=put.id, changes=tuple(changes), app_id=app_id)


def idle_mode(snapshot: Snapshot, endpoint: Endpoint) -> UserError | None:
    """Why the endpoint gets no messages: no source of its application has its mode. None if one has."""
    sources = [source for source in snapshot.sources if source.app_id == endpoint.app_id]
    if endpoint.mode is None or any(source.mode is endpoint.mode for source in sources):
        return None
    return UserError(
        "mode_without_source",
        "The endpoint gets no messages: it is limited to the mode %(mode)s, and no source has it.",
        "State the mode on the source's page, or change the endpoint's settings.",
        mode=endpoint.mode.value,
    )


def update_acts(
    services: OperationServices, snapshot: Snapshot, endpoint: Endpoint, patch: EndpointPatch
) -> tuple[PutEndpoint, list[Act]]:
    """The endpoint after a patch, and the acts that change it: none where nothing changes. Raises UserError."""
    check_bounds(patch)
    if patch.retry_after_ms is not UNSET:
        check_schedule(patch.retry_after_ms or ())
    _check_free(
        snapshot,
        endpoint.app_id,
        name=None if patch.name is UNSET else patch.name,
        uid=None if patch.uid is UNSET else patch.uid,
        endpoint=endpoint,
    )
    put = after_patch(services, endpoint, patch)
    if put == unchanged(endpoint):
        return put, []
    if put.disabled == endpoint.disabled:
        return put, [_act(endpoint, AuditAction.ENDPOINT_UPDATE, put, detail=redirected(endpoint, put))]
    switch = _switch(disabled=put.disabled)
    if _is_switch(endpoint, put):
        return put, [_act(endpoint, switch, put)]
    return put, [
        _act(endpoint, AuditAction.ENDPOINT_UPDATE, put, detail=redirected(endpoint, put)),
        _act(endpoint, switch),
    ]


def after_patch(services: OperationServices, endpoint: Endpoint, patch: EndpointPatch) -> PutEndpoint:
    """The endpoint after a patch. Raises UserError for what its connector or `allowed_addresses` rejects."""
    if patch.connects:
        kind = endpoint.connector if patch.connector is UNSET else patch.connector
        settings = endpoint.settings if patch.settings is UNSET else patch.settings
        before = endpoint.settings if kind == endpoint.connector else None
        check_address(services.settings.allowed, kind, settings, before)
    put = changed(endpoint, patch, vault=services.vault, now_ms=services.clock.now_ms())
    put = carried(put, endpoint.transformation.code if endpoint.transformation else None)
    # What was carried over before is no change.
    details = msgspec.structs.replace(put.details, updated_at_ms=endpoint.details.updated_at_ms)
    same = unchanged(endpoint)
    return same if msgspec.structs.replace(put, details=details) == same else put


async def create(edit: Edit, app_id: str, spec: EndpointSpec, *extra: Change, also: Sequence[Act] = ()) -> Endpoint:
    """Creates an endpoint; messages that are accepted from now on go to it. `extra` changes belong to it, and
    `also` are acts of the same transaction. Raises UserError.
    """
    put, act = creation(edit.services, edit.snapshot, app_id, spec, *extra)
    return endpoint_of_id(await edit.commit_acts([act, *also]), put.id)


async def update(edit: Edit, endpoint: Endpoint, patch: EndpointPatch) -> Endpoint:
    """Changes an endpoint. Raises UserError."""
    put, acts = update_acts(edit.services, edit.snapshot, endpoint, patch)
    after = await edit.commit_acts(acts)
    if endpoint.disabled and not put.disabled:
        edit.services.wake([endpoint.seq])
    return endpoint_of_id(after, endpoint.id)


async def set_headers(
    edit: Edit, endpoint: Endpoint, headers: Mapping[str, str | None], public: Sequence[str] | None = None
) -> None:
    """Sets headers of each request to an endpoint; None removes one. All are secret but the `public` ones, which stay
    the same by default. Raises UserError.
    """
    patch = EndpointPatch(headers=dict(headers), public_headers=UNSET if public is None else tuple(public))
    put, acts = update_acts(edit.services, edit.snapshot, endpoint, patch)
    if acts:
        await edit.commit(AuditAction.ENDPOINT_SET_HEADERS, endpoint.id, put, app_id=endpoint.app_id)


async def rotate_secret(
    edit: Edit,
    endpoint: Endpoint,
    secret: str | None = None,
    *,
    scheme: SignatureScheme | None = None,
    grace_s: int = DAY_S,
) -> str:
    """Gives an endpoint a new signing secret, and returns what verifies its signatures. By default it is generated,
    for the current scheme. The previous one also signs for `grace_s`. Raises Refusal 404 for a connector that signs
    nothing, and UserError for an invalid secret.
    """
    name = signing_field(endpoint)
    now_ms = edit.services.clock.now_ms()
    stored = endpoint_credentials(edit.services.vault, endpoint)
    new = secret or signing_secrets.new_secret(scheme or signing_secrets.scheme_of(stored[name]))
    if scheme not in {None, signing_secrets.scheme_of(new)}:
        raise UserError(
            "secret_scheme",
            "The signing secret is not for %(scheme)s.",
            "Omit it to generate one, or enter one that starts with whsec_ for hmac or whsk_ for ed25519.",
            scheme=scheme,
        )
    until_ms = now_ms + min(max(grace_s, 0), MAX_GRACE_S) * 1_000
    value = signing_secrets.rotated(stored[name], new, now_ms=now_ms, until_ms=until_ms)
    put = changed(endpoint, EndpointPatch(credentials={name: value}), vault=edit.services.vault, now_ms=now_ms)
    await edit.commit(AuditAction.ENDPOINT_ROTATE_SECRET, endpoint.id, put, app_id=endpoint.app_id)
    return signing_secrets.verification_key(new)


def verification_key(services: OperationServices, endpoint: Endpoint) -> str:
    """What verifies the signatures of an endpoint's requests: its secret, or its public key. Raises Refusal 404 where
    they are not signed.
    """
    return signing_secrets.verification_key(endpoint_credentials(services.vault, endpoint)[signing_field(endpoint)])


def signature_scheme(services: OperationServices, endpoint: Endpoint) -> SignatureScheme:
    """How an endpoint's requests are signed. Raises Refusal 404 where they are not."""
    return signing_secrets.scheme_of(endpoint_credentials(services.vault, endpoint)[signing_field(endpoint)])


async def pause(edit: Edit, endpoint: Endpoint, why: str = PAUSED.template) -> None:
    """Stops sending to an endpoint until it is resumed; messages for it are kept. Raises UserError for a reason that
    is empty or too long.
    """
    check_bounds(Pause(reason=why))
    change = PauseEndpoint(endpoint_id=endpoint.id, reason=pause_reason(why), by_hand=True)
    await edit.commit(AuditAction.ENDPOINT_PAUSE, endpoint.id, change, app_id=endpoint.app_id, detail=why)


def pause_reason(text: str) -> Reason:
    """Why a user paused an endpoint, in the user's words; without any, in those of the page's language."""
    return PAUSED if text == PAUSED.template else plain(text)


async def resume(edit: Edit, endpoint: Endpoint) -> bool:
    """Ends a pause or a hold; queued messages are sent. Returns False where the endpoint is not paused: nothing is
    changed. Raises Refusal 409 for a disabled endpoint.
    """
    if endpoint.disabled:
        raise _disabled(endpoint, "Endpoint %(name)s is disabled, not paused.")
    if endpoint.paused_reason is None:
        return False
    change = PauseEndpoint(endpoint_id=endpoint.id, reason=None)
    await edit.commit(AuditAction.ENDPOINT_RESUME, endpoint.id, change, app_id=endpoint.app_id)
    edit.services.wake([endpoint.seq])
    return True


async def enable(edit: Edit, endpoint: Endpoint) -> bool:
    """Creates deliveries for a disabled endpoint again; a pause stays. Returns False where it is enabled already."""
    return await _set_disabled(edit, endpoint, disabled=False)


async def disable(edit: Edit, endpoint: Endpoint) -> bool:
    """Creates no deliveries for the endpoint until it is enabled. Returns False where it is disabled already."""
    return await _set_disabled(edit, endpoint, disabled=True)


async def delete(edit: Edit, endpoint: Endpoint) -> None:
    """Deletes an endpoint. Pending deliveries are canceled; its history stays."""
    await edit.commit_acts([deletion(endpoint)])


def deletion(endpoint: Endpoint) -> Act:
    """The act that deletes an endpoint."""
    return _act(endpoint, AuditAction.ENDPOINT_DELETE, RemoveEndpoint(endpoint_id=endpoint.id))


async def note_check(services: OperationServices, actor: Actor, subject: str, app_id: str, host: str) -> None:
    """Notes in the audit log that stored credentials, of an endpoint or a draft, are sent to a host to check them."""

    async def note(edit: Edit) -> None:
        detail = f"stored credentials used for {host}"
        await edit.commit(AuditAction.ENDPOINT_CHECK, subject, app_id=app_id, detail=detail)

    await edited(services, actor, note)


def check_enabled(endpoint: Endpoint) -> None:
    """Raises Refusal 409 for a disabled endpoint: nothing is sent to it, whatever is put into its queue."""
    if endpoint.disabled:
        raise _disabled(endpoint, "Endpoint %(name)s is disabled.")


def signing_field(endpoint: Endpoint) -> str:
    """The credential that an endpoint's requests are signed with. Raises Refusal 404 where they are not signed."""
    name = signing_secrets.signing_field(connector(endpoint.connector).fields)
    if name is not None:
        return name
    raise Refusal(
        404,
        "not_found",
        "Endpoint %(name)s has no signing secret.",
        "Its connector does not sign requests.",
        name=endpoint.name,
    )


def named_endpoint(endpoints: Sequence[Endpoint], name: str) -> Endpoint:
    """The endpoint of that id, uid or name. Raises UserError where none, or more than one, has it."""
    named = [endpoint for endpoint in endpoints if name in {endpoint.id, endpoint.uid, endpoint.name}]
    found = next((item for item in named if item.id == name), named[0] if named else None)
    if found is not None and found.id != name and named[1:]:
        ids = ", ".join(item.id for item in named)
        raise UserError(
            "endpoint_ambiguous",
            "Several endpoints match %(name)s.",
            "Use an id instead: %(ids)s.",
            name=repr(name),
            ids=ids,
        )
    if found is None:
        names = ", ".join(endpoint.name for endpoint in endpoints) or "none"
        raise UserError(
            "endpoint_unknown",
            "Endpoint %(name)s not found.",
            "Endpoints: %(names)s.",
            name=repr(name),
            names=names,
        )
    return found


async def _set_disabled(edit: Edit, endpoint: Endpoint, *, disabled: bool) -> bool:
    """Changes nothing else, so that an endpoint that can be opened no longer can be disabled and enabled too."""
    if endpoint.disabled == disabled:
        return False
    await update(edit, endpoint, EndpointPatch(disabled=disabled))
    return True


def _check_free(
    snapshot: Snapshot, app_id: str, *, name: str | None, uid: str | None, endpoint: Endpoint | None = None
) -> None:
    own_id = endpoint.id if endpoint else None
    others = [other for other in snapshot.endpoints if other.app_id == app_id and other.id != own_id]
    if uid is not None and _has(others, uid):
        raise Conflict("An endpoint with the uid %(uid)s already exists.", "Choose another uid.", uid=uid)
    if name is not None and any(other.name == name for other in others):
        raise Conflict("An endpoint named %(name)s already exists.", "Choose another name.", name=name)


def _has(endpoints: Iterable[Endpoint], key: str) -> bool:
    return any(key in {endpoint.id, endpoint.uid} for endpoint in endpoints)


def _act(endpoint: Endpoint, action: AuditAction, *changes: Change, detail: str = "") -> Act:
    return Act(action=action, subject=endpoint.id, changes=changes, app_id=endpoint.app_id, detail=detail)


def _switch(*, disabled: bool) -> AuditAction:
    return AuditAction.ENDPOINT_DISABLE if disabled else AuditAction.ENDPOINT_ENABLE


def _is_switch(endpoint: Endpoint, put: PutEndpoint) -> bool:
    """Whether nothing else changes."""
    details = msgspec.structs.replace(put.details, updated_at_ms=endpoint.details.updated_at_ms)
    return msgspec.structs.replace(put, disabled=endpoint.disabled, details=details) == unchanged(endpoint)


def _disabled(endpoint: Endpoint, detail: str) -> Refusal:
    return Refusal(
        409,
        "endpoint_disabled",
        detail,
        "Enable it on its page, with `nicobar enable %(argument)s`, or with `disabled: false` in the API.",
        name=endpoint.name,
        argument=shlex.quote(endpoint.name),
    )
