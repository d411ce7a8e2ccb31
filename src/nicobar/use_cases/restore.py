"""After a restore nothing is sent until someone resumes it: the backup does not know what was sent since."""

from __future__ import annotations

import asyncio

from nicobar.audit import AuditAction
from nicobar.clock import Clock
from nicobar.errors import UserError
from nicobar.model import RESTORED_CODE, Endpoint, Record
from nicobar.reasons import reason
from nicobar.store import PauseEndpoint, Store
from nicobar.use_cases.edit import Act, Edit

RESTORED = reason(RESTORED_CODE, "restored from a backup")


class Held(Record):
    """An endpoint with what would be sent to it; `oldest_ms` is when its oldest message was accepted."""

    name: str
    waiting: int
    oldest_ms: int | None


class Restored(Record):
    """`newest_event_ms` is when the newest message was accepted: later ones are missing. None without messages."""

    held: tuple[Held, ...]
    newest_event_ms: int | None


class Resumed(Record):
    """The names of the endpoints that were resumed, and the endpoints that a user paused, which stay paused."""

    names: tuple[str, ...]
    still_paused: tuple[Endpoint, ...]


async def check_no_worker(store: Store, clock: Clock, *, wait_ms: int) -> None:
    """Raises UserError where a worker delivers from the database: its beat changes."""
    before = await store.beat("")
    if before.by_worker:
        await clock.wait(asyncio.Event(), wait_ms)
        after = await store.beat("")
        if any(before.by_worker.get(name) != beat for name, beat in after.by_worker.items()):
            raise UserError(
                "worker_running", "A worker delivers from this database.", "Stop every Nicobar process first."
            )


async def hold_restored(edit: Edit) -> Restored:
    """Puts every endpoint on hold, except those that a user has paused, and ends what workers had under way when the
    backup was made. Repeating it changes nothing.
    """
    store = edit.services.store
    await store.renew_terms()
    acts = [_pause(endpoint) for endpoint in edit.snapshot.endpoints if not _is_paused(endpoint)]
    snapshot = await edit.commit_acts(acts)
    backlog = {waiting.endpoint_seq: waiting for waiting in await store.backlog()}
    held = []
    for endpoint in sorted(snapshot.endpoints, key=lambda endpoint: endpoint.name.casefold()):
        waiting = backlog.get(endpoint.seq)
        held.append(
            Held(
                name=endpoint.name,
                waiting=waiting.unfinished if waiting else 0,
                oldest_ms=waiting.oldest_accepted_at_ms if waiting else None,
            )
        )
    return Restored(held=tuple(held), newest_event_ms=await store.newest_accepted_at_ms())


async def resume_all(edit: Edit) -> Resumed:
    """Ends every hold, of restores and of rejections. What a user has paused stays paused."""
    resumed = [endpoint for endpoint in edit.snapshot.endpoints if endpoint.on_hold]
    acts = [_resume(endpoint) for endpoint in resumed]
    snapshot = await edit.commit_acts(acts)
    edit.services.wake([endpoint.seq for endpoint in resumed])
    return Resumed(
        names=tuple(endpoint.name for endpoint in resumed),
        still_paused=tuple(endpoint for endpoint in snapshot.endpoints if endpoint.paused_reason is not None),
    )


def _is_paused(endpoint: Endpoint) -> bool:
    return endpoint.paused_reason is not None and endpoint.paused_by_hand


def _pause(endpoint: Endpoint) -> Act:
    # It does not heal: only a person knows whether the gap is to be redelivered first.
    change = PauseEndpoint(endpoint_id=endpoint.id, reason=RESTORED, by_hand=True)
    return _act(endpoint, AuditAction.ENDPOINT_PAUSE, change, detail=RESTORED.template)


def _resume(endpoint: Endpoint) -> Act:
    return _act(endpoint, AuditAction.ENDPOINT_RESUME, PauseEndpoint(endpoint_id=endpoint.id, reason=None))


def _act(endpoint: Endpoint, action: AuditAction, change: PauseEndpoint, detail: str = "") -> Act:
    return Act(action=action, subject=endpoint.id, changes=(change,), app_id=endpoint.app_id, detail=detail)
