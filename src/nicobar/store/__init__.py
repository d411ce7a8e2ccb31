"""The database as the rest of Nicobar sees it, in narrow protocols: the queue (hot path), facts, leases of workers,
the catalogue (configuration and look-ups), access, replays, merges of people, retention, recovery, history (messages
and attempts), users and drafts (of the dashboard), and which alerts were sent. Every store passes the same contract
suite, `tests/contracts`.
"""

from __future__ import annotations

from typing import Protocol

from nicobar.model import PasswordLink, User, UserRole
from nicobar.store.access import Access, KeptAnswer
from nicobar.store.alerts import AlertLog
from nicobar.store.catalogue import (
    AddTransformation,
    AddUser,
    Audited,
    BasedOn,
    Catalogue,
    Change,
    DisableEndpoint,
    EnableTransformation,
    EndSessions,
    PauseEndpoint,
    PutAlertTarget,
    PutApplication,
    PutEndpoint,
    PutEventType,
    PutIdentity,
    PutLink,
    PutSource,
    PutToken,
    RemoveAlertTarget,
    RemoveApplication,
    RemoveDraft,
    RemoveEndpoint,
    RemoveEventType,
    RemoveLink,
    RemoveSource,
    RemoveUser,
    SetPassword,
    SetRole,
    Snapshot,
    ends_pause,
    is_made_alike,
)
from nicobar.store.condition import Condition
from nicobar.store.drafts import Draft, Drafts
from nicobar.store.erasure import Erasure
from nicobar.store.facts import Facts
from nicobar.store.history import History
from nicobar.store.keys import Keys
from nicobar.store.leases import Beats, Lease, Leases
from nicobar.store.lookup import Lookup
from nicobar.store.merges import Merge, Merges, MergeStatus, NewMerge, Pair, PairState
from nicobar.store.queue import (
    NO_SHARES,
    Appended,
    Backlog,
    Claim,
    Claimed,
    Finished,
    NewMessage,
    Overtaken,
    Queue,
    SentKey,
    Shares,
)
from nicobar.store.recovery import Recovery
from nicobar.store.repeats import DueRepeat, KeptRepeat, RecentOrders, RepeatChange, RepeatEnd, Repeats, RepeatSteps
from nicobar.store.replays import (
    FailureGroup,
    NewTask,
    ReplayCount,
    ReplayFilter,
    Replays,
    Resent,
    Task,
    TaskKind,
    TaskStatus,
)
from nicobar.store.retention import CleanUp, Retention, Step
from nicobar.store.users import Users


class Store(
    Queue,
    Facts,
    Leases,
    Catalogue,
    Access,
    Replays,
    Retention,
    Recovery,
    Erasure,
    History,
    Users,
    Drafts,
    AlertLog,
    Keys,
    Merges,
    Repeats,
    Lookup,
    Protocol,
):
    """A database with all of these protocols."""

    async def check(self) -> None:
        """Raises StoreError unless a write can be committed now."""
        ...

    async def probe(self) -> None:
        """Reads a small sample of the data. Raises StoreError if it cannot be read."""
        ...

    def condition(self) -> Condition:
        """Problems that reads and writes of this process met. Does not query the database."""
        ...

    async def close(self) -> None:
        """Finishes submitted writes, then closes the database."""
        ...


__all__ = [
    "NO_SHARES",
    "Access",
    "AddTransformation",
    "AddUser",
    "AlertLog",
    "Appended",
    "Audited",
    "Backlog",
    "BasedOn",
    "Beats",
    "Catalogue",
    "Change",
    "Claim",
    "Claimed",
    "CleanUp",
    "Condition",
    "DisableEndpoint",
    "Draft",
    "Drafts",
    "DueRepeat",
    "EnableTransformation",
    "EndSessions",
    "Facts",
    "FailureGroup",
    "Finished",
    "History",
    "KeptAnswer",
    "KeptRepeat",
    "Lease",
    "Leases",
    "Lookup",
    "Merge",
    "MergeStatus",
    "Merges",
    "NewMerge",
    "NewMessage",
    "NewTask",
    "Overtaken",
    "Pair",
    "PairState",
    "PasswordLink",
    "PauseEndpoint",
    "PutAlertTarget",
    "PutApplication",
    "PutEndpoint",
    "PutEventType",
    "PutIdentity",
    "PutLink",
    "PutSource",
    "PutToken",
    "Queue",
    "RecentOrders",
    "Recovery",
    "RemoveAlertTarget",
    "RemoveApplication",
    "RemoveDraft",
    "RemoveEndpoint",
    "RemoveEventType",
    "RemoveLink",
    "RemoveSource",
    "RemoveUser",
    "RepeatChange",
    "RepeatEnd",
    "RepeatSteps",
    "Repeats",
    "ReplayCount",
    "ReplayFilter",
    "Replays",
    "Resent",
    "Retention",
    "SentKey",
    "SetPassword",
    "SetRole",
    "Shares",
    "Snapshot",
    "Step",
    "Store",
    "Task",
    "TaskKind",
    "TaskStatus",
    "User",
    "UserRole",
    "Users",
    "ends_pause",
    "is_made_alike",
]
