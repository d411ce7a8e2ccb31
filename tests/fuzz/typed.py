"""Values of the types that the API declares, and values near them."""

from __future__ import annotations

from urllib.parse import urlencode

from msgspec import inspect

from fuzz.choices import HOSTILE, Choices
from nicobar.web.parameters import Signature

TEXTS = (
    "default", "a", "payment.succeeded", "a.b", "https://a.example/", "5s", "5m", "customerio", "http", "x-a",
    "dodo-payments", "whsec_ZHJ5LXJ1bi1kcnktcnVuLWRyeQ==", "function handler(webhook) { return webhook; }",
    "2026-03-01T09:30:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59",
)  # fmt: skip
NUMBERS = (0, 1, 2, 50, 250, 10**6, 2**31, 2**63 - 1, -1)


def value_of(it: Choices, kind: inspect.Type) -> object:  # noqa: C901, PLR0911 - one case a type
    match kind:
        case inspect.Metadata(type=inner):
            return value_of(it, inner)
        case inspect.UnionType(types=types):
            return value_of(it, it.pick(types))
        case inspect.StructType(fields=fields):
            return {
                item.encode_name: value_of(it, item.type) for item in fields if item.required or it.byte() % 4 == 0
            }
        case inspect.ListType(item_type=inner) | inspect.VarTupleType(item_type=inner):
            return [value_of(it, inner) for _ in range(it.byte() % 3)]
        case inspect.DictType(value_type=inner):
            return {it.pick(TEXTS): value_of(it, inner) for _ in range(it.byte() % 3)}
        case inspect.EnumType(cls=members):
            return it.pick([member.value for member in members])
        case inspect.IntType(ge=least) | inspect.FloatType(ge=least):
            return it.pick((*NUMBERS, least if least is not None else 0))
        case inspect.BoolType():
            return it.flag()
        case inspect.NoneType():
            return None
        case inspect.StrType() | inspect.DateTimeType():
            return it.pick(TEXTS)
        case _:
            return it.json(TEXTS)


def body_of(it: Choices, signature: Signature, names: tuple[str, ...]) -> object:
    """As declared, or with up to three changes."""
    value = {} if signature.body is None else value_of(it, inspect.type_info(signature.body))
    return it.changed(value, names, (*TEXTS, *HOSTILE)) if it.byte() % 4 == 0 else value


def query_of(it: Choices, signature: Signature) -> bytes:
    pairs = []
    for parameter in signature.query:
        if parameter.is_required or it.byte() % 4 == 0:
            value = value_of(it, inspect.type_info(parameter.annotation))
            values = value if isinstance(value, list) else [value]
            shown = [str(item).lower() if isinstance(item, bool) else item for item in values if item is not None]
            pairs += [(it.pick(parameter.names), item) for item in shown]
    return urlencode(pairs).encode()
