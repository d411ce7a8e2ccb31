"""Which addresses are public, what the setting `allowed_addresses` means, and when two URLs have one origin."""

from __future__ import annotations

import ipaddress

import pytest

from nicobar.addresses import AllowedAddresses, entry_for, is_public, origin_of
from nicobar.connectors.fields import is_plain_url
from nicobar.errors import SettingsError
from nicobar.setting_sources import read_settings
from support.urls import NOT_PUBLIC, PUBLIC, UNUSUAL_LOOPBACK


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_special_purpose_addresses_are_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_beside_special_purpose_blocks_are_public(address):
    assert is_public(ipaddress.ip_address(address))


def test_nothing_that_python_calls_private_is_public():
    for address in (*NOT_PUBLIC, *PUBLIC):
        parsed = ipaddress.ip_address(address)
        if not parsed.is_global or parsed.is_multicast:
            assert not is_public(parsed), address


@pytest.mark.parametrize("url", UNUSUAL_LOOPBACK)
def test_unusual_forms_of_loopback_are_rejected_when_saved(url):
    assert not is_plain_url(url) or AllowedAddresses().refused_literal(url) is not None


@pytest.mark.parametrize(
    "url", ["https://crm.example/x", "http://my_service:8080", "https://1.1.1.1/", "http://[2a00::1]/"]
)
def test_public_literals_and_names_can_be_saved(url):
    assert is_plain_url(url)
    assert AllowedAddresses().refused_literal(url) is None


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("http://127.0.0.1:8081", "127.0.0.1:8081"),
        ("https://10.0.0.5/x", "10.0.0.5:443"),
        ("http://[fd00::1]/", "[fd00::1]:80"),
        ("http://localhost:8081/", "localhost:8081"),
        ("http://LOCALHOST./", "localhost:80"),
        ("http://2130706433:81/", "127.0.0.1:81"),
    ],
)
def test_the_entry_that_is_named_allows_the_address(url, entry):
    refused = AllowedAddresses().refused_literal(url)
    assert refused is not None
    assert refused.entry == entry
    allowed = AllowedAddresses.read(f"other.example, {refused.entry}")
    assert allowed.refused_literal(url) is None
    assert allowed.refused_literal("http://127.0.0.2:9/") is not None


@pytest.mark.parametrize(
    "entry",
    [
        *("http://crm.internal", "crm.internal/x", "crm internal", "*.internal", "10.0.0.1/8", "10.0.0.0/33", ":80"),
        *(
            "crm.internal:0",
            "crm.internal:65536",
            "crm.internal:" + "9" * 5_000,
            "crm.internal:x",
            "127.1",
            "0x7f.0.0.1",
            "[::1",
            "[crm]:80",
            "::1:x:",
        ),
        *("::1:x:", "user@crm.internal", "crm.internal:80:81", "fe80::/200"),
    ],
)
def test_a_malformed_entry_is_named_with_what_to_write(entry):
    with pytest.raises(SettingsError) as caught:
        read_settings({"allowed_addresses": f"10.0.0.1, {entry}"}, {})
    assert repr(entry) in caught.value.detail
    assert "[fd00::1]:8080" in caught.value.fix


def test_the_setting_is_read_from_the_environment():
    settings = read_settings({}, {"NICOBAR_ALLOWED_ADDRESSES": " crm.internal:8080 ,10.0.0.0/8,, [::1]:81 "})
    assert len(settings.allowed.entries) == 3
    assert settings.allowed.allows_host("CRM.internal.", 8080)
    assert not settings.allowed.allows_host("crm.internal", 80)


@pytest.mark.parametrize(
    ("url", "other", "same"),
    [
        ("https://a.example/x", "https://a.example:443/y?z=1", True),
        ("https://A.example", "https://a.example/", True),
        ("http://a.example:80/", "http://a.example/", True),
        ("http://a.example/", "https://a.example/", False),
        ("https://a.example/", "https://a.example:8443/", False),
        ("https://a.example/", "https://b.a.example/", False),
        ("https://a.example/", "https://a.example.evil.example/", False),
        ("https://a.example/", "https://a.example./", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(url, other, same):
    assert (origin_of(url) == origin_of(other)) is same


def test_entries_are_written_in_the_form_they_are_read():
    assert [entry_for("::1", 80), entry_for("CRM.internal.", 8080)] == ["[::1]:80", "crm.internal:8080"]
