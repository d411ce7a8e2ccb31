"""Which addresses outgoing requests may reach: public ones, and those that the operator allows.

The tables are our own, because those of Python's `ipaddress` are as old as the interpreter: those of 3.11.7 count
64:ff9b:1::/48, 3fff::/20 and 5f00::/16 as global.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Self
from urllib.parse import urlsplit

from nicobar.errors import SettingsError
from nicobar.model import Record

Address = IPv4Address | IPv6Address

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_PORT = 65_535

# IANA IPv4 Special-Purpose Address Registry, https://www.iana.org/assignments/iana-ipv4-special-registry: every block
# that is not globally reachable. 192.0.0.0/24 is rejected as a whole: its two reachable anycast addresses are the
# network's own NAT and TURN devices, and some clouds have metadata services in the rest.
_NOT_PUBLIC_4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private use, RFC 1918
        "100.64.0.0/10",  # shared address space (CGNAT), RFC 6598; holds Alibaba's metadata service, 100.100.100.200
        "127.0.0.0/8",  # loopback, RFC 1122
        "169.254.0.0/16",  # link local, RFC 3927; holds the metadata services, 169.254.169.254
        "172.16.0.0/12",  # private use, RFC 1918
        "192.0.0.0/24",  # IETF protocol assignments, RFC 6890
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.88.99.0/24",  # 6to4 relay anycast, deprecated by RFC 7526
        "192.168.0.0/16",  # private use, RFC 1918
        "198.18.0.0/15",  # benchmarking, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved, RFC 1112, and limited broadcast, RFC 8190
        # Azure's platform: a public address that answers from inside its virtual networks.
        # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
        "168.63.129.16/32",
    )
)
# RFC 4291, section 2.4, and https://www.iana.org/assignments/ipv6-address-space: global unicast comes from this block
# only. So ::/8 (unspecified, loopback, IPv4-compatible, -mapped and -translated), 64:ff9b::/96 and
# 64:ff9b:1::/48 (NAT64), 100::/64 (discard), 5f00::/16 (segment routing), fc00::/7 (unique local), fe80::/10 (link
# local), fec0::/10 (site local) and ff00::/8 (multicast) are not public. An address with an IPv4 address inside is
# rejected in any case: the network decides where it leads.
_UNICAST_6 = IPv6Network("2000::/3")
# IANA IPv6 Special-Purpose Address Registry, https://www.iana.org/assignments/iana-ipv6-special-registry.
_NOT_PUBLIC_6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # IETF protocol assignments, RFC 2928: Teredo 2001::/32, benchmarking, ORCHID, DRIP, AMT, AS112
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4, RFC 3056
        "3ffe::/16",  # 6bone, returned to IANA by RFC 3701
        "3fff::/20",  # documentation, RFC 9637
    )
)
# RFC 5214, section 6.1: an interface id of 0:5efe, or 200:5efe, and an IPv4 address, behind any prefix.
_ISATAP_BITS = 32
_ISATAP_MASK = 0xFDFF_FFFF
_ISATAP = 0x5EFE

_LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_BRACKETED = re.compile(r"\[([0-9a-f:.]+)(/\d{1,3})?\](/\d{1,3})?(?::(\d{1,5}))?")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
# Resolvers read a name whose last label is a number as an IPv4 address: 2130706433, 127.1, 0x7f.1.
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


class RefusedAddress(Record):
    """A host that requests may not reach, and the entry of `allowed_addresses` that would allow it. The address is
    not named: editors of an endpoint need not know what internal names resolve to.
    """

    host: str
    entry: str


class _Entry(Record):
    """A host name or a block, with a port or None for all."""

    name: str
    block: IPv4Network | IPv6Network | None
    port: int | None


class AllowedAddresses(Record):
    """The setting `allowed_addresses`. Without entries only public addresses are allowed."""

    entries: tuple[_Entry, ...] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """Reads entries separated by commas. Raises SettingsError."""
        return cls(entries=tuple(_entry(item.strip()) for item in text.split(",") if item.strip()))

    @classmethod
    def of_url(cls, url: str) -> Self:
        """Allows the host and port of this URL, which the operator chose, whatever its address is."""
        host, port = _host_and_port(url)
        return cls.read(entry_for(host, port)) if host else cls()

    def allows_host(self, host: str, port: int) -> bool:
        """Whether an entry names the host, so that it may resolve to any address."""
        name = _bare(host)
        return any(
            entry.block is None and entry.name == name and entry.port in {None, port} for entry in self.entries
        )

    def allows(self, address: Address, port: int) -> bool:
        """Whether requests may reach this address."""
        return is_public(address) or any(
            entry.block is not None
            and entry.port in {None, port}
            and any(form in entry.block for form in _forms(address))
            for entry in self.entries
        )

    def refused_literal(self, url: str) -> RefusedAddress | None:
        """The host of the URL where it is an address, or `localhost`, that may not be reached. Other names are judged
        by what they resolve to when a request is sent.
        """
        host, port = _host_and_port(url)
        addresses = literal_addresses(host)
        if not addresses or self.allows_host(host, port) or any(self.allows(address, port) for address in addresses):
            return None
        return refused(host, port)


PUBLIC_ONLY = AllowedAddresses()


def is_public(address: Address) -> bool:
    """Whether the address is globally reachable unicast, by the tables above."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _NOT_PUBLIC_4)
    if int(address) >> _ISATAP_BITS & _ISATAP_MASK == _ISATAP:
        return False
    return address in _UNICAST_6 and not any(address in block for block in _NOT_PUBLIC_6)


