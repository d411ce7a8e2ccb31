"""How deep JSON is, however large it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicobar.nesting import MAX_DEPTH_LEVELS, is_deeper

TEXTS = st.text() | st.sampled_from(['"', "\\", '\\"', "[[[[", "}{", '"[', "\\\\", "\n"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=60,
)


def depth(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(VALUES, st.booleans(), st.integers(0, 12))
def test_depth_is_the_deepest_list_or_object(value, ascii_only, levels):
    content = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert is_deeper(content, levels) is (depth(value) > levels)


@pytest.mark.parametrize("levels", [200, 980, 400_000])
@pytest.mark.parametrize(("opened", "closed"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
def test_large_depths_are_measured_without_recursion(opened, closed, levels):
    each = 2 if opened.startswith(b"[{") else 1
    content = opened * levels + b"1" + closed * levels
    assert not is_deeper(content, levels * each)
    assert is_deeper(content, levels * each - 1)


@pytest.mark.parametrize("content", [b"", b"]" * 500, b'"' + b"[" * 500 + b'"', b'{"a":"\\"' + b"{" * 300 + b'"}'])
def test_brackets_that_open_nothing_are_not_counted(content):
    assert not is_deeper(content)


def test_a_wide_body_is_not_deep():
    assert not is_deeper(b"[" + b",".join([b'{"a":[]}'] * 50_000) + b"]")
    assert MAX_DEPTH_LEVELS == 200
