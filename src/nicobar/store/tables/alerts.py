"""Which alerts were sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from nicobar.model import AlertResult
from nicobar.store.session import Session
from nicobar.store.tables.base import Tables, json_text

_RESULT = msgspec.json.Decoder(AlertResult)


class AlertTables(Tables):
    """`AlertLog` over a database."""

    async def take_alert(
        self, problem: str, content: str, *, now_ms: int, again_before_ms: int, forget_before_ms: int
    ) -> bool:
        def take(session: Session) -> bool:
            session.run("forget_alerts", {"before_ms": forget_before_ms})
            of = {"id": problem, "content": content, "at_ms": now_ms, "again_before_ms": again_before_ms}
            return session.run("take_alert", of) > 0

        return await self._database.write(take)

    async def latest_alerts(self) -> Mapping[str, str]:
        return {str(row[0]): str(row[1]) for row in await self._rows("taken_alerts")}

    async def put_alert_result(self, target_id: str, result: AlertResult) -> None:
        await self._run("put_alert_result", {"target_id": target_id, "content": json_text(result)})

    async def alert_results(self) -> Mapping[str, AlertResult]:
        return {target_id: _RESULT.decode(content) for target_id, content in await self._rows("alert_results")}

    async def failed_before(self, endpoint_seq: int, message_seqs: Sequence[int]) -> str | None:
        of = {"endpoint_seq": endpoint_seq, "message_seqs": list(message_seqs)}
        row = await self._row("failed_before", of)
        return None if row is None else str(row[0])

    async def waiting_since(self, *, now_ms: int) -> Mapping[int, int]:
        rows = await self._rows("waiting_since", {"now_ms": now_ms})
        return {seq: since_ms for seq, since_ms in rows if since_ms is not None}
