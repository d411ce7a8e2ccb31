"""Warnings about values that Customer.io stores but cannot use: dates and amounts as text, milliseconds, text that a
program wrote by mistake. Never raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice

from nicobar.connectors.customerio import rules
from nicobar.connectors.customerio.amounts import EventAmounts
from nicobar.connectors.customerio.error_checks import MAX_SHOWN_CHARS, shown
from nicobar.connectors.customerio.names import Meaning, meaning_of
from nicobar.connectors.customerio.rules import Rule
from nicobar.currencies import ALL_DECIMALS, decimals
from nicobar.model import Json, Verdict

# How deep values inside an attribute are checked, and how many warnings one attribute gets.
MAX_DEPTH = 6
MAX_NESTED_WARNINGS = 3
_MAX_CHECKED_CHARS = 100
_MAX_AMOUNT = 10**15
# 2001 to 2286 as milliseconds; only to 2100 if the name does not say that the value is a time.
_MIN_MILLISECONDS = 10**12
_MAX_MILLISECONDS = 10**13
_MAX_LIKELY_MILLISECONDS = 4_102_444_800_000
# Until then, numbers are microseconds or nanoseconds.
_MAX_NANOSECONDS = 10**19
_MILLISECOND_TEXT = re.compile(r"(?:\d{13}|\d{16}|\d{19})(?:\.\d{1,9})?", re.ASCII)
# How .NET writes a time, in milliseconds.
_DOTNET_TIME = re.compile(r"\\?/Date\(-?\d{1,15}(?:[+-]\d{4})?\)\\?/", re.ASCII)
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DATE = re.compile(
    # ISO 8601, extended and basic.
    r"\d{4}[-/]\d{2}[-/]\d{2}(?:[Tt ]\d{2}(?::| ?h ?)?\d{2}.{0,40})?"
    r"|\d{8}T\d{4}(?:\d{2})?(?:[.,]\d{1,9})?(?:Z|[+-]\d{2}:?\d{2})?"
    # RFC 2822.
    rf"|(?:{_DAY}, ?)?\d{{1,2}} {_MONTH} (?:\d{{2}}){{1,2}} \d{{2}}:\d{{2}}.{{0,40}}"
    # JavaScript's String(new Date()), and C's asctime.
    rf"|{_DAY} {_MONTH} {{1,2}}\d{{1,2}} (?:\d{{4}} )?\d{{2}}:\d{{2}}.{{0,60}}"
    # RFC 850.
    rf"|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \d{{2}}-{_MONTH}-\d{{2,4}} \d{{2}}:\d{{2}}.{{0,40}}",
    re.ASCII,
)
_YEAR = r"(?:19|20)\d{2}"
# As people write it, which is a mistake only with the name of a time: the names of months in the languages of western
# Europe, by their first letters.
_MONTH_NAME = (
    r"(?:jan|ene|gen|feb|fév|fev|febr|mar|mär|maa|mrt|apr|avr|abr|mai|may|mag|maj|mei|jun|jui|giu|jul|lug|aug|aoû|ago"
    r"|sep|set|okt|oct|ott|out|nov|dec|déc|dez|dic)[^\W\d_]{0,8}\.?"
)
_WRITTEN_DATE = re.compile(
    r"(?:[^\W\d_]{2,12}\.?,? )?(?:"
    r"\d{1,2}[/-]\d{1,2}[/-]\d{2}"
    rf"|\d{{1,2}}-{_MONTH_NAME}-\d{{2}}"
    rf"|\d{{1,2}}[./-] ?\d{{1,2}}[./-] ?{_YEAR}"
    rf"|{_YEAR}[./-] ?\d{{1,2}}[./-] ?\d{{1,2}}\.?"
    rf"|{_YEAR} ?[년年] ?\d{{1,2}} ?[월月] ?\d{{1,2}} ?[일日]"
    rf"|{_YEAR}-?W\d{{2}}(?:-?\d)?"
    rf"|\d{{1,2}}(?:st|nd|rd|th|er|\.|º)? ?(?:de |-)?{_MONTH_NAME},?[ -](?:de )?{_YEAR}"
    rf"|{_MONTH_NAME} \d{{1,2}}(?:st|nd|rd|th)?,? {_YEAR})"
    # The time of day.
    r"(?:,? ?(?:[^\W\d_]{1,4} )?\d{1,2}[:.h시時]\d{2}.{0,40}|,? ?(?:오전|오후|午前|午後|上午|下午).{0,20})?",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d", re.ASCII)
# Digits alone are a date only with the name of a time.
_DATE_DIGITS = re.compile(
    r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])?(?:[0-5]\d){0,2}", re.ASCII
)
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,6})?", re.ASCII)
_AMOUNT = r"[+-]?(?:\d{1,3}(?:[,.' ]\d{3}){1,6}|\d{1,15})(?:[.,]\d{1,6})?"
# In parentheses, as accounts write what is negative.
_AMOUNT_TEXT = re.compile(rf"{_AMOUNT}|\({_AMOUNT}\)", re.ASCII)
_DECIMAL_TEXT = re.compile(r"-?(?:\d{1,3}(?:[,.' ]\d{3}){1,6}|\d{1,15})[.,]\d{2}", re.ASCII)
_UNIT = (
    r"(?:USD|EUR|GBP|CHF|JPY|KRW|CNY|INR|CAD|AUD|BRL|MXN|SEK|NOK|DKK|PLN"
    r"|(?:US|CA|AU|NZ|A|C|R|HK|NT|S|MX)?\$|[€£¥₩₹₽₺₫₱₪฿₴₦₡￥￦원円元]|kr\.?|zł|Kč|Ft|Rs\.?|S/\.?)"
)
_PRICE = re.compile(rf"[+-]?{_UNIT}\s?-?\d[\d.,'\s]{{0,23}}|[+-]?\d[\d.,'\s]{{0,23}}{_UNIT}")
_CODED_PRICE = re.compile(rf"([A-Za-z]{{3}}) ?{_AMOUNT}|{_AMOUNT} ?([A-Za-z]{{3}})", re.ASCII)
# Words that JavaScript makes of missing values.
_PLACEHOLDER = re.compile(r"(?:undefined|null|NaN|Invalid Date)(?: (?:undefined|null|NaN))*")
_OBJECT = "[object Object]"
# The first characters of dates and amounts besides capital letters.
_FIRST = frozenset("0123456789+-($€£¥₩₹₽₺₫₱₪฿₴₦₡￥￦kz/\\")
_DIGITS = frozenset("0123456789")
# A day, with or without minutes and seconds.
_DATE_DIGIT_COUNTS = frozenset({8, 12, 14})
# The fields of a time of Firestore and of Protocol Buffers, in JSON.
_TIME_FIELDS = (
    frozenset({"_seconds", "_nanoseconds"}),
    frozenset({"seconds", "nanoseconds"}),
    frozenset({"seconds", "nanos"}),
)


def check_values(
    path: str, attributes: Mapping[str, Json], amounts: EventAmounts, *, is_event: bool = False
) -> Iterator[Verdict]:
    """Warnings about the values of a person, an object, a relationship or an event. Emails show the properties of an
    event, so that a date in one may be written for people.
    """
    has_amounts = bool(amounts.divided_by_100)
    for name, value in attributes.items():
        if isinstance(value, str):
            found = _about_text(name, value, is_event=is_event) if value else None
        elif value is None or value is True or value is False:
            continue
        elif isinstance(value, dict | list):
            own = f"{path}.{name[:MAX_SHOWN_CHARS]}"
            yield from islice(_inside(own, name, value, amounts, 1, is_event=is_event), MAX_NESTED_WARNINGS)
            continue
        else:
            found = _about_number(name, value) if value >= _MIN_MILLISECONDS else None
        if found is not None or has_amounts:
            yield from _said(f"{path}.{name[:MAX_SHOWN_CHARS]}", found, name, value, amounts)


def _inside(
    path: str, name: str, value: Json, amounts: EventAmounts, depth: int, *, is_event: bool
) -> Iterator[Verdict]:
    """`name` is that of the closest object's field: the items of a list share it."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, dict):
        if value.keys() in _TIME_FIELDS and meaning_of(name).is_time:
            yield from _said(path, rules.ISO_DATE, name, shown(value), amounts)
            return
        for inner_name, inner in value.items():
            own = f"{path}.{inner_name[:MAX_SHOWN_CHARS]}"
            yield from _inside(own, inner_name, inner, amounts, depth + 1, is_event=is_event)
    elif isinstance(value, list):
        if _is_date_list(value) and meaning_of(name).is_time:
            yield from _said(path, rules.ISO_DATE, name, shown(value), amounts)
            return
        for number, inner in enumerate(value):
            yield from _inside(f"{path}[{number}]", name, inner, amounts, depth + 1, is_event=is_event)
    elif value is not None and not isinstance(value, bool):
        yield from _said(path, _found(name, value, is_event=is_event), name, value, amounts)


