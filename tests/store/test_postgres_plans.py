"""How PostgreSQL goes about what is asked for every event and for every page, with 100,000 messages."""

from __future__ import annotations

import re

import pytest
from psycopg import sql

from nicobar.store.postgres.connection import SQL, connect
from support import postgres

ROWS = 100_000
# Of the deliveries the last thousand are waiting; one in a hundred has failed.
FILL = f"""
INSERT INTO endpoints (id, app_id, name, connector, settings, sealed_credentials, credential_references, event_types,
    variables, disabled)
SELECT 'ep_' || n, (SELECT id FROM applications), 'e' || n, 'http', '{{}}', '', '{{}}', '[]', '{{}}', FALSE
FROM generate_series(1, 50) AS n;
INSERT INTO messages (seq, id, app_id, source_id, event_id, event_type, customer_key, occurred_at_ms, accepted_at_ms,
    body)
SELECT n, 'msg_' || lpad(n::text, 10, '0'), (SELECT id FROM applications), 's', 'evt_' || n, 'a.b',
    'cus_' || n % 5000, n, n, convert_to(repeat('x', 500), 'UTF8')
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO deliveries (message_seq, endpoint_seq, state, tries, lease, due_at_ms, customer_key, position, replay_key,
    failure, ended_at_ms)
SELECT n, 1 + n % 50,
    CASE WHEN n > {ROWS} - 1000 THEN 'pending' WHEN n % 100 = 0 THEN 'failed' ELSE 'success' END,
    1, 1, CASE WHEN n > {ROWS} - 1000 THEN n END, 'cus_' || n % 5000, n << 20, '',
    CASE WHEN n % 100 = 0 AND n <= {ROWS} - 1000 THEN 'f' END, n
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO attempts (id, message_seq, endpoint_seq, content, state, started_at_ms)
SELECT 'atmpt_' || lpad(n::text, 10, '0'), n, 1 + n % 50, '', 'success', n
FROM generate_series(1, {ROWS} - 1000) AS n;
ANALYZE;
"""
# One set of values for all: each query takes those that it names.
VALUES = {
    "endpoint_seq": 1,
    "endpoint_seqs": [1, 2],
    "endpoint_id": "ep_1",
    "message_seq": 99_500,
    "message_seqs": [99_500, 99_550],
    "message_ids": ["msg_0000099500"],
    "message_id": "msg_0000099500",
    "id": "msg_0000099500",
    "customer_key": "cus_7",
    "customer_keys": ["cus_7", "cus_8"],
    "seq": 99_500,
    "seqs": [99_500, 99_550],
    "app_id": "app",
    "app_ids": ["app", "app"],
    "event_ids": ["evt_1", "evt_2"],
    "now_ms": ROWS * 2,
    "ends_at_ms": ROWS * 3,
    "limit": 100,
    "look": 10_000,
    "max_bytes": 1_000_000,
    "leases": [1, 1],
    "states": [],
    "spent": [1, 1],
    "tried": [True, True],
    "due_at_ms": [None, None],
    "reasons": [None, None],
    "failures": [None, None],
    "ended_at_ms": [1, 1],
    "above": 1,
    "below": 90_000,
    "with_body": False,
    "since_ms": None,
    "until_ms": None,
    "event_types": [],
    "channels": [],
    "tag": None,
    "alerts": False,
    "status_class": None,
    "before_ms": 1_000,
    "after_seq": 500,
    "until_seq": 20_000,
    "task_seq": 1,
    "failure": None,
    "reason": None,
    "prefix": "cus_",
    "prefix_end": "cus_\U0010ffff",
    "after": "cus_1",
}
HOT = ["claim_deliveries", "due_times", "find_events", "free_next", "move_deliveries", "next_due", "order_appended"]
LISTS = [
    "attempts_before",
    "attempts_after",
    "attempts_of_message_before",
    "attempted_failed_before",
    "messages_after",
]
LISTS += ["messages_before", "messages_of_customer_before", "edge_of_messages_before", "edge_of_attempts_before"]
LISTS += ["customers", "find_message", "deliveries_of_messages", "waits", "attempts"]
WORK = [
    "replayable",
    "replayable_missing",
    "backlog_of_endpoint",
    "cancel_some",
    "old_messages",
    "replayable_of_customers",
    "stop_deliveries",
]
WORK += ["unfinished_of_messages", "untried_of_replay", "waiting", "lock_messages", "attempts_of_messages"]


@pytest.fixture(scope="module")
def large():
    url = postgres.cluster().take_database()
    with connect(url) as connection:
        connection.execute(FILL.encode())
        (app_id,) = connection.execute(b"SELECT id FROM applications").fetchone()
        yield connection, VALUES | {"app_id": app_id, "app_ids": [app_id, app_id]}
    postgres.cluster().drop_database(url)  # its statistics and size are of no use to others


@pytest.mark.slow
@pytest.mark.parametrize("name", [*HOT, *LISTS, *WORK])
def test_no_query_reads_a_whole_table(large, name):
    connection, known = large
    text = SQL[name].as_string(None)
    values = {key: known[key] for key in set(re.findall(r"%\((\w+)\)s", text))}
    if name == "move_deliveries":
        values["states"] = ["success", "success"]
    if "attempts_" in name and "above" in values:
        values |= {"above": "", "below": "~"}
    plan = "\n".join(row[0] for row in connection.execute(sql.SQL(f"EXPLAIN {text}"), values))
    whole = re.findall(r"Seq Scan on (messages|deliveries|attempts)\b", plan)
    assert not whole, plan
