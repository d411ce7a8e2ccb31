"""Replaces the key of the stored secrets while Nicobar runs: the last of the keys that this process has seals from
now on, and everything that an older one has sealed is sealed again, in small transactions. It may be interrupted and
repeated at any point.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable

from nicobar.audit import AuditAction
from nicobar.crypto import Vault, sealed_prefix
from nicobar.errors import StoreUnusable, UserError
from nicobar.model import Record
from nicobar.pipeline.configuration import POLL_MS
from nicobar.store import Store
from nicobar.store.catalogue import SealingKey
from nicobar.store.keys import Resealed, SealedAnswer, SealedValue
from nicobar.use_cases.edit import Actor, OperationServices, audit_line
from nicobar.use_cases.sealed_answers import answer_purpose

# Values in one transaction.
STEP_VALUES = 100
# Within this time other processes have noticed which key seals, and have stored what they sealed before.
SETTLE_MS = 3 * POLL_MS
# Each pass but the first seals what other processes have stored since the one before.
MAX_PASSES = 20

_Sealed = SealedValue | SealedAnswer


class KeyUses(Record):
    """By key id, how many stored values it has sealed; `unreadable` are the purposes of those that no key opens."""

    counts: dict[str, int]
    unreadable: tuple[str, ...]


class Rotation(Record):
    """The result: the key that seals now, the keys that are not needed any more, how many values were sealed again,
    and the purposes of those that no key opens.
    """

    key_id: str
    unused_key_ids: tuple[str, ...]
    resealed: int
    unreadable: tuple[str, ...]


async def rotate_key(
    services: OperationServices, actor: Actor, on_step: Callable[[int, int], None] = lambda _done, _left: None
) -> Rotation:
    """Makes the last key the one that seals, and seals again what others have sealed. `on_step` is told how many
    values are done and left after each step. Raises UserError if there is no new key, or if other processes do not
    use it, and StoreMoved if another process rotates to another key.
    """
    store, vault = services.store, services.vault
    before = await store.sealing_key()
    wanted = _new_key(vault, before)
    detail = f"{wanted} replaces {before.key_id}"
    line = audit_line(services, actor, AuditAction.KEY_REPLACE, wanted, app_id=None, detail=detail)
    await store.replace_key(wanted, before, now_ms=services.clock.now_ms(), audit_line=line)
    vault.seal_with(wanted, names_keys=True)
    done = 0
    for number in range(MAX_PASSES):
        run = _Pass(store, vault, done, on_step)
        await run.run()
        done = run.done
        if number and not run.found:
            break
        await services.clock.wait(asyncio.Event(), SETTLE_MS)
    else:
        raise UserError(
            "key_in_use",
            "Other processes still encrypt with an older key than %(key)s.",
            "Restart all processes with both keys, and run this again.",
            key=wanted,
        )
    await store.finish_rotation(wanted, now_ms=services.clock.now_ms())
    unused = tuple(key_id for key_id in vault.key_ids if key_id != wanted)
    return Rotation(key_id=wanted, unused_key_ids=unused, resealed=done, unreadable=tuple(run.unreadable))


def _new_key(vault: Vault, current: SealingKey) -> str:
    """The last key. Raises UserError if the new one stands elsewhere, or if there is none."""
    last = vault.key_ids[-1]
    never_used = [key_id for key_id in vault.key_ids[:-1] if key_id not in current.replaced_key_ids]
    if last == current.key_id and (never_used or len(vault.key_ids) == 1):
        raise UserError(
            "key_missing",
            "The last key, %(key)s, is the current one. There is no new key after it.",
            "Add the new key after it in NICOBAR_SECRET_KEY or secret.key, restart all processes, run this again.",
            key=last,
        )
    return last


async def key_uses(store: Store, vault: Vault) -> KeyUses:
    """Which keys have sealed what is stored."""
    counts: Counter[str] = Counter()
    unreadable: list[str] = []
    async for page in _pages(store, b""):
        for value in page:
            try:
                counts[vault.key_of(value.content, purpose_of(value))] += 1
            except StoreUnusable:
                unreadable.append(purpose_of(value))
    return KeyUses(counts=dict(counts), unreadable=tuple(unreadable))


def purpose_of(value: _Sealed) -> str:
    """What a value was sealed for."""
    if isinstance(value, SealedValue):
        return value.purpose
    return answer_purpose(value.token_id, value.key, value.request)


class _Pass:
    """Seals again what does not begin with the id of the vault's key. `found` is how many values a key opens,
    `unreadable` what those are for that none opens, `done` how many were replaced, with those of passes before.
    """

    def __init__(self, store: Store, vault: Vault, done: int, on_step: Callable[[int, int], None]) -> None:
        self._store = store
        self._vault = vault
        self._on_step = on_step
        self.done = done
        self.found = 0
        self.unreadable: list[str] = []

    async def run(self) -> None:
        prefix = sealed_prefix(self._vault.key_id)
        left = await self._store.count_sealed(prefix=prefix)
        async for page in _pages(self._store, prefix):
            opened, lost = _resealed(self._vault, page)
            self.unreadable += lost
            self.found += len(opened)
            if opened:
                self.done += await self._store.reseal(self._vault.key_id, opened)
                left -= len(opened)
                self._on_step(self.done, max(left, 0))


def _resealed(vault: Vault, values: Iterable[_Sealed]) -> tuple[list[Resealed], list[str]]:
    resealed: list[Resealed] = []
    unreadable: list[str] = []
    for value in values:
        purpose = purpose_of(value)
        try:
            content = vault.seal(vault.unseal(value.content, purpose), purpose)
        except StoreUnusable:
            unreadable.append(purpose)
        else:
            resealed.append(Resealed(value=value, content=content))
    return resealed, unreadable


async def _pages(store: Store, prefix: bytes) -> AsyncIterator[list[SealedValue] | list[SealedAnswer]]:
    """All sealed values that do not begin with `prefix`, a page at a time."""
    after = ""
    while values := await store.sealed_values(after=after, prefix=prefix, limit=STEP_VALUES):
        yield values
        after = values[-1].purpose
    last = ("", "")
    while answers := await store.sealed_answers(after=last, prefix=prefix, limit=STEP_VALUES):
        yield answers
        last = (answers[-1].token_id, answers[-1].key)
