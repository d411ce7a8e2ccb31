"""What the rules of every protocol use."""

from __future__ import annotations

import re

import msgspec

from nicobar.errors import ConfigurationError
from nicobar.store.catalogue import Audited
from nicobar.store.session import Database, Row, Session, Values

NO_VALUES: Values = {}
# An even number of backslashes before it are escaped ones.
_NULL_CHARACTER = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# Behind every text that begins alike.
LAST_CHARACTER = "\U0010ffff"


class Tables:
    """Single queries, each in a transaction of its own."""

    _database: Database

    async def _rows(self, name: str, values: Values = NO_VALUES) -> list[Row]:
        return await self._database.read(lambda session: session.rows(name, values))

    async def _row(self, name: str, values: Values = NO_VALUES) -> Row | None:
        return await self._database.read(lambda session: session.row(name, values))

    async def _run(self, name: str, values: Values = NO_VALUES) -> int:
        return await self._database.write(lambda session: session.run(name, values))


def existing(row: Row | None) -> Row:
    """A row that a query always finds."""
    if row is None:
        raise AssertionError("the query found no row")
    return row


def complete_seq(session: Session) -> int:
    """The number up to which no further message can appear. Numbers are given before the commit, so that a message
    may appear behind one with a higher number. A reader that follows the numbers and does not return reads only
    up to here, by a later statement of a transaction that writes, or in a later transaction that reads.
    """
    return int(existing(session.row("complete_seq"))[0])


def json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def searchable_json(value: object) -> str:
    """JSON that queries look into. Raises ConfigurationError for the character U+0000, which PostgreSQL cannot
    extract from JSON.
    """
    text = json_text(value)
    if _NULL_CHARACTER.search(text):
        raise ConfigurationError(
            "value_invalid", "A value contains the character U+0000.", "Remove the character U+0000."
        )
    return text


def write_audit_line(session: Session, audit_line: Audited | None, detail: str | None = None) -> None:
    """Adds a line to the audit log, with this detail instead of its own where one is given."""
    if audit_line is not None:
        line = audit_line if detail is None else msgspec.structs.replace(audit_line, detail=detail)
        session.run("add_audit", msgspec.structs.asdict(line))
