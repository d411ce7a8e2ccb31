"""The parameters of a handler, read from its signature once, and their values from each request."""

from __future__ import annotations

import inspect as signatures
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from nicobar.value_errors import requirement
from nicobar.web.query_names import shortened

BODY = "data"
_SCALARS = (
    inspect.StrType,
    inspect.IntType,
    inspect.FloatType,
    inspect.BoolType,
    inspect.DateTimeType,
    inspect.EnumType,
    inspect.NoneType,
)


class Name:
    """In the annotation of a query parameter: its name on the wire, where it is not that of the argument. A switch
    may have several names: it is on where any of them is.
    """

    def __init__(self, *names: str) -> None:
        self.names = names


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value in the path or in the query. `names` are its names on the wire, `annotation` is its type."""

    argument: str
    names: tuple[str, ...]
    annotation: Any  # a type, as `get_type_hints` returns it
    default: object
    is_list: bool
    is_time: bool

    @property
    def is_required(self) -> bool:
        return self.default is signatures.Parameter.empty


class Signature(NamedTuple):
    """`given` are the arguments that a provider supplies, `body` is the type of `data`, None without one; `result` is
    the type of the answer.
    """

    path: tuple[Parameter, ...]
    query: tuple[Parameter, ...]
    given: tuple[str, ...]
    body: Any
    result: Any

    @property
    def query_names(self) -> frozenset[str]:
        """The names of the query on the wire."""
        return frozenset(name for parameter in self.query for name in parameter.names)


class InvalidValue(NamedTuple):
    """An invalid value: its place (`path` or `query`), its name on the wire, and the reason, a predicate such as
    `must be at most 250, not "999"`.
    """

    place: str
    name: str
    reason: str


@lru_cache(maxsize=1_024)  # the OpenAPI document and every application built from the same rows ask for the same
def signature_of(
    handler: Callable[..., object], *, path_names: frozenset[str], given_names: frozenset[str]
) -> Signature:
    """Each parameter is in the path, given, the body (`data`), or else in the query. Raises TypeError for one that is
    none of these.
    """
    hints = get_type_hints(handler, include_extras=True)
    path, query, given = [], [], []
    for name, parameter in signatures.signature(handler).parameters.items():
        if name in path_names:
            path.append(_parameter(name, hints[name], parameter.default))
        elif name in given_names:
            given.append(name)
        elif name != BODY:
            query.append(_parameter(name, hints[name], parameter.default))
    return Signature(
        path=tuple(path),
        query=tuple(query),
        given=tuple(given),
        body=hints.get(BODY),
        result=hints["return"],
    )


def read_path(
    parameters: Sequence[Parameter], values: Mapping[str, object]
) -> tuple[dict[str, object], list[InvalidValue]]:
    """The arguments, and the invalid values."""
    arguments: dict[str, object] = {}
    wrong: list[InvalidValue] = []
    for parameter in parameters:
        try:
            arguments[parameter.argument] = msgspec.convert(values[parameter.argument], parameter.annotation)
        except msgspec.ValidationError as error:
            given = str(values[parameter.argument])
            wrong.append(InvalidValue("path", parameter.argument, _reason(parameter, error, given)))
    return arguments, wrong


def read_query(
    parameters: Sequence[Parameter], values: Mapping[str, Sequence[str]]
) -> tuple[dict[str, object], list[InvalidValue]]:
    """The arguments, without those that keep their default, and the invalid values. Of a value that is given several
    times the last one counts.
    """
    arguments: dict[str, object] = {}
    wrong: list[InvalidValue] = []
    for parameter in parameters:
        for name in parameter.names:
            if name in values:
                try:
                    value = _converted(parameter, values[name])
                except msgspec.ValidationError as error:
                    given = None if parameter.is_list else values[name][-1]
                    wrong.append(InvalidValue("query", name, _reason(parameter, error, given)))
                else:
                    arguments[parameter.argument] = arguments.get(parameter.argument) or value
        if parameter.is_required and not any(name in values for name in parameter.names):
            wrong.append(InvalidValue("query", parameter.names[0], "is required"))
    return arguments, wrong


def _reason(parameter: Parameter, error: msgspec.ValidationError, given: str | None) -> str:
    need = requirement(error, enum_of(inspect.type_info(parameter.annotation)))
    # A query is always text, so that it is text explains nothing.
    need = need.removesuffix(", not text")
    if given is None or not need.startswith(("must be ", "must match ")):
        return need
    return f'{need}, not "{shortened(given)}"'


def enum_of(kind: inspect.Type) -> type[Enum] | None:
    """The enum that a type is, or that it allows."""
    match kind:
        case inspect.EnumType(cls=members):
            return members
        case inspect.Metadata(type=inner):
            return enum_of(inner)
        case inspect.UnionType(types=types):
            return next((found for item in types if (found := enum_of(item)) is not None), None)
        case _:
            return None


def _converted(parameter: Parameter, values: Sequence[str]) -> object:
    given = values if parameter.is_list else values[-1]
    # Text becomes numbers and switches; a number is not a time.
    converted: object = msgspec.convert(given, parameter.annotation, strict=parameter.is_time)
    return converted


def _parameter(argument: str, annotation: Any, default: object) -> Parameter:
    kind = _plain(inspect.type_info(annotation))
    options = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    lists = [option for option in options if isinstance(option, inspect.ListType)]
    if not lists and not all(isinstance(_plain(option), _SCALARS) for option in options):
        raise TypeError(f"{argument} is neither given nor a value that a query or a path can have: {annotation}")
    return Parameter(
        argument=argument,
        names=_names(argument, annotation),
        annotation=annotation,
        default=default,
        is_list=bool(lists),
        is_time=datetime in {annotation, *_flat(annotation)},
    )


def _plain(kind: inspect.Type) -> inspect.Type:
    return _plain(kind.type) if isinstance(kind, inspect.Metadata) else kind


def _flat(annotation: Any) -> list[Any]:
    found = [annotation]
    for part in get_args(annotation):
        found += _flat(part) if get_args(part) else [part]
    return [item for item in found if isinstance(item, type)]


def _names(argument: str, annotation: Any) -> tuple[str, ...]:
    marks = annotation.__metadata__ if get_origin(annotation) is Annotated else ()
    return next((mark.names for mark in marks if isinstance(mark, Name)), (argument,))
