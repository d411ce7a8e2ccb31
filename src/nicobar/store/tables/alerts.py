"""Which alerts were sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from nicobar.model import AlertResult, Record
from nicobar.reasons import Reason, plain
from nicobar.store.session import Session
from nicobar.store.tables.base import Tables, json_text


class _StoredResult(Record):
    """A result as it is stored. `error` is the reason as a text, for versions that read only that."""

    at_ms: int
    alert_type: str
    error: str = ""
    reason: Reason | None = None


_RESULT = msgspec.json.Decoder(_StoredResult)


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
        await self._run("put_alert_result", {"target_id": target_id, "content": stored_result(result)})

    async def alert_results(self) -> Mapping[str, AlertResult]:
        return {target_id: read_result(content) for target_id, content in await self._rows("alert_results")}

    async def failed_before(self, endpoint_seq: int, message_seqs: Sequence[int]) -> str | None:
        of = {"endpoint_seq": endpoint_seq, "message_seqs": list(message_seqs)}
        row = await self._row("failed_before", of)
        return None if row is None else str(row[0])

    async def waiting_since(self, *, now_ms: int) -> Mapping[int, int]:
        rows = await self._rows("waiting_since", {"now_ms": now_ms})
        return {seq: since_ms for seq, since_ms in rows if since_ms is not None}


def read_result(content: str) -> AlertResult:
    stored = _RESULT.decode(content)
    why = stored.reason or (plain(stored.error) if stored.error else None)
    return AlertResult(at_ms=stored.at_ms, alert_type=stored.alert_type, reason=why)


def stored_result(result: AlertResult) -> str:
    text = result.reason.text() if result.reason else ""
    return json_text(
        _StoredResult(at_ms=result.at_ms, alert_type=result.alert_type, error=text, reason=result.reason)
    )
