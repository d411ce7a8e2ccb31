"""What a restore asks of a database, and the space of deleted data."""

from __future__ import annotations

from nicobar.store.session import Session
from nicobar.store.tables.base import Tables

# More than the changes of one lease between a backup and its restore.
TERMS_PER_RESTORE = 1_000_000


class RecoveryTables(Tables):
    """`Recovery` over a database."""

    async def renew_terms(self) -> None:
        def renew(session: Session) -> None:
            session.run("remove_other_workers", {"id": ""})
            session.run("raise_terms", {"by": TERMS_PER_RESTORE})
            # The destination has newer values than the backup.
            session.run("remove_all_repeats")

        await self._database.write(renew)

    async def newest_accepted_at_ms(self) -> int | None:
        row = await self._row("newest_accepted_at")
        return None if row is None else int(row[0])

    async def give_back_space(self, *, max_pages: int) -> int:
        return await self._database.give_back_space(max_pages=max_pages)

    async def clear_log(self) -> bool:
        return await self._database.clear_log()
