"""Warnings: calls that Customer.io accepts but that are almost certainly a mistake. Never raises."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from nicobar.connectors.customerio import rules, track_api
from nicobar.connectors.customerio.amounts import EventAmounts
from nicobar.connectors.customerio.error_checks import MAX_SHOWN_CHARS, shown
from nicobar.currencies import decimals
from nicobar.model import Json, Verdict

# 2001 to 2286, as milliseconds.
_MILLISECONDS = range(10**12, 10**13)
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.{0,40})?")
_MONEY_WORDS = frozenset({"amount", "total", "price", "revenue", "spent", "paid", "cost", "fee", "mrr"})
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_MAX_AMOUNT = 10**15
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,6})?")
_UNIT = r"(?:USD|EUR|GBP|CHF|JPY|KRW|CNY|INR|CAD|AUD|BRL|MXN|SEK|NOK|DKK|PLN|[$€£¥₩₹])"
_PRICE = re.compile(rf"{_UNIT} ?-?[\d.,']{{1,24}}|-?[\d.,']{{1,24}} ?{_UNIT}")


def advise(path: str, item: dict[str, Json], amounts: EventAmounts, now_ms: int) -> Iterator[Verdict]:
    """Warnings about one v2 object without errors; `amounts` are those of the event it was made from."""
    action = item.get("action")
    attributes = item.get("attributes")
    values = attributes if isinstance(attributes, dict) else {}
    if item.get("type") != "person":
        return
    if action == "identify":
        if "name" in item:
            yield rules.NAME_BESIDE_IDENTIFY.at(
                f"{path}.name",
                "The name %(given)s has no effect: an identify call sets attributes and sends no event.",
                'Remove `name`, or send a second call with action: "event" to send an event.',
                given=shown(item["name"]),
            )
        yield from advise_person(f"{path}.attributes", values, amounts)
    elif action in track_api.EVENT_TYPES:
        yield from advise_event(path, item, f"{path}.attributes", values, amounts, now_ms)


def advise_person(path: str, attributes: Mapping[str, Json], amounts: EventAmounts) -> Iterator[Verdict]:
    """Warnings about a person's attributes."""
    for name in attributes:
        own = f"{path}.{name[:MAX_SHOWN_CHARS]}"
        if name in track_api.OWN_ATTRIBUTES:
            yield rules.OWN_ATTRIBUTE.at(
                own,
                'Customer.io reserves the attribute name "%(name)s".',
                "Use another name, or omit it.",
                name=name,
            )
        elif name.startswith("_") and name not in track_api.USABLE_INTERNAL:
            yield rules.INTERNAL_NAME.at(
                own,
                'Segments cannot use "%(name)s" because the name starts with an underscore.',
                "Remove the underscore.",
                name=name[:MAX_SHOWN_CHARS],
            )
    yield from _values(path, attributes, amounts)


def advise_event(  # noqa: PLR0917 - an event, its properties, and what both are compared with
    path: str,
    item: Mapping[str, Json],
    data_path: str,
    data: Mapping[str, Json],
    amounts: EventAmounts,
    now_ms: int,
) -> Iterator[Verdict]:
    """Warnings about an event of v2 (`attributes`) or v1 (`data`)."""
    for name in sorted(track_api.MAIL_PROPERTIES & data.keys()):
        yield rules.MAIL_PROPERTY.at(
            f"{data_path}.{name}",
            'The property "%(name)s" overrides the address in the campaign\'s emails.',
            "Rename it, for example to customer_email, unless this is intended.",
            name=name,
        )
    timestamp = item.get("timestamp")
    if isinstance(timestamp, int) and now_ms // 1000 - timestamp > track_api.MAX_TRIGGER_AGE_S:
        yield rules.OLD_EVENT.at(
            f"{path}.timestamp",
            "The event is %(age_hours)s hours old. Customer.io does not trigger campaigns for events older than "
            "72 hours.",
            "Correct `timestamp` if the time is wrong. A late event cannot trigger campaigns.",
            age_hours=(now_ms // 1000 - timestamp) // 3_600,
        )
    if item.get("id") is None:
        yield rules.NO_EVENT_ID.at(
            f"{path}.id",
            "The event has no id, so every resend counts as another event.",
            'Turn on "Add event IDs" (`correct_event_id`) in the endpoint\'s settings.',
        )
    yield from _values(data_path, data, amounts)


def no_address(path: str, *, is_invalid: bool = False) -> Verdict:
    """The warning about an event whose person gets no address. `is_invalid`: one is known that cannot be used."""
    if is_invalid:
        return rules.NO_ADDRESS.at(
            f"{path}.identifiers",
            "The customer's email address is not valid. Emails are sent only if the profile already has another one.",
            "Correct the customer's address at the sender.",
        )
    return rules.NO_ADDRESS.at(
        f"{path}.identifiers",
        "This call does not set the person's email address. Emails are sent only if the profile already has one.",
        "If your event contains the address, send it with nicobar.identify({email: …}) first.",
    )


def _values(path: str, attributes: Mapping[str, Json], amounts: EventAmounts) -> Iterator[Verdict]:
    for name, value in attributes.items():
        own = f"{path}.{name[:MAX_SHOWN_CHARS]}"
        if isinstance(value, str) and _ISO_DATE.fullmatch(value):
            yield rules.ISO_DATE.at(
                own,
                'The date "%(given)s" is text, which Customer.io cannot use in time conditions.',
                "Send nicobar.unix(isoText).",
                given=value,
            )
        elif isinstance(value, int) and value in _MILLISECONDS:
            yield rules.MILLISECONDS.at(
                own,
                "The time %(given)s is in milliseconds. Customer.io expects Unix seconds.",
                "Send Unix seconds: divide by 1000 and round.",
                given=str(value),
            )
        elif isinstance(value, str) and _is_money(name, value):
            yield rules.MONEY_AS_TEXT.at(
                own,
                'The amount "%(given)s" is text, which Customer.io cannot compare as a number.',
                "Send nicobar.money(minorUnits, currency).",
                given=value[:MAX_SHOWN_CHARS],
            )
        amount = _number(value) if _names_money(name) else None
        if amount is not None and amount in amounts.divided_by_100:
            minor_units, currency = amounts.divided_by_100[amount]
            yield rules.WRONG_DECIMALS.at(
                own,
                "%(given)s is %(minor_units)s divided by 100, but %(currency)s has %(decimals)s decimals.",
                'Send nicobar.money(%(minor_units)s, "%(currency)s").',
                given=str(value),
                minor_units=minor_units,
                currency=currency,
                decimals=decimals(currency),
            )


def _is_money(name: str, text: str) -> bool:
    return _PRICE.fullmatch(text) is not None or (_NUMBER.fullmatch(text) is not None and _names_money(name))


@lru_cache(maxsize=1_000)  # an endpoint uses the same few names for all of its events
def _names_money(name: str) -> bool:
    """Whether a word in a name such as `total_spent` or `totalSpent` means an amount."""
    return not _MONEY_WORDS.isdisjoint(word.lower() for word in _WORD.findall(name[:MAX_SHOWN_CHARS]))


def _number(value: Json) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < _MAX_AMOUNT else None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return None
