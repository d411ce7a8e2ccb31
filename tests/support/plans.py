"""A PostgreSQL database with many messages, and how its server goes about each query of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from psycopg import sql

from nicobar.store.postgres.connection import SQL, TRANSACTION_MS, Connection, begin, rollback

# Of the deliveries to 50 endpoints the last thousand are waiting, one in a hundred has failed, and the oldest were
# replayed. Endpoint 51 has a long queue, and endpoint 52 one that was not put in order yet.
_FILL = """
INSERT INTO endpoints (id, app_id, name, connector, settings, sealed_credentials, credential_references, event_types,
    variables, disabled)
SELECT 'ep_' || n, (SELECT id FROM applications), 'e' || n, 'http', '{{}}', '', '{{}}', '[]', '{{}}', FALSE
FROM generate_series(1, 52) AS n;
INSERT INTO messages (seq, id, app_id, source_id, event_id, event_type, customer_key, occurred_at_ms, accepted_at_ms,
    body)
SELECT n, 'msg_' || lpad(n::text, 10, '0'), (SELECT id FROM applications), 's', 'evt_' || n, 'a.b',
    'cus_' || n % ({rows} / 20), n, n, convert_to(repeat('x', 500), 'UTF8')
FROM generate_series(1, {rows}) AS n;
SELECT setval('messages_seq_seq', {rows});
INSERT INTO deliveries (message_seq, endpoint_seq, state, tries, lease, due_at_ms, customer_key, position, replay_key,
    failure, ended_at_ms, task_seq)
SELECT n, 1 + n % 50,
    CASE WHEN n > {rows} - 1000 THEN 'pending' WHEN n % 100 = 0 THEN 'failed' ELSE 'success' END,
    1, 1, CASE WHEN n > {rows} - 1000 THEN n END, 'cus_' || n % ({rows} / 20), n << 20, '',
    CASE WHEN n % 100 = 0 AND n <= {rows} - 1000 THEN 'f' END, n, CASE WHEN n < 1000 THEN 1 END
