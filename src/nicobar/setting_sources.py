"""Where settings come from. Precedence: flag, `NICOBAR_*` environment variable, settings file, default."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import msgspec

from nicobar.errors import SettingsError
from nicobar.settings import SECRETS, Settings, description
from nicobar.suggestions import suggestion
from nicobar.value_errors import requirement

ENVIRONMENT_PREFIX = "NICOBAR_"
FILE_VARIABLE = "NICOBAR_SETTINGS"
MAX_SHOWN_CHARS = 100
# URLs that may have a password.
_URLS = frozenset({"database_url", "database_listen_url", "alert_smtp_url", "outbound_proxy"})


def read_settings(
    flags: Mapping[str, object], environment: Mapping[str, str] | None = None, file: Path | None = None
) -> Settings:
    """Reads the settings; flags that are None were not given.

    `file` replaces the file that `NICOBAR_SETTINGS` names. Raises SettingsError for an unknown key and for an invalid
    value, with its origin.
    """
    return _settings(_values(flags, environment, file))


def read_origins(
    flags: Mapping[str, object], environment: Mapping[str, str] | None = None, file: Path | None = None
) -> dict[str, str]:
    """The origin of each setting that is not the default. Raises SettingsError."""
    return {key: origin for key, (_, origin) in _values(flags, environment, file).items()}


def _values(
    flags: Mapping[str, object], environment: Mapping[str, str] | None, file: Path | None
) -> dict[str, tuple[object, str]]:
    environment = os.environ if environment is None else environment
    named = environment.get(FILE_VARIABLE)
    path = file or (Path(named) if named else None)
    values: dict[str, tuple[object, str]] = {}
    if path:
        values |= {key: (value, f"{key} in {path}") for key, value in _read_file(path).items()}
    for variable, text in environment.items():
        if variable.startswith(ENVIRONMENT_PREFIX) and variable != FILE_VARIABLE:
            values[variable.removeprefix(ENVIRONMENT_PREFIX).lower()] = (text, f"environment variable {variable}")
    for key, value in flags.items():
        if value is not None:
            values[key] = (value, f"--{key.replace('_', '-')}")
    return values


def _settings(values: Mapping[str, tuple[object, str]]) -> Settings:
    fields = {field.name: field for field in msgspec.structs.fields(Settings)}
    read: dict[str, object] = {}
    for key, (value, origin) in values.items():
        if key not in fields:
            raise SettingsError(
                "setting_unknown",
                f"Unknown setting {key!r} ({origin}).",
                suggestion(key, fields, f"Settings: {', '.join(sorted(fields))}."),
            )
        try:
            read[key] = msgspec.convert(value, fields[key].type, strict=False, dec_hook=_convert)
        except msgspec.ValidationError as error:
            raise SettingsError(
                "setting_invalid",
                f"Invalid {origin}: {_need(key, value, fields[key], error)}",
                "" if _is_number(fields[key]) else description(fields[key]),
            ) from error
    settings = Settings(**read)  # type: ignore[arg-type] # each value was converted to its field's type above
    _ = (
        settings.database,
        settings.direct_database,
        settings.alert_recipients,
        settings.retry_after_ms,
        settings.proxy,
        settings.allowed,
        settings.redaction,
        settings.trusted_networks,
        settings.oidc,
    )
    return settings


def _is_number(field: msgspec.structs.FieldInfo) -> bool:
    """Whether the bounds of a setting say all about its values."""
    return get_args(field.type)[0] in {int, float}


def _need(key: str, value: object, field: msgspec.structs.FieldInfo, error: msgspec.ValidationError) -> str:
    """What is wrong with the value of a setting, without a secret."""
    if key in SECRETS:
        return "wrong format."
    annotation = get_args(field.type)[0]
    # Flags and variables are always text, so that it is text explains nothing.
    need = requirement(error, annotation).removesuffix(", not text")
    return f"{need}." if key in _URLS else f"{need}. Got {repr(value)[:MAX_SHOWN_CHARS]}."


def _convert(wanted: type, value: object) -> object:
    if wanted is Path and isinstance(value, str | Path) and str(value):
        return Path(value)
    raise msgspec.ValidationError("Expected `path`")


def _read_file(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(
            "settings_file_unreadable",
            f"Cannot read the settings file {path}: {error.strerror}.",
            "Check the path.",
        ) from error
    except RecursionError as error:
        raise SettingsError(
            "settings_file_unreadable",
            f"The settings file {path} is nested too deeply.",
            "Remove nested lists and tables.",
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            "settings_file_unreadable", f"The settings file {path} is not UTF-8 text.", "Save it as UTF-8."
        ) from error
    except ValueError as error:  # not TOML, or a number with thousands of digits
        raise SettingsError(
            "settings_file_unreadable", f"Invalid TOML in the settings file {path}: {error}.", "Fix the syntax error."
        ) from error
