"""Searches in the bodies of messages."""

from __future__ import annotations

import pytest

from nicobar.store.bodies import holds


@pytest.mark.parametrize("step", ["9" * 13, "9" * 5_000])
def test_a_number_that_is_no_index_finds_nothing(step):
    assert not holds(b'{"a":[1]}', ("a", step), "1")
    assert holds(b'{"a":[1]}', ("a", "0"), "1")