def _is_date_list(value: list[Json]) -> bool:
    """Whether these are a year, a month, a day and perhaps a time, as Java's libraries write dates."""
    numbers = [number for number in value if type(number) is int]
    return len(numbers) == len(value) in range(3, 8) and 1970 <= numbers[0] < 2200 and 1 <= numbers[1] <= 12  # noqa: PLR2004 - years and months


def _found(name: str, value: str | float, *, is_event: bool) -> Rule | None:
    """The rule that a text or number breaks, by its form and its name."""
    if isinstance(value, str):
        return _about_text(name, value, is_event=is_event) if value else None
    return _about_number(name, value)


def _about_number(name: str, value: float) -> Rule | None:
    if _MIN_MILLISECONDS <= value < _MAX_MILLISECONDS:
        meaning = meaning_of(name)
        likely = not meaning.is_identity and value < _MAX_LIKELY_MILLISECONDS
        return rules.MILLISECONDS if meaning.is_time or likely else None
    is_finer = _MAX_MILLISECONDS <= value < _MAX_NANOSECONDS
    return rules.MILLISECONDS if is_finer and meaning_of(name).is_time else None


def _about_text(name: str, text: str, *, is_event: bool) -> Rule | None:
    first = text[0]
    if len(text) <= _MAX_CHECKED_CHARS:
        # Most texts are words and ids, which this skips at little cost.
        if (
            first in _FIRST
            or (text[-1] in _DIGITS and " " in text)
            or (first.isupper() and _DIGIT.search(text) is not None)
        ):
            found = _about_number_text(meaning_of(name), text, is_event=is_event)
            if found is not None:
                return found
        if first in "unNI" and _PLACEHOLDER.fullmatch(text):
            return rules.PLACEHOLDER
    return rules.PLACEHOLDER if _OBJECT in text else None


