"""How an endpoint's settings are stored."""

from __future__ import annotations

import msgspec

from nicobar.store.tables.rows import settings_to_store, stored_settings


def test_the_previous_version_reads_settings_with_maps():
    settings = {"region": "us", "on": True, "n": 1, "event_names": {"a": '{"b"}'}, "name_prefix": "{}"}
    stored = settings_to_store(settings)
    assert msgspec.convert(stored, dict[str, str | int | bool]) == stored
    assert stored_settings(stored) == settings
