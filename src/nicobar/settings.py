"""The settings of a process."""

from __future__ import annotations

import re
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from nicobar.addresses import AllowedAddresses
from nicobar.errors import SettingsError, UserError
from nicobar.model import Record
from nicobar.redaction import Redaction
from nicobar.retry_schedule import read_schedule
from nicobar.sign_in_rules import OidcSettings, RoleRules, checked_oidc

Network = IPv4Network | IPv6Network
_SQLITE_URL = "sqlite:///"
_PASSWORD = re.compile(r"((?:^|&)(?:ssl)?password=)[^&]*")
_SERVER_URLS = ("postgresql://", "postgres://")
_DATABASE_URLS = (_SQLITE_URL, *_SERVER_URLS)
# Settings without a flag, since other users of the machine can read a process's arguments; they are never shown.
SECRETS = frozenset({"metrics_token", "oidc_client_secret", "secret_key"})


class Role(StrEnum):
    """What a process does: receive (`web`), deliver (`worker`), or both (`all`)."""

    ALL = "all"
    WEB = "web"
    WORKER = "worker"


class Layers(StrEnum):
    """What isolates handlers: the JavaScript engine, and on Linux a system call filter too (`system`)."""

    SYSTEM = "system"
    ENGINE = "engine"


class Switch(StrEnum):
    ON = "on"
    OFF = "off"


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
    """Every setting with its bounds. The descriptions are the help of the flags."""

    host: Annotated[str, Meta(min_length=1, description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="Port to listen on; 0 picks a free port.")] = 8080
    data_dir: Annotated[
        Path, Meta(description="Directory for the database and for secret.key, the key that encrypts stored secrets.")
    ] = Path("nicobar-data")
    database_url: Annotated[
        str,
        Meta(
            description="Database URL: sqlite:///PATH or postgresql://USER@HOST:PORT/NAME. Defaults to nicobar.db in "
            "the data directory."
        ),
    ] = ""
    database_listen_url: Annotated[
        str,
        Meta(
            description="Direct URL of the PostgreSQL database, if database_url leads to a pooler such as PgBouncer. "
            "Workers listen there for new events, and migrations run there. Defaults to database_url."
        ),
    ] = ""
    secret_key: Annotated[
        str,
        Meta(
            pattern=r"^([0-9A-Fa-f]{64}([\s,]+[0-9A-Fa-f]{64}){0,3})?\Z",
            description="Key that encrypts stored secrets: 64 hexadecimal digits. During a rotation several, the "
            "new one last, separated by commas. Defaults to secret.key in the data directory.",
        ),
    ] = ""
    role: Annotated[
        Role, Meta(description="What this process does: receive (web), deliver (worker) or both (all).")
    ] = Role.ALL
    max_body_bytes: Annotated[
        int, Meta(ge=1_024, le=64 * 1024 * 1024, description="Maximum body size of an incoming webhook, in bytes.")
    ] = 1024 * 1024
    body_timeout_ms: Annotated[
        int, Meta(ge=100, le=300_000, description="Time limit for receiving a webhook body, in milliseconds.")
    ] = 10_000
    header_timeout_ms: Annotated[
        int, Meta(ge=100, le=300_000, description="Time limit for receiving all request headers, in milliseconds.")
    ] = 10_000
    max_header_bytes: Annotated[
        int,
        Meta(ge=4_096, le=1024 * 1024, description="Maximum size of the request line and all headers, in bytes."),
    ] = 64 * 1024
    max_headers: Annotated[int, Meta(ge=16, le=10_000, description="Maximum number of headers per request.")] = 100
    max_connections: Annotated[
        int,
        Meta(
            ge=16,
            le=100_000,
            description="Maximum open connections. At the limit, a new connection replaces the longest idle one.",
        ),
    ] = 2_000
    max_connections_per_address: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Maximum open connections per client address, or concurrent requests behind a trusted proxy.",
        ),
    ] = 200
    max_concurrent_requests: Annotated[
        int,
        Meta(
            ge=4,
            le=50_000,
            description="Maximum concurrent requests; three quarters are reserved for incoming webhooks.",
        ),
    ] = 1_000
    trusted_proxies: Annotated[
        str,
        Meta(
            description="IP addresses or networks of reverse proxies, separated by commas. Their X-Forwarded-For and "
            "X-Forwarded-Proto headers are trusted, and the connection limit per address does not apply to them."
        ),
    ] = "127.0.0.1, ::1"
    public_url: Annotated[
        str,
        Meta(description="Public URL of this installation, used in links. Defaults to http:// with host and port."),
    ] = ""
    metrics_token: Annotated[
        str,
        Meta(
            pattern=r"^([!-~]{16,256})?\Z",
            description="Token that /metrics requires as Authorization: Bearer TOKEN: 16 to 256 characters without "
            "spaces. Without it, /metrics answers only requests from this machine.",
        ),
    ] = ""
    max_api_body_bytes: Annotated[
        int, Meta(ge=1_024, le=64 * 1024 * 1024, description="Maximum body size of an API request, in bytes.")
    ] = 2 * 1024 * 1024
    max_api_requests_per_s: Annotated[
        int, Meta(ge=1, le=100_000, description="Maximum requests per second per API token.")
    ] = 100
    sandbox: Annotated[
        Layers,
        Meta(
            description="Isolation of handlers: system (JavaScript engine and, on Linux, a system call filter) or "
            "engine (JavaScript engine only)."
        ),
    ] = Layers.SYSTEM
    sandbox_children: Annotated[
        int,
        Meta(ge=1, le=64, description="Maximum number of handlers that run at the same time; 1 counts as 2."),
    ] = 2
    shutdown_ms: Annotated[
        int,
        Meta(ge=0, le=600_000, description="Time limit for finishing work in progress at shutdown, in milliseconds."),
    ] = 20_000
    overtake_after_s: Annotated[
        int,
        Meta(
            ge=1,
            le=30 * 86_400,
            description="Seconds after which a failing delivery no longer delays its customer's later ones, if the "
            "destination accepts others.",
        ),
    ] = 1_800
    retention_days: Annotated[
        int,
        Meta(ge=1, le=3_650, description="Days to keep payloads and attempts. Ids are kept for at least 30 days."),
    ] = 90
    redact: Annotated[
        str,
        Meta(
            description="More personal data to mask, separated by commas: field names such as email, or paths such "
            "as data.customer.name. Masked by default: card, license_key, sign_in_link, phone, billing_address. "
            "-phone switches one off."
        ),
    ] = ""
    retry_schedule: Annotated[
        str,
        Meta(
            description="Delays before the retries of a delivery, separated by commas, or none. Endpoints and event "
            "types may have their own. Defaults to 5s, 5m, 30m, 2h, 5h, 10h, 10h."
        ),
    ] = ""
    alert_endpoint: Annotated[
        str, Meta(description="Name or id of the endpoint that receives operational messages. Optional.")
    ] = ""
    alert_smtp_url: Annotated[
        str,
        Meta(description="SMTP server for alert emails: smtp://[user:password@]host[:port] or smtps://…. Optional."),
    ] = ""
    alert_mail_from: Annotated[str, Meta(description="Sender address of alert emails.")] = ""
    alert_mail_to: Annotated[
        str,
        Meta(description="Recipients of alert emails, separated by commas. Alert targets have their own."),
    ] = ""
    alert_backlog_minutes: Annotated[
        int,
        Meta(
            ge=0,
            le=10_080,
            description="Minutes after which an event that is still waiting raises an alert; 0: only at 24 and 60 "
            "hours.",
        ),
    ] = 60
    allowed_addresses: Annotated[
        str,
        Meta(
            description="Private hosts, IP addresses and CIDR blocks that outgoing requests may reach, separated by "
            "commas. Each may have a :port."
        ),
    ] = ""
    outbound_proxy: Annotated[
        str,
        Meta(
            description="Proxy for all outgoing requests: http://[user:password@]host[:port] or https://…. Addresses "
            "that are not allowed are blocked before. Optional."
        ),
    ] = ""
    oidc_issuer: Annotated[
        str,
        Meta(
            description="Issuer URL of the OpenID Connect provider that users sign in with. Needs the extra "
            "nicobar[oidc]. Optional."
        ),
    ] = ""
    oidc_client_id: Annotated[str, Meta(description="Client ID of Nicobar at the OpenID Connect provider.")] = ""
    oidc_client_secret: Annotated[
        str, Meta(description="Client secret of Nicobar at the OpenID Connect provider. Empty for a public client.")
    ] = ""
    oidc_owners: Annotated[
        str, Meta(description="Who signs in as an owner: emails and group:NAME, separated by commas.")
    ] = ""
    oidc_editors: Annotated[
        str, Meta(description="Who signs in as an editor: emails, @domain and group:NAME, separated by commas.")
    ] = ""
    oidc_viewers: Annotated[
        str, Meta(description="Who signs in as a viewer: emails, @domain and group:NAME, separated by commas.")
    ] = ""
    oidc_scopes: Annotated[
        str, Meta(description="Scopes that are requested from the OpenID Connect provider, separated by spaces.")
    ] = "openid email"
    oidc_groups_claim: Annotated[
        str, Meta(min_length=1, description="Claim of the OpenID Connect provider that lists a user's groups.")
    ] = "groups"
    oidc_provider_name: Annotated[
        str, Meta(max_length=64, description="Name of the OpenID Connect provider on the sign-in page.")
    ] = "single sign-on"
    oidc_session_hours: Annotated[
        int,
        Meta(ge=1, le=336, description="Hours after which users sign in at the OpenID Connect provider again."),
    ] = 12
    password_sign_in: Annotated[
        Switch,
        Meta(
            description="Sign-in with passwords: on or off. If it is off, the owner still gets in with nicobar "
            "password-link."
        ),
    ] = Switch.ON
    log_format: Annotated[
        LogFormat, Meta(description="Log format: console, json, or auto (console on a terminal, otherwise json).")
    ] = LogFormat.AUTO
    log_level: Annotated[LogLevel, Meta(description="Minimum log level: debug, info, warning or error.")] = (
        LogLevel.INFO
    )

    @property
    def database(self) -> str:
        """The database's URL. Raises SettingsError for one of neither database."""
        url = self.database_url or f"{_SQLITE_URL}{self.data_dir / 'nicobar.db'}"
        if not url.startswith(_DATABASE_URLS) or url in _DATABASE_URLS:
            raise SettingsError(
                "setting_invalid",
                "Invalid database_url: must be sqlite:///PATH or postgresql://….",
                "For example, sqlite:////var/lib/nicobar.db or postgresql://nicobar@db.example:5432/nicobar.",
            )
        return url

    @property
    def direct_database(self) -> str:
        """The URL of the database's server itself, or empty. Raises SettingsError for one of no server."""
        url = self.database_listen_url
        if url and not (url.startswith(_SERVER_URLS) and self.database.startswith(_SERVER_URLS)):
            raise SettingsError(
                "setting_invalid",
                "Invalid database_listen_url: must be postgresql://…, beside such a database_url.",
                "Remove it unless database_url leads to a pooler such as PgBouncer.",
            )
        return url

    @property
    def alert_recipients(self) -> tuple[str, ...]:
        """Raises SettingsError where only some of the email settings are set."""
        recipients = tuple(item.strip() for item in self.alert_mail_to.split(",") if item.strip())
        server = (self.alert_smtp_url, self.alert_mail_from)
        if any((*server, recipients)) and not all(server):
            raise SettingsError(
                "setting_invalid",
                "Incomplete email settings: alerts need alert_smtp_url and alert_mail_from.",
                "Set both, and alert_mail_to or an alert target of the kind email.",
            )
        try:
            url = urlsplit(self.alert_smtp_url)
            is_valid = url.scheme in {"smtp", "smtps"} and bool(url.hostname) and url.port != 0
        except ValueError:
            is_valid = False
        if self.alert_smtp_url and not is_valid:
            raise SettingsError(
                "setting_invalid",
                "Invalid alert_smtp_url: must be smtp://[user:password@]host[:port] or smtps://….",
                "Percent-encode special characters in the password.",
            )
        return recipients

    @property
    def retry_after_ms(self) -> tuple[int, ...] | None:
        """The delay before each retry; None for the default. Raises SettingsError."""
        if not self.retry_schedule.strip():
            return None
        try:
            return read_schedule(self.retry_schedule)
        except UserError as error:
            raise SettingsError("setting_invalid", f"Invalid retry_schedule. {error.detail}", error.fix) from error

    @property
    def redaction(self) -> Redaction:
        """Raises SettingsError."""
        try:
            return Redaction(self.redact)
        except UserError as error:
            raise SettingsError("setting_invalid", f"Invalid redact. {error.detail}", error.fix) from error

    @property
    def allowed(self) -> AllowedAddresses:
        """Raises SettingsError."""
        return AllowedAddresses.read(self.allowed_addresses)

    @property
    def proxy(self) -> str:
        """The outbound proxy; empty for none. Raises SettingsError, without the credentials, for one that is no plain
        http or https URL.
        """
        text = self.outbound_proxy
        try:
            url = urlsplit(text)
            is_valid = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
        except ValueError:
            is_valid = False
        if text and (not is_valid or url.path not in {"", "/"} or url.query or url.fragment or not text.isascii()):
            raise SettingsError(
                "setting_invalid",
                "Invalid outbound_proxy: must be http://[user:password@]host[:port] or https://….",
                "Percent-encode special characters in the password.",
            )
        return text

    @property
    def oidc(self) -> OidcSettings | None:
        """Sign-in with a provider; None without one. Raises SettingsError where no user could sign in, or where only
        some of the settings are set.
        """
        if not self.oidc_issuer and self.password_sign_in is Switch.OFF:
            raise SettingsError(
                "setting_invalid",
                "No user could sign in: password_sign_in is off and oidc_issuer is not set.",
                "Set oidc_issuer, or password_sign_in to on.",
            )
        rules = RoleRules.read(owners=self.oidc_owners, editors=self.oidc_editors, viewers=self.oidc_viewers)
        wanted = OidcSettings(
            issuer=self.oidc_issuer,
            client_id=self.oidc_client_id,
            client_secret=self.oidc_client_secret,
            scopes=self.oidc_scopes,
            groups_claim=self.oidc_groups_claim,
            provider_name=self.oidc_provider_name,
            session_ms=self.oidc_session_hours * 3_600_000,
            rules=rules,
        )
        return checked_oidc(wanted)

    @property
    def trusted_networks(self) -> tuple[Network, ...]:
        """Raises SettingsError for text that is not an address or a network."""
        networks = []
        for text in filter(None, map(str.strip, self.trusted_proxies.split(","))):
            try:
                networks.append(ip_network(text))
            except ValueError as error:
                raise SettingsError(
                    "setting_invalid",
                    f"Invalid trusted_proxies: {text!r} is not an IP address or a network.",
                    "Separate entries by commas, such as 10.0.0.5, 10.1.0.0/16.",
                ) from error
        return tuple(networks)

    @property
    def is_https(self) -> bool:
        """Whether browsers reach this installation over HTTPS."""
        return self.public_url.lower().startswith("https://")

    @property
    def key_path(self) -> Path:
        return self.data_dir / "secret.key"


def description(field: msgspec.structs.FieldInfo) -> str:
    """The description of a setting."""
    info = msgspec.inspect.type_info(field.type)
    if isinstance(info, msgspec.inspect.Metadata) and info.extra_json_schema:
        return str(info.extra_json_schema["description"])
    return ""


def shown(settings: Settings, name: str) -> str:
    """A setting as people may see it, with secrets masked."""
    text = str(getattr(settings, name))
    if name in SECRETS:
        return "***" if text else ""
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = None
    if parts is None or (parts.password is None and "@" in f"{parts.path}?{parts.query}#{parts.fragment}"):
        # It is unknown which part is the password: a special character of it may have cut the URL.
        return "***"
    if name == "outbound_proxy" and parts.password is None and parts.username:
        # Some proxies take a token for the user.
        return parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}").geturl()
    parts = parts._replace(query=_PASSWORD.sub(r"\1***", parts.query))
    if parts.password is None:
        return parts.geturl() if parts.query else text
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username}:***@{host}").geturl()
