"""Reads a request as strictly as documented: unknown names in the query and the body are rejected, and so are values
of other types.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, islice
from typing import Any

import msgspec
from msgspec import inspect

from nicobar.errors import Refusal
from nicobar.nesting import MAX_DEPTH_LEVELS, is_deeper
from nicobar.suggestions import closest
from nicobar.value_errors import place, requirement
from nicobar.web.api.errors import Invalid, InvalidRequest
from nicobar.web.api.shapes import ValidationDetail
from nicobar.web.parameters import BODY, InvalidValue, Signature, enum_of, read_path, read_query
from nicobar.web.query_names import given_names, given_values, shortened

MAX_UNKNOWN = 20
_JSON_SPACE = b" \t\r\n"  # RFC 8259, section 2
_ONLY_NULL = "Expected `null`, got "
_TRUNCATED = "Input data was truncated"
_DECODE_ERROR = re.compile(r"JSON is malformed: (.*)")


def read_request(
    signature: Signature, *, path: Mapping[str, object], query_string: bytes, body: bytes
) -> dict[str, object]:
    """The arguments in the request. A body whose fields are all optional may be empty. Raises Invalid or
    InvalidRequest for an invalid request, Refusal 400 for a body that is not JSON.
    """
    body = body.strip(_JSON_SPACE)
    if is_deeper(body):
        raise Refusal(
            400,
            "body_too_deep",
            f"The body is nested deeper than {MAX_DEPTH_LEVELS} levels.",
            "Send a flatter body.",
        )
    try:
        _check_names(signature, query_string, body)
        arguments = _path_and_query(signature, path, query_string)
        if signature.body is not None:
            arguments[BODY] = msgspec.json.decode(body or b"{}", type=signature.body)
    except msgspec.ValidationError as error:
        raise _invalid(error, signature, body) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refusal(
            400, "request_invalid", f"The body is not valid JSON{_cause(error)}.", "Send JSON in UTF-8."
        ) from error
    return arguments


def _check_names(signature: Signature, query_string: bytes, body: bytes) -> None:
    """Raises InvalidRequest for unknown names."""
    kind = None if signature.body is None else _kind(signature.body)
    found = _unknown_parameters(query_string, signature, kind)
    parameters = signature.query_names
    if body and kind is not None:
        found = chain(found, _unknown_fields(body, kind, parameters))
    elif body:
        found = chain(found, _fields_of_no_body(body, parameters))
    unknown = list(islice(found, MAX_UNKNOWN))
    if unknown:
        raise InvalidRequest(unknown)


def _path_and_query(signature: Signature, path: Mapping[str, object], query_string: bytes) -> dict[str, object]:
    arguments, wrong = read_path(signature.path, path)
    queried, more = read_query(signature.query, given_values(query_string))
    check_values([*wrong, *more])
    return {**arguments, **queried}


def check_values(wrong: Sequence[InvalidValue]) -> None:
    """Raises InvalidRequest for an invalid value."""
    if wrong:
        raise InvalidRequest(
            [
                ValidationDetail(loc=[item.place, item.name], msg=f"{item.name} {item.reason}.", type="value_error")
                for item in wrong
            ]
        )


@cache
def _kind(body: Any) -> inspect.Type:
    return inspect.type_info(body)


def _cause(error: Exception) -> str:
    text = str(error)
    if text == _TRUNCATED:
        return ": it ends too early"
    found = _DECODE_ERROR.search(text)
    return f": {found[1]}" if found else ""


def _invalid(error: msgspec.ValidationError, signature: Signature, body: bytes) -> Invalid:
    where = place(error)
    parts = [
        part for part in re.split(r"[.\[\]]+", where.removeprefix("a name in ").removeprefix("a value in ")) if part
    ]
    loc = ".".join(["body", *parts])
    if str(error).startswith(_ONLY_NULL):
        return Invalid(
            loc, f"Nicobar does not support the field {where} of the public Svix API.", "Omit it or send null."
        )
    kind = None if signature.body is None else _at(_kind(signature.body), parts)
    need = requirement(error, None if kind is None else enum_of(kind))
    given = _shown(body, parts) if need.startswith(("must be at ", "must be one of ")) else ""
    return Invalid(loc, f"{where or 'The body'} {need}{given}.")


def _at(kind: inspect.Type, parts: Sequence[str]) -> inspect.Type | None:
    """The type of a part of a body, None for one without fields or items."""
    for part in parts:
        fields = _fields(kind)
        inner = fields.get(part) if fields is not None else _item(kind)
        if inner is None:
            return None
        kind = inner
    return kind


def _item(kind: inspect.Type) -> inspect.Type | None:
    match kind:
        case inspect.ListType(item_type=inner) | inspect.DictType(value_type=inner):
            return inner
        case inspect.Metadata(type=inner):
            return _item(inner)
        case inspect.UnionType(types=types):
            return next((found for item in types if (found := _item(item)) is not None), None)
        case _:
            return None


def _shown(body: bytes, parts: Sequence[str]) -> str:
    """The value at a place in a body, to end a sentence. Only for numbers and enums: other values may be secrets."""
    value: object = msgspec.json.decode(body)
    for part in parts:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal():
            value = value[int(part)]
        else:
            return ""
    return f", not {shortened(msgspec.json.encode(value).decode())}"


def _unknown_parameters(
    query_string: bytes, signature: Signature, kind: inspect.Type | None
) -> Iterator[ValidationDetail]:
    fields: Collection[str] = (_fields(kind) if kind else None) or ()
    names = signature.query_names
    lists = {name for parameter in signature.query if parameter.is_list for name in parameter.names}
    for name, times in given_names(query_string).items():
        if name not in names:
            elsewhere = "Send it in the body." if name in fields else ""
            yield _unknown(["query", name], "query parameter", name, names, elsewhere)
        elif times > 1 and name not in lists:
            text = f'Query parameter "{shortened(name)}" is repeated {times} times. Send it once.'
            yield ValidationDetail(loc=["query", name], msg=text, type="repeated_parameter")


def _fields_of_no_body(raw: bytes, parameters: Collection[str]) -> Iterator[ValidationDetail]:
    """The fields in the body of an operation without a body. Clients send null or {} instead of no body."""
    sent: object = msgspec.json.decode(raw)
    if isinstance(sent, dict):
        for name in sent:
            yield _unknown(["body", name], "field", name, (), "Send it in the query." if name in parameters else "")
    elif sent is not None:
        raise Invalid("body", "This operation does not accept a body.", "Omit the body or send {}.")


def _unknown_fields(
    raw: bytes | msgspec.Raw, kind: inspect.Type, parameters: Collection[str], place: tuple[str, ...] = ("body",)
) -> Iterator[ValidationDetail]:
    """The unknown fields of a body. Only parts that can have unknown fields are decoded."""
    if not _has_fields(kind):
        return
    fields = _fields(kind)
    if fields is not None:
        for name, value in _object(raw).items():
            if name in fields:
                yield from _unknown_fields(value, fields[name], parameters, (*place, name))
            else:
                elsewhere = "Send it in the query." if name in parameters and place == ("body",) else ""
                yield _unknown([*place, name], "field", name, fields, elsewhere)
        return
    for inside, inner, names in _inside(raw, kind):
        yield from _unknown_fields(inside, inner, parameters, (*place, *names))


def _inside(
    raw: bytes | msgspec.Raw, kind: inspect.Type
) -> Iterator[tuple[bytes | msgspec.Raw, inspect.Type, tuple[str, ...]]]:
    """What a value without fields of its own consists of: values, their types, and their names in it."""
    match kind:
        case inspect.Metadata(type=inner):
            yield raw, inner, ()
        case inspect.UnionType(types=types):
            yield from ((raw, inner, ()) for inner in types)
        case inspect.ListType(item_type=inner):
            yield from ((item, inner, (str(number),)) for number, item in enumerate(_list(raw)))
        case inspect.DictType(value_type=inner):
            yield from ((value, inner, (name,)) for name, value in _object(raw).items())
        case _:
            return


def _object(raw: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Empty for other values, which the check of types reports."""
    try:
        return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return {}