def literal_addresses(host: str) -> tuple[Address, ...]:
    """The address that a URL's host is, in any form that resolvers read (`127.1`, `0x7f000001`, `017700000001`); both
    loopback addresses for `localhost`, which RFC 6761 reserves; nothing for other names.
    """
    bare = _bare(host)
    if bare == "localhost" or bare.endswith(".localhost"):
        return _LOOPBACK
    try:
        return (ipaddress.ip_address(bare.partition("%")[0]),)
    except ValueError:
        pass
    try:
        return (IPv4Address(socket.inet_aton(bare)),)
    except (OSError, ValueError):
        return ()


def has_one_reading(host: str) -> bool:
    """False for an address that programs read differently: 010.0.0.1 is 8.0.0.1 to some, and 10.0.0.1 to others."""
    bare = _bare(host)
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return not _NUMBER.fullmatch(bare)
    return True


def refused(host: str, port: int) -> RefusedAddress:
    """The host that requests may not reach, and the entry that would allow it."""
    return RefusedAddress(host=_bare(host), entry=entry_for(host, port))


def entry_for(host: str, port: int) -> str:
    """The entry of `allowed_addresses` that allows this host and port, and no more."""
    bare = _bare(host)
    addresses = () if _NAME.fullmatch(bare) and not _NUMBER.fullmatch(bare) else literal_addresses(bare)
    shown = str(addresses[0]) if addresses else bare
    return f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, in one form; empty where it has no host. Credentials belong to an origin."""
    host, port = _host_and_port(url)
    # A trailing dot stays: it changes the name in a TLS handshake.
    name = urlsplit(url).hostname if host else ""
    return f"{urlsplit(url).scheme}://{f'[{name}]' if ':' in host else name}:{port}" if host else ""


def _host_and_port(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port if parts.port is not None else DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", 0
    return parts.hostname or "", port


def _bare(host: str) -> str:
    return host.lower().removeprefix("[").removesuffix("]").rstrip(".")


def _forms(address: Address) -> tuple[Address, ...]:
    """The address, and the IPv4 address that it is another form of: a connection to ::ffff:10.0.0.1 goes to
    10.0.0.1.
    """
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (address,) if mapped is None else (address, mapped)


def _entry(text: str) -> _Entry:
    host, port = text.lower(), None
    bracketed = _BRACKETED.fullmatch(host)
    if bracketed is not None:
        host, port = f"{bracketed[1]}{bracketed[2] or bracketed[3] or ''}", bracketed[4]
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    if port is not None and not (port.isdecimal() and len(port) <= len(str(MAX_PORT)) and 0 < int(port) <= MAX_PORT):
        raise _malformed(text)
    number = None if port is None else int(port)
    try:
        return _Entry(name="", block=ipaddress.ip_network(host), port=number)
    except ValueError as error:
        name = host.removesuffix(".")
        if not _NAME.fullmatch(name) or _NUMBER.fullmatch(name):
            raise _malformed(text) from error
        return _Entry(name=name, block=None, port=number)


def _malformed(entry: str) -> SettingsError:
    return SettingsError(
        "setting_invalid",
        f"Invalid entry {entry!r} in allowed_addresses: must be a host name, an IP address or a CIDR block.",
        "Use entries such as crm.internal, 10.0.0.5:8080, 10.1.0.0/16 or [fd00::1]:8080, separated by commas.",
    )
