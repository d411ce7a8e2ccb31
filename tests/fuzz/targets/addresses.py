"""URLs and addresses: nothing that a resolver reads as a private address counts as public, in any form."""

from __future__ import annotations

import ipaddress
import socket

from fuzz.choices import Choices
from nicobar.addresses import (
    PUBLIC_ONLY,
    AllowedAddresses,
    entry_for,
    has_one_reading,
    is_public,
    literal_addresses,
    origin_of,
)
from nicobar.connectors.fields import is_plain_url
from nicobar.connectors.http import HttpEndpoint
from nicobar.errors import SettingsError, UserError

HOSTS = (
    "127.0.0.1", "2130706433", "0x7f.1", "017700000001", "127.1", "[::1]", "[::ffff:127.0.0.1]", "localhost",
    "LOCALHOST.",
    "a.localhost", "[fe80::1%25eth0]", "169.254.169.254", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "example.com",
    "\uff11\uff12\uff17.0.0.1",
    "user@127.0.0.1", "127.0.0.1\\@example.com", "example.com#@127.0.0.1", "[::", "a..b", "xn--a", "0", "",
    "%31%32%37.1",
)  # fmt: skip
PORTS = ("", ":80", ":0", ":99999", ":", ":-1", ":٣", ":8080")
ENTRIES = (
    "10.0.0.0/8",
    "crm.internal:8080",
    "[fd00::1]:80",
    "10.0.0.1/33",
    "*",
    "fd00::/8",
    "-a",
    "a:b:c",
    "127.0.0.1:0",
)
SEEDS = (bytes(8), b"\0\5\1\2", bytes(range(30)), b"\1http://127.0.0.1/", b"\2\3\4" * 8, b"\0\xff127.0.0.1")


def run(data: bytes) -> None:
    it = Choices(data)
    host = it.pick((*HOSTS, it.text(24)))
    url = f"{it.pick(('http', 'https', 'HTTP', 'ftp', 'file', ''))}://{host}{it.pick(PORTS)}/{it.text(8)}"
    _ = origin_of(url), has_one_reading(host)
    refused = PUBLIC_ONLY.refused_literal(url)
    addresses = literal_addresses(host)
    check_literal(host, addresses)
    if refused is not None:
        try:
            allowed = AllowedAddresses.read(refused.entry)
        except SettingsError:
            assert not is_plain_url(url) or not has_one_reading(host)
        else:
            assert allowed.refused_literal(url) is None
    try:
        HttpEndpoint().open({"url": url}, dict(HttpEndpoint.example.credentials))
    except UserError as error:
        assert error.detail
    address = address_of(it)
    check_address(address)
    text = ",".join(it.pick((*ENTRIES, it.text(16))) for _ in range(it.byte() % 4))
    try:
        AllowedAddresses.read(text).allows(address, 80)
    except SettingsError as error:
        assert error.detail
    _ = entry_for(host, 80)


def address_of(it: Choices) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if it.flag():
        return ipaddress.IPv4Address(it.number(2**32 - 1))
    start = it.pick(("::ffff:0:0", "64:ff9b::", "2002::", "fe80::", "2001:db8::", "2600::", "::", "fec0::"))
    return ipaddress.IPv6Address(int(ipaddress.IPv6Address(start)) | it.number(2**64 - 1))


def check_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """What Python's own tables call private, ours call so too: ours are newer."""
    if (
        address.is_private
        or address.is_multicast
        or address.is_loopback
        or address.is_link_local
        or address.is_reserved
    ):
        assert not is_public(address), address
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        assert not is_public(address)


def check_literal(host: str, addresses: tuple[object, ...]) -> None:
    """A host that the C library reads as an IPv4 address is one."""
    try:
        packed = socket.inet_aton(host)
    except (OSError, ValueError):
        return
    assert addresses == (ipaddress.IPv4Address(packed),)
