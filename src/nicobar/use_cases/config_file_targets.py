"""Alert targets in the configuration file."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from nicobar.model import AlertTarget, Json, TargetKind
from nicobar.pipeline.alert_types import AlertType
from nicobar.store import Snapshot
from nicobar.use_cases.alert_targets import TargetPatch, TargetSpec, creation, update_acts
from nicobar.use_cases.edit import Act, OperationServices


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secret, by the environment variable that holds it."""

    env: str


class AlertTargetEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`address` is a secret, by its environment variable, or an address that is none."""

    name: str
    kind: TargetKind
    address: str | Reference = ""
    secret: Reference | None = None
    alert_types: tuple[AlertType, ...] = ()


def plan_target(
    services: OperationServices,
    snapshot: Snapshot,
    entry: AlertTargetEntry,
    read: Callable[[Reference], str],
) -> tuple[str, Sequence[Act]]:
    """What `apply` does about an entry: a sentence and the acts, none where nothing changes. `read` gives the value
    of a reference. Raises UserError.
    """
    given = {"address": entry.address, "secret": entry.secret or ""}
    texts = {name: read(value) if isinstance(value, Reference) else value for name, value in given.items()}
    references = {name: value.env for name, value in given.items() if isinstance(value, Reference)}
    stored = next((target for target in snapshot.alert_targets if target.name == entry.name), None)
    if stored is None:
        spec = TargetSpec(
            name=entry.name,
            kind=entry.kind,
            address=texts["address"],
            secret=texts["secret"],
            alert_types=entry.alert_types,
            references=references,
        )
        _, act = creation(services, snapshot, spec)
        return f"alert target {entry.name}: added", (act,)
    patch = TargetPatch(
        kind=entry.kind,
        address=texts["address"],
        secret=texts["secret"],
        alert_types=entry.alert_types,
        references=references,
    )
    _, acts = update_acts(services, snapshot, stored, patch)
    return f"alert target {entry.name}: changed", acts


def written_target(target: AlertTarget, variable: Callable[[str, str], str]) -> dict[str, Json]:
    """A target as the file has it; `variable` names the environment variable of a field that came from none."""
    named = {"address": variable(target.name, "address")}
    if target.has_secret:
        named["secret"] = variable(target.name, "secret")
    entry: dict[str, Json] = {"name": target.name, "kind": target.kind.value}
    entry |= {field: {"env": target.references.get(field, env)} for field, env in named.items()}
    return entry | ({"alert_types": list(target.alert_types)} if target.alert_types else {})
