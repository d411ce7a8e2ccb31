"""What is remembered of customers must be what all stored events state, whatever happened meanwhile."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nicobar import facts
from nicobar.facts import StatedFact, known_fact, merged_facts
from support.server import DODO

if TYPE_CHECKING:
    from chaos.site import Site

_BODIES = """
SELECT event_type, event_id, body, accepted_at_ms FROM messages WHERE source_id <> 'operational'
UNION ALL
SELECT m.event_type, m.event_id, r.body, r.accepted_at_ms
FROM message_revisions AS r JOIN messages AS m ON m.seq = r.message_seq
"""
_COLUMNS = ("key", "customer_key", "parent_key", "occurred_at_ms", "content", "email")
_FACTS = f"SELECT {', '.join(_COLUMNS)} FROM facts"


def differences(site: Site) -> list[str]:
    """The facts that are missing, or say something else than the events of a site whose servers have ended."""
    with _asking(site) as connection:
        bodies = connection.execute(_BODIES).fetchall()
        rows = connection.execute(_FACTS).fetchall()
    known = {row[0]: known_fact(StatedFact(**dict(zip(_COLUMNS, row, strict=True)))) for row in rows}
    stated = [fact for row in bodies for fact in _stated(*row)]
    wanted = {fact.key: known_fact(fact) for fact in merged_facts(stated)}
    return [
        f"fact {key}: {known.get(key)} instead of {wanted.get(key)}"
        for key in sorted({*known, *wanted})
        if known.get(key) != wanted.get(key)
    ]


def _stated(event_type: str, event_id: str, body: bytes, accepted_at_ms: int) -> tuple[StatedFact, ...]:
    event = DODO.read_body(event_type, body)
    return facts.state(DODO.kind, event, event_id=event_id, body=body, accepted_at_ms=accepted_at_ms).facts


@contextlib.contextmanager
def _asking(site: Site) -> Iterator[Any]:
    if site.database_url:
        # Its library is needed only here.
        import psycopg  # noqa: PLC0415

        with psycopg.connect(site.database_url) as connection:
            yield connection
        return
    with contextlib.closing(sqlite3.connect(site.database)) as file:
        yield file
