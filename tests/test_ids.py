"""Ids in the field's own text forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicobar.connectors.customerio.track_api import is_ulid
from nicobar.ids import IdFactory, first_id, is_id, made_at_ms, stable_ulid
from nicobar.ksuid import KSUID_BYTES, ksuid_bytes, ksuid_text
from nicobar.ulid import ULID_BYTES, ulid_text

# From the README of https://github.com/segmentio/ksuid, and the ends of the range.
KSUIDS = {
    "0ujtsYcgvSTl8PAuAdqWYSMnLOv": "0669F7EFB5A1CD34B5F99D1154FB6853345C9735",
    "000000000000000000000000000": "00" * KSUID_BYTES,
    "aWgEPTl1tmebfsQzFP4bxwgy80V": "FF" * KSUID_BYTES,
}
# The ends of the range, and one between them that uses every fourth digit.
ULIDS = {
    "00000000000000000000000000": "00" * ULID_BYTES,
    "7ZZZZZZZZZZZZZZZZZZZZZZZZZ": "FF" * ULID_BYTES,
    "01ARZ3NDEKTSV4RRFFQ69G5FAV": "01563E3AB5D3D6764C61EFB99302BD5B",
}


@pytest.mark.parametrize(("text", "raw"), KSUIDS.items())
def test_ksuids_have_the_published_text_form(text, raw):
    assert ksuid_text(bytes.fromhex(raw)) == text
    assert ksuid_bytes(text) == bytes.fromhex(raw)


@pytest.mark.parametrize(("text", "raw"), ULIDS.items())
def test_ulids_have_the_published_text_form(text, raw):
    assert ulid_text(bytes.fromhex(raw)) == text


@given(st.binary(min_size=KSUID_BYTES, max_size=KSUID_BYTES), st.binary(min_size=KSUID_BYTES, max_size=KSUID_BYTES))
def test_ksuids_sort_as_their_bytes_do(first, second):
    assert (ksuid_text(first) < ksuid_text(second)) is (first < second)
    assert ksuid_bytes(ksuid_text(first)) == first


@given(st.binary(min_size=ULID_BYTES, max_size=ULID_BYTES), st.binary(min_size=ULID_BYTES, max_size=ULID_BYTES))
def test_ulids_sort_as_their_bytes_do(first, second):
    assert (ulid_text(first) < ulid_text(second)) is (first < second)
    assert is_ulid(ulid_text(first))


@pytest.mark.parametrize("text", ["", "0" * 26, "0" * 28, "z" * 27, "0" * 26 + "-", "\uff10" * 27])
def test_other_texts_are_no_ksuid(text):
    with pytest.raises(ValueError, match="is not a KSUID"):
        ksuid_bytes(text)


def test_ids_increase_and_tell_when_they_were_created():
    now_ms = 1_780_000_000_000
    ids = IdFactory(lambda: now_ms)
    made = [ids.new("msg") for _ in range(5_000)]
    assert made == sorted(set(made))
    assert all(is_id(text, "msg") and made_at_ms(text) == now_ms for text in made)
    assert first_id("msg", now_ms) <= made[0]
    now_ms -= 60_000
    assert ids.new("msg") > made[-1]


def test_a_stable_ulid_depends_on_every_part_and_its_limits():
    made = {
        stable_ulid(1, "ab", "c"),
        stable_ulid(1, "a", "bc"),
        stable_ulid(1, "abc"),
        stable_ulid(2, "ab", "c"),
        stable_ulid(1, "ab", "c", ""),
    }
    assert len(made) == 5
    assert stable_ulid(1, "ab", "c") in made
