"""The settings of a process. For each: flag, then `NICOBAR_*` environment variable, then file, then default."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from nicobar.addresses import AllowedAddresses
from nicobar.errors import SettingsError
from nicobar.model import Record

ENVIRONMENT_PREFIX = "NICOBAR_"
FILE_VARIABLE = "NICOBAR_SETTINGS"
Network = IPv4Network | IPv6Network
_SQLITE_URL = "sqlite:///"
_PASSWORD = re.compile(r"((?:^|&)(?:ssl)?password=)[^&]*")
_DATABASE_URLS = (_SQLITE_URL, "postgresql://", "postgres://")
# Settings without a flag, as other users of the machine can read a process's arguments; they are never shown.
SECRETS = frozenset({"secret_key"})


class Role(StrEnum):
    """What a process does: receives (`web`), delivers (`worker`), or both (`all`)."""

    ALL = "all"
    WEB = "web"
    WORKER = "worker"


class LogFormat(StrEnum):
    """`auto` is `console` on a terminal and `json` elsewhere."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Settings(Record):
    """Every setting, with its bounds; the descriptions are the reference's and the flags' help."""

    host: Annotated[str, Meta(min_length=1, description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")] = 8080
    data_dir: Annotated[
        Path, Meta(description="Directory of the database and of secret.key, the key of the stored secrets.")
    ] = Path("nicobar-data")
    database_url: Annotated[
        str,
        Meta(
            description="The database: sqlite:///PATH, or postgresql://USER@HOST:PORT/NAME. Empty: nicobar.db in the "
            "data directory."
        ),
    ] = ""
    secret_key: Annotated[
        str,
        Meta(
            pattern=r"^([0-9A-Fa-f]{64})?\Z",
            description="Key of the stored secrets, 64 hexadecimal digits. Empty: secret.key in the data directory.",
        ),
    ] = ""
    role: Annotated[
        Role, Meta(description="What this process does: receive (web), deliver (worker) or both (all).")
    ] = Role.ALL
    max_body_bytes: Annotated[
        int, Meta(ge=1_024, le=64 * 1024 * 1024, description="Largest body that a source takes.")
    ] = 1024 * 1024
    body_timeout_ms: Annotated[int, Meta(ge=100, le=300_000, description="How long a body may take to arrive.")] = (
        10_000
    )
    header_timeout_ms: Annotated[
        int, Meta(ge=100, le=300_000, description="Time limit for a complete request header.")
    ] = 10_000
    max_header_bytes: Annotated[
        int,
        Meta(ge=4_096, le=1024 * 1024, description="Maximum size of the request line and headers of a request."),
    ] = 64 * 1024
    max_headers: Annotated[int, Meta(ge=16, le=10_000, description="Maximum number of headers of a request.")] = 100
    max_connections: Annotated[
        int,
        Meta(
            ge=16,
            le=100_000,
            description="Maximum open connections. A new one replaces the one that has been silent longest.",
        ),
    ] = 2_000
    max_connections_per_address: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Maximum open connections of one client address, and its requests behind a trusted proxy.",
        ),
    ] = 200
    max_concurrent_requests: Annotated[
        int,
        Meta(
            ge=4,
            le=50_000,
            description="Maximum requests processed at the same time; three quarters are reserved for events.",
        ),
    ] = 1_000
    trusted_proxies: Annotated[
        str,
        Meta(
            description="Addresses or networks of reverse proxies, separated by commas. Their X-Forwarded-For and "
            "X-Forwarded-Proto headers are trusted, and their connections are not limited per address."
        ),
    ] = "127.0.0.1, ::1"
    public_url: Annotated[
        str,
        Meta(description="Where others reach this process, for links: https://… Empty: http://, host and port."),
    ] = ""
    max_api_body_bytes: Annotated[
        int, Meta(ge=1_024, le=64 * 1024 * 1024, description="Largest body that the API takes.")
    ] = 2 * 1024 * 1024
    max_api_requests_per_s: Annotated[
        int, Meta(ge=1, le=100_000, description="Requests a second of one API token; more are answered 429.")
    ] = 100
    sandbox_children: Annotated[int, Meta(ge=1, le=64, description="Processes that run handlers.")] = 2
    shutdown_ms: Annotated[
        int, Meta(ge=0, le=600_000, description="How long a stop waits for what is in flight.")
    ] = 20_000
    retention_days: Annotated[
        int,
        Meta(ge=1, le=3_650, description="How many days payloads and attempts are kept; ids at least 30 days."),
    ] = 90
    alert_endpoint: Annotated[
        str, Meta(description="Name or id of the endpoint that gets operational messages. Empty: none.")
    ] = ""
    alert_smtp_url: Annotated[
        str,
        Meta(description="Mail server of the alerts: smtp://[user:password@]host[:port] or smtps://. Empty: none."),
    ] = ""
    alert_mail_from: Annotated[str, Meta(description="Sender of alert emails.")] = ""
    alert_mail_to: Annotated[str, Meta(description="Recipients of alert emails, separated by commas.")] = ""
    allowed_addresses: Annotated[
        str,
        Meta(
            description="Hosts, addresses and CIDR blocks that requests may reach although they are not public, each "
            "with an optional :port, separated by commas."
        ),
    ] = ""
    log_format: Annotated[
        LogFormat, Meta(description="console, json, or auto: console on a terminal, json elsewhere.")
    ] = LogFormat.AUTO
    log_level: Annotated[LogLevel, Meta(description="The least weight of a log line that is written.")] = (
        LogLevel.INFO
    )

    @property
    def database(self) -> str:
        """The database's URL. Raises SettingsError for one of neither database."""
        url = self.database_url or f"{_SQLITE_URL}{self.data_dir / 'nicobar.db'}"
        if not url.startswith(_DATABASE_URLS) or url in _DATABASE_URLS:
            raise SettingsError(
                "setting_invalid",
                "The setting database_url must start with sqlite:///PATH or postgresql://.",
                "Set it to a path, such as sqlite:////var/lib/nicobar.db, or to a server, such as "
                "postgresql://nicobar@db.example:5432/nicobar.",
            )
        return url

    @property
    def alert_recipients(self) -> tuple[str, ...]:
        """Raises SettingsError where mails are half configured."""
        recipients = tuple(item.strip() for item in self.alert_mail_to.split(",") if item.strip())
        given = (self.alert_smtp_url, self.alert_mail_from, recipients)
        if any(given) and not all(given):
            raise SettingsError(
                "setting_invalid",
                "Of alert_smtp_url, alert_mail_from and alert_mail_to some are set and some are not.",
                "Set all three, or none.",
            )
        url = urlsplit(self.alert_smtp_url)
        if self.alert_smtp_url and (url.scheme not in {"smtp", "smtps"} or not url.hostname):
            raise SettingsError(
                "setting_invalid",
                "The setting alert_smtp_url is not of the form smtp://[user:password@]host[:port] or smtps://….",
                "Percent-encode what is special in the password.",
            )
        return recipients

    @property
    def allowed(self) -> AllowedAddresses:
        """Raises SettingsError."""
        return AllowedAddresses.read(self.allowed_addresses)

    @property
    def trusted_networks(self) -> tuple[Network, ...]:
        """Raises SettingsError for text that is no address or network."""
        networks = []
        for text in filter(None, map(str.strip, self.trusted_proxies.split(","))):
            try:
                networks.append(ip_network(text))
            except ValueError as error:
                raise SettingsError(
                    "setting_invalid",
                    f"Invalid trusted_proxies: {error}.",
                    "List IP addresses or networks, such as 10.0.0.5, 10.1.0.0/16.",
                ) from error
        return tuple(networks)

    @property
    def key_path(self) -> Path:
        return self.data_dir / "secret.key"


