"""What the tests of databases share."""

from __future__ import annotations

import pytest

from support import postgres


@pytest.fixture
def url():
    """A PostgreSQL database with our tables."""
    made = postgres.cluster().take_database()
    yield made
    postgres.cluster().give_back(made)
