"""Finding and masking what is known of a person, wherever it is stored."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import partial

import msgspec

from nicobar.conversion import converter
from nicobar.masking import MASK, changed
from nicobar.model import Attempt, Message
from nicobar.store.erasure import KeptBackup, Place, bytes_pattern_of, pattern_of
from nicobar.store.session import Row, Session, Values
from nicobar.store.stored_reasons import read_attempt
from nicobar.store.tables.base import Tables
from nicobar.store.tables.retention import expunge
from nicobar.store.tables.rows import message

STEP_ROWS = 200
# What is stored beside messages in texts that may quote one.
_HIDING = tuple(
    f"hide_in_{name}"
    for name in (
        "refusals",
        "breakers",
        "endpoints",
        "drafts",
        "audit",
        "tasks",
        "merges",
        "alerts",
        "alert_results",
    )
)


class ErasureTables(Tables):
    """`Erasure` over a database."""

    async def bodies_of_customer(
        self, app_id: str, customer_key: str, *, after_seq: int, limit: int
    ) -> tuple[Message, ...]:
        of = {"app_id": app_id, "customer_key": customer_key, "after_seq": after_seq, "limit": limit}
        return tuple(map(message, await self._rows("bodies_of_customer", of)))

    async def tables_with(self, values: Sequence[str], *, exactly: bool = True) -> tuple[Place, ...]:
        return await self._database.tables_with(values, exactly=exactly)

    async def files_with(self, values: Sequence[str]) -> tuple[Place, ...] | None:
        return await self._database.files_with(values)

    async def rewrite(self) -> bool:
        return await self._database.rewrite()

    async def messages_naming(self, app_id: str, values: Sequence[str], *, limit: int) -> tuple[str, ...]:
        rows = await self._naming("messages_naming", app_id, values, {"after_seq": 0, "limit": limit})
        return tuple(message_id for _, message_id, customer_key in rows if customer_key is not None)

    async def hide_values(self, app_id: str, values: Sequence[str], *, now_ms: int) -> int:
        erased = await self._erase_messages(app_id, values, now_ms)
        await self._hide_in_attempts(app_id, values)
        await self._hide_in_deliveries(app_id, values)
        patterns = {"pattern": pattern_of(values), "bytes_pattern": bytes_pattern_of(values)}
        await self._run("remove_repeats_naming", {"app_id": app_id, **patterns})
        for name in _HIDING:
            await self._run(name, {"app_id": app_id, "pattern": pattern_of(values), "mask": MASK})
        return erased

    async def _erase_messages(self, app_id: str, values: Sequence[str], now_ms: int) -> int:
        """Those without a customer, such as events that cannot be read."""
        after_seq, erased = 0, 0
        while True:
            rows = await self._naming("messages_naming", app_id, values, {"after_seq": after_seq})
            seqs = [seq for seq, _, customer_key in rows if customer_key is None]
            if seqs:
                erased += await self._database.write(partial(_erase, seqs, values, now_ms))
            if len(rows) < STEP_ROWS:
                return erased
            after_seq = rows[-1][0]

    async def _naming(self, name: str, app_id: str, values: Sequence[str], after: Values) -> list[Row]:
        patterns = {"pattern": pattern_of(values), "bytes_pattern": bytes_pattern_of(values)}
        of = {"app_id": app_id, "limit": STEP_ROWS, **patterns, **after}
        return await self._database.survey(lambda session: session.rows(name, of))

    async def _hide_in_attempts(self, app_id: str, values: Sequence[str]) -> None:
        """Of other messages: a response that was shared with the person's may quote these."""
        after = ""
        while True:
            rows = await self._naming("attempts_naming", app_id, values, {"after": after})
            if rows:
                contents = [_hidden(content, values) for _, content in rows]
                await self._run("set_attempt_contents", {"ids": [row[0] for row in rows], "contents": contents})
            if len(rows) < STEP_ROWS:
                return
            after = rows[-1][0]

    async def _hide_in_deliveries(self, app_id: str, values: Sequence[str]) -> None:
        """In steps: there may be millions, and other writes wait for one."""
        hidden = {"app_id": app_id, "pattern": pattern_of(values), "mask": MASK}
        after_seq = 0
        while True:
            rows = await self._naming("deliveries_naming", app_id, values, {"after_seq": after_seq})
            seqs = [seq for (seq,) in rows]
            if seqs:
                await self._run("hide_in_deliveries", hidden | {"message_seqs": seqs})
            if len(rows) < STEP_ROWS:
                return
            after_seq = seqs[-1]

    async def backups(self) -> tuple[KeptBackup, ...]:
        noted = [KeptBackup(path=path, taken_at_ms=at_ms) for path, at_ms in await self._rows("backups")]
        known = {backup.path for backup in noted}
        beside = [copy for copy in await self._database.copies() if copy.path not in known]
        return tuple(sorted((*noted, *beside), key=lambda backup: backup.taken_at_ms))


def _erase(seqs: Sequence[int], values: Sequence[str], now_ms: int, session: Session) -> int:
    emptied = expunge(session, seqs, now_ms)
    session.run("remove_sent_keys_of_messages", {"seqs": seqs})
    # Its person may have been found after it was accepted.
    session.run("forget_customer_of_deliveries", {"seqs": seqs})
    for seq in seqs:
        _hide_event_id(session, seq, values)
    return emptied


def _hide_event_id(session: Session, seq: int, values: Sequence[str]) -> None:
    """The event id stays one, so that a sender's repetition is recognized only if it names no customer."""
    (event_id,) = session.rows("event_id_of_message", {"seq": seq})[0]
    if re.search(pattern_of(values), event_id):
        digest = hashlib.sha256(event_id.encode("utf-8", "surrogatepass")).hexdigest()
        session.run("put_event_id", {"seq": seq, "event_id": f"sha256:{digest}"})


_to_attempt = converter(Attempt)


def _hidden(content: bytes, values: Sequence[str]) -> bytes:
    pattern = re.compile(pattern_of(values))
    attempt = msgspec.to_builtins(read_attempt(content))
    return msgspec.msgpack.encode(_to_attempt(changed(attempt, lambda text: pattern.sub(MASK, text))))