def description(field: msgspec.structs.FieldInfo) -> str:
    """What a setting is for."""
    info = msgspec.inspect.type_info(field.type)
    if isinstance(info, msgspec.inspect.Metadata) and info.extra_json_schema:
        return str(info.extra_json_schema["description"])
    return ""


def read_settings(
    flags: Mapping[str, object], environment: Mapping[str, str] | None = None, file: Path | None = None
) -> Settings:
    """Puts the settings together; flags that are None were not given.

    `file` wins over the one that `NICOBAR_SETTINGS` names. Raises SettingsError for a key that does not exist and
    for a value that does not fit, naming where it came from.
    """
    return _settings(_values(flags, environment, file))


def read_origins(
    flags: Mapping[str, object], environment: Mapping[str, str] | None = None, file: Path | None = None
) -> dict[str, str]:
    """Where each setting that is not the default comes from. Raises SettingsError."""
    return {key: origin for key, (_, origin) in _values(flags, environment, file).items()}


def shown(settings: Settings, name: str) -> str:
    """A setting for people to read: what is secret in it is masked."""
    text = str(getattr(settings, name))
    if name in SECRETS:
        return "***" if text else ""
    parts = urlsplit(text) if "://" in text else None
    if parts is None:
        return text
    parts = parts._replace(query=_PASSWORD.sub(r"\1***", parts.query))
    if parts.password is None:
        return parts.geturl() if parts.query else text
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username}:***@{host}").geturl()


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
                f"There is no setting {key!r} ({origin}).",
                f"The settings are {', '.join(sorted(fields))}.",
            )
        try:
            read[key] = msgspec.convert(value, fields[key].type, strict=False, dec_hook=_convert)
        except msgspec.ValidationError as error:
            raise SettingsError(
                "setting_invalid", f"Invalid value for {origin}: {error}.", f"{description(fields[key])}"
            ) from error
    settings = Settings(**read)  # type: ignore[arg-type] # each value was converted to its field's type above
    _ = settings.database, settings.alert_recipients, settings.allowed, settings.trusted_networks
    return settings


def _convert(wanted: type, value: object) -> object:
    if wanted is Path and isinstance(value, str | Path) and str(value):
        return Path(value)
    raise msgspec.ValidationError("Expected a path")


def _read_file(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(
            "settings_file_unreadable",
            f"The settings file {path} cannot be read: {error.strerror}.",
            "Check its path.",
        ) from error
    except RecursionError as error:
        raise SettingsError(
            "settings_file_unreadable",
            f"The settings file {path} is nested too deeply to be read.",
            "Remove the nested lists or tables.",
        ) from error
    except ValueError as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise SettingsError(
            "settings_file_unreadable", f"The settings file {path} is not TOML: {error}.", "Fix that line."
        ) from error