def _about_number_text(meaning: Meaning, text: str, *, is_event: bool) -> Rule | None:
    if meaning.is_display or meaning.is_identity:
        return None
    if _DATE.fullmatch(text) or _DOTNET_TIME.fullmatch(text):
        return rules.ISO_DATE
    if meaning.is_time:
        if (meaning.is_moment or not is_event) and _WRITTEN_DATE.fullmatch(text):
            return rules.ISO_DATE
        if _DATE_DIGITS.fullmatch(text) and len(text) in _DATE_DIGIT_COUNTS:
            return rules.ISO_DATE
        return rules.MILLISECONDS if _MILLISECOND_TEXT.fullmatch(text) else None
    return rules.MONEY_AS_TEXT if _is_money(meaning, text) else None


def _is_money(meaning: Meaning, text: str) -> bool:
    if _PRICE.fullmatch(text):
        return True
    if meaning.is_money:
        coded = _CODED_PRICE.fullmatch(text)
        code = (coded[1] or coded[2]).upper() if coded else ""
        return code in ALL_DECIMALS or _AMOUNT_TEXT.fullmatch(text) is not None
    return meaning.is_maybe_money and _DECIMAL_TEXT.fullmatch(text) is not None


def _said(path: str, found: Rule | None, name: str, value: Json, amounts: EventAmounts) -> Iterator[Verdict]:
    given = str(value)[:MAX_SHOWN_CHARS]
    if found is rules.ISO_DATE:
        yield found.at(
            path,
            'The date "%(given)s" is text, which Customer.io cannot use in time conditions.',
            "Send nicobar.unix(isoText). If people read it in an email, give its name the ending _text.",
            given=given,
        )
    elif found is rules.MILLISECONDS:
        yield found.at(
            path,
            "The time %(given)s is not in Unix seconds, which Customer.io expects.",
            "Send whole Unix seconds: divide milliseconds by 1000 and round.",
            given=given,
        )
    elif found is rules.MONEY_AS_TEXT:
        yield found.at(
            path,
            'The amount "%(given)s" is text, which Customer.io cannot compare as a number.',
            "Send nicobar.money(minorUnits, currency).",
            given=given,
        )
    elif found is rules.PLACEHOLDER:
        yield found.at(
            path,
            'The value is the text "%(given)s", which JavaScript writes for a value that is missing or an object.',
            "Check the field that the handler reads, and send null or omit it if it is missing.",
            given=given,
        )
    amount = _number(value) if amounts.divided_by_100 else None
    if amount is not None and amount in amounts.divided_by_100 and meaning_of(name).is_money:
        minor_units, currency = amounts.divided_by_100[amount]
        yield rules.WRONG_DECIMALS.at(
            path,
            "%(given)s is %(minor_units)s divided by 100, but %(currency)s has %(decimals)s decimals.",
            'Send nicobar.money(%(minor_units)s, "%(currency)s").',
            given=given,
            minor_units=minor_units,
            currency=currency,
            decimals=decimals(currency),
        )


def _number(value: Json) -> float | None:
    if isinstance(value, int | float):
        return float(value) if abs(value) < _MAX_AMOUNT else None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return None
