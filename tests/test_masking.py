"""Secret values in text that is stored or shown."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest

from nicobar.masking import MASK, Secrets

VALUE = 'p&ss "wörd"\\/+ <x>'
SECRETS = Secrets({"KEY": VALUE, "OTHER": "p&ss"})


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        json.dumps(VALUE)[1:-1],
        json.dumps(VALUE, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(VALUE, ensure_ascii=False), ensure_ascii=False)[3:-3],
        quote(VALUE, safe=""),
        quote_plus(VALUE),
        "p&amp;ss &quot;wörd&quot;\\/+ &lt;x&gt;",
    ],
)
def test_a_value_is_masked_in_every_usual_form(form):
    assert SECRETS.masked(f"a {form} b {form}") == f"a {MASK} b {MASK}"
    assert SECRETS.masked_bytes(f'{{"a":"{form}"}}'.encode()) == f'{{"a":"{MASK}"}}'.encode()
    assert SECRETS.masked_json({form: [form, 1, None]}) == {MASK: [MASK, 1, None]}


def test_the_beginning_of_a_value_at_a_cut_is_masked():
    assert Secrets({"KEY": "abcdefgh"}).masked("so abcdef…") == f"so {MASK}…"
    assert Secrets({"KEY": "abcdefgh"}).masked("so abcdef") == f"so {MASK}"
    assert Secrets({"KEY": "abcdefgh"}).masked("so abc") == "so abc"


@pytest.mark.parametrize(
    "text", ["", "abca", "x abcab", "abcabcab", "abcabcabcabd", "abcabcabcabx", "abcabca…", "abcd"]
)
def test_the_longest_beginning_at_the_end_is_masked(text):
    value = "abcabcabcabd"
    bare = text.replace(value, MASK).removesuffix("…")
    size = max((size for size in range(4, len(value)) if bare.endswith(value[:size])), default=0)
    shown = f"{bare[: len(bare) - size]}{MASK}" if size else bare
    assert Secrets({"KEY": value}).masked(text) == shown + "…" * text.endswith("…")


def test_long_values_take_time_in_proportion_to_the_text():
    values = {f"KEY_{number}": f"{number}\n" + "x/" * 4_000 for number in range(100)}
    secrets = Secrets(values)
    for _ in range(100):
        assert secrets.masked("an answer") == "an answer"


def test_short_credentials_do_not_mask_other_text():
    assert Secrets(others=["1", "on", "long enough"]).masked("1 on long enough") == f"1 on {MASK}"
    assert Secrets({"FLAG": "7"}).masked("7 of 17") == f"{MASK} of 1{MASK}"


def test_bytes_that_are_no_text_stay():
    assert SECRETS.masked_bytes(b"\xff p&ss") == f"\udcff {MASK}".encode("utf-8", "surrogateescape")


def test_values_are_taken_out_and_put_back_in_their_form():
    body = json.dumps({"a": VALUE, "b": f"x {VALUE}"}) + quote(VALUE, safe="")
    taken = SECRETS.taken_out({"body": body, "n": 1}, "mark")
    assert "wörd" not in str(taken)
    assert "w\\u00f6rd" not in str(taken)
    assert SECRETS.put_back(taken, "mark") == {"body": body, "n": 1}
    assert SECRETS.put_back(taken, "other mark") == taken
    changed = Secrets({"KEY": "new", "OTHER": ""}).put_back(taken, "mark")
    assert changed == {"body": json.dumps({"a": "new", "b": "x new"}) + "new", "n": 1}
    with pytest.raises(KeyError):
        Secrets({"OTHER": "p"}).put_back(taken, "mark")


def test_nothing_shows_the_values():
    assert "p&ss" not in repr(SECRETS)
    assert not Secrets({"EMPTY": ""})
    assert Secrets().masked("text") == "text"
