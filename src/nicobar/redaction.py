"""Personal data in what is stored and shown: what is masked, and where it is found. What is sent never changes.

A value is masked by the name of its field, by its path in the event, by its form (card numbers, links that sign
a user in), and, in calls, answers, console lines and reasons, because the event has it in such a field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import TypeAlias
from urllib.parse import quote

import msgspec

from nicobar.errors import UserError
from nicobar.masking import MASK
from nicobar.model import Attempt, Json, Record, RequestRecord, Verdict
from nicobar.nesting import is_deeper
from nicobar.reasons import Reason

MAX_RULES = 200
MAX_RULE_CHARS = 200
# Values that are looked for elsewhere: shorter ones stand in too much that has nothing to do with them.
MIN_SPREAD_CHARS = 4
# An event may have long lists of such values, or long ones; those beyond are masked by name and form only.
MAX_SPREAD_VALUES = 200
MAX_SPREAD_CHARS = 8_000
MIN_NUMBER_DIGITS = 7


class PersonalData(StrEnum):
    """What is masked unless the setting switches it off."""

    CARD = "card"
    LICENSE_KEY = "license_key"
    SIGN_IN_LINK = "sign_in_link"
    PHONE = "phone"
    BILLING_ADDRESS = "billing_address"


class PersonalField(Record):
    """Where bodies have personal data: the names from the top, with full stops between them, through lists."""

    kind: PersonalData
    path: str


# Field names at any depth, of events, calls and answers. Case, `_` and `-` do not matter.
_NAMES: dict[PersonalData, str] = {
    PersonalData.CARD: "card_number card_last_four card_last_4 card_last4 last_four last4 card_holder_name "
    "cardholder_name card_exp_month card_exp_year card_expiry cvc cvv",
    PersonalData.LICENSE_KEY: "license_key license_keys licence_key licence_keys",
    PersonalData.SIGN_IN_LINK: "oauth_url download_url external_url payment_link portal_link portal_url "
    "customer_portal_link customer_portal_url sign_in_link sign_in_url login_link login_url magic_link invoice_url",
    PersonalData.PHONE: "phone phone_number mobile mobile_number mobile_phone telephone",
    PersonalData.BILLING_ADDRESS: "billing billing_address street street_address address_line_1 address_line_2 "
    "address_line1 address_line2 zipcode zip_code zip postal_code postcode",
}
# These only as a whole name: `next_billing` is a date. Others also end longer names, such as `customer_phone`.
_ALONE = frozenset({"billing", "zip", "zipcode", "cvc", "cvv", "mobile", "street"})
# Senders choose the names, and how long they are.
MAX_KNOWN_NAMES = 10_000
MAX_KNOWN_NAME_CHARS = 2 * MAX_RULE_CHARS
# Of these the field is masked, but the value is not looked for elsewhere: many events have the same.
_NOT_SPREAD = frozenset({"cardexpmonth", "cardexpyear", "cardexpiry"})
# What stays readable of an address, and what is masked of a license key with its state.
_OPEN_PARTS = {PersonalData.BILLING_ADDRESS: frozenset({"country", "countrycode"})}
_CLOSED_PARTS = {PersonalData.LICENSE_KEY: frozenset({"key", "value", "code"})}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_WORD_START = r"(?<![^\W_])"
_IDENTIFYING = frozenset({PersonalData.LICENSE_KEY, PersonalData.PHONE})
# No form of writing changes these.
_RUN = re.compile(r"[0-9A-Za-z]+")
_SPECIAL = re.compile(r"[^\w.~-]")
_TELEPHONE = re.compile(r"\+?[\d\s()./-]+")
_RULE = re.compile(r"[\w$-]+(\.[\w$-]+)*")

# 13 to 19 digits, in groups or not, as the networks give them out; the checksum decides.
_CARD_NUMBER = re.compile(r"[2-6](?<![\w.+-].)\d{3}(?:[ -]?\d){8,15}(?![\w-])")
_LINK = re.compile(r"\bhttps?://[^\s\"'<>\\]+", re.IGNORECASE)
_SECRET_PART = re.compile(
    r"([?&#;](?:[\w.-]{0,40}(?:token|signature|secret|session|password|otp|magic)[\w.-]{0,40}|sig|key|code|auth|jwt)=)"
    r"[^&#\s]+",
    re.IGNORECASE,
)
_SIGN_IN_PLACES = ("/session", "/login", "/sign", "/magic", "/auth", "/portal")
_SIGN_IN_PATH = re.compile(
    r"(https?://[^/?#\s]+(?:/[^/?#\s]+)*?/(?:session|sessions|login|signin|sign-in|magic|magic-link|auth|portal)/)"
    r"[\w.~-]{16,}[^\s]*",
    re.IGNORECASE,
)

# An element of XML with text in it.
_ELEMENT = re.compile(r"(<(?:[\w.-]{1,80}:)?([\w.-]{1,200})(?:\s[^<>]*)?>)(<!\[CDATA\[[^\]<]*\]\]>|[^<]+)")

_Kind: TypeAlias = PersonalData | None  # None: a rule of the setting
_Tree: TypeAlias = "dict[str, _Tree | tuple[_Kind]]"


def _bare(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


class Redaction:
    """The rules of an installation: the defaults, and those of the setting, such as `email, data.note, -phone`: a
    field name, a path from the top of the event, or with a minus a default that is switched off.
    """

    def __init__(self, setting: str = "") -> None:
        """Raises UserError."""
        self.kinds = set(PersonalData)
        self._own_names: list[str] = []
        self._own_paths: list[str] = []
        rules = [item.strip() for item in setting.split(",") if item.strip()]
        if len(rules) > MAX_RULES:
            raise _wrong(f"{len(rules)} rules")
        for rule in rules:
            self._add(rule)
        self._of_fields: dict[tuple[PersonalField, ...], Rules] = {}

    def _add(self, rule: str) -> None:
        if rule.startswith("-"):
            if rule[1:] not in set(PersonalData):
                raise _wrong(rule)
            self.kinds.discard(PersonalData(rule[1:]))
        elif not _RULE.fullmatch(rule) or len(rule) > MAX_RULE_CHARS:
            raise _wrong(rule)
        else:
            (self._own_paths if "." in rule else self._own_names).append(rule)

    def of(self, fields: tuple[PersonalField, ...] = ()) -> Rules:
        """The rules for the events of a kind of source."""
        found = self._of_fields.get(fields)
        if found is None:
            names: dict[str, _Kind] = {
                _bare(name): kind for kind in PersonalData if kind in self.kinds for name in _NAMES[kind].split()
            }
            names |= dict.fromkeys(map(_bare, self._own_names))
            paths: list[tuple[str, _Kind]] = [
                (field.path, field.kind) for field in fields if field.kind in self.kinds
            ]
            spelled = [name for kind in self.kinds for name in _NAMES[kind].split()]
            found = Rules(
                kinds=frozenset(self.kinds),
                names=names,
                paths=[*paths, *((path, None) for path in self._own_paths)],
                spelled=[*spelled, *self._own_names],
            )
            self._of_fields[fields] = found
        return found


def _wrong(rule: str) -> UserError:
    return UserError(
        "redaction_invalid",
        "Invalid redaction rule %(rule)s.",
        "Use field names, paths such as data.customer.name, or a default with a minus, such as -phone, at most "
        "%(max_rules)s, separated by commas.",
        rule=rule[:MAX_RULE_CHARS],
        max_rules=MAX_RULES,
    )


class Rules:
    """The compiled rules for one kind of source."""

    def __init__(
        self,
        *,
        kinds: frozenset[PersonalData],
        names: Mapping[str, _Kind],
        paths: Iterable[tuple[str, _Kind]],
        spelled: Iterable[str],
    ) -> None:
        self._kinds = kinds
        self._names = names
        self._tree: _Tree = {}
        ends = set()
        for path, kind in paths:
            steps = path.split(".")
            _plant(self._tree, steps, kind)
            ends.add(f'"{steps[-1].lower()}"')
        self._ends = tuple(ends)
        self._known: dict[str, tuple[_Kind] | None] = {}
        choices = _choices(spelled)
        # A field with a name of the rules, in JSON that may be cut, in a form, or as a console shows it.
        self._named = re.compile(
            rf"((?:{choices})\\?[\"']?\s*[:=]\s*)"
            r"(\\?\"(?:[^\"\\]|\\[^\"])*(?:\\?\"|$)|'[^']*(?:'|$)|[^\s,;&\"'{}\[\]]+)",
            re.IGNORECASE,
        )
        bare = {_bare(name) for name in spelled}
        # Every name has one of these in it.
        self._cores = tuple(name for name in bare if not any(other in name for other in bare - {name}))

    def rule_of(self, name: str) -> tuple[_Kind] | None:
        """The rule for a field of this name. Of a long one, only the end can be in the rules."""
        name = name[-MAX_KNOWN_NAME_CHARS:]
        if name not in self._known:
            if len(self._known) >= MAX_KNOWN_NAMES:
                self._known.clear()
            self._known[name] = self._found(name)
        return self._known[name]

    def _found(self, name: str) -> tuple[_Kind] | None:
        if (bare := _bare(name)) in self._names:
            return (self._names[bare],)
        words = _WORD.findall(name)
        ends = ("".join(words[at:]).lower() for at in range(1, len(words)))
        return next(((self._names[end],) for end in ends if end in self._names and end not in _ALONE), None)

    def redactor(self, body: bytes = b"") -> Redactor:
        """For what belongs to one event."""
        return Redactor(self, body)

    def masked(
        self, json: Json, change: Callable[[str], str], spread: list[tuple[_Kind, str]], *, is_event: bool
    ) -> Json:
        """The JSON with personal data masked; adds the values that are to be looked for elsewhere to `spread`."""
        return self._inside(json, self._tree if is_event else {}, change, spread)

    def _inside(self, json: Json, tree: _Tree, change: Callable[[str], str], spread: list[tuple[_Kind, str]]) -> Json:
        if isinstance(json, str):
            return change(json)
        if isinstance(json, dict):
            shown: dict[str, Json] = {}
            for name, value in json.items():
                bare, below = _bare(name), tree.get(name)
                rule = below if isinstance(below, tuple) else self.rule_of(name)
                if rule is not None:
                    shown[change(name)] = self._hidden(value, rule[0], bare, change, spread)
                else:
                    inner = below if isinstance(below, dict) else {}
                    shown[change(name)] = self._inside(value, inner, change, spread)
            return shown
        if isinstance(json, list):
            return [self._inside(item, tree, change, spread) for item in json]
        if isinstance(json, int) and not isinstance(json, bool) and abs(json) >= 10 ** (MIN_NUMBER_DIGITS - 1):
            return MASK if change(str(json)) != str(json) else json
        return json

    def _hidden(
        self, value: Json, kind: _Kind, bare: str, change: Callable[[str], str], spread: list[tuple[_Kind, str]]
    ) -> Json:
        if isinstance(value, bool) or value is None or value == "":
            return value
        if isinstance(value, list):
            return [self._hidden(item, kind, bare, change, spread) for item in value]
        if not isinstance(value, dict):
            if bare not in _NOT_SPREAD:
                spread.append((kind, str(value)))
            return MASK
        shown: dict[str, Json] = {}
        for name, inner in value.items():
            own = _bare(name)
            closed = _CLOSED_PARTS.get(kind) if kind else None
            opened = _OPEN_PARTS.get(kind, frozenset()) if kind else frozenset()
            if own in opened or (closed is not None and own not in closed and self.rule_of(name) is None):
                shown[name] = self._inside(inner, {}, change, spread)
            else:
                shown[name] = self._hidden(inner, kind, own, change, spread)
        return shown

    def formed(self, text: str) -> str:
        """The text without card numbers, and without links that sign a user in."""
        if PersonalData.CARD in self._kinds and len(text) >= 13:  # noqa: PLR2004 - the shortest card number
            text = _CARD_NUMBER.sub(lambda found: MASK if _has_checksum(found[0]) else found[0], text)
        if PersonalData.SIGN_IN_LINK in self._kinds and "://" in text:
            text = _LINK.sub(lambda found: _without_secret(found[0]), text)
        return text

    def elements(self, text: str) -> str:
        """The text without what XML has in elements with a name of the rules."""

        def shown(found: re.Match[str]) -> str:
            is_hidden = found[3].strip() and self.rule_of(found[2]) is not None
            return found[1] + MASK if is_hidden else found[0]

        return _ELEMENT.sub(shown, text)

    def named(self, text: str) -> str:
        """The text without what follows a field name of the rules."""
        return self._named.sub(lambda found: found[1] + _same_quotes(found[2]), text)

    def mentions(self, folded: str) -> bool:
        """Whether a text in lower case may have a field name of the rules."""
        bare = _bare(folded)
        return any(core in bare for core in self._cores)

    def may_find_in(self, body: bytes) -> bool:
        """Whether an event may have something in the fields of the rules; without decoding it."""
        folded = body.decode("utf-8", "replace").lower()
        return self.mentions(folded) or any(end in folded for end in self._ends)

    def values(self, json: Json) -> list[tuple[_Kind, str]]:
        """What an event has in the fields of the rules. Every delivery is looked at, so this is faster than
        `masked`.
        """
        spread: list[tuple[_Kind, str]] = []
        self._collect(json, self._tree, spread)
        return spread

    def _collect(self, json: Json, tree: _Tree, spread: list[tuple[_Kind, str]]) -> None:
        known = self._known
        if isinstance(json, list):
            for item in json:
                if isinstance(item, dict | list):
                    self._collect(item, tree, spread)
        elif isinstance(json, dict):
            for name, value in json.items():
                below = tree.get(name)
                rule = below if isinstance(below, tuple) else known[name] if name in known else self.rule_of(name)
                if rule is not None:
                    self._hidden(value, rule[0], _bare(name), str, spread)
                elif isinstance(value, dict | list):
                    self._collect(value, below if isinstance(below, dict) else {}, spread)


class Needle:
    """A value to look for. Each of its written forms has its `core`, so that the forms are rarely made."""

    def __init__(self, value: str) -> None:
        self.value = value
        self.core = max(_RUN.findall(value), key=len, default="").lower()

    @cached_property
    def forms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(form.lower() for form in written_forms(self.value)))

    def is_in(self, folded: str) -> bool:
        """Whether a text in lower case has it."""
        return self.core in folded and any(form in folded for form in self.forms)


class Redactor:
    """Masks the personal data of one event wherever it is quoted. Applied twice, it changes nothing more."""

    def __init__(self, rules: Rules, body: bytes, others: tuple[bytes, ...] = ()) -> None:
        self.rules = rules
        self._body = body
        self._others = others

    def with_raw(self, text: str) -> Redactor:
        """One that also masks what a raw payload has in its fields, if it is JSON, wherever it is quoted."""
        return Redactor(self.rules, self._body, (*self._others, text.encode("utf-8", "surrogatepass")))

    def also(self, snapshot: str) -> Redactor:
        """One that also masks what a handler has read of the ledger (JSON), wherever it is quoted."""
        return Redactor(self.rules, self._body, (*self._others, _as_event(snapshot))) if snapshot else self

    @cached_property
    def _found(self) -> list[tuple[_Kind, str]]:
        jsons = [json for json in (self._body, *self._others) if self.rules.may_find_in(json)]
        return [value for json in jsons for value in self.rules.values(_json(json))]

    @property
    def identifying(self) -> tuple[str, ...]:
        """The event's values that no other customer has, without links: each event has others."""
        own = (value for kind, value in self._found if kind in _IDENTIFYING and len(value) >= MIN_NUMBER_DIGITS)
        return tuple(dict.fromkeys(own))

    @cached_property
    def values(self) -> tuple[str, ...]:
        """The event's values in masked fields."""
        long = (value for _, value in self._found if len(value) >= MIN_SPREAD_CHARS and value != MASK)
        kept: list[str] = []
        left_chars = MAX_SPREAD_CHARS
        for value in dict.fromkeys(long):
            if len(value) <= left_chars and len(kept) < MAX_SPREAD_VALUES:
                kept.append(value)
                left_chars -= len(value)
        return tuple(kept)

    @cached_property
    def needles(self) -> tuple[Needle, ...]:
        return tuple(map(Needle, self.values))

    def event(self, body: bytes) -> bytes:
        """The body of an event as it is shown."""
        json = _json(body)
        if json is None:
            return self.text(body.decode("utf-8", "replace")).encode()
        shown = self.rules.masked(json, self._string, [], is_event=True)
        return body if shown == json else msgspec.json.encode(shown)

    def text(self, text: str) -> str:
        """Any text; JSON is masked as JSON, a line at a time."""
        if not text or not self._may_have(text):
            return text
        if text.lstrip()[:1] in {"{", "["}:
            json = _json(text.encode("utf-8", "replace"))
            if json is not None:
                shown = self.rules.masked(json, self._string, [], is_event=False)
                return text if shown == json else msgspec.json.encode(shown).decode()
        if "</" in text:
            text = self.rules.elements(text)
        if "\n" in text:
            return "\n".join(self.text(line) for line in text.split("\n"))
        return self.rules.named(self._string(text))

    def why(self, reason: Reason | None) -> Reason | None:
        return None if reason is None else self.reason(reason)

    def reason(self, reason: Reason) -> Reason:
        """A reason with its values and its location masked."""
        shown = reason.with_texts(self.text)
        if isinstance(shown.location, str):
            return msgspec.structs.replace(shown, location=self._string(shown.location))
        return shown

    def verdict(self, verdict: Verdict) -> Verdict:
        return msgspec.structs.replace(verdict, reason=self.reason(verdict.reason))

    def attempt(self, attempt: Attempt, *, bodies_masked: bool = False) -> Attempt:
        """An attempt as it is stored and shown. `bodies_masked`: the bodies of its requests and its response were
        masked when they were sent.
        """
        verdicts = tuple(map(self.verdict, attempt.verdicts))
        if not self._may_have("\n".join(_texts(attempt, bodies=not bodies_masked))):
            return msgspec.structs.replace(
                attempt, reason=self.why(attempt.reason), verdicts=verdicts, snapshot=self.snapshot(attempt.snapshot)
            )
        return msgspec.structs.replace(
            attempt,
            reason=self.why(attempt.reason),
            requests=tuple(map(self.request, attempt.requests)),
            response=self.text(attempt.response),
            response_headers=self.headers(attempt.response_headers),
            console=tuple(map(self.text, attempt.console)),
            verdicts=verdicts,
            snapshot=self.snapshot(attempt.snapshot),
        )

    def snapshot(self, snapshot: str) -> str:
        """What a handler has read of the ledger (JSON). Its customer is masked like that of an event."""
        known = _json(_as_event(snapshot)) if snapshot else None
        if known is None:
            return self.text(snapshot)
        shown = self.rules.masked(known, self._string, [], is_event=True)
        match shown:
            case {"data": {"customer": dict() as customer}} if customer.get("name") == MASK:
                if isinstance(customer.get("first_name"), str):
                    customer["first_name"] = MASK
        return snapshot if shown == known or not isinstance(shown, dict) else _text_of(shown["data"])

    def request(self, request: RequestRecord) -> RequestRecord:
        return msgspec.structs.replace(
            request, url=self.text(request.url), headers=self.headers(request.headers), body=self.text(request.body)
        )

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {
            name: self.text(value) if self.rules.rule_of(name) is None else MASK for name, value in headers.items()
        }

    def _string(self, text: str) -> str:
        return self.rules.formed(self._without_values(text))

    def _without_values(self, text: str) -> str:
        folded = text.lower()
        found = [form for needle in self.needles if needle.core in folded for form in needle.forms if form in folded]
        # An expression of all of them takes long to compile.
        return _any_of(tuple(found)).sub(MASK, text) if found else text

    def _may_have(self, text: str) -> bool:
        """Whether the text is worth reading: most texts have nothing of it."""
        folded = text.lower()
        return (
            self.rules.mentions(folded)
            or any(needle.is_in(folded) for needle in self.needles)
            or self.rules.formed(text) != text
        )


