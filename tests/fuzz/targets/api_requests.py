"""Parameters and bodies of every operation of the API: arguments, or an error that names the part."""

from __future__ import annotations

import json
from urllib.parse import quote

from fuzz.choices import HOSTILE, Choices
from fuzz.typed import body_of, query_of
from nicobar.errors import Refusal
from nicobar.web.api.app import OPERATIONS
from nicobar.web.api.errors import Invalid, InvalidRequest, answer_to
from nicobar.web.api.lookups import PROVIDERS
from nicobar.web.api.request_checks import read_request
from nicobar.web.operations import Operation
from nicobar.web.parameters import Signature

ROWS: list[tuple[Operation, Signature]] = [(row, row.signature(PROVIDERS)) for row in OPERATIONS]
VALUES = (
    "default", "5s", "2026-03-01T09:30:00Z", "https://a.example/", "payment.succeeded", "whsec_AAAA", "ascending",
    {"secs": 5}, [{"secs": 5, "nanos": 0}], ["a"], {"a": "b"}, 50, 251, "50", "true", *HOSTILE,
)  # fmt: skip
SEEDS = (bytes(20), *(bytes([number, 1, 2, 3, 4, 5, 6, 7]) * 6 for number in range(0, 120, 8)), b"\x02\1\0{}[]" * 5)


def fields_of(body: object, seen: set[str]) -> None:
    for name in getattr(body, "__struct_encode_fields__", ()):
        seen.add(name)


def names_of(signature: Signature) -> tuple[str, ...]:
    found: set[str] = set(signature.query_names)
    fields_of(signature.body, found)
    return tuple(sorted(found)) or ("limit",)


NAMES = {row: names_of(signature) for row, signature in ROWS}


def run(data: bytes) -> None:
    it = Choices(data)
    row, signature = it.pick(ROWS)
    names = NAMES[row]
    path = {parameter.argument: it.pick(("default", "1", it.text(40))) for parameter in signature.path}
    query = it.chunk(60) if it.byte() % 4 == 3 else odd_query_of(it, names) if it.flag() else query_of(it, signature)
    if it.byte() % 8 == 7:
        body = it.rest()
    elif it.flag():
        body = json.dumps(body_of(it, signature, names)).encode("utf-8", "surrogatepass")
    else:
        value = {it.name(names): it.json(names, VALUES, 3) for _ in range(it.byte() % 6)}
        body = json.dumps(value if it.byte() % 8 else it.json(names, VALUES)).encode("utf-8", "surrogatepass")
    try:
        arguments = read_request(signature, path=path, query_string=query, body=body)
    except (Invalid, InvalidRequest, Refusal) as error:
        status, answer = answer_to(error)
        assert status in {400, 422}
        assert answer.code
        return
    known = {parameter.argument for parameter in (*signature.path, *signature.query)} | {"data"}
    assert arguments.keys() <= known


def odd_query_of(it: Choices, names: tuple[str, ...]) -> bytes:
    pairs = [f"{quote(it.name(names))}={quote(str(it.pick(VALUES)))}" for _ in range(it.byte() % 4)]
    return "&".join(pairs).encode()
