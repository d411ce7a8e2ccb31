"""The contract of Customer.io: our check and the emulator's, written apart, judge every call alike."""

from __future__ import annotations

from urllib.parse import unquote

from fuzz.choices import HOSTILE, Choices
from nicobar.connectors.customerio.error_checks import check
from nicobar.connectors.customerio.error_checks_v1 import check_v1
from nicobar.connectors.customerio.track_api import ACTIONS, V1_CALLS, V1_ROOT
from nicobar.connectors.payload import encoded
from nicobar.emulator import v1
from nicobar.emulator.contract import Mode, problems
from support.track_calls import FIELDS, TEAM, ULID, V1_BODIES

BASES = [
    {"type": kind, "action": name, **{field: FIELDS[field] for field in (*action.required, *action.optional)}}
    for kind, actions in ACTIONS.items()
    for name, action in actions.items()
]
NAMES = (
    *FIELDS,
    "type",
    "action",
    "email",
    "cio_id",
    "object_type_id",
    "object_id",
    "token",
    "data",
    "ids",
    "_timestamp",
)
VALUES = (
    TEAM, {"id": "a"}, {"id": 5}, {"email": "a@b.example"}, [{"identifiers": TEAM}], "person", "object", "delivery",
    "event", "identify", "opened", ULID, ULID.lower(), "x" * 151, "é" * 76, "+15551234567", 10**11, ["a"], *HOSTILE,
)  # fmt: skip
WHO = ("ada", "a%2F1", "cio_03", "a%40b.example", "x" * 151, "%C3%A9" * 76)
SEEDS = (bytes(12), *(bytes([0, number, 1, 2, 3, number]) * 4 for number in range(18)), b"\1" + bytes(range(40)))


def run(data: bytes) -> None:
    it = Choices(data)
    if it.byte() % 4:
        item = it.changed(it.pick(BASES), NAMES, VALUES)
        if isinstance(item, dict):
            ours, theirs = list(check("", item, encoded(item))), list(problems(item))
            assert bool(ours) is bool(theirs), (item, ours, theirs)
        return
    call = it.pick([call for call in V1_CALLS if call.root == V1_ROOT])
    who = it.pick(WHO)
    segments = [who if part == "*" and call.segments[0] == "customers" else part for part in call.segments]
    path = "/api/v1/" + "/".join(segments).replace("*", "7")
    body = None if call.body == "none" else it.changed(V1_BODIES[call.body], NAMES, VALUES)
    ours = list(check_v1("", call, path, body))
    read = v1.read(call.method, [unquote(part) for part in path.split("/")[3:]], {}, body, Mode.STRICT)
    assert read is not None
    assert bool(ours) is bool(read.problems), (path, body, ours, read.problems)
