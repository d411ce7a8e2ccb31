"""Numbers that JavaScript rounds: found exactly where Python's own conversion differs."""

from __future__ import annotations

import json
from decimal import Decimal

from fuzz.choices import Choices
from nicobar.model import Call
from nicobar.pipeline.exact_numbers import exact_texts, find_rounded, rounded_in

DIGITS = (
    "9007199254740993", "-9007199254740993", "9007199254740992", "9" * 16, "9" * 30, "1" + "0" * 22, "9" * 500,
    "1e400",
    "9007199254740993.0", "900719925474099.3e1", "1e-400", "12345678901234567890e0", "0.1234567890123456789", "1E+22",
)  # fmt: skip
SEEDS = (
    b"\0" + b'{"a":9007199254740993}',
    b"\1" + bytes(range(40)),
    b"\0" + b"[1e400,9999999999999999]",
    b"\1\0\3" * 12,
)


def run(data: bytes) -> None:
    it = Choices(data)
    if it.flag():
        parts = [
            f"{json.dumps(it.pick(('a', 'b c', '', '.', it.text(7))))}:{it.pick(DIGITS)}"
            for _ in range(it.byte() % 5)
        ]
        body = ("{" + ",".join(parts) + "}").encode()
    else:
        body = it.rest()
    found = find_rounded(body)
    assert len(exact_texts(found)) <= len(found)
    for number in found:
        assert Decimal(number.rounded) != Decimal(number.digits)
        assert Decimal(number.text) == Decimal(number.text)
        assert float(number.text) == number.rounded
    calls = [Call(method="POST", url="https://a.example/", headers={}, payload=[item.rounded, item.text, item.digits])
             for item in found[:5]]  # fmt: skip
    assert len(rounded_in(calls, found)) >= len({item.path for item in found[:5]} and calls and [1])
    check_plainly(body, bool(found))


def check_plainly(body: bytes, found: bool) -> None:  # noqa: FBT001 - a result
    """Integers between 2^53 and 10^300 are found if, and only if, a float is another number."""
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict) and len(value) == 1:
        (number,) = value.values()
        if type(number) is int and 10**15 <= abs(number) < 10**300:
            assert found is (int(float(number)) != number)
