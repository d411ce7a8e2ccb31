"""A server is lost, and a backup that was made while it ran takes its place. The sender delivers again what is not in
it, under the same ids: nothing may be there twice.
"""

from __future__ import annotations

import asyncio
import random

from chaos.arena import Arena
from chaos.lives import Life

# How long the load goes on after the backup.
MAX_GAP_S = 3.0


async def restore_a_backup(life: Life, chance: random.Random, arena: Arena) -> None:
    """Kills the server. Its port is closed until another one runs."""
    site, load = arena.site, arena.load
    async with site.calm:
        # What is acknowledged before the backup begins is in it.
        marks = load.marks()
        backup = site.directory / f"backup-{chance.getrandbits(32):08x}"
        await site.run("backup", str(backup))
        await life.dies_within(chance.uniform(0, MAX_GAP_S))
        await life.kill()
        arena.tally.orphans += await asyncio.to_thread(life.bury_orphans)
        load.doors.close(life.url)
        load.rewind(marks)
        await site.run("restore", str(backup), "--force")
        # The secrets and the handler may be newer than the backup.
        await site.apply()
        await site.run("resume", "--all")
