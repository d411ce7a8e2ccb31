"""The headers of destinations' answers: how long they ask to wait, and what an attempt keeps of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec

from fuzz.choices import Choices
from nicobar.connectors import MAX_KEPT_HEADERS, MAX_KEPT_HEADERS_CHARS, Response
from nicobar.connectors.answers import MAX_RETRY_AFTER_MS, answered, retry_after_ms

TIMES = ("120", "0", "1.5", "-1", "9" * 400, "Fri, 27 Nov 2026 16:00:00 GMT", "Fri, 99 Nov 2026 16:00:00 GMT", "")
MOMENT = datetime(2026, 11, 27, 16, tzinfo=UTC)
SEEDS = (bytes(12), b"\5\5\1" + bytes(range(40)), b"\xffSun, 06 Nov 1994 08:49:37 GMT", b"\x08\x08\x10-0000" * 3)


def run(data: bytes) -> None:
    it = Choices(data)
    headers = {}
    for name in ("retry-after", "date"):
        text = it.pick((*TIMES, it.text(40)))
        if it.byte() % 4:
            headers[name] = text
    for _ in range(it.byte() % 6):
        # Bytes that are not UTF-8 arrive as halves of surrogate pairs.
        headers[it.text(12)] = it.chunk().decode("utf-8", "surrogateescape") * (1 + it.byte() % 40)
    answer = Response(status=it.pick((200, 429, 503)), headers=headers, body=it.rest(), duration_ms=1)
    wait_ms = retry_after_ms(answer)
    assert wait_ms is None or 0 <= wait_ms <= MAX_RETRY_AFTER_MS
    kept = answer.kept_headers
    assert len(kept) <= MAX_KEPT_HEADERS
    assert sum(map(len, [*kept, *kept.values()])) <= MAX_KEPT_HEADERS_CHARS
    assert msgspec.json.encode([kept, answered(answer)])
    check_date(it.number(2**20))


def check_date(wait_s: int) -> None:
    """A date is as far away as the answer's own clock says."""
    headers = {"date": format_datetime(MOMENT), "retry-after": format_datetime(MOMENT + timedelta(seconds=wait_s))}
    answer = Response(status=429, headers=headers, body=b"", duration_ms=1)
    assert retry_after_ms(answer) == min(wait_s * 1_000, MAX_RETRY_AFTER_MS)
