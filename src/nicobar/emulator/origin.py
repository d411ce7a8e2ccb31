"""Only the emulator's own page may change it. Any site that a developer visits can send forms from that browser, or
point its own host name here (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

READING = frozenset({"GET", "HEAD", "OPTIONS"})


def is_foreign(method: str, headers: Mapping[str, str], own_host: str) -> bool:
    """Whether a page of another site sent a request that changes something. Scripts send neither `Origin` nor
    `Sec-Fetch-Site` and are allowed. `own_host` is the name or address that the emulator listens on.
    """
    if method in READING:
        return False
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        return True
    origin = headers.get("origin")
    return origin is not None and not _is_own(origin, headers.get("host", ""), own_host)


def _is_own(origin: str, host: str, own_host: str) -> bool:
    """Whether the origin equals the requested host, and no one else can point that host here: with a name of their
    own, the browser would treat this server as the owner's origin.
    """
    try:
        origin_host, name = urlsplit(origin).netloc, urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return origin_host.lower() == host.lower() and (name == own_host.lower() or _is_local(name))


def _is_local(name: str) -> bool:
    """Whether the name is an IP address or not in public DNS: `localhost`, or without a dot, as in Docker."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name != "" and ("." not in name or name.endswith(".localhost"))
    return True
