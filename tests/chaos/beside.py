"""Servers that start beside the others while something is wrong: they say so, or do not start. None delivers."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from pathlib import Path

from chaos import plan
from chaos.arena import Arena
from chaos.plan import Point
from chaos.site import free_port
from chaos.witness import MAX_UNSEEN_S, READINESS, Sign, part
from nicobar.settings import Role

PAGE_BYTES = 4096
# How long a second worker is left beside the first.
STANDS_BY_S = 2.0


async def _damaged(arena: Arena, chance: random.Random) -> None:
    """A copy of the database whose pages, all but the first two, are overwritten."""
    directory = arena.site.directory / f"damaged-{chance.getrandbits(32):08x}"
    await asyncio.to_thread(_damage_copy, arena.site.database, directory)
    await _shows(arena, plan.DAMAGED, [f"--data-dir={directory}"], (part("store"),))
    shutil.rmtree(directory)


def _damage_copy(database: Path, directory: Path) -> None:
    directory.mkdir()
    copy = directory / database.name
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    shutil.copy(database.with_name("secret.key"), directory)
    with copy.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(2 * PAGE_BYTES)
        file.write(os.urandom(size - 2 * PAGE_BYTES))


async def _log_missing(arena: Arena, chance: random.Random) -> None:
    """A copy of the files as a crash leaves them, but the write-ahead log was deleted."""
    directory = arena.site.directory / f"no-log-{chance.getrandbits(32):08x}"
    log = f"{arena.site.database.name}-wal"
    shutil.copytree(arena.site.data, directory, ignore=shutil.ignore_patterns(log))
    await _shows(arena, plan.LOG_MISSING, [f"--data-dir={directory}"], (part("store"),))
    shutil.rmtree(directory)


async def _foreign_key(arena: Arena, chance: random.Random) -> None:
    """It ends with an error, without a signal."""
    key = {"NICOBAR_SECRET_KEY": secrets.token_hex(32)}
    life = arena.plan_server(arena.site.flags(), arena.site.environment() | key, role=Role.WEB, port=free_port())
    await life.go(None)
    ended = await life.dies_within(MAX_UNSEEN_S)
    arena.witness.seen.note(plan.FOREIGN_KEY.name, READINESS if ended and life.process.returncode == 1 else None)
    await life.kill()
    arena.tally.orphans += await asyncio.to_thread(life.bury_orphans)


async def _second_worker(arena: Arena, chance: random.Random) -> None:
    """With a data directory of its own, by mistake: it stands by, and sends nothing while the first one lives."""
    own = arena.site.directory / f"second-{chance.getrandbits(32):08x}"
    flags = [f"--data-dir={own}", f"--database-url=sqlite:///{arena.site.database}"]
    key = {"NICOBAR_SECRET_KEY": arena.site.database.with_name("secret.key").read_text().strip()}
    life = arena.plan_server(flags, arena.site.environment() | key, role=Role.ALL, port=free_port())
    await life.go(None)
    await life.listening()
    if await life.dies_within(STANDS_BY_S) and life.process.returncode != 1:
        arena.tally.surprises.append(f"{plan.SECOND_WORKER.name}: it ended with {life.process.returncode}")
    await life.kill()
    if life.sendings():
        arena.tally.surprises.append(f"{plan.SECOND_WORKER.name}: it sent requests")
    arena.tally.orphans += await asyncio.to_thread(life.bury_orphans)


async def _no_sandbox(arena: Arena, chance: random.Random) -> None:
    await _shows(arena, plan.NO_SANDBOX, arena.site.flags(), (part("sandbox"),))


async def _shows(arena: Arena, point: Point, flags: list[str], signs: tuple[Sign, ...]) -> None:
    """The server starts and shows one of the signs, or does not start."""
    port = free_port()
    life = arena.plan_server(
        flags, arena.site.environment(), role=Role.WEB, port=port, no_sandbox=point == plan.NO_SANDBOX
    )
    await life.go(None)
    await life.listening()
    if life.dead:
        # The operator who starts it sees that.
        arena.witness.seen.note(point.name, READINESS if life.process.returncode == 1 else None)
    else:
        await arena.witness.sees(point.name, signs, url=life.url)
        await life.kill()
    arena.tally.orphans += await asyncio.to_thread(life.bury_orphans)


BESIDE: Mapping[Point, Callable[[Arena, random.Random], Awaitable[None]]] = {
    plan.DAMAGED: _damaged,
    plan.LOG_MISSING: _log_missing,
    plan.FOREIGN_KEY: _foreign_key,
    plan.SECOND_WORKER: _second_worker,
    plan.NO_SANDBOX: _no_sandbox,
}
