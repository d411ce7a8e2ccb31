"""Where a setting comes from, and what of it people may read."""

from __future__ import annotations

import pytest

from nicobar.errors import SettingsError
from nicobar.setting_sources import read_origins, read_settings
from nicobar.settings import Settings, shown


def test_each_setting_says_where_it_comes_from(tmp_path):
    file = tmp_path / "nicobar.toml"
    file.write_text('port = 1\nrole = "web"\nlog_level = "debug"\n')
    flags = {"port": "3", "host": None}
    environment = {"NICOBAR_PORT": "2", "NICOBAR_ROLE": "all", "NICOBAR_SETTINGS": str(file), "HOME": "/"}
    settings = read_settings(flags, environment)
    assert (settings.port, settings.role, settings.log_level) == (3, "all", "debug")
    assert read_origins(flags, environment) == {
        "port": "--port",
        "role": "environment variable NICOBAR_ROLE",
        "log_level": f"log_level in {file}",
    }


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("", ""),
        ("smtp://mail.example", "smtp://mail.example"),
        ("smtps://mailer@mail.example:465", "smtps://mailer@mail.example:465"),
        ("smtp://mailer:s3cret@mail.example:587", "smtp://mailer:***@mail.example:587"),
        ("smtp://mailer:a%40b@mail.example", "smtp://mailer:***@mail.example"),
        ("smtp://mailer:a@b@mail.example", "smtp://mailer:***@mail.example"),
        ("smtp://:only@mail.example", "smtp://:***@mail.example"),
        ("smtp://mailer:s3cret@[mail.example", "***"),
        ("smtp://mailer:12/cret@mail.example", "***"),
        ("smtp://mailer:12?cret@mail.example", "***"),
        ("smtp://mailer:12#cret@mail.example", "***"),
    ],
)
def test_a_password_in_an_address_is_masked(url, seen):
    assert shown(Settings(alert_smtp_url=url), "alert_smtp_url") == seen


@pytest.mark.parametrize("url", ["smtp://[mail.example", "smtps://mail.example:x", "smtp://mail.example:99999"])
def test_an_address_that_is_none_is_rejected(url):
    with pytest.raises(SettingsError, match="Invalid alert_smtp_url"):
        read_settings({"alert_smtp_url": url, "alert_mail_from": "a@b.example"}, {})


@pytest.mark.parametrize(
    ("text", "message"), [("a = " + "[" * 50_000, "nested too deeply"), ("port = " + "9" * 5_000, "Invalid TOML")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, text, message):
    file = tmp_path / "nicobar.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_settings({}, {"NICOBAR_SETTINGS": str(file)})


def test_a_settings_file_that_is_not_utf_8_is_named(tmp_path):
    file = tmp_path / "nicobar.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"is not UTF-8 text\. Save it as UTF-8\."):
        read_settings({}, {"NICOBAR_SETTINGS": str(file)})


def test_a_number_out_of_bounds_needs_no_description():
    with pytest.raises(SettingsError) as raised:
        read_settings({"port": "99999"}, {})
    assert str(raised.value) == "Invalid --port: must be at most 65535. Got '99999'."


@pytest.mark.parametrize(
    ("database", "direct"),
    [("", "postgresql://db.example/shop"), ("postgresql://pool.example/shop", "sqlite:///nicobar.db")],
)
def test_only_a_server_s_database_has_a_direct_url(database, direct):
    with pytest.raises(SettingsError, match="Invalid database_listen_url"):
        read_settings({"database_url": database, "database_listen_url": direct}, {})


def test_the_direct_url_of_a_pooled_database_is_read():
    flags = {"database_url": "postgresql://pool.example/shop", "database_listen_url": "postgresql://db.example/shop"}
    assert read_settings(flags, {}).direct_database == "postgresql://db.example/shop"


def test_a_retry_schedule_is_read_and_checked():
    assert read_settings({}, {}).retry_after_ms is None
    assert read_settings({"retry_schedule": "1s, 2m"}, {}).retry_after_ms == (1_000, 120_000)
    assert read_settings({}, {"NICOBAR_RETRY_SCHEDULE": "none"}).retry_after_ms == ()
    with pytest.raises(SettingsError, match="'soon' is not a delay"):
        read_settings({"retry_schedule": "soon"}, {})


@pytest.mark.parametrize(
    "proxy",
    [
        "proxy.example:3128",
        "socks5://proxy.example:1080",
        "http://",
        "http://user:secret@",
        "http://user:secret@proxy.example:99999",
        "http://user:secret@proxy.example:0",
        "http://user:secret@proxy.example/path",
        "http://user:sec/ret@proxy.example:3128",
        "http://user:secret@[::1",
    ],
)
def test_an_invalid_proxy_is_rejected_without_its_password(proxy):
    with pytest.raises(SettingsError) as caught:
        read_settings({}, {"NICOBAR_OUTBOUND_PROXY": proxy})
    assert "outbound_proxy" in caught.value.detail
    assert "sec" not in f"{caught.value}".replace("secs", "")


@pytest.mark.parametrize("name", ["outbound_proxy", "alert_smtp_url", "database_url", "database_listen_url"])
def test_a_url_in_a_list_is_rejected_without_its_password(tmp_path, name):
    file = tmp_path / "settings.toml"
    file.write_text(f'{name} = ["http://user:secret@host.example"]')
    with pytest.raises(SettingsError) as caught:
        read_settings({}, {}, file)
    assert "must be text" in caught.value.detail
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize(
    ("proxy", "seen"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128"),
        ("https://user:secret@proxy.example", "https://user:***@proxy.example"),
        ("http://token@proxy.example:3128/", "http://***@proxy.example:3128/"),
    ],
)
def test_a_proxy_is_shown_without_its_credentials(proxy, seen):
    assert shown(read_settings({"outbound_proxy": proxy}, {}), "outbound_proxy") == seen
