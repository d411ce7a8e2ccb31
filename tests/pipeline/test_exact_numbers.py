"""Integers beyond 2^53 never reach a destination rounded."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.model import Call, DeliveryState
from nicobar.pipeline.exact_numbers import find_rounded, rounded_in
from support.api import asking

BIG = "9007199254740993"
TEXTS = {
    "9007199254740993": "9007199254740992",
    "-9007199254740993": "-9007199254740992",
    "12345678901234567890": "12345678901234567000",
    "18446744073709551617": "18446744073709552000",
    "12345678901234567890123": "1.2345678901234568e+22",
    "100000000000000000000001": "1.0000000000000001e+23",
    "9007199254740993.0": "9007199254740992",
}


def body(number: str) -> bytes:
    return f'{{"data":{{"no":{number},"list":[1,{{"a b":{number}}}],"text":"{number}"}}}}'.encode()


@pytest.mark.parametrize("digits", TEXTS)
def test_rounded_numbers_are_found_with_path_and_text(digits):
    found = find_rounded(body(digits))
    assert [(number.path, number.digits, number.text) for number in found] == [
        ("data.no", digits, TEXTS[digits]),
        ('data.list[1]["a b"]', digits, TEXTS[digits]),
    ]


@pytest.mark.parametrize(
    "digits",
    ["0", "9007199254740992", "9007199254740994", "-9007199254740992", "1.5", "0.12345678901234567", "1e400"],
)
def test_exact_numbers_are_not_found(digits):
    assert find_rounded(body(digits)) == ()


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, b"1234567890123456", b'{"a":' + b"9" * 5_000 + b"}"])
def test_any_body_can_be_searched(content):
    assert find_rounded(content) == ()


def verdicts(*values: object) -> list[str]:
    calls = [Call(method="POST", url="https://a.example", headers={}, payload={"value": value}) for value in values]
    return [verdict.path for verdict in rounded_in(calls, find_rounded(body(BIG)))]


def test_rounded_number_is_an_error_wherever_it_is():
    rounded = 9007199254740992
    assert verdicts(
        rounded, float(rounded), f"{rounded}", f"order-{rounded}", [{"x": rounded}], {f"{rounded}": 1}
    ) == [
        "[0].payload.value",
        "[1].payload.value",
        "[2].payload.value",
        "[3].payload.value",
        "[4].payload.value[0].x",
        "[5].payload.value",
    ]
    assert verdicts(int(BIG), BIG, f"1{rounded}", f"{rounded}1", 1, [True, None], 10**400, "") == []


CODES = {
    "as a number": "{no: w.payload.data.no}",
    "as text": "{no: String(w.payload.data.no)}",
    "within text": "{no: `order ${w.payload.data.no}`}",
    "computed": "{no: w.payload.data.list[1]['a b'] * 1}",
}


@pytest.mark.parametrize("code", CODES)
async def test_handler_that_passes_on_a_rounded_number_fails(tmp_path, code):
    event = f'nicobar.event("paid", {CODES[code]}, {{identifiers: {{id: "c"}}}})'
    handler = f"function handler(w) {{ w.payload = {event}; return w; }}"
    async with asking(tmp_path, handler) as api:
        await api.nicobar.send(b'{"type":"a.b",' + body(BIG)[1:], "evt_1")
        attempt = (await api.nicobar.next_recorded()).attempt
        assert (attempt.state, attempt.reason.code) == (DeliveryState.FAILED, "rounded_number")
        assert {"[0].payload.attributes.no", BIG} <= {attempt.reason.location, attempt.reason.values["digits"]}
        assert "data." in attempt.reason.values["path"]
        assert not api.nicobar.state.activities


async def test_exact_gives_the_digits(tmp_path):
    handler = """function handler(w) {
      const paths = ["data.no", "data.list[1]['a b']", "data.list.1.a b", "data.list[0]", "data.text", "data.none.x",
        "data"];
      const given = Object.fromEntries(paths.map((path, at) => [`p${at}`, nicobar.exact(path.replaceAll("'", '"'))]));
      w.payload = nicobar.event("paid", given, {identifiers: {id: nicobar.exact("data.no")}});
      return w;
    }"""
    async with asking(tmp_path, handler) as api:
        await api.nicobar.send(b'{"type":"a.b",' + body(BIG)[1:], "evt_1")
        attempt = (await api.nicobar.next_recorded()).attempt
        assert attempt.state is DeliveryState.SUCCESS, attempt.reason
        sent = msgspec.json.decode(attempt.requests[0].body)
        assert sent["identifiers"] == {"id": BIG}
        assert list(sent["attributes"].values()) == [BIG, BIG, BIG, "1", BIG, None, None]
