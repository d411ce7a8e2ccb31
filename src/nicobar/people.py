"""Which person of a destination a sender's customer is.

Shops know their people by an email address or by an id of their own; the sender's customer id is known to the sender
alone. An endpoint's rule says what identifies people at its destination. It only chooses: what is known of a customer
comes from its events (`Customer`).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from math import isfinite

from nicobar.model import Customer, Json, Record, Setting
from nicobar.reasons import Reason, reason

NO_IDENTITY = "no_identity"
# The code of the verdict that a customer without an id in the metadata was identified by email.
FALLBACK_USED = "identity_fallback"
# The settings of an endpoint that a rule consists of.
RULE_SETTINGS = IDENTIFY_BY, IDENTIFY_FALLBACK = "identify_by", "identify_fallback"
METADATA_PREFIX = "metadata."
MAX_METADATA_KEY_CHARS = 100
# The longest id that a destination takes.
MAX_ID_BYTES = 150
# What a double holds exactly, as decimal digits.
MAX_EXACT_DIGITS = 15
# How the helpers of handlers name a customer who is not known.
UNKNOWN_CUSTOMER: dict[str, Json] = {"nicobar": "customer"}
# RFC 5321, section 4.5.3.1.3, without the brackets.
MAX_EMAIL_CHARS = 254


class IdentifyBy(StrEnum):
    """What identifies people at a destination."""

    EMAIL = "email"
    CUSTOMER_ID = "customer_id"
    METADATA = "metadata"


class Fallback(StrEnum):
    """What to do where a customer's metadata has no id: use their email, or send nothing."""

    EMAIL = "email"
    REJECT = "reject"


class IdentityRule(Record):
    """An endpoint's answer to what identifies people at its destination. `key` is the name in the metadata, empty for
    other rules.
    """

    by: IdentifyBy
    key: str = ""
    fallback: Fallback = Fallback.EMAIL

    def __str__(self) -> str:
        return METADATA_PREFIX + self.key if self.by is IdentifyBy.METADATA else self.by.value


class PersonOrigin(StrEnum):
    """Where a person's identifier comes from."""

    CUSTOMER_ID = "customer_id"
    EMAIL = "email"
    METADATA = "metadata"
    FALLBACK = "fallback"


class Person(Record):
    """A person at a destination: the kind of identifier (`id` or `email`), its value, and where it comes from."""

    kind: str
    value: str
    origin: PersonOrigin


class Identifier(Record):
    """An identifier of a person at a destination, of a kind as in `Person`."""

    kind: str
    value: str


class NoIdentity(Record):
    """Nothing known of the event identifies a person by the endpoint's rule."""

    reason: Reason


def read_rule(identify_by: str, fallback: str = Fallback.EMAIL.value) -> IdentityRule | None:
    """The rule of the settings `identify_by` and `identify_fallback`; None if they have no such form."""
    key = identify_by.removeprefix(METADATA_PREFIX) if identify_by.startswith(METADATA_PREFIX) else ""
    if fallback not in set(Fallback):
        return None
    if 0 < len(key) <= MAX_METADATA_KEY_CHARS:
        return IdentityRule(by=IdentifyBy.METADATA, key=key, fallback=Fallback(fallback))
    if identify_by in {IdentifyBy.EMAIL, IdentifyBy.CUSTOMER_ID}:
        return IdentityRule(by=IdentifyBy(identify_by), fallback=Fallback(fallback))
    return None


def resolve(rule: IdentityRule, known: Customer | None) -> Person | NoIdentity:
    """The person that a customer is."""
    if known is None:
        return NoIdentity(
            reason=reason(
                NO_IDENTITY,
                "The event has no known customer, so no person can be identified.",
                "It is sent once a later event says whose it is.",
            )
        )
    email = email_identifier(known.email)
    match rule.by:
        case IdentifyBy.CUSTOMER_ID:
            return Person(kind="id", value=known.key, origin=PersonOrigin.CUSTOMER_ID)
        case IdentifyBy.EMAIL if email:
            return Person(kind="email", value=email, origin=PersonOrigin.EMAIL)
        case IdentifyBy.METADATA:
            value = metadata_identifier(known.metadata.get(rule.key))
            if value:
                return Person(kind="id", value=value, origin=PersonOrigin.METADATA)
            if email and rule.fallback is Fallback.EMAIL:
                return Person(kind="email", value=email, origin=PersonOrigin.FALLBACK)
    return NoIdentity(
        reason=reason(
            NO_IDENTITY,
            "People are identified by %(identify_by)s. Customer %(customer)s has no usable one.",
            "It is sent once a later event of the customer has it.",
            identify_by=str(rule),
            customer=known.key,
        )
    )


def order_key(rule: IdentityRule | None, known: Customer | None) -> str | None:
    """What the order of deliveries depends on: the person, so that several customers who are one person share it; the
    sender's customer id where there is no rule, or no person is identified.
    """
    if known is None:
        return None
    person = None if rule is None else resolve(rule, known)
    return person.value if isinstance(person, Person) else known.key


def email_identifier(email: str | None) -> str:
    """The address as it identifies a person: trimmed, in lower case. Empty if it is none."""
    text = (email or "").strip().lower()
    local, _, domain = text.rpartition("@")
    is_address = bool(local and domain) and len(text) <= MAX_EMAIL_CHARS and text.isprintable() and " " not in text
    return text if is_address else ""


def metadata_identifier(value: Json) -> str:
    """A value of the metadata as an identifier: text as it is, numbers as their exact digits. Empty for all else:
    booleans, blank text, what no destination takes as an id, and numbers that were rounded when they were read.
    """
    match value:
        case str():
            text = value if value.strip() and "\0" not in value else ""
        case bool():
            text = ""
        case int():
            text = str(value) if abs(value) < 10**MAX_ID_BYTES else ""
        case float():
            text = _digits(value)
        case _:
            text = ""
    return text if len(text.encode("utf-8", "replace")) <= MAX_ID_BYTES else ""


def _digits(number: float) -> str:
    """A number without its trailing zeros: 42.0 is 42, as in JavaScript. Empty if it may have had other digits."""
    if not isfinite(number):
        return ""
    exact = Decimal(repr(number)) if number else Decimal(0)
    is_exact = len(exact.normalize().as_tuple().digits) <= MAX_EXACT_DIGITS and abs(number) < 10**MAX_EXACT_DIGITS
    if not is_exact:
        return ""
    text = format(exact, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def rule_of(settings: Mapping[str, Setting]) -> IdentityRule | None:
    """The rule of an endpoint's settings; None if they have none."""
    by, fallback = settings.get(IDENTIFY_BY), settings.get(IDENTIFY_FALLBACK) or Fallback.EMAIL
    return read_rule(str(by), str(fallback)) if by else None


def outline(rule: IdentityRule | None) -> str:
    """The rule in the words of its settings, with what happens where it does not say who a customer is."""
    if rule is None:
        return "none"
    then = {Fallback.EMAIL: ", then email", Fallback.REJECT: ", then nothing"}[rule.fallback]
    return f"{rule}{then if rule.by is IdentifyBy.METADATA else ''}"


def with_rule(settings: Mapping[str, Setting], rule: IdentityRule) -> dict[str, Setting]:
    """The settings with this rule in place of theirs."""
    others = {name: value for name, value in settings.items() if name not in RULE_SETTINGS}
    fallback = {IDENTIFY_FALLBACK: rule.fallback.value} if rule.fallback is not Fallback.EMAIL else {}
    return {**others, IDENTIFY_BY: str(rule), **fallback}
