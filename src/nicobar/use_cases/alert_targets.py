"""Operations on the targets of alerts. Every function gets an open edit, decides on its snapshot and commits."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nicobar.audit import AuditAction
from nicobar.connectors.fields import address_error, is_plain_url
from nicobar.crypto import WebhookKey
from nicobar.errors import Conflict, Refusal, StoreUnusable, UserError
from nicobar.model import AlertResult, AlertTarget, Record, TargetKind
from nicobar.pipeline.alert_targets import Address, open_address, seal_address
from nicobar.pipeline.alert_types import AlertType
from nicobar.store import PutAlertTarget, RemoveAlertTarget, Snapshot
from nicobar.use_cases.bounds import MAX_NAME_CHARS, check_bounds
from nicobar.use_cases.edit import Act, Actor, Edit, OperationServices, audit_line
from nicobar.use_cases.services import Services

MAX_TARGETS = 20
MAX_ADDRESS_CHARS = 2_048
PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"
# Without the quotes and comments that RFC 5322 allows: the mail library breaks on some of them.
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w-]{1,63}(\.[\w-]{1,63}){0,10}")
_PAGERDUTY_KEY = re.compile(r"[A-Za-z0-9]{32}")

TargetName = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS, examples=["on call"])]
TargetAddress = Annotated[str, Meta(max_length=MAX_ADDRESS_CHARS, examples=["ops@example.com"])]
TargetSecret = Annotated[str, Meta(max_length=MAX_ADDRESS_CHARS)]
# Types that can be chosen: a test alert is always sent.
CHOSEN_TYPES = tuple(kind for kind in AlertType if kind is not AlertType.TEST)


class TargetSpec(Record):
    """What a target is created with. `references` names the environment variables of `address` and `secret`."""

    name: TargetName
    kind: TargetKind
    address: TargetAddress = ""
    secret: TargetSecret = ""
    alert_types: tuple[AlertType, ...] = ()
    references: dict[str, str] = {}


class TargetPatch(Record):
    """Changes of a target; unset fields stay."""

    name: TargetName | UnsetType = UNSET
    kind: TargetKind | UnsetType = UNSET
    address: TargetAddress | UnsetType = UNSET
    secret: TargetSecret | UnsetType = UNSET
    alert_types: tuple[AlertType, ...] | UnsetType = UNSET
    references: dict[str, str] | UnsetType = UNSET


def creation(services: OperationServices, snapshot: Snapshot, spec: TargetSpec) -> tuple[AlertTarget, Act]:
    """A new target and the act that creates it. Raises UserError."""
    check_bounds(spec)
    if len(snapshot.alert_targets) >= MAX_TARGETS:
        raise UserError(
            "too_many_targets",
            "There are already %(max_targets)s alert targets.",
            "Delete one of them.",
            max_targets=MAX_TARGETS,
        )
    _check_free(snapshot, spec.name)
    now_ms = services.clock.now_ms()
    target_id = services.ids.new("alt")
    address = _checked(spec.kind, Address(address=spec.address, secret=spec.secret))
    _check_allowed(services, spec.kind, address)
    target = AlertTarget(
        id=target_id,
        name=spec.name,
        kind=spec.kind,
        sealed=seal_address(services.vault, target_id, address),
        alert_types=_types(spec.alert_types),
        references=dict(spec.references),
        has_secret=bool(address.secret),
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )
    return target, _act(target, AuditAction.ALERT_TARGET_CREATE, PutAlertTarget(target=target))


def update_acts(
    services: OperationServices, snapshot: Snapshot, target: AlertTarget, patch: TargetPatch
) -> tuple[AlertTarget, list[Act]]:
    """The target after a patch, and the acts that change it: none where nothing changes. Raises UserError."""
    check_bounds(patch)
    after = target
    if patch.name is not UNSET and patch.name != target.name:
        _check_free(snapshot, patch.name)
        after = msgspec.structs.replace(after, name=patch.name)
    if patch.alert_types is not UNSET:
        after = msgspec.structs.replace(after, alert_types=_types(patch.alert_types))
    after = _with_address(services, after, patch)
    if after == target:
        return target, []
    after = msgspec.structs.replace(after, updated_at_ms=services.clock.now_ms())
    return after, [_act(after, AuditAction.ALERT_TARGET_UPDATE, PutAlertTarget(target=after))]


async def create(edit: Edit, spec: TargetSpec) -> AlertTarget:
    """Creates a target. Raises UserError."""
    target, act = creation(edit.services, edit.snapshot, spec)
    await edit.commit_acts([act])
    return target


async def update(edit: Edit, target_id: str, patch: TargetPatch) -> AlertTarget:
    """Changes a target. Raises UserError, and Refusal 404."""
    after, acts = update_acts(edit.services, edit.snapshot, find_target(edit.snapshot, target_id), patch)
    await edit.commit_acts(acts)
    return after


async def delete(edit: Edit, target_id: str) -> None:
    """Deletes a target. Raises Refusal 404."""
    await edit.commit_acts([deletion(find_target(edit.snapshot, target_id))])


def deletion(target: AlertTarget) -> Act:
    """The act that deletes a target."""
    return _act(target, AuditAction.ALERT_TARGET_DELETE, RemoveAlertTarget(target_id=target.id))


async def send_test(services: Services, actor: Actor, target_id: str) -> AlertResult:
    """Sends a test alert to a target, and returns the result. Raises Refusal 404."""
    target = find_target(await services.snapshot(), target_id)
    line = audit_line(services, actor, AuditAction.ALERT_TARGET_TEST, target.id, app_id=None, detail=target.name)
    await services.store.add_audit_line(line)
    return await services.alerts.test_target(target)


def find_target(snapshot: Snapshot, target_id: str) -> AlertTarget:
    """Raises Refusal 404."""
    for target in snapshot.alert_targets:
        if target.id == target_id:
            return target
    raise Refusal(404, "not_found", "Alert target %(id)s not found.", "Check its id.", id=target_id)


def _types(chosen: tuple[AlertType, ...]) -> tuple[str, ...]:
    return tuple(kind.value for kind in CHOSEN_TYPES if kind in chosen)


def _with_address(services: OperationServices, target: AlertTarget, patch: TargetPatch) -> AlertTarget:
    """Another kind or URL never gets the stored secret, which was entered for the previous one."""
    if patch.kind is UNSET and patch.address is UNSET and patch.secret is UNSET:
        return target
    try:
        stored = open_address(services.vault, target)
    except StoreUnusable:  # sealed with a lost key: setting the address again is the cure
        stored = Address(address="")
    kind = target.kind if patch.kind is UNSET else patch.kind
    address = stored.address if patch.address is UNSET or kind is not target.kind else patch.address
    if kind is not target.kind:
        address = "" if patch.address is UNSET else patch.address
    is_elsewhere = kind is not target.kind or address != stored.address
    secret = ("" if is_elsewhere else stored.secret) if patch.secret is UNSET else patch.secret
    wanted = _checked(kind, Address(address=address, secret=secret))
    if is_elsewhere:
        _check_allowed(services, kind, wanted)
    references = target.references if patch.references is UNSET else patch.references
    if wanted == stored and kind is target.kind:
        return msgspec.structs.replace(target, references=references)
    return msgspec.structs.replace(
        target,
        kind=kind,
        sealed=seal_address(services.vault, target.id, wanted),
        references={} if patch.references is UNSET else references,
        has_secret=bool(wanted.secret),
    )


def _checked(kind: TargetKind, given: Address) -> Address:
    """Raises UserError for an address or a secret that such a target cannot have."""
    match kind:
        case TargetKind.EMAIL:
            if not _EMAIL.fullmatch(given.address):
                raise UserError("address_invalid", "Invalid email address.", "Enter one address: name@example.com.")
            return Address(address=given.address)
        case TargetKind.PAGERDUTY:
            if not _PAGERDUTY_KEY.fullmatch(given.secret):
                raise UserError(
                    "secret_invalid",
                    "Invalid routing key: must have 32 letters and digits.",
                    "Copy it from a PagerDuty service that uses Events API v2.",
                )
            given = msgspec.structs.replace(given, address=given.address or PAGERDUTY_URL)
        case TargetKind.WEBHOOK:
            if given.secret:
                WebhookKey(given.secret)
        case TargetKind.SLACK:
            given = msgspec.structs.replace(given, secret="")
    if not is_plain_url(given.address):
        raise UserError("address_invalid", "Invalid URL.", "Enter a full http or https URL.")
    return given


def _check_allowed(services: OperationServices, kind: TargetKind, to: Address) -> None:
    """Raises UserError for a URL whose host is an address that requests must not reach."""
    refused = None if kind is TargetKind.EMAIL else services.settings.allowed.refused_literal(to.address)
    if refused is not None:
        raise address_error(refused)


def _check_free(snapshot: Snapshot, name: str) -> None:
    if any(other.name == name for other in snapshot.alert_targets):
        raise Conflict("An alert target named %(name)s already exists.", "Choose another name.", name=name)


def _act(target: AlertTarget, action: AuditAction, change: PutAlertTarget | RemoveAlertTarget) -> Act:
    return Act(action=action, subject=target.id, changes=(change,), app_id=None, detail=target.name)
