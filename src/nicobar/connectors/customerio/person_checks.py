"""Warnings about a person's attributes that Customer.io reads itself, and about what identifies a person. Never
raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nicobar.connectors.customerio import rules, track_api
from nicobar.connectors.customerio.amounts import EventAmounts
from nicobar.connectors.customerio.error_checks import MAX_SHOWN_CHARS, shown
from nicobar.connectors.customerio.names import Special, meaning_of
from nicobar.model import Json, Verdict

MAX_ADDRESS_CHARS = 254  # RFC 5321, section 4.5.3.1.3, without the brackets
MAX_LOCAL_PART_CHARS = 64  # section 4.5.3.1.1
# RFC 5322's addr-spec without comments and folding, and RFC 6532's letters; the domain needs a dot.
_ATOM = r"[^\s@\"(),:;<>\[\]\\.\x00-\x1f]+"
_LABEL = r"[^\W_](?:[\w-]*[^\W_])?"
_ADDRESS = re.compile(
    rf"(?:{_ATOM}(?:\.{_ATOM})*|\"(?:[^\"\\\r\n]|\\.)+\")@(?:{_LABEL}(?:\.{_LABEL})+|\[[\dA-Za-z.:]+\])"
)
# Customer.io reads these as true, and anything else as false.
_UNSUBSCRIBED = frozenset({"true", "1"})
_SUBSCRIBED = frozenset({"false", "0", "", "no", "n", "off", "f", "subscribed", "none"})
# What programs write for an identifier that is missing.
_TEMPLATE = re.compile(r"\$?\{{1,2}[^{}]{0,80}\}{1,2}|:[A-Za-z_]{1,40}|<[A-Za-z_ -]{1,40}>")
# What encoding leaves of @ / + : # ? & % and of spaces: few ids have it themselves.
_ENCODED = re.compile(r"%(?:40|2F|2B|3A|23|3F|26|25|20|[C-F][0-9A-F]%[89AB][0-9A-F])", re.IGNORECASE)
_NO_IDENTIFIER = frozenset({"undefined", "null", "NaN", "None", "nil", "[object Object]", "(null)", "<nil>"})


def check_person(
    path: str, attributes: Mapping[str, Json], amounts: EventAmounts, *, has_totals: bool
) -> Iterator[Verdict]:
    """Warnings about the attributes of a person by their names."""
    for name, value in attributes.items():
        special = meaning_of(name).special
        if not special:
            continue
        own = f"{path}.{name[:MAX_SHOWN_CHARS]}"
        match special:
            case Special.READ:
                yield from _READ[name](own, value)
            case Special.TOPIC:
                yield from _topic(own, value)
            case Special.INTERNAL:
                yield rules.INTERNAL_NAME.at(
                    own,
                    'Segments cannot use "%(name)s" because the name starts with an underscore.',
                    "Remove the underscore.",
                    name=name[:MAX_SHOWN_CHARS],
                )
            case Special.CASED if name.lower() not in attributes:
                yield rules.ATTRIBUTE_CASE.at(
                    own,
                    'Customer.io reads the attribute "%(meant)s" only in small letters, so "%(name)s" has no effect.',
                    'Rename it to "%(meant)s".',
                    name=name,
                    meant=name.lower(),
                )
            case Special.TOTAL if not has_totals and _is_single(value) and not amounts.has_name(name):
                yield rules.FROM_ONE_EVENT.at(
                    own,
                    'The name "%(name)s" means a value over time, but this call sets it from one event. Each event '
                    "replaces it.",
                    "Use webhook.customer, which has the totals of all events, as the recipe customer_attributes "
                    "does, or name what the event says, such as last_payment_amount.",
                    name=name[:MAX_SHOWN_CHARS],
                )


def _is_single(value: Json) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def check_identifiers(path: str, identifiers: Json) -> list[Verdict]:
    """Warnings about identifiers without errors."""
    found: list[Verdict] = []
    for name, value in identifiers.items() if isinstance(identifiers, dict) else ():
        if isinstance(value, str) and (value in _NO_IDENTIFIER or _TEMPLATE.fullmatch(value)):
            found.append(_placeholder(f"{path}.{name}", value))
        elif name == "email":
            found.extend(check_email(f"{path}.{name}", value))
        elif name == "id" and isinstance(value, str) and _ENCODED.search(value):
            found.append(
                rules.ENCODED_TWICE.at(
                    f"{path}.{name}",
                    'The identifier "%(given)s" is encoded for a URL, so it is another one.',
                    "Send it unchanged. Only URLs need encodeURIComponent(id).",
                    given=value[:MAX_SHOWN_CHARS],
                )
            )
    return found


def check_v1_id(path: str, text: str) -> Iterator[Verdict]:
    """Warnings about the id in a v1 URL, once it was decoded."""
    if text in _NO_IDENTIFIER or _TEMPLATE.fullmatch(text):
        yield _placeholder(path, text)
    elif _ENCODED.search(text):
        yield rules.ENCODED_TWICE.at(
            path,
            'The id in the URL was encoded twice: it arrives as "%(given)s".',
            "Encode it once: encodeURIComponent(id).",
            given=text[:MAX_SHOWN_CHARS],
        )


def check_name(path: str, name: Json) -> Iterator[Verdict]:
    """Warnings about the name of an event."""
    if isinstance(name, str) and (name in _NO_IDENTIFIER or _TEMPLATE.fullmatch(name)):
        yield rules.PLACEHOLDER.at(
            path,
            'The event name is "%(given)s", which stands for a value that is missing.',
            "Check the field that the handler reads.",
            given=name[:MAX_SHOWN_CHARS],
        )


def _placeholder(path: str, value: str) -> Verdict:
    given = value[:MAX_SHOWN_CHARS]
    if value not in _NO_IDENTIFIER:
        return rules.PLACEHOLDER.at(
            path,
            'The identifier is "%(given)s", a placeholder without a value.',
            "Fill it in: in JavaScript, text with ${…} needs backticks.",
            given=given,
        )
    return rules.PLACEHOLDER.at(
        path,
        'The value is the text "%(given)s", which JavaScript writes for a value that is missing or an object.',
        "Check the field that the handler reads, and send null or omit it if it is missing.",
        given=given,
    )


# --- attributes that Customer.io reads ---


def check_email(path: str, value: Json) -> Iterator[Verdict]:
    if value is None:  # removes the address
        return
    if not isinstance(value, str) or not _is_address(value):
        yield rules.INVALID_EMAIL.at(
            path,
            # Without the address: it may be a customer's, with a typing error.
            "The email address is not valid. Customer.io sends no emails to it.",
            "Check the field that the handler reads. Send the address alone, without a name and spaces.",
        )


def _is_address(text: str) -> bool:
    if len(text) > MAX_ADDRESS_CHARS or text.rfind("@") > MAX_LOCAL_PART_CHARS:
        return False
    return _ADDRESS.fullmatch(text) is not None


def _unsubscribed(path: str, value: Json) -> Iterator[Verdict]:
    text = str(value).lower() if isinstance(value, str | int) else "" if value is None else "?"
    if text not in _UNSUBSCRIBED | _SUBSCRIBED:
        yield rules.NOT_BOOLEAN.at(
            path,
            "Customer.io reads only true as unsubscribed, so %(given)s counts as subscribed.",
            "Send true or false.",
            given=shown(value),
        )


def _topic(path: str, value: Json) -> Iterator[Verdict]:
    if value is not None and value != "" and not isinstance(value, bool):
        yield rules.NOT_BOOLEAN.at(
            path,
            "A subscription preference must be true or false, but is %(given)s.",
            "Send true or false.",
            given=shown(value),
        )


def _preferences(path: str, value: Json) -> Iterator[Verdict]:
    topics = value.get("topics") if isinstance(value, dict) else None
    if isinstance(topics, dict):
        for name, given in topics.items():
            yield from _topic(f"{path}.topics.{name[:MAX_SHOWN_CHARS]}", given)
    elif isinstance(value, dict) and value:
        yield rules.UNKNOWN_FIELD.at(
            path,
            "Customer.io reads subscription preferences from `topics` only, so this one has no effect.",
            "Send {topics: {topic_1: true}}.",
        )


def _time_zone(path: str, value: Json) -> Iterator[Verdict]:
    if value is None or value == "" or not _is_time_zone("Europe/Paris"):  # nothing can be said without the database
        return
    if not isinstance(value, str) or len(value) > MAX_SHOWN_CHARS or not _is_time_zone(value):
        yield rules.TIME_ZONE.at(
            path,
            "Customer.io has no time zone %(given)s.",
            "Send the name of a region, such as Europe/Paris.",
            given=shown(value),
        )


@lru_cache(maxsize=1_000)
def _is_time_zone(name: str) -> bool:
    """Whether the machine's copy of IANA's database has the name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _generated(path: str, _value: Json) -> Iterator[Verdict]:
    yield rules.OWN_ATTRIBUTE.at(
        path,
        'Customer.io reserves the attribute name "%(name)s".',
        "Use another name, or omit it.",
        name=path.rpartition(".")[2],
    )


_READ: dict[str, Callable[[str, Json], Iterator[Verdict]]] = {
    "email": check_email,
    "unsubscribed": _unsubscribed,
    "timezone": _time_zone,
    "cio_subscription_preferences": _preferences,
    **dict.fromkeys(track_api.OWN_ATTRIBUTES, _generated),
}