def _list(raw: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(raw, type=list[msgspec.Raw])
    except msgspec.ValidationError:
        return []


def _fields(kind: inspect.Type) -> dict[str, inspect.Type] | None:
    """The fields of an object type by their names on the wire; None for other types."""
    match kind:
        case inspect.StructType(fields=fields):
            return {field.encode_name: field.type for field in fields}
        case inspect.UnionType(types=types):
            return next((fields_of_item for item in types if (fields_of_item := _fields(item)) is not None), None)
        case inspect.Metadata(type=inner):
            return _fields(inner)
        case _:
            return None


def _has_fields(kind: inspect.Type) -> bool:
    match kind:
        case inspect.StructType():
            return True
        case inspect.UnionType(types=types):
            return any(_has_fields(item) for item in types)
        case inspect.Metadata(type=inner) | inspect.ListType(item_type=inner) | inspect.DictType(value_type=inner):
            return _has_fields(inner)
        case _:
            return False


def _unknown(
    loc: list[str], what: str, name: str, accepted_names: Collection[str], elsewhere: str
) -> ValidationDetail:
    names = sorted(accepted_names)
    close = closest(name, names)
    hint = elsewhere or (f'Did you mean "{close}"?' if close else "")
    if names:
        listed = f"Supported: {', '.join(names)}."
    else:
        listed = "" if elsewhere else f"This operation has no {what}s{' in its body' if what == 'field' else ''}."
    text = " ".join(part for part in (f'Unknown {what} "{shortened(name)}".', hint, listed) if part)
    return ValidationDetail(loc=loc, msg=text, type=f"unknown_{what.rsplit(maxsplit=1)[-1]}")
