"""Which person of a destination a sender's customer is.

Shops know their people by an email address or by an id of their own; the sender's customer id is known to the sender
alone. An endpoint's rule says what identifies people at its destination. It only chooses: what is known of a customer
comes from its events (`Customer`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from nicobar.model import Customer, Json, Record, Setting
from nicobar.reasons import Reason, reason

# The settings of an endpoint that a rule consists of.
RULE_SETTINGS = IDENTIFY_BY, IDENTIFY_FALLBACK = "identify_by", "identify_fallback"
METADATA_PREFIX = "metadata."
MAX_METADATA_KEY_CHARS = 100
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
            reason=reason("no_identity", "No customer of this event is known, so nobody can be identified.")
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
            "no_identity",
            "People are identified by %(identify_by)s, which is not known for customer %(customer)s.",
            identify_by=str(rule),
            customer=known.key,
        )
    )


def order_key(rule: IdentityRule | None, known: Customer | None) -> str | None:
    """What the order of deliveries depends on: the person, so that several customers who are one person share it; the
    sender's customer id where there is no rule, or nobody is identified.
    """
    if known is None:
        return None
    person = None if rule is None else resolve(rule, known)
    return person.value if isinstance(person, Person) else known.key


def email_identifier(email: str | None) -> str:
    """The address as it identifies a person: trimmed, in lower case. Empty if it is none."""
    text = (email or "").strip().lower()
    local, _, domain = text.rpartition("@")
    is_address = bool(local) and bool(domain) and len(text) <= MAX_EMAIL_CHARS and not any(map(str.isspace, text))
    return text if is_address else ""


def metadata_identifier(value: Json) -> str:
    """A value of the metadata as an identifier: text as it is, whole numbers as their exact digits. Empty for
    anything else: booleans, fractions, and blank text.
    """
    if isinstance(value, str):
        return value if value.strip() else ""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


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
