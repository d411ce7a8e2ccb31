"""What Customer.io takes although it is surely not what was meant: warnings. Never raises."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from nicobar.connectors import Origin
from nicobar.connectors.customerio import rules, track_api
from nicobar.connectors.customerio.error_checks import MAX_SHOWN_CHARS
from nicobar.currencies import decimals
from nicobar.model import Json, Verdict

# How deep amounts are looked for in the event; payment platforms keep them near the top.
MAX_DEPTH = 6
# 2001 to 2286, as milliseconds.
_MILLISECONDS = range(10**12, 10**13)
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.{0,40})?")
_MONEY_WORDS = frozenset({"amount", "total", "price", "revenue", "spent", "paid", "cost", "fee", "mrr"})
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_HUNDREDTHS = 2
_MAX_AMOUNT = 10**15
_DIGITS = re.compile(r"[0-9]{1,15}")
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,6})?")
_UNIT = r"(?:USD|EUR|GBP|CHF|JPY|KRW|CNY|INR|CAD|AUD|BRL|MXN|SEK|NOK|DKK|PLN|[$€£¥₩₹])"
_PRICE = re.compile(rf"{_UNIT} ?-?[\d.,']{{1,24}}|-?[\d.,']{{1,24}} ?{_UNIT}")


def advise(path: str, item: dict[str, Json], origin: Origin) -> Iterator[Verdict]:
    """On one v2 object that the contract finds fine."""
    action = item.get("action")
    attributes = item.get("attributes")
    values = attributes if isinstance(attributes, dict) else {}
    if item.get("type") != "person":
        return
    if action == "identify":
        if "name" in item:
            yield rules.NAME_BESIDE_IDENTIFY.at(
                f"{path}.name",
                "An identify call has no name: it sets attributes, and no event appears.",
                'Remove it, or send a second call with action: "event" if an event was meant.',
            )
        yield from advise_person(f"{path}.attributes", values, origin)
    elif action in track_api.EVENT_TYPES:
        yield from advise_event(path, item, f"{path}.attributes", values, origin)


def advise_person(path: str, attributes: Mapping[str, Json], origin: Origin) -> Iterator[Verdict]:
    """On what is to be kept of a person."""
    for name in attributes:
        own = f"{path}.{name[:MAX_SHOWN_CHARS]}"
        if name in track_api.OWN_ATTRIBUTES:
            yield rules.OWN_ATTRIBUTE.at(
                own,
                "Customer.io keeps the name %(name)s for itself.",
                "Choose another name, or leave it out.",
                name=name,
            )
        elif name.startswith("_") and name not in track_api.USABLE_INTERNAL:
            yield rules.INTERNAL_NAME.at(
                own, "A name that begins with _ is of no use in segments.", "Leave out the underscore."
            )
    yield from _values(path, attributes, origin)


def advise_event(
    path: str, item: Mapping[str, Json], data_path: str, data: Mapping[str, Json], origin: Origin
) -> Iterator[Verdict]:
    """On something that a person did, of v2 (`attributes`) or v1 (`data`)."""
    for name in sorted(track_api.MAIL_PROPERTIES & data.keys()):
        yield rules.MAIL_PROPERTY.at(
            f"{data_path}.{name}",
            "The property %(name)s redirects the campaign's mail.",
            "Give it another name, such as customer_email.",
            name=name,
        )
    timestamp = item.get("timestamp")
    if isinstance(timestamp, int) and origin.now_ms // 1000 - timestamp > track_api.MAX_TRIGGER_AGE_S:
        yield rules.OLD_EVENT.at(
            f"{path}.timestamp",
            "The event is older than 72 hours: it is kept, and starts no campaign.",
            "Leave timestamp out if it is about now; of an event that is late, nothing can be done.",
        )
    if item.get("id") is None:
        yield rules.NO_EVENT_ID.at(
            f"{path}.id",
            "Without an id, each time that it is sent again it is a second event.",
            "Set correct_event_id to true on the endpoint, and one is made.",
        )
    yield from _values(data_path, data, origin)


def no_address(path: str) -> Verdict:
    """On an event whose person gets no address with it."""
    return rules.NO_ADDRESS.at(
        f"{path}.identifiers",
        "Nothing sent here gives this person an address; a mail goes out only if an earlier call did.",
        "Send nicobar.identify({email: …}) before the event.",
    )


def _values(path: str, attributes: Mapping[str, Json], origin: Origin) -> Iterator[Verdict]:
    wrong = _wrong_amounts(origin.payload)
    for name, value in attributes.items():
        own = f"{path}.{name[:MAX_SHOWN_CHARS]}"
        if isinstance(value, str) and _ISO_DATE.fullmatch(value):
            yield rules.ISO_DATE.at(
                own, "A date as text never matches a condition on time.", "Send nicobar.unix(isoText)."
            )
        elif isinstance(value, int) and value in _MILLISECONDS:
            yield rules.MILLISECONDS.at(
                own, "A time in milliseconds never matches a condition.", "Send Unix seconds."
            )
        elif isinstance(value, str) and _is_money(name, value):
            yield rules.MONEY_AS_TEXT.at(
                own, "An amount as text does not compare as a number.", "Send nicobar.money(minorUnits, currency)."
            )
        amount = _number(value)
        if amount is not None and amount in wrong and _names_money(name):
            minor_units, currency = wrong[amount]
            yield rules.WRONG_DECIMALS.at(
                own,
                "%(value)s is %(minor_units)s divided by 100, but %(currency)s has %(decimals)s decimals.",
                'Send nicobar.money(%(minor_units)s, "%(currency)s").',
                value=str(value),
                minor_units=minor_units,
                currency=currency,
                decimals=decimals(currency),
            )


def _is_money(name: str, text: str) -> bool:
    return _PRICE.fullmatch(text) is not None or (_NUMBER.fullmatch(text) is not None and _names_money(name))


def _names_money(name: str) -> bool:
    """Whether one of the words of `total_spent` or `totalSpent` says that it is an amount."""
    return not _MONEY_WORDS.isdisjoint(word.lower() for word in _WORD.findall(name[:MAX_SHOWN_CHARS]))


def _number(value: Json) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < _MAX_AMOUNT else None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return None


def _wrong_amounts(payload: Json, depth: int = 0) -> dict[float, tuple[int, str]]:
    """What the event's amounts become if they are divided by 100 where the currency has no hundredths."""
    found: dict[float, tuple[int, str]] = {}
    if depth == MAX_DEPTH:
        return found
    if isinstance(payload, list):
        for item in payload:
            found |= _wrong_amounts(item, depth + 1)
    if isinstance(payload, dict):
        for name, value in payload.items():
            currency = payload.get("settlement_currency" if name.startswith("settlement_") else "currency")
            if isinstance(value, dict | list):
                found |= _wrong_amounts(value, depth + 1)
            elif isinstance(currency, str) and decimals(currency) != _HUNDREDTHS and "amount" in name:
                minor_units = _minor_units(value)
                found |= {minor_units / 100: (minor_units, currency)} if minor_units else {}
    return found


def _minor_units(value: Json) -> int | None:
    """A whole number of them, which some senders write as text."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_AMOUNT else None
