"""Customer.io's answers, 207 among them: one outcome for each call, and no call counts as accepted that an answer
names as rejected.
"""

from __future__ import annotations

import msgspec

from fuzz.choices import HOSTILE, Choices
from nicobar.connectors import Deferred, Delivered, ReadyCall, Refused, Response
from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.http import HttpEndpoint

CUSTOMERIO, HTTP = CustomerIo(), HttpEndpoint()
TRACK = CUSTOMERIO.open(CUSTOMERIO.example.settings, CUSTOMERIO.example.credentials)
RECEIVER = HTTP.open(HTTP.example.settings, HTTP.example.credentials)
CALL = ReadyCall(method="POST", url=TRACK.url, headers={}, body=b"{}", batchable=True)
V1_CALL = ReadyCall(
    method="POST", url="https://track.customer.io/api/v1/forms/1/submit", headers={}, body=b"{}", batchable=False
)
STATUSES = (200, 207, 204, 201, 100, 301, 400, 401, 404, 405, 408, 410, 413, 425, 429, 500, 503, 599)
NAMES = ("errors", "error", "meta", "batch_index", "reason", "field", "message", "region")
VALUES = (0, 1, 2, 99, -1, True, "required", "invalid", "name", [{"batch_index": 0, "reason": "invalid"}], *HOSTILE)
ENTRY = {"batch_index": 0, "reason": "invalid", "field": "name", "message": "no"}
SEEDS = (bytes(8), b"\2\1\1\1\1" + bytes(range(30)), b"\1\1\0" + b'{"errors":[{"batch_index":1}]}', b"\0\x0e\1\1" * 8)


def run(data: bytes) -> None:
    it = Choices(data)
    calls = [CALL] * (1 + it.byte() % 4) if it.byte() % 8 else [V1_CALL]
    status = it.pick(STATUSES)
    errors = [{**ENTRY, "batch_index": it.byte() % 5} for _ in range(it.byte() % 4)]
    value = it.changed({"errors": errors}, NAMES, VALUES)
    body = it.rest() if it.byte() % 8 == 7 else msgspec.json.encode(value)
    answer = Response(status=status, headers={"retry-after": it.text(12)}, body=body, duration_ms=1)
    found = TRACK.read(calls, answer)
    assert len(found) == len(calls)
    assert (Delivered() in found) <= (200 <= status < 300)
    for outcome in found:
        assert msgspec.json.encode(outcome)
        if isinstance(outcome, Deferred) and outcome.retry_after_ms is not None:
            assert 0 <= outcome.retry_after_ms <= 24 * 3_600_000
    if calls[0] is CALL:
        check_named(found, value, body, status)
    assert len(RECEIVER.read([CALL], answer)) == 1


def check_named(found: list[object], value: object, body: bytes, status: int) -> None:
    """Whatever else the answer says, a call that it names by its number was not accepted."""
    if not isinstance(value, dict) or body != msgspec.json.encode(value) or not 200 <= status < 300:
        return
    errors = value.get("errors")
    for entry in errors if isinstance(errors, list) else []:
        index = entry.get("batch_index") if isinstance(entry, dict) else None
        if type(index) is int and 0 <= index < len(found):
            assert found[index] != Delivered()
    if status == 207 and len(found) > 1:
        assert any(not isinstance(outcome, Delivered) for outcome in found)
    assert all(isinstance(outcome, Delivered | Refused | Deferred) for outcome in found)