class SharedRedactor(Redactor):
    """Masks the personal data of all events of a request, in one pass: what is said of the request may quote each."""

    def __init__(self, redactors: Sequence[Redactor]) -> None:
        # The rules of kinds of sources differ in paths only, which texts do not have.
        super().__init__(redactors[0].rules, b"")
        self._redactors = redactors

    @cached_property
    def needles(self) -> tuple[Needle, ...]:
        return tuple({needle.value: needle for redactor in self._redactors for needle in redactor.needles}.values())


def _texts(attempt: Attempt, *, bodies: bool) -> Iterable[str]:
    """What an attempt has from outside, without its reasons."""
    for request in attempt.requests:
        yield from (request.url, *request.headers, *request.headers.values())
    yield from (*attempt.response_headers, *attempt.response_headers.values(), *attempt.console)
    if bodies:
        yield from (attempt.response, *(request.body for request in attempt.requests))


def _as_event(snapshot: str) -> bytes:
    """A snapshot (JSON) with its customer where an event has one."""
    return b'{"data":' + snapshot.encode("utf-8", "surrogatepass") + b"}"


def _text_of(json: Json) -> str:
    return msgspec.json.encode(json).decode()


def _any_of(needles: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(needles, key=len, reverse=True)
    return re.compile(rf"{_WORD_START}(?:{'|'.join(map(re.escape, longest_first))})(?![^\W_])", re.IGNORECASE)


def written_forms(value: str) -> Iterable[str]:
    """A value as JSON, URLs, forms and, for telephone numbers, other notations write it."""
    yield value
    if value.isalnum() and value.isascii():
        return
    if not value.isascii():
        yield _escaped(value)
    if not value.isascii() or _SPECIAL.search(value):
        quoted = _SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", value) if value.isascii() else quote(value, "")
        yield quoted
        if " " in value:
            yield quoted.replace("%20", "+")
    if '"' in value or "\\" in value:
        once = msgspec.json.encode(value).decode()
        yield once[1:-1]
        yield msgspec.json.encode(once).decode()[3:-3]  # JSON in a text of JSON
    if _TELEPHONE.fullmatch(value):
        digits = "".join(filter(str.isdigit, value))
        if len(digits) >= MIN_NUMBER_DIGITS:
            yield digits


def _escaped(value: str) -> str:
    """As JSON in ASCII only."""
    units = (value[at] for at in range(len(value)))
    return "".join(
        unit if unit.isascii() else "".join(f"\\u{int.from_bytes(pair, 'big'):04x}" for pair in _utf16(unit))
        for unit in units
    )


def _utf16(character: str) -> list[bytes]:
    encoded = character.encode("utf-16-be", "surrogatepass")
    return [encoded[at : at + 2] for at in range(0, len(encoded), 2)]


def _choices(names: Iterable[str]) -> str:
    """An expression for field names as they are written in texts."""
    whole: list[str] = []
    ends: list[str] = []
    for name in sorted(names, key=len, reverse=True):
        spelled = "[_-]?".join(re.escape(part) for part in re.split(r"[_-]", name) if part)
        (whole if _bare(name) in _ALONE else ends).append(spelled)
    never = "(?!)"
    return rf"(?:(?<![\w-])(?:{'|'.join(whole) or never})|{_WORD_START}(?:{'|'.join(ends) or never}))(?![\w-])"


def _plant(tree: _Tree, steps: list[str], kind: _Kind) -> None:
    for step in steps[:-1]:
        below = tree.setdefault(step, {})
        if isinstance(below, tuple):  # a shorter path is masked as a whole
            return
        tree = below
    tree[steps[-1]] = (kind,)


def _json(body: bytes) -> Json:
    """None for what is no JSON object or list."""
    if is_deeper(body):
        return None
    try:
        json: Json = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    return json if isinstance(json, dict | list) else None


def _same_quotes(value: str) -> str:
    if value.startswith('\\"'):
        return f'\\"{MASK}\\"'
    return f"{value[0]}{MASK}{value[0]}" if value[:1] in {'"', "'"} else MASK


def _without_secret(link: str) -> str:
    if "=" in link:
        link = _SECRET_PART.sub(rf"\g<1>{MASK}", link)
    folded = link.lower()
    if any(place in folded for place in _SIGN_IN_PLACES):
        found = _SIGN_IN_PATH.match(link)
        return f"{found[1]}{MASK}" if found else link
    return link


def _has_checksum(text: str) -> bool:
    """Luhn's, which every card number has."""
    digits = [int(character) for character in reversed(text) if character.isdigit()]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + doubled) % 10 == 0
