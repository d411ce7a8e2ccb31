"""The key that seals, and what is sealed."""

from __future__ import annotations

from collections.abc import Sequence

from nicobar.crypto import SEALED_PREFIX_BYTES
from nicobar.errors import StoreMoved
from nicobar.store.catalogue import Audited, SealingKey
from nicobar.store.installation import read_installation
from nicobar.store.keys import Place, Resealed, SealedAnswer, SealedValue
from nicobar.store.session import Session
from nicobar.store.tables.base import Tables, existing, write_audit_line

# What an edit of the configuration replaces as a whole. It must not bring back what was sealed with the older key.
_CONFIGURATION = frozenset({Place.SOURCE, Place.CREDENTIALS, Place.HEADERS, Place.VARIABLES, Place.ALERT_TARGET})


class KeyTables(Tables):
    """`Keys` over a database."""

    async def sealing_key(self) -> SealingKey:
        return await self._database.read(existing_key)

    async def replace_key(self, key_id: str, before: SealingKey, *, now_ms: int, audit_line: Audited) -> None:
        def replace(session: Session) -> None:
            existing(session.row("next_catalogue_version"))
            current = existing_key(session)
            if current.key_id == key_id:
                return
            _check_key(session, before.key_id)
            session.run("set_key", {"key_id": key_id})
            session.run("remove_replaced_key", {"key_id": key_id})
            session.run("add_replaced_key", {"key_id": before.key_id, "now_ms": now_ms})
            write_audit_line(session, audit_line)

        await self._database.write(replace)

    async def sealed_values(self, *, after: str = "", prefix: bytes, limit: int) -> list[SealedValue]:
        values = {"after": after, "limit": limit} | _prefix(prefix)
        rows = await self._database.survey(lambda session: session.rows("sealed_page", values))
        return [SealedValue(purpose=row[0], content=row[1], place=Place(row[2]), id=row[3]) for row in rows]

    async def sealed_answers(
        self, *, after: tuple[str, str] = ("", ""), prefix: bytes, limit: int
    ) -> list[SealedAnswer]:
        values = {"token_id": after[0], "key": after[1], "limit": limit} | _prefix(prefix)
        rows = await self._database.survey(lambda session: session.rows("sealed_answers", values))
        return [SealedAnswer(token_id=row[0], key=row[1], request=row[2], content=row[3]) for row in rows]

    async def count_sealed(self, *, prefix: bytes) -> int:
        row = await self._database.survey(lambda session: session.row("count_sealed", _prefix(prefix)))
        return int(existing(row)[0])

    async def reseal(self, key_id: str, values: Sequence[Resealed]) -> int:
        def work(session: Session) -> int:
            if any(isinstance(item.value, SealedValue) and item.value.place in _CONFIGURATION for item in values):
                existing(session.row("next_catalogue_version"))
            _check_key(session, key_id)
            return sum(_reseal(session, item) for item in values)

        return await self._database.write(work)

    async def finish_rotation(self, key_id: str, *, now_ms: int) -> None:
        def finish(session: Session) -> None:
            existing(session.row("next_catalogue_version"))
            _check_key(session, key_id)
            session.run("finish_replaced_keys", {"now_ms": now_ms})

        await self._database.write(finish)


def existing_key(session: Session) -> SealingKey:
    """The key of a database that was opened with one."""
    found = sealing_key(session)
    if found is None:
        raise AssertionError("the database names no key")
    return found


def sealing_key(session: Session) -> SealingKey | None:
    """None for a database that was never opened with a key."""
    found = read_installation(session)
    if found is None:
        return None
    return SealingKey(key_id=found.key_id, older_key_ids=found.older_key_ids, replaced_key_ids=found.replaced_key_ids)


def _prefix(prefix: bytes) -> dict[str, object]:
    return {"prefix": prefix, "prefix_bytes": SEALED_PREFIX_BYTES}


def _check_key(session: Session, key_id: str) -> None:
    if existing_key(session).key_id != key_id:
        raise StoreMoved(
            "key_replaced",
            f"The key {key_id} was replaced by another process.",
            "Run `nicobar rotate-key` again.",
        )


def _reseal(session: Session, item: Resealed) -> int:
    value = item.value
    known = {"before": value.content, "content": item.content}
    if isinstance(value, SealedAnswer):
        return session.run("reseal_answer", known | {"token_id": value.token_id, "key": value.key})
    return session.run(f"reseal_{value.place.value}", known | {"id": value.id})
