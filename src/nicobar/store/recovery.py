"""What a restore asks of a database, and how it removes deleted data."""

from __future__ import annotations

from typing import Protocol


class Recovery(Protocol):
    """`give_back_space` and `clear_log` do nothing for a server's database, which does this itself."""

    async def renew_terms(self) -> None:
        """After a restore: removes all workers and frees every lease, with a term above any that a worker may have
        had since the backup. What they were sending becomes due with the next lease.
        """
        ...

    async def newest_accepted_at_ms(self) -> int | None:
        """When the newest message was accepted, None without messages."""
        ...

    async def give_back_space(self, *, max_pages: int) -> int:
        """Gives up to so many unused pages of the file back to the file system, in one short transaction; returns how
        many. Some stay for new data. 0 too where the file needs `nicobar compact` first.
        """
        ...

    async def clear_log(self) -> bool:
        """Empties the write-ahead log, which still has deleted data. Returns False where another reader or writer
        prevents that for now.
        """
        ...
