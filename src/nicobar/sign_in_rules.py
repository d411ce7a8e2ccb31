"""Who may sign in with an OpenID Connect provider, and with which role. Only users who are named may."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from typing import Self
from urllib.parse import urlsplit

from nicobar.errors import SettingsError
from nicobar.model import Record, UserRole

GROUP = "group:"
# No colon: an email is no group.
_EMAIL = re.compile(r"[^@\s,:]+@[^@\s,:]+")
_DOMAIN = re.compile(r"@[^@\s,]+")


class RoleRules(Record):
    """The emails, domains (`@northpine.example`) and groups (`group:payments`) of each role, in lower case but for
    groups.
    """

    entries: Mapping[UserRole, tuple[str, ...]]

    @classmethod
    def read(cls, *, owners: str, editors: str, viewers: str) -> Self:
        """Reads entries separated by commas. Raises SettingsError."""
        return cls(
            entries={
                UserRole.OWNER: _entries("oidc_owners", owners, with_domains=False),
                UserRole.EDITOR: _entries("oidc_editors", editors),
                UserRole.VIEWER: _entries("oidc_viewers", viewers),
            }
        )

    def role_of(self, email: str, groups: Collection[str]) -> UserRole | None:
        """The highest role that names this verified email, its domain or one of the groups; None if none does."""
        named = {f"{GROUP}{group}" for group in groups}
        if (name := plain_email(email)) is not None:
            named |= {name, f"@{name.partition('@')[2]}"}
        return next((role for role, entries in self.entries.items() if named.intersection(entries)), None)


class OidcSettings(Record):
    """What sign-in with a provider needs, with every value checked."""

    issuer: str
    client_id: str
    client_secret: str
    scopes: str
    groups_claim: str
    provider_name: str
    session_ms: int
    rules: RoleRules

    def __repr__(self) -> str:
        return f"OidcSettings({self.issuer!r})"


def plain_email(email: str) -> str | None:
    """The email as it is compared; None for text that is no plain email. Other letters than ASCII may become ASCII in
    lower case, so that two emails would be one.
    """
    return email.lower() if email.isascii() and _EMAIL.fullmatch(email) else None


def checked_oidc(given: OidcSettings) -> OidcSettings | None:
    """None without an issuer. Raises SettingsError where no user could sign in, or where settings are missing."""
    has_rules = any(given.rules.entries.values())
    if not given.issuer:
        if given.client_id or given.client_secret or has_rules:
            raise SettingsError(
                "setting_invalid", "Incomplete sign-in settings: oidc_issuer is not set.", "Set it, or no oidc_*."
            )
        return None
    _check_issuer(given.issuer)
    if not given.client_id or not has_rules:
        raise SettingsError(
            "setting_invalid",
            "Incomplete sign-in settings: oidc_issuer needs oidc_client_id, and oidc_owners, oidc_editors or "
            "oidc_viewers.",
            "Name at least one user, domain or group. All others are rejected.",
        )
    return given


def _check_issuer(issuer: str) -> None:
    """Raises SettingsError for a URL that a provider cannot have."""
    try:
        url = urlsplit(issuer)
        is_valid = is_safe_url(issuer) and url.port != 0 and not (url.query or url.fragment or url.username)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise SettingsError(
            "setting_invalid",
            f"Invalid oidc_issuer: must be an https:// URL without a query. Got {issuer[:200]!r}.",
            "Copy the issuer from the provider's discovery document, /.well-known/openid-configuration.",
        )


def is_safe_url(url: str) -> bool:
    """Whether secrets may be sent there: over TLS, or not over a network."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    is_one_line = url.isascii() and url.isprintable() and " " not in url
    return (
        is_one_line
        and bool(parts.hostname)
        and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or "")))
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _entries(setting: str, text: str, *, with_domains: bool = True) -> tuple[str, ...]:
    entries = []
    for item in filter(None, map(str.strip, text.split(","))):
        if item.startswith(GROUP) and len(item) > len(GROUP):
            entries.append(item)
        elif plain_email(item) is not None or (with_domains and item.isascii() and _DOMAIN.fullmatch(item)):
            entries.append(item.lower())
        else:
            kinds = "an email, @domain or group:NAME" if with_domains else "an email or group:NAME"
            raise SettingsError(
                "setting_invalid",
                f"Invalid {setting}: {item[:200]!r} is not {kinds}.",
                "Separate entries by commas, such as ada@northpine.example, group:payments.",
            )
    return tuple(entries)
