"""The configuration as one TOML file with handlers beside it, as `nicobar export` writes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import tomli_w

from nicobar.clock import utc_time
from nicobar.connectors import FieldKind
from nicobar.connectors.registry import connector
from nicobar.crypto import Vault
from nicobar.errors import UserError
from nicobar.model import Endpoint, Json, Source
from nicobar.pipeline.configuration import endpoint_variables
from nicobar.retry_schedule import delay_text
from nicobar.store import Snapshot
from nicobar.use_cases.applications import default_application
from nicobar.use_cases.config_file_targets import written_target


def write_document(vault: Vault, snapshot: Snapshot, path: Path, *, force: bool) -> list[Path]:
    """Writes the file of the default application and its handlers; returns their paths. Secrets are named, never
    written; one that was not read from an environment variable gets a variable's name.

    Raises UserError if a file exists, unless `force`.
    """
    handlers: dict[Path, str] = {}
    entries: list[dict[str, Json]] = []
    app_id = default_application(snapshot).id
    for endpoint in (endpoint for endpoint in snapshot.endpoints if endpoint.app_id == app_id):
        entry: dict[str, Json] = {"name": endpoint.name, "connector": endpoint.connector}
        if endpoint.transformation:
            relative = Path("handlers") / f"{_file_name(endpoint.name)}.js"
            handlers[path.parent / relative] = endpoint.transformation.code
            entry["handler"] = str(relative)
        entry |= {
            "event_types": list(endpoint.event_types),
            "disabled": endpoint.disabled,
            "max_messages_per_s": endpoint.max_messages_per_s,
            "retry_schedule": _schedule(endpoint.retry_after_ms),
            "mode": endpoint.mode and endpoint.mode.value,
            "business_ids": list(endpoint.business_ids),
            "brand_ids": list(endpoint.brand_ids),
            "settings": msgspec.to_builtins(endpoint.settings),
            "credentials": {name: {"env": env} for name, env in _credentials(endpoint).items()},
            "variables": {**endpoint.variables, **_secret_variables(vault, endpoint)},
        }
        entries.append(
            {
                name: value
                for name, value in entry.items()
                if value not in ([], {}, False, None) or (name == "retry_schedule" and value == [])
            }
        )
    document: dict[str, object] = {
        "event_types": [
            {"name": event_type.name, "description": event_type.description}
            | ({} if (schedule := _schedule(event_type.retry_after_ms)) is None else {"retry_schedule": schedule})
            for event_type in snapshot.event_types
        ],
        "sources": [
            {
                "name": source.name,
                "kind": source.kind,
                "secrets": [{"env": env} for env in source.secret_references or (_variable(source.name, "secret"),)],
                **_ledger(source),
            }
            for source in snapshot.sources
            if source.app_id == app_id
        ],
        "endpoints": list(entries),
        "alert_targets": [written_target(target, _variable) for target in snapshot.alert_targets],
    }
    written = {path: tomli_w.dumps({name: value for name, value in document.items() if value}), **handlers}
    for file in written:
        if file.exists() and not force:
            raise UserError("file_exists", f"{file} already exists.", "Choose another file, or pass --force.")
    try:
        for file, text in written.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
    except OSError as error:
        raise UserError(
            "file_unwritable", f"Cannot write {path}: {error.strerror}.", "Choose another file."
        ) from error
    return list(written)


def _ledger(source: Source) -> dict[str, object]:
    """The fields of a source that its ledger depends on, as far as they are set."""
    written: dict[str, object] = {} if source.mode is None else {"mode": source.mode.value}
    if source.history_complete_since_ms is not None:
        written["history_complete_since"] = utc_time(source.history_complete_since_ms)
    return written


def _schedule(delays_ms: Sequence[int] | None) -> list[Json] | None:
    """A retry schedule as a file has it."""
    return None if delays_ms is None else [delay_text(delay_ms) for delay_ms in delays_ms]


def _credentials(endpoint: Endpoint) -> dict[str, str]:
    """The variables of an endpoint's credentials."""
    secrets = [
        field for field in connector(endpoint.connector).fields if field.kind is FieldKind.SECRET and field.required
    ]
    named = {secret.name: _variable(endpoint.name, secret.name) for secret in secrets}
    return named | endpoint.credential_references


def _secret_variables(vault: Vault, endpoint: Endpoint) -> dict[str, Json]:
    """Secret variables, by the environment variables of their values."""
    return {
        name: {"env": endpoint.variable_references.get(name, _variable(endpoint.name, name))}
        for name in endpoint_variables(vault, endpoint)
    }


def _variable(*parts: str) -> str:
    return "_".join(re.sub(r"[^A-Z0-9]+", "_", part.upper()) for part in parts)


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name) or "handler"
