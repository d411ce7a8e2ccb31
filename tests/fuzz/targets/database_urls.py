"""Database URLs: used, or rejected; a password is in no text for people."""

from __future__ import annotations

from urllib.parse import quote

from fuzz.choices import Choices
from nicobar.errors import SettingsError, StoreUnusable
from nicobar.settings import Settings, shown
from nicobar.store.postgres import url as postgres_url

PASSWORDS = ("hidden", "hid:den", "hid@den", "hid/den", "hid%den", "hid?den", "hid#den", "hid den", "hid[den")
SCHEMES = ("postgresql://", "postgres://", "POSTGRESQL://", "sqlite:///", "mysql://", "")
HOSTS = (
    "db.example", "db.example:5432", "[::1]:5432", "[::1", "/run/postgresql", "a,b:1,c", "db.example:x", "%2Frun", "",
)  # fmt: skip
QUERIES = ("", "?sslmode=require", "?password=hidden", "?host=/run", "?port=1,2", "?a", "?sslpassword=hidden")
SEEDS = (bytes(10), bytes(range(20)), b"\1\2\3\4\5\6\7\x08" * 3, b"\0\7\0\6\2" * 5)


def run(data: bytes) -> None:
    it = Choices(data)
    password = it.pick(PASSWORDS)
    written = quote(password, safe="") if it.byte() % 4 else password
    user = it.pick((f"nicobar:{written}@", "nicobar@", "", f":{written}@", it.text(8)))
    path = it.pick(("/nicobar", "", "/", "/" + it.text(8)))
    text = it.pick(SCHEMES) + user + it.pick(HOSTS) + path + it.pick(QUERIES)
    if "://" in text and "#" not in user + path:
        assert written not in shown(Settings(database_url=text), "database_url"), text
    try:
        _ = Settings(database_url=text).database
    except SettingsError as error:
        assert password not in str(error)
    try:
        name = postgres_url.shown(text)
        message = postgres_url.without_password(f"cannot reach {text}", text)
    except StoreUnusable as error:
        assert "hid" not in str(error)
        return
    if written != password and "password" not in text:
        assert "hid" not in name
        assert written not in message or user.find(written) < 0
