"""The URL of a PostgreSQL database. It may contain a password, which no text for a person may."""

from __future__ import annotations

from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from nicobar.errors import StoreUnusable

_HIDDEN = "***"


def parsed(url: str) -> dict[str, str]:
    """The URL's parts, by the names that PostgreSQL's library gives them. Raises StoreUnusable."""
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except (psycopg.Error, ValueError):
        # The library's text names the part it could not read, which may be one of the password.
        raise _invalid() from None
    if "\0" in url or _is_cut_wrongly(parts):
        raise _invalid()
    return parts


def shown(url: str) -> str:
    """The database's name for a person, without a password. Raises StoreUnusable."""
    parts = parsed(url)
    hosts = [host for host in parts.get("host", "").split(",") if not host.startswith("/")]
    ports = parts.get("port", "").split(",")
    places = [
        f"{f'[{host}]' if ':' in host else host}{f':{port}' if host and port else ''}"
        for host, port in zip(hosts, ports if len(ports) > 1 else ports * len(hosts), strict=False)
    ]
    return f"postgresql://{','.join(places)}/{parts.get('dbname', '')}"


def without_password(text: str, url: str) -> str:
    """The text with the URL's passwords replaced."""
    parts = parsed(url)
    for name in ("password", "sslpassword"):
        if password := parts.get(name):
            for form in (password, quote(password, safe="")):
                text = text.replace(form, _HIDDEN)
    return text


def _is_cut_wrongly(parts: dict[str, str]) -> bool:
    """Whether a special character of the password made a part of it another part of the URL."""
    ports = [port for port in parts.get("port", "").split(",") if port]
    return (
        "@" in parts.get("host", "")
        or not all(port.isascii() and port.isdigit() for port in ports)
        or not {"@", "/"}.isdisjoint(parts.get("dbname", ""))
    )


def _invalid() -> StoreUnusable:
    return StoreUnusable(
        "database_url_invalid",
        "The database URL is invalid.",
        "Percent-encode special characters in the password.",
    )
