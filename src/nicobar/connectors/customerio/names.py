"""What the name of an attribute or property says about its value."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache

from nicobar.connectors.customerio import track_api
from nicobar.model import Record

MAX_NAME_CHARS = 100
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MONEY = _words(
    "amount amounts total totals price prices revenue spent spend paid cost costs fee fees mrr arr ltv clv "
    "balance discount discounts tax taxes vat refund refunded refunds charge charges charged subtotal gross "
    "gmv aov proceeds penalty penalties surcharge surcharges rebate rebates cashback payout turnover rent "
    "deposit salary budget earnings income profit commission msrp arpu owed donation donated expense expenses"
)
# Amounts only if they are written with decimals.
_MAYBE_MONEY = _words("value payment sum tip shipping net due outstanding sales credit bill usd eur gbp jpy krw chf")
# The value is a number of something else, or no number at all.
_NOT_MONEY = _words(
    "type kind status currency count counts quantity qty items item orders users seats days day weeks months "
    "month years year hours minutes seconds rate percent percentage pct ratio date at on time since until "
    "points score rank level tier version method reason interval frequency page pages size"
)
# The value identifies something, whatever it looks like.
_IDENTITY = _words(
    "id ids uid uuid guid code codes number no num key sku ean isbn upc gtin barcode phone mobile fax "
    "reference ref coupon promo voucher slug token hash account iban zip postcode serial version plan url link "
    "href"
)
# The value is meant to be read, not compared.
_DISPLAY = _words(
    "text display displayed formatted format label string str pretty readable localized title "
    "description subject message note notes comment copy summary html"
)
_CLEARLY_TIME = _words(
    "at date dates time times timestamp timestamps datetime on until since expires expiry expiration created "
    "updated birthday"
)
_TIME = _CLEARLY_TIME | _words("ts expire renews renewal ends starts started ended last next when due")
_MOMENT = _words("at timestamp timestamps ts")
_TOTAL_FIRST = frozenset({"total", "lifetime", "cumulative", "average", "avg"})
# What happens more than once, so that the first of it is known to all events together.
_REPEATED = _words("payment purchase order charge invoice transaction subscription paid purchased ordered")
_PREFIXES_OF_COUNTS = ("num_", "number_of_", "count_of_", "numberOf", "sum_of_")
_TOTAL = frozenset({"ltv", "clv"})
# What one event knows in full: the seats of a subscription, and the start of a state.
_COUNTED = _words(
    "seat seats license licenses user users member members unit units item items product products device "
    "devices page pages quantity addon addons employee employees retry retries attempt attempts point points credit "
    "credits token tokens score scores"
)
_STATES = (
    "due",
    "overdue",
    "hold",
    "pause",
    "cancel",
    "inactive",
    "active",
    "fail",
    "suspend",
    "trial",
    "unsubscribe",
)


class Special(StrEnum):
    """Why an attribute of a person needs a look at its name; most names are PLAIN."""

    PLAIN = ""
    READ = "read"  # Customer.io reads it itself
    INTERNAL = "internal"  # it starts with an underscore
    TOPIC = "topic"  # a subscription preference
    CASED = "cased"  # one that Customer.io reads, in other letters
    TOTAL = "total"  # it sums up or counts over time, or is the first time of something


class Meaning(Record):
    """What the words of a name say."""

    is_money: bool
    is_maybe_money: bool
    is_time: bool
    is_moment: bool  # a time to compare, never one to read
    is_identity: bool
    is_display: bool
    special: Special


@lru_cache(maxsize=1_000)  # an endpoint uses the same few names for all of its events
def meaning_of(name: str) -> Meaning:
    """The meaning of a name such as `total_spent` or `totalSpent`."""
    words = [word.lower() for word in _WORD.findall(name[:MAX_NAME_CHARS])]
    known = frozenset(words)
    has_other = bool(known & (_NOT_MONEY | _IDENTITY))
    return Meaning(
        is_money=bool(known & _MONEY) and not has_other,
        is_maybe_money=bool(known & _MAYBE_MONEY) and not has_other,
        is_time=bool(known & _CLEARLY_TIME) or (bool(known & _TIME) and not known & (_IDENTITY | _MONEY)),
        is_moment=bool(known & _MOMENT),
        is_identity=bool(known & _IDENTITY) and not known & _CLEARLY_TIME,
        is_display=bool(known & _DISPLAY),
        special=_special(name, words),
    )


def _special(name: str, words: list[str]) -> Special:
    if name in track_api.READ_ATTRIBUTES or name in track_api.OWN_ATTRIBUTES:
        return Special.READ
    if name.startswith("_"):
        return Special.PLAIN if name in track_api.USABLE_INTERNAL else Special.INTERNAL
    if name.startswith(track_api.TOPICS_PREFIX):
        return Special.TOPIC
    if name.lower() in track_api.CASED_ATTRIBUTES:
        return Special.CASED
    known = frozenset(words)
    if name.startswith(_PREFIXES_OF_COUNTS):
        return Special.PLAIN if known & _COUNTED else Special.TOTAL
    return Special.TOTAL if not known & _IDENTITY and _is_total(words, known) else Special.PLAIN


def _is_total(words: list[str], known: frozenset[str]) -> bool:
    if len(words) > 1 and words[-1] == "since":
        return not any(word.startswith(_STATES) for word in words)
    if words[:1] == ["first"]:
        return bool(known & _REPEATED)
    sums = bool(known & _TOTAL) or words[:1] == ["lifetime"] or words[:2] in (["all", "time"], ["running", "total"])
    is_total = sums or (len(words) > 1 and (words[0] in _TOTAL_FIRST or words[-1] == "count"))
    return is_total and not known & _COUNTED
