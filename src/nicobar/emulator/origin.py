"""Which pages may change the emulator: its own alone. Any site that somebody near it visits can send forms from that
browser, or have a name of its own lead here (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

READING = frozenset({"GET", "HEAD", "OPTIONS"})


def is_foreign(method: str, headers: Mapping[str, str], own_host: str) -> bool:
    """Whether a request would change something for a page of another site. Scripts, which send neither `Origin` nor
    `Sec-Fetch-Site`, are nobody's page. `own_host` is the name or address that the emulator listens on.
    """
    if method in READING:
        return False
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        return True
    origin = headers.get("origin")
    return origin is not None and not _is_own(origin, headers.get("host", ""), own_host)


def _is_own(origin: str, host: str, own_host: str) -> bool:
    """Whether an origin is the address asked, and that is an address which nobody else can make lead here: browsers
    take a name that leads here for an origin of its owner's.
    """
    try:
        asked, name = urlsplit(origin).netloc, urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return asked.lower() == host.lower() and (name == own_host.lower() or _is_local(name))


def _is_local(name: str) -> bool:
    """An IP address, or a name that no public DNS knows: `localhost`, or without a dot, as Docker's."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name != "" and ("." not in name or name.endswith(".localhost"))
    return True
