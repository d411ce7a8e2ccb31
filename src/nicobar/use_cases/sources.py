"""Operations on sources. Every function gets an open edit, decides on its snapshot and commits."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nicobar.audit import AuditAction
from nicobar.clock import utc_time
from nicobar.crypto import Vault, new_url_token
from nicobar.errors import Conflict, Refusal, StoreUnusable, UserError
from nicobar.model import Details, Mode, Record, Source
from nicobar.pipeline.configuration import seal_source_secrets, source_secrets
from nicobar.sources.registry import source_kind
from nicobar.store import PutSource, RemoveSource, Snapshot, Store
from nicobar.store.history import MessageFilter
from nicobar.use_cases.bounds import MAX_SOURCE_SECRETS, Metadata, SourceName, SourceUid, check_bounds, out_of_bounds
from nicobar.use_cases.edit import Act, Edit, OperationServices

# So many of the latest messages suggest a mode.
MAX_SUGGESTING = 10
Secrets = Annotated[tuple[str, ...], Meta(max_length=MAX_SOURCE_SECRETS)]


class SourceSpec(Record):
    """What a source is created with. Of two `secrets`, the newest first, both are accepted; without one it accepts
    nothing yet. `references` names the environment variables that they came from. `mode` and
    `history_complete_since_ms` as in `Source`.
    """

    kind: str
    name: str
    uid: SourceUid | None = None
    metadata: Metadata = {}
    secrets: Secrets = ()
    references: tuple[str, ...] = ()
    mode: Mode | None = None
    history_complete_since_ms: int | None = None


class SourcePatch(Record):
    """Changes of a source; unset fields stay. The URL always stays."""

    kind: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    uid: SourceUid | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET
    secrets: Secrets | UnsetType = UNSET
    references: tuple[str, ...] | UnsetType = UNSET
    mode: Mode | UnsetType | None = UNSET
    history_complete_since_ms: int | UnsetType | None = UNSET


def creation(services: OperationServices, snapshot: Snapshot, app_id: str, spec: SourceSpec) -> tuple[Source, Act]:
    """A new source and the act that creates it. Raises UserError."""
    check_bounds(spec)
    _check_name(spec.name)
    _check_free(snapshot, app_id, name=spec.name, uid=spec.uid)
    _check_history(spec.history_complete_since_ms, services.clock.now_ms())
    source = created(
        spec,
        vault=services.vault,
        source_id=services.ids.new("src"),
        app_id=app_id,
        now_ms=services.clock.now_ms(),
    )
    return source, _act(source, AuditAction.SOURCE_CREATE, PutSource(source=source))


def created(spec: SourceSpec, *, vault: Vault, source_id: str, app_id: str, now_ms: int) -> Source:
    """The source of a spec. Raises UserError for an unknown kind and for a secret that its kind rejects."""
    kind = source_kind(spec.kind)
    for secret in spec.secrets:
        kind.check_secret(secret)
    return Source(
        id=source_id,
        app_id=app_id,
        name=spec.name,
        kind=spec.kind,
        token=new_url_token(),
        sealed_secrets=seal_source_secrets(vault, source_id, spec.secrets),
        secret_references=spec.references,
        uid=spec.uid,
        mode=spec.mode,
        history_complete_since_ms=spec.history_complete_since_ms,
        details=Details(metadata=dict(spec.metadata), created_at_ms=now_ms, updated_at_ms=now_ms),
    )


def update_acts(
    services: OperationServices, snapshot: Snapshot, source: Source, patch: SourcePatch
) -> tuple[Source, list[Act]]:
    """The source after a patch, and the acts that change it: none where nothing changes. Raises UserError."""
    check_bounds(patch)
    name = None if patch.name is UNSET else patch.name
    if name is not None and name != source.name:
        _check_name(name)
    uid = None if patch.uid is UNSET else patch.uid
    _check_free(snapshot, source.app_id, name=name, uid=uid, source=source)
    if patch.history_complete_since_ms is not UNSET:
        _check_history(patch.history_complete_since_ms, services.clock.now_ms())
    after = _changed(source, patch, services.vault)
    if after == source:
        return source, []
    after = _touched(after, services.clock.now_ms())
    return after, [_act(source, AuditAction.SOURCE_UPDATE, PutSource(source=after))]


async def suggested_mode(store: Store, source: Source) -> Mode | None:
    """The mode that the links in the latest messages of a source suggest; None if they suggest none, or both."""
    kind = source_kind(source.kind)
    page = await store.messages(source.app_id, MessageFilter(), limit=MAX_SUGGESTING, with_body=True)
    found = {kind.mode_in(item.body) for item in page.items if item.source_id == source.id} - {None}
    return found.pop() if len(found) == 1 else None


async def create(edit: Edit, app_id: str, spec: SourceSpec) -> Source:
    """Creates a source. Raises UserError."""
    source, act = creation(edit.services, edit.snapshot, app_id, spec)
    await edit.commit_acts([act])
    return source


async def update(edit: Edit, source: Source, patch: SourcePatch) -> Source:
    """Changes a source; its URL stays. Raises UserError."""
    after, acts = update_acts(edit.services, edit.snapshot, source, patch)
    await edit.commit_acts(acts)
    return after


async def rotate_secret(edit: Edit, source: Source, secret: str, *, until_ms: int | None = None) -> None:
    """Gives a source a new signing secret. The previous one is accepted until `until_ms`, or no longer without
    it. Raises UserError for a secret that the source's kind rejects.
    """
    source_kind(source.kind).check_secret(secret)
    vault, now_ms = edit.services.vault, edit.services.clock.now_ms()
    older: list[str] = []
    with suppress(StoreUnusable):  # sealed with a lost key: setting the secret again is the cure
        newest = source_secrets(vault, source)[:1]
        older = [
            older_secret
            for older_secret in newest
            if older_secret != secret and until_ms is not None and until_ms > now_ms
        ]
    after = msgspec.structs.replace(
        source,
        sealed_secrets=seal_source_secrets(vault, source.id, [secret, *older]),
        # The environment variables hold others: `apply` sets what its file says.
        secret_references=(),
        older_until_ms=until_ms if older else None,
    )
    await _put(edit, AuditAction.SOURCE_ROTATE_SECRET, _touched(after, now_ms))


async def create_test_secret(edit: Edit, source: Source) -> str:
    """Creates and returns a test secret. Raises Refusal 409 for a source that already has a signing secret."""
    if source_secrets(edit.services.vault, source):
        raise Refusal(
            409,
            "secret_exists",
            "Source %(name)s already has a signing secret.",
            "Send a sample with it, or replace it.",
            name=source.name,
        )
    secret = source_kind(source.kind).new_secret()
    await rotate_secret(edit, source, secret)
    return secret


async def end_older_secret(edit: Edit, source: Source) -> None:
    """Accepts only the newest secret from now on; nothing changes if there is no other. Raises StoreUnusable."""
    vault = edit.services.vault
    if not source_secrets(vault, source)[1:]:
        return
    after = msgspec.structs.replace(
        source,
        sealed_secrets=seal_source_secrets(vault, source.id, source_secrets(vault, source)[:1]),
        secret_references=source.secret_references[:1],
        older_until_ms=None,
    )
    await _put(edit, AuditAction.SOURCE_END_OLDER_SECRET, _touched(after, edit.services.clock.now_ms()))


async def rotate_url(edit: Edit, source: Source) -> Source:
    """Gives a source another URL; the previous one answers 404 at once."""
    after = msgspec.structs.replace(source, token=new_url_token())
    await _put(edit, AuditAction.SOURCE_ROTATE_TOKEN, after)
    return after


async def delete(edit: Edit, source: Source) -> None:
    """Deletes a source; its messages stay."""
    await edit.commit_acts([deletion(source)])


def deletion(source: Source) -> Act:
    """The act that deletes a source."""
    return _act(source, AuditAction.SOURCE_DELETE, RemoveSource(source_id=source.id))


def _changed(source: Source, patch: SourcePatch, vault: Vault) -> Source:
    """Secrets that are not from the environment clear the references to it."""
    kind = source_kind(source.kind if patch.kind is UNSET else patch.kind)
    names = ("name", "uid", "mode", "history_complete_since_ms")
    fields = {field: value for field in names if (value := getattr(patch, field)) is not UNSET}
    details = source.details
    if patch.metadata is not UNSET:
        details = msgspec.structs.replace(details, metadata=dict(patch.metadata))
    after = msgspec.structs.replace(source, kind=kind.kind, details=details, **fields)
    if patch.secrets is UNSET:
        return after
    for secret in patch.secrets:
        kind.check_secret(secret)
    references = () if patch.references is UNSET else patch.references
    if _has_secrets(vault, source, patch.secrets):
        kept = source.secret_references if patch.references is UNSET else references
        return msgspec.structs.replace(after, secret_references=kept)
    return msgspec.structs.replace(
        after,
        sealed_secrets=seal_source_secrets(vault, source.id, patch.secrets),
        secret_references=references,
        older_until_ms=None,
    )


def _has_secrets(vault: Vault, source: Source, secrets: tuple[str, ...]) -> bool:
    try:
        return source_secrets(vault, source) == secrets
    except StoreUnusable:  # sealed with a lost key: setting the secrets again is the cure
        return False


def _check_name(name: str) -> None:
    try:
        msgspec.convert(name, SourceName)
    except msgspec.ValidationError as error:
        raise out_of_bounds("source_name") from error


def _check_history(since_ms: int | None, now_ms: int) -> None:
    if since_ms is not None and since_ms > now_ms:
        raise UserError(
            "history_in_future",
            "The history cannot be complete since %(time)s: this time is in the future.",
            "Enter when the shop opened, or leave it empty if the shop had customers before it was connected.",
            time=utc_time(since_ms).isoformat(),
        )


def _check_free(
    snapshot: Snapshot, app_id: str, *, name: str | None, uid: str | None, source: Source | None = None
) -> None:
    own_id = source.id if source else None
    others = [other for other in snapshot.sources if other.id != own_id]
    if uid is not None and any(other.uid == uid for other in others):
        raise Conflict("A source with the uid %(uid)s already exists.", "Choose another uid.", uid=uid)
    if name is not None and any((other.app_id, other.name) == (app_id, name) for other in others):
        raise Conflict("A source named %(name)s already exists.", "Choose another name.", name=name)


async def _put(edit: Edit, action: AuditAction, source: Source) -> None:
    await edit.commit(action, source.id, PutSource(source=source), app_id=source.app_id)


def _act(source: Source, action: AuditAction, change: PutSource | RemoveSource) -> Act:
    return Act(action=action, subject=source.id, changes=(change,), app_id=source.app_id)


def _touched(source: Source, now_ms: int) -> Source:
    return msgspec.structs.replace(source, details=msgspec.structs.replace(source.details, updated_at_ms=now_ms))
