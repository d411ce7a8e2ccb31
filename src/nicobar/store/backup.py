"""What a backup, a restore and a compaction of a database did."""

from __future__ import annotations

from pathlib import Path

from nicobar.model import Record


class BackupFile(Record):
    """A verified backup. `installation_id` and `key_id` are None for a database from before key ids; `taken_at_ms` is
    None where another tool made the file. `is_noted`: the database lists it.
    """

    path: Path
    size_bytes: int
    taken_at_ms: int | None
    installation_id: str | None
    key_id: str | None
    messages: int
    endpoints: int
    is_noted: bool = False


class PreparedRestore(Record):
    """A copy of a backup beside the database whose place it takes: `url` is the copy's. `aside` is where the previous
    database goes, None if there is none.
    """

    url: str
    backup: BackupFile
    aside: Path | None = None


class Compacted(Record):
    """The size of a database file before and after."""

    before_bytes: int
    after_bytes: int
