"""The database of an installation and the key of its secrets, opened together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from nicobar.clock import Clock
from nicobar.crypto import Vault
from nicobar.errors import StoreUnusable
from nicobar.settings import Settings
from nicobar.store import Store
from nicobar.store.installation import KeyHolder, fix_for, opening
from nicobar.store.location import locate
from nicobar.store.migrations import Migrated
from nicobar.store.temporary_files import delete_leftovers


def prepare_database(settings: Settings, now_ms: int, *, new_installation: bool) -> tuple[Vault, Migrated]:
    """Brings the database up to date with the key that belongs to it, both created where there is neither. Blocks.
    Raises StoreUnusable.
    """
    make_data_dir(settings.data_dir)
    location = locate(settings.database, settings.direct_database)
    keys = KeyHolder(
        key_path=settings.key_path,
        secret_key=settings.secret_key,
        database=location.name,
        new_installation=new_installation,
        now_ms=now_ms,
    )
    with opening(*filter(None, [settings.data_dir, location.directory])):
        delete_leftovers(settings.data_dir)
        migrated = location.migrate(keys, now_ms)
        return keys.settle(), migrated


@asynccontextmanager
async def open_store(
    settings: Settings,
    clock: Clock,
    *,
    create: bool = True,
    new_installation: bool = False,
    on_migrated: Callable[[Migrated], None] = lambda _: None,
) -> AsyncIterator[tuple[Store, Vault]]:
    """The database and the key of its secrets; both are created where there is neither, unless `create` is false.
    Raises StoreUnusable.
    """
    location = locate(settings.database)
    has_key = bool(settings.secret_key) or settings.key_path.exists()
    if not create and not has_key and not await asyncio.to_thread(location.exists):
        raise StoreUnusable(
            "no_database",
            f"No Nicobar database at {location.name}.",
            "Run this where `nicobar serve` runs, or pass its directory with --data-dir.",
        )
    vault, migrated = await asyncio.to_thread(
        prepare_database, settings, clock.now_ms(), new_installation=new_installation
    )
    on_migrated(migrated)
    store = location.open()
    try:
        yield store, vault
    finally:
        await store.close()


def make_data_dir(path: Path) -> None:
    """Raises StoreUnusable if the directory does not exist and cannot be created."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnusable(
            "not_writable",
            f"Cannot create the data directory {path}: {error.strerror}.",
            fix_for(error, "Choose another directory with --data-dir."),
        ) from error
