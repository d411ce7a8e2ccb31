"""Integers of an event that JavaScript rounds: those beyond 2^53. A handler that passes one on changes it."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal, DecimalException

from nicobar.model import Call, Json, Level, Record, Verdict
from nicobar.nesting import is_deeper
from nicobar.reasons import reason

RULE = "rounded_number"
# A number with fewer digits in a row is exact, or is not whole. Every event is searched: faster than by a pattern.
_DIGITS = bytes(ord("0") if chr(byte) in "0123456789" else ord(" ") for byte in range(256))
_LONG = b"0" * 16
_MAX_EXACT = 2**53
_MAX_DIGITS = 400
# An event with more of them is checked for the first ones.
MAX_NUMBERS = 1_000
MAX_VERDICTS = 20
_SOURCE = "https://tc39.es/ecma262/#sec-number.max_safe_integer"
_NAME = re.compile(r"[^.\[\]\"\s]+")


class RoundedNumber(Record):
    """A number of the event: the steps to it, its digits, and what JavaScript makes of it as a number and text."""

    steps: tuple[str, ...]
    path: str
    digits: str
    rounded: float
    text: str


class _Digits(str):
    __slots__ = ()


def find_rounded(body: bytes) -> tuple[RoundedNumber, ...]:
    """The numbers of the event that JavaScript rounds, in their order."""
    if _LONG not in body.translate(_DIGITS) or is_deeper(body):
        return ()
    try:
        text = body.removeprefix(codecs.BOM_UTF8).decode()
        value = json.loads(text, parse_int=_Digits, parse_float=_Digits)
    except (ValueError, RecursionError):
        return ()
    found: list[RoundedNumber] = []
    for steps, path, digits in _numbers(value):
        rounded = _rounded(digits)
        if rounded is not None:
            found.append(
                RoundedNumber(steps=steps, path=path, digits=str(digits), rounded=rounded, text=_as_text(rounded))
            )
        if len(found) == MAX_NUMBERS:
            break
    return tuple(found)


def _numbers(root: Json) -> Iterator[tuple[tuple[str, ...], str, _Digits]]:
    left: list[tuple[tuple[str, ...], str, Json]] = [((), "", root)]
    while left:
        steps, path, value = left.pop()
        if isinstance(value, _Digits):
            yield steps, path, value
        elif isinstance(value, list):
            left += [((*steps, str(at)), f"{path}[{at}]", item) for at, item in reversed(list(enumerate(value)))]
        elif isinstance(value, dict):
            named = [(_whole(name), item) for name, item in value.items()]
            left += [((*steps, name), _below(path, name), item) for name, item in reversed(named)]


def _whole(name: str) -> str:
    """The name without halves of surrogate pairs, which neither a child nor the database can be given."""
    return name if name.isascii() else name.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _below(path: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        return f"{path}[{json.dumps(name, ensure_ascii=False)}]"
    return f"{path}.{name}" if path else name


def _rounded(digits: str) -> float | None:
    """What JavaScript makes of the number; None if that is the number itself, or if it is not an integer."""
    if len(digits) > _MAX_DIGITS:
        return None
    try:
        exact = Decimal(digits)
        if abs(exact.adjusted()) > _MAX_DIGITS or abs(exact) <= _MAX_EXACT or exact != exact.to_integral_value():
            return None
        rounded = float(exact)
        return None if Decimal(rounded) == exact else rounded
    except (DecimalException, OverflowError):
        return None


def _as_text(number: float) -> str:
    """As JavaScript writes an integer: the shortest digits that read as it, and zeros behind."""
    mantissa, _, exponent = repr(number).partition("e")
    if not exponent:
        return mantissa.removesuffix(".0")
    sign, digits = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    whole, _, rest = digits.partition(".")
    rest = "" if rest == "0" else rest
    if int(exponent) < 21:  # noqa: PLR2004 - ECMA-262, Number::toString
        return sign + (whole + rest).ljust(int(exponent) + 1, "0")
    return f"{sign}{whole}{'.' if rest else ''}{rest}e+{int(exponent)}"


def exact_texts(numbers: Sequence[RoundedNumber]) -> dict[str, str]:
    """The digits by the steps to them, for `nicobar.exact`."""
    return {"\n".join(number.steps): number.digits for number in numbers}


def rounded_in(calls: Sequence[Call], numbers: Sequence[RoundedNumber]) -> tuple[Verdict, ...]:
    """An error for each place of the calls that has a rounded number, as a number or within a text."""
    if not numbers:
        return ()
    by_value = {number.rounded: number for number in numbers}
    by_text = {number.text: number for number in numbers}
    within = re.compile(r"(?<![0-9.])(?:" + "|".join(map(re.escape, by_text)) + r")(?![0-9])")
    verdicts: list[Verdict] = []
    for place, value in _places(calls):
        number = None
        if isinstance(value, str) and (match := within.search(value)):
            number = by_text[match.group()]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            number = _same(value, by_value)
        if number is not None:
            verdicts.append(_verdict(place, value, number))
        if len(verdicts) == MAX_VERDICTS:
            break
    return tuple(verdicts)


def _same(value: float, by_value: dict[float, RoundedNumber]) -> RoundedNumber | None:
    try:
        found = by_value.get(float(value))
    except OverflowError:
        return None
    return None if found is None or Decimal(value) == Decimal(found.digits) else found


def _places(calls: Sequence[Call]) -> Iterator[tuple[str, Json]]:
    """Every value and name of the calls, with its path."""
    for index, call in enumerate(calls):
        yield f"[{index}].url", call.url
        for name, text in call.headers.items():
            yield f"[{index}].headers.{name}", text
        left: list[tuple[str, Json]] = [(f"[{index}].payload", call.payload)]
        while left:
            path, value = left.pop()
            if isinstance(value, list):
                left += [(f"{path}[{at}]", item) for at, item in reversed(list(enumerate(value)))]
            elif isinstance(value, dict):
                for name in value:
                    yield path, name
                left += [(_below(path, name), item) for name, item in reversed(list(value.items()))]
            else:
                yield path, value


def _verdict(place: str, value: Json, number: RoundedNumber) -> Verdict:
    why = reason(
        RULE,
        "%(given)s is not the number in the event, which is %(digits)s at %(path)s. JavaScript rounds integers "
        "beyond 9007199254740992.",
        "Send it as text: nicobar.exact(%(quoted)s).",
        location=place,
        given=value if isinstance(value, str) else number.text,
        digits=number.digits,
        path=number.path,
        quoted=json.dumps(number.path, ensure_ascii=False),
    )
    return Verdict(level=Level.ERROR, reason=why, source=_SOURCE)
