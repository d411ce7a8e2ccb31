"""Conditions on an event's data, a person's attributes and segments, and why one is not met."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from nicobar.model import Json, Record

MAX_CONDITIONS = 20
MAX_SHOWN_CHARS = 100
MAX_TIME_DIGITS = 11
_NUMBER = re.compile(r"-?\d{1,1000}(\.\d{1,1000})?", re.ASCII)
_DURATION = re.compile(r"([+-])(\d{1,6})([smhd])", re.ASCII)
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
Text = Annotated[str, Meta(min_length=1, max_length=500)]


class Subject(StrEnum):
    EVENT = "event"
    PERSON = "person"
    SEGMENT = "segment"


class Operator(StrEnum):
    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    EXISTS = "exists"
    NOT_EXISTS = "not_exists"
    GREATER = "greater"
    LESS = "less"
    CONTAINS = "contains"
    BEFORE = "before"
    AFTER = "after"


_WITHOUT_VALUE = {Operator.EXISTS, Operator.NOT_EXISTS}
_TIMES = {Operator.BEFORE, Operator.AFTER}


class Condition(Record, forbid_unknown_fields=True):
    """`field` is a name in the event's data or the person's attributes, with dots for nested values; of a segment it
    is the number, and only `exists` (is in it) and `not_exists` apply. `value` of `before` and `after` is a time in
    Unix seconds, or `now`, `+7d`, `-12h` from now.
    """

    on: Subject
    field: Text
    operator: Operator
    value: str | int | float | bool | None = None

    def __post_init__(self) -> None:
        if self.operator in _WITHOUT_VALUE:
            if self.value is not None:
                raise ValueError(f"{self.operator} has no value")
        elif self.on is Subject.SEGMENT:
            raise ValueError("a condition on a segment is exists or not_exists")
        elif self.value is None:
            raise ValueError(f"{self.operator} needs a value")
        elif self.operator in _TIMES and _time(self.value, 0) is None:
            raise ValueError(f"{self.operator} needs Unix seconds, now, or a duration such as +7d")
        elif self.operator in {Operator.GREATER, Operator.LESS} and _number(self.value) is None:
            raise ValueError(f"{self.operator} needs a number")


Conditions = Annotated[tuple[Condition, ...], Meta(max_length=MAX_CONDITIONS)]


class Given(Record):
    """What conditions are checked against. `is_in` answers for the number of a segment; `now` is in Unix seconds."""

    event: Mapping[str, Json]
    person: Mapping[str, str]
    is_in: Callable[[str], bool]
    now: float


def unmet(conditions: Sequence[Condition], given: Given) -> str:
    """Why the first condition that is not met is not met; empty if all are."""
    return next(filter(None, (_unmet(condition, given) for condition in conditions)), "")


def _unmet(condition: Condition, given: Given) -> str:
    if condition.on is Subject.SEGMENT:
        is_met = given.is_in(condition.field) is (condition.operator is Operator.EXISTS)
        place = "not in" if condition.operator is Operator.EXISTS else "in"
        return "" if is_met else f"the person is {place} segment {condition.field}"
    value = _value(given.event if condition.on is Subject.EVENT else given.person, condition.field)
    if _is_met(condition, value, given.now):
        return ""
    wanted = condition.operator.replace("_", " ") + ("" if condition.value is None else f" {_shown(condition.value)}")
    note = ""
    if condition.operator in _TIMES and value is not None and _moment(value) is None:
        # https://docs.customer.io/journeys/faq-timestamps: only Unix seconds are times.
        note = ", which is not a time in Unix seconds"
    return f"{condition.on}.{condition.field} is {_shown(value)}{note}; the campaign requires: {wanted}"


def _is_met(condition: Condition, value: Json, now: float) -> bool:  # noqa: PLR0911 - one an operator
    match condition.operator:
        case Operator.EXISTS:
            return value is not None
        case Operator.NOT_EXISTS:
            return value is None
        case Operator.EQUALS:
            return _equals(value, condition.value)
        case Operator.NOT_EQUALS:
            # Whether a missing value counts as different is not documented; here it does.
            return not _equals(value, condition.value)
        case Operator.CONTAINS:
            return value is not None and _text(condition.value) in _text(value)
        case Operator.GREATER | Operator.LESS:
            found, limit = _number(value), _number(condition.value)
            if found is None or limit is None:
                return False
            return found > limit if condition.operator is Operator.GREATER else found < limit
        case Operator.BEFORE | Operator.AFTER:
            at, limit = _moment(value), _time(condition.value, now)
            if at is None or limit is None:
                return False
            return at < limit if condition.operator is Operator.BEFORE else at > limit


def _equals(value: Json, wanted: Json) -> bool:
    """How numbers and texts compare is not documented. Here numeric text is a number, and other text is compared with
    its case.
    """
    if value is None:
        return False
    found, number = _number(value), _number(wanted)
    if found is not None and number is not None:
        return found == number
    return _text(value) == _text(wanted)


def _value(values: Mapping[str, Json], name: str) -> Json:
    """Nested values are reached with dots: https://docs.customer.io/journeys/json-in-segments."""
    if name in values:
        return values[name]
    first, _, rest = name.partition(".")
    inner = values.get(first) if rest else None
    if isinstance(inner, str) and inner.startswith("{"):
        # Attributes of people are stored as text.
        try:
            inner = msgspec.json.decode(inner)
        except (msgspec.DecodeError, RecursionError):
            return None
    return _value(inner, rest) if isinstance(inner, dict) else None


def _text(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _number(value: Json) -> int | float | None:
    """Integers stay such: those of an event may be too large for a float."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return None
    return float(value) if "." in value else int(value)


def _moment(value: Json) -> int | None:
    text = _text(value) if isinstance(value, int | str) else ""
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= MAX_TIME_DIGITS else None


def _time(value: Json, now: float) -> float | None:
    """The time that a condition names."""
    if value == "now":
        return now
    duration = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if duration is not None:
        length_s = int(duration[2]) * _UNIT_S[duration[3]]
        return now + (length_s if duration[1] == "+" else -length_s)
    return _moment(value)


def _shown(value: Json) -> str:
    if value is None:
        return "missing"
    text = _text(value)
    return f"`{text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + '…'}`"
