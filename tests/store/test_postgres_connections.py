"""How connections to PostgreSQL are named, made, and given up."""

from __future__ import annotations

import psycopg
import pytest

from nicobar.errors import StoreUnusable
from nicobar.store.postgres import apply_migrations
from nicobar.store.postgres.connection import connect
from nicobar.store.postgres.location import PostgresLocation
from support import postgres


@pytest.fixture
def url():
    """A database with our tables."""
    made = postgres.cluster().create_database(template=postgres.template())
    yield made
    postgres.cluster().drop_database(made)


@pytest.mark.parametrize(
    "password",
    [
        "hid%zzden",
        "hid/den",
        "1/den",
        "hid#den",
        "hid?den",
        "hid@den",
        "hid[den",
        "hid%00den",
        "100%hidden",
        "hidden",
    ],
)
def test_no_part_of_a_password_is_shown(password):
    url = f"postgresql://nicobar:{password}@127.0.0.1:1/shop"
    with pytest.raises(StoreUnusable) as caught:
        apply_migrations(url, 1)
    assert not [part for part in ("hid", "den") if part in str(caught.value) + name_of(url)]


def name_of(url: str) -> str:
    """The shown name, or the refusal."""
    try:
        return PostgresLocation(url).name
    except StoreUnusable as error:
        return f"{error.code} {error} {error.__context__ if not error.__suppress_context__ else ''}"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://nicobar:hid#den@db.example:5432/shop", "postgresql://db.example:5432/shop"),
        ("postgres://nicobar@a.example,b.example/shop?password=hidden", "postgresql://a.example,b.example/shop"),
        ("postgresql://a.example:1,[::1]:2/shop", "postgresql://a.example:1,[::1]:2/shop"),
        ("postgresql:///shop?host=/run/postgresql", "postgresql:///shop"),
        ("postgresql:///shop?host=db.example&port=1", "postgresql://db.example:1/shop"),
    ],
)
def test_a_database_is_named_by_host_port_and_name(url, name):
    assert PostgresLocation(url).name == name


def test_a_password_in_the_driver_s_error_is_replaced(monkeypatch):
    def fail(*_, **__):
        raise psycopg.OperationalError("no access with 'hid@den' (hid%40den)")

    monkeypatch.setattr(psycopg, "connect", fail)
    with pytest.raises(psycopg.OperationalError) as caught:
        connect("postgresql://nicobar:hid%40den@127.0.0.1:1/shop")
    assert str(caught.value) == "no access with '***' (***)"
    assert caught.value.__suppress_context__
