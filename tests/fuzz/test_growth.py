"""Parsers take time in proportion to their input: four times as much input runs about four times as many lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import msgspec
import pytest

from nicobar.addresses import AllowedAddresses
from nicobar.connectors import ReadyCall, Response
from nicobar.connectors.customerio.answers import outcomes
from nicobar.connectors.customerio.error_checks import check
from nicobar.errors import NicobarError
from nicobar.model import Call
from nicobar.nesting import is_deeper
from nicobar.pipeline.batching import plan
from nicobar.pipeline.exact_numbers import find_rounded, rounded_in
from nicobar.pipeline.unreadable import repaired
from nicobar.retry_schedule import read_schedule
from nicobar.sources.dodo import DodoPayments
from nicobar.sources.signing import verify
from nicobar.store.bodies import holds
from nicobar.web.api.app import OPERATIONS
from nicobar.web.api.lookups import PROVIDERS
from nicobar.web.api.request_checks import read_request
from nicobar.web.dashboard.forms import read_variables
from nicobar.web.dashboard.language import choose
from nicobar.web.dashboard.search import read_search
from nicobar.web.dashboard.sessions import _cookies
from nicobar.web.query_names import given_names

SECRET = "whsec_" + "A" * 32
CALL = ReadyCall(method="POST", url="https://track.customer.io/api/v2/entity", headers={}, body=b"{}", batchable=True)
ITEM = {"type": "person", "action": "identify", "identifiers": {"id": "a"}}
ROW = next(row for row in OPERATIONS if row.method == "POST" and row.path.endswith("/msg"))
SIGNATURE = ROW.signature(PROVIDERS)
NUMBERS = b"[" + b",".join(b"9007199254740993" for _ in range(50)) + b"]"


def signed(count: int) -> None:
    headers = {"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA " * count}
    verify(headers, b"", [SECRET], 1_000)


def asked(count: int) -> None:
    body = b"{" + b",".join(b'"a%d":[{}]' % number for number in range(count)) + b"}"
    read_request(SIGNATURE, path={"app_id": "a"}, query_string=b"a=b&" * count, body=body)


def answered(count: int) -> None:
    errors = [{"batch_index": number, "reason": "invalid"} for number in range(count)]
    answer = Response(status=207, headers={}, body=msgspec.json.encode({"errors": errors}), duration_ms=1)
    outcomes([CALL] * count, answer, "us")


def checked(count: int) -> None:
    item = {**ITEM, "attributes": {f"a{number}": ["x"] for number in range(count)}}
    list(check("", item, msgspec.json.encode(item)))


def compared(count: int) -> None:
    calls = [Call(method="POST", url="", headers={}, payload={f"a{number}": "9007" for number in range(count)})]
    rounded_in(calls, find_rounded(NUMBERS))


PARSERS: dict[str, Callable[[int], object]] = {
    "signatures": signed,
    "event": lambda count: DodoPayments().read({}, b'{"type":"a.b","data":{%s"a":1}}' % (b'"b":{},' * count)),
    "half an event": lambda count: repaired(b"[%s1e999]" % (b'"\\ud800",' * count)),
    "brackets": lambda count: is_deeper(b"[]" * count),
    "rounded numbers": lambda count: find_rounded(b"[%s1]" % (b"9007199254740993," * count)),
    "numbers in calls": compared,
    "attributes": checked,
    "answers": answered,
    "deliveries": lambda count: plan([[CALL]] * count, None, range(count)),
    "a body and a query": asked,
    "search": lambda count: read_search("a." * count + "a = b"),
    "payload": lambda count: holds(b"[%s1]" % (b'{"a":[2]},' * count), ("a",), "1"),
    "schedule": lambda count: read_schedule("5s," * count),
    "variables": lambda count: read_variables("".join(f"a{number}=b\n" for number in range(count))),
    "languages": lambda count: choose("", "xx;q=1," * count),
    "cookies": lambda count: _cookies("a=b; " * count),
    "query names": lambda count: given_names(b"a=b&" * count),
    "allowed addresses": lambda count: AllowedAddresses.read("10.0.0.1," * count),
}
COUNT = 60
# Lines of Python's own modules that read their tables at the first use.
CONSTANT_LINES = 300


def lines_of(parse: Callable[[int], object], count: int) -> int:
    lines = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> object:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        parse(count)
    except NicobarError:
        pass
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("name", PARSERS)
def test_work_grows_with_the_input_and_no_faster(name):
    parse = PARSERS[name]
    lines_of(parse, COUNT)
    few, many = lines_of(parse, COUNT), lines_of(parse, 4 * COUNT)
    assert many <= 5 * few + CONSTANT_LINES, (few, many)
