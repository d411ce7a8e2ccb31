"""A store: the rules of all protocols over one database."""

from __future__ import annotations

from nicobar.store.condition import Condition
from nicobar.store.session import Database
from nicobar.store.tables.access import AccessTables
from nicobar.store.tables.alerts import AlertTables
from nicobar.store.tables.catalogue import CatalogueTables
from nicobar.store.tables.drafts import DraftTables
from nicobar.store.tables.erasure import ErasureTables
from nicobar.store.tables.facts import FactTables
from nicobar.store.tables.history import HistoryTables
from nicobar.store.tables.keys import KeyTables
from nicobar.store.tables.leases import LeaseTables
from nicobar.store.tables.lookup import LookupTables
from nicobar.store.tables.merges import MergeTables
from nicobar.store.tables.queue import QueueTables
from nicobar.store.tables.recovery import RecoveryTables
from nicobar.store.tables.repeats import RepeatTables
from nicobar.store.tables.replays import ReplayTables
from nicobar.store.tables.retention import RetentionTables
from nicobar.store.tables.users import UserTables


class TableStore(
    QueueTables,
    FactTables,
    LookupTables,
    LeaseTables,
    CatalogueTables,
    AccessTables,
    ReplayTables,
    RetentionTables,
    RecoveryTables,
    ErasureTables,
    HistoryTables,
    UserTables,
    DraftTables,
    AlertTables,
    KeyTables,
    MergeTables,
    RepeatTables,
):
    """`Store` over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self) -> None:
        # A row that stays as it is would not be written, so that a full disk would not be noticed.
        await self._run("count_check")

    async def probe(self) -> None:
        await self._database.probe()

    def condition(self) -> Condition:
        return self._database.condition()

    async def close(self) -> None:
        await self._database.close()
