"""Finding and masking what is known of a person, wherever it is stored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from nicobar.model import Message, Record

# A value is not a part of a longer one: `cus_1` is not in `cus_10`, nor `a@b.example` in `aa@b.example`. Before it
# there may be an escape of JSON.
_START = r"(?:(?<![A-Za-z0-9_.+%-])|(?<=\\[nrtbf]))"
# The same where PostgreSQL writes bytes as text, with other bytes as octal numbers.
_START_IN_BYTES = r"(?:(?<![A-Za-z0-9_.+%-])|(?<=\\[nrtbf])|(?<=\\[0-7][0-7][0-7]))"
_END = r"(?![A-Za-z0-9_@-])(?!\.[A-Za-z0-9])"


def pattern_of(values: Sequence[str], *, exactly: bool = True) -> str:
    """An expression for any of the values, which Python and PostgreSQL read alike."""
    return f"{_START}(?:{_choice(values)}){_END}" if exactly else _choice(values)


def bytes_pattern_of(values: Sequence[str], *, exactly: bool = True) -> str:
    """The same for bytes, as PostgreSQL writes them as text."""
    choice = _choice([_octal(value) for value in values])
    return f"{_START_IN_BYTES}(?:{choice}){_END}" if exactly else choice


def _choice(values: Sequence[str]) -> str:
    return "|".join(re.escape(value) for value in sorted(values, key=len, reverse=True))


def _octal(value: str) -> str:
    """https://www.postgresql.org/docs/current/functions-binarystring.html#ENCODE-FORMAT-ESCAPE."""
    return "".join(
        f"\\{byte:03o}" if byte == 0 or byte > 0x7F else "\\\\" if byte == 0x5C else chr(byte)  # noqa: PLR2004
        for byte in value.encode("utf-8", "surrogatepass")
    )


class Place(Record):
    """A table or a file in which values were found, and how often: in so many rows, or so many times in the file."""

    name: str
    count: int


class KeptBackup(Record):
    """A backup that was made of this database; it may have been moved or deleted since."""

    path: str
    taken_at_ms: int


class Erasure(Protocol):
    """`values` are texts as they are stored. Searches read all there is."""

    async def bodies_of_customer(
        self, app_id: str, customer_key: str, *, after_seq: int, limit: int
    ) -> tuple[Message, ...]:
        """The next messages of a customer, with their payloads."""
        ...

    async def tables_with(self, values: Sequence[str], *, exactly: bool = True) -> tuple[Place, ...]:
        """The tables that have one of the values, in any column of any application; unless `exactly`, also as a part
        of a longer value.
        """
        ...

    async def files_with(self, values: Sequence[str]) -> tuple[Place, ...] | None:
        """The database's own files that have one of the values, also in unused parts of them. None for a server's
        database, whose files are not this process's.
        """
        ...

    async def messages_naming(self, app_id: str, values: Sequence[str], *, limit: int) -> tuple[str, ...]:
        """The ids of other customers' messages that have one of the values."""
        ...

    async def hide_values(self, app_id: str, values: Sequence[str], *, now_ms: int) -> int:
        """Masks the values in what one application stores beside its messages, and erases its messages without a
        customer that have one of them; returns how many those are.
        """
        ...

    async def rewrite(self) -> bool:
        """Rewrites a small file, since unused parts of its pages may have copies of rows. Returns False for a
        large one, which `nicobar compact` rewrites, and for a server's database.
        """
        ...

    async def backups(self) -> tuple[KeptBackup, ...]:
        """The known backups, and other files of the database beside it, oldest first."""
        ...
