"""What a deletion of a customer's data has left, by looking for the customer's values in all that is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from nicobar import model, store
from nicobar.facts import KnownFact
from nicobar.model import Message, Record
from nicobar.reasons import Reason
from nicobar.redaction import Redaction, written_forms
from nicobar.sources.registry import SOURCES
from nicobar.store import Audited, Store
from nicobar.store.erasure import KeptBackup, Place

MAX_VALUES_AT_ONCE = 200
MAX_NAMED_MESSAGES = 20
# Each waits for readers for a moment.
CLEAR_TRIES = 20
# Shorter ones are common in text about no customer.
MIN_VALUE_CHARS = 6


def _own_words() -> Iterable[str]:
    """Names of fields and fixed values of stored records: with one of them masked, a record could not be read."""
    for kind in (*vars(model).values(), *vars(store).values(), Reason):
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            yield from kind.__struct_fields__
        elif isinstance(kind, type) and issubclass(kind, StrEnum):
            yield from kind


OWN_WORDS = frozenset(_own_words())


class Report(Record):
    """`values` is how many different values were looked for: ids, email addresses, telephone numbers, license
    keys. `without_customer` messages named the customer and had none of their own; they were erased too. `tables`
    and `files` still have one of the values; `files` is None where they could not be searched, or where rows that
    stay have texts with one of the values in them. `other_messages` are about other customers and have one. `backups`
    may keep the data: they are not opened.
    """

    values: int
    without_customer: int
    tables: tuple[Place, ...]
    files: tuple[Place, ...] | None
    other_messages: tuple[str, ...]
    backups: tuple[KeptBackup, ...]

    @property
    def is_clean(self) -> bool:
        return not self.tables and not self.files

    def outline(self) -> list[str]:
        """The report in sentences, for the command line."""
        lines = []
        if self.without_customer:
            lines.append(f"Also deleted: {self.without_customer} messages without a customer that named this one.")
        if not self.values:
            lines.append("▲ No value of the customer is long enough to search for.")
        elif self.is_clean:
            where = "table" if self.files is None else "table or file"
            lines.append(f"● No {where} of the database contains any of the customer's {self.values} values.")
        lines += [f"▲ Still in the table {place.name}: {place.count} rows" for place in self.tables]
        lines += [f"▲ Still in unused parts of {place.name}. Run nicobar compact." for place in self.files or ()]
        lines += [f"  Message of another customer: {message_id}" for message_id in self.other_messages]
        lines += [f"▲ The backup {backup.path} may still contain the data." for backup in self.backups]
        return lines


def values_of(key: str, messages: Iterable[Message]) -> set[str]:
    """What identifies a customer, from the messages about them."""
    values = {key}
    rules = [Redaction().of(kind.personal_fields) for kind in SOURCES]
    for message in messages:
        values |= {message.customer_email or "", *_emails(message.body)}
        for rule in rules:
            values |= set(rule.redactor(message.body).identifying)
    return {value for value in values if len(value) >= MIN_VALUE_CHARS and value not in OWN_WORDS}


def values_in(facts: Sequence[KnownFact]) -> set[str]:
    """What identifies a customer, from what is remembered of them: their addresses, and the ids of their payments and
    the like, by which events without a customer name them.
    """
    values = {fact.key.rpartition("/")[2] for fact in facts}
    values |= {str(email) for fact in facts for email in fact.values.get("email", ())}
    return {value for value in values if len(value) >= MIN_VALUE_CHARS and value not in OWN_WORDS}


def _emails(body: bytes) -> set[str]:
    """The email addresses of the event's customer."""
    found = set()
    for kind in SOURCES:
        customer = kind.read_body("", body).customer
        if customer is not None and customer.email:
            found.add(customer.email)
    return found


def stored_forms(values: Iterable[str]) -> list[str]:
    """The values as texts, JSON and links have them, and in lower case, as email addresses order deliveries."""
    forms = (form for value in sorted(values) for way in (value, value.lower()) for form in written_forms(way))
    return list(dict.fromkeys(form for form in forms if form))


async def erase_elsewhere(
    store: Store, app_id: str, values: set[str], now_ms: int, *, audit_line: Audited | None
) -> Report:
    """Masks the values where they stand beside messages, and looks for them in everything. `audit_line` is written
    before anything is masked.
    """
    forms, backups = stored_forms(values), await store.backups()
    if not forms:
        return Report(values=0, without_customer=0, tables=(), files=None, other_messages=(), backups=backups)
    without_customer = 0
    tables = await _tables(store, forms)
    if tables:
        if audit_line is not None:
            await store.add_audit_line(audit_line)
        for part in _parts(forms):
            without_customer += await store.hide_values(app_id, part, now_ms=now_ms)
        tables = await _tables(store, forms)
    await _clear_log(store)
    files = await _files(store, forms) if not tables else None
    others: dict[str, None] = {}
    for part in _parts(forms) if any(place.name == "messages" for place in tables) else ():
        others |= dict.fromkeys(await store.messages_naming(app_id, part, limit=MAX_NAMED_MESSAGES))
    return Report(
        values=len(values),
        without_customer=without_customer,
        tables=tables,
        files=files,
        other_messages=tuple(others)[:MAX_NAMED_MESSAGES],
        backups=backups,
    )


def _parts(forms: list[str]) -> list[list[str]]:
    return [forms[at : at + MAX_VALUES_AT_ONCE] for at in range(0, len(forms), MAX_VALUES_AT_ONCE)]


async def _tables(store: Store, forms: list[str], *, exactly: bool = True) -> tuple[Place, ...]:
    counts: Counter[str] = Counter()
    for part in _parts(forms):
        for place in await store.tables_with(part, exactly=exactly):
            counts[place.name] += place.count
    return tuple(Place(name=name, count=count) for name, count in sorted(counts.items()))


async def _clear_log(store: Store) -> None:
    """A reader may prevent it for a moment; where one does for longer, the report names the log."""
    for _ in range(CLEAR_TRIES):
        if await store.clear_log():
            return


async def _files(store: Store, forms: list[str]) -> tuple[Place, ...] | None:
    """The files that have one of the values where no row has one: in unused parts of pages."""
    files = await store.files_with(forms)
    if not files:
        return files
    if await store.rewrite():
        await _clear_log(store)
        files = await store.files_with(forms)
    if files and await _tables(store, forms, exactly=False):
        return None  # The bytes in a file do not tell where a value ends.
    return files