FROM generate_series(1, {rows}) AS n;
INSERT INTO deliveries (message_seq, endpoint_seq, state, tries, lease, due_at_ms, customer_key, position, replay_key)
SELECT n, e, 'pending', 0, 0, n, 'cus_' || n % ({rows} / 20), CASE WHEN e = 51 THEN n << 20 ELSE 0 END, ''
FROM generate_series(1, {rows} / 5) AS n, generate_series(51, 52) AS e;
INSERT INTO attempts (id, message_seq, endpoint_seq, content, state, started_at_ms)
SELECT 'atmpt_' || lpad(n::text, 10, '0'), n, 1 + n % 50, '', 'success', n
FROM generate_series(1, {rows} - 1000) AS n;
"""
FILL_S = 600.0
_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE|SHARE|pg_advisory_xact_lock\w*|pg_try_advisory\w*)\b")
LARGE = ("messages", "deliveries", "attempts")
_BY_TYPE: Mapping[str, object] = {
    "bigint": 1,
    "integer": 1,
    "double precision": 1.0,
    "boolean": False,
    "bytea": b"",
    "text": "x",
    "json": "{}",
    "jsonb": "{}",
    "bigint[]": [1, 2],
    "text[]": ["x", "y"],
    "boolean[]": [False, False],
    "bytea[]": [b"", b""],
}


# What is stored must be whole.
_OWN: Mapping[str, Mapping[str, object]] = {
    "add_attempts": {"states": ["success", "failed"], "ids": ["atmpt_x", "atmpt_y"]},
    "add_deliveries": {"message_seqs": [10**9, 10**9 + 1]},
    "add_unidentified": {"since_ms": 1},
    "add_messages": {"event_types": ["a.b", "c.d"], "channels": ["[]", "[]"], "tags": ["[]", "[]"]},
    "limit_lock_waits": {"lock_ms": "1000"},
    "replay_deliveries": {"order_keys": "{}"},
    "unidentified_due": {"late_ms": 1},
    "move_deliveries": {"states": ["success", "failed"], "spent": [1, 1]},
    "tally_attempts": {"states": ["success", "failed"]},
}


class Plans:
    """The plans of the queries in a database of that many messages."""

    def __init__(self, connection: Connection, rows: int) -> None:
        connection.bound_s = FILL_S
        connection.execute(_FILL.format(rows=rows).encode())
        connection.execute(b"VACUUM (ANALYZE)")
        self._connection = connection
        (app_id,) = connection.execute(b"SELECT id FROM applications").fetchone()
        latest = [rows - 500, rows - 450]
        self._known: dict[str, object] = {
            "app_id": app_id,
            "app_ids": [app_id, app_id],
            "endpoint_id": "ep_7",
            "endpoint_seq": 7,
            "endpoint_seqs": [7, 8],
            "lease_name": "none",
            "term": 0,
            "message_seq": latest[0],
            "message_seqs": latest,
            "message_ids": [f"msg_{latest[0]:010}"],
            "message_id": f"msg_{latest[0]:010}",
            "id": f"msg_{latest[0]:010}",
            "seq": latest[0],
            "seqs": latest,
            "customer_key": "cus_7",
            "customer_keys": ["cus_7", "cus_8"],
            "event_ids": ["evt_1", "evt_2"],
            "event_types": [],
            "channels": [],
            "now_ms": rows * 2,
            "ends_at_ms": rows * 3,
            "limit": 100,
            "look": 10_000,
            "max_bytes": 1_000_000,
            "states": [],
            "reasons": [None, None],
            "failures": [None, None],
            "due_at_ms": [None, None],
            "above": 1,
            "below": rows - 10_000,
            "since_ms": None,
            "until_ms": None,
            "tag": None,
            "failure": None,
            "reason": None,
            "status_class": None,
            "before_ms": 1_000,
            "after_seq": 500,
            "until_seq": 20_000,
            "prefix": "cus_",
            "prefix_end": "cus_\U0010ffff",
            "after": "cus_1",
        }

    def seen(self, name: str, **values: object) -> Mapping[str, object]:
        """How the server goes about a query in a transaction as ours are, which is undone."""
        text = SQL[name].as_string(None)
        query = sql.SQL(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}")
        values = self._values(name, text) | values
        begin(self._connection, TRANSACTION_MS, reading=not _WRITES.search(text))
        try:
            (plans,) = self._connection.execute(query, values).fetchone()
        finally:
            rollback(self._connection)
        whole = plans if isinstance(plans, list) else json.loads(plans)
        return whole[0]["Plan"] | {"ms": whole[0]["Execution Time"]}

    def _values(self, name: str, text: str) -> dict[str, object]:
        """A value for each name, of the type that the server expects."""
        numbers: dict[str, int] = {}
        numbered = re.sub(
            r"%\((\w+)\)s", lambda match: f"${numbers.setdefault(match[1], len(numbers) + 1)}", text
        ).replace("%%", "%")
        connection = self._connection
        connection.execute(f"PREPARE about AS {numbered.rstrip().removesuffix(';')}".encode())
        (types,) = connection.execute(
            b"SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'about'"
        ).fetchone()
        connection.execute(b"DEALLOCATE about")
        values = {key: _BY_TYPE[kind] for key, kind in zip(numbers, types or [], strict=True)}
        fitting = {key: value for key, value in self._known.items() if key in values}
        for key, value in fitting.items():
            if value is None or isinstance(value, list) == isinstance(values[key], list):
                values[key] = value
        if "attempts" in name and "above" in values:
            values |= {"above": "", "below": "~"}
        return values | {key: value for key, value in _OWN.get(name, {}).items() if key in values}


def tables_read_whole(plan: Mapping[str, object]) -> set[str]:
    return {
        str(node["Relation Name"])
        for node in _nodes(plan)
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE
    }


def blocks(plan: Mapping[str, object]) -> int:
    """How many pages of 8 KiB the query touched, in memory or not."""
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def _nodes(plan: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)
