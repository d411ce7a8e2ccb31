"""PostgreSQL's tables after many deliveries: how large they and their indexes are, how much of that is dead, and what
it costs to delete old messages in steps, beside a partition that is dropped.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from contracts.test_stores import endpoint
from nicobar.pipeline.retention import STEP_MESSAGES
from nicobar.store.postgres import PostgresStore
from nicobar.store.postgres.connection import Connection, connect
from support import postgres

TABLES = ("messages", "deliveries", "attempts", "tallies")
ENDPOINTS = 10
GROUP = 500
FORGOTTEN = 200_000
# Not tuned, but for the memory; autovacuum looks more often, since hours pass within minutes here.
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "autovacuum_naptime": "5s",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
}
# How the hot table is to be kept, as options of ALTER TABLE.
VARIANTS = {
    "as migrated": "",
    "full pages": "SET (fillfactor = 100)",
    "server's defaults": "RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold)",
}
# What a group of events goes through, in the statements' own sizes: stored, put in order, claimed, recorded.
STEPS = {
    "store messages": """
        INSERT INTO messages (id, app_id, source_id, event_id, event_type, customer_key, occurred_at_ms,
            accepted_at_ms, body)
        SELECT 'msg_' || lpad(n::text, 27, '0'), 'app', 'src', md5(n::text), 'payment.succeeded',
            'cus_' || n %% 50000, n, n, decode(repeat(md5(n::text), 56), 'hex')
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n""",
    "store deliveries": """
        INSERT INTO deliveries (message_seq, endpoint_seq, state, tries, lease, due_at_ms, customer_key, replay_key)
        SELECT seq, 1 + accepted_at_ms %% 10, 'pending', 0, 0, accepted_at_ms, customer_key, ''
        FROM messages WHERE seq BETWEEN %(first)s AND %(last)s""",
    "put in order": """
        UPDATE deliveries SET position = message_seq << 20
        WHERE endpoint_seq = ANY(%(endpoints)s) AND position = 0 AND message_seq BETWEEN %(first)s AND %(last)s""",
    "claim": """
        UPDATE deliveries AS d SET state = 'sending', lease = d.lease + 1, due_at_ms = %(last)s + 60000
        FROM (
            SELECT message_seq FROM deliveries
            WHERE endpoint_seq = %(endpoint)s AND due_at_ms <= %(last)s ORDER BY due_at_ms, message_seq LIMIT 100
        ) AS due WHERE d.message_seq = due.message_seq AND d.endpoint_seq = %(endpoint)s""",
    "record": """
        UPDATE deliveries SET state = 'success', tries = tries + 1, due_at_ms = NULL, ended_at_ms = %(last)s
        WHERE endpoint_seq = %(endpoint)s AND message_seq BETWEEN %(first)s AND %(last)s AND state = 'sending'""",
    "store attempts": """
        INSERT INTO attempts (id, message_seq, endpoint_seq, content, state, status, started_at_ms)
        SELECT 'atmpt_' || lpad(message_seq::text, 27, '0'), message_seq, endpoint_seq,
            decode(repeat(md5(message_seq::text), 30), 'hex'), 'success', 200, %(last)s
        FROM deliveries WHERE endpoint_seq = %(endpoint)s AND message_seq BETWEEN %(first)s AND %(last)s""",
}
PER_ENDPOINT = ("claim", "record", "store attempts")


async def tables(deliveries: int, variants: Sequence[str]) -> None:
    """Delivers so many, with each of these variants of the settings."""
    for name in variants:
        options = VARIANTS[name]
        server = postgres.Cluster(SETTINGS)
        server.ask("CREATE DATABASE bench TEMPLATE template0")
        url = server.url("bench")
        postgres.apply_migrations(url, 1)
        store = PostgresStore(url)
        await store.change([await endpoint(store, f"ep_{number}") for number in range(1, ENDPOINTS + 1)])
        with connect(url) as connection:
            connection.bound_s = 3_600
            if options:
                connection.execute(f"ALTER TABLE deliveries {options}".encode())
            with _measured(connection, f"{name}: {deliveries:,} deliveries", deliveries):
                _deliver(connection, deliveries)
            _report(connection)
            await _forget(store, connection, min(FORGOTTEN, deliveries // 2))
            _report(connection)
        await store.close()
        server.stop()


def _deliver(connection: Connection, deliveries: int) -> None:
    """Groups of events, each of them delivered before the next one comes."""
    took_ms: dict[str, list[float]] = {step: [] for step in STEPS}

    def run(step: str, values: dict[str, object]) -> None:
        started = time.perf_counter()
        connection.execute(STEPS[step].encode(), values)
        took_ms[step].append((time.perf_counter() - started) * 1000)

    for first in range(1, deliveries + 1, GROUP):
        values = {"first": first, "last": first + GROUP - 1, "endpoints": list(range(1, ENDPOINTS + 1))}
        for step in STEPS:
            if step not in PER_ENDPOINT:
                run(step, values)
        for seq in range(1, ENDPOINTS + 1):
            for step in PER_ENDPOINT:
                run(step, values | {"endpoint": seq})
    for step, times in took_ms.items():
        quantiles = statistics.quantiles(times, n=100)
        print(f"  {step}: p50 {quantiles[49]:.1f} ms, p99 {quantiles[98]:.1f} ms")


async def _forget(store: PostgresStore, connection: Connection, messages: int) -> None:
    # No page was changed since the last checkpoint, as after weeks: the first change of each writes it whole.
    connection.execute(b"CHECKPOINT")
    with _measured(connection, f"{messages:,} messages deleted in steps of {STEP_MESSAGES}", messages):
        after_seq: int | None = 0
        left = messages
        longest_s = 0.0
        while after_seq is not None and left > 0:
            started = time.perf_counter()
            step = await store.forget_old(before_ms=10**12, now_ms=10**12, after_seq=after_seq, limit=STEP_MESSAGES)
            longest_s = max(longest_s, time.perf_counter() - started)
            after_seq, left = step.after_seq, left - step.done
    print(f"  longest step {longest_s * 1000:.0f} ms")
    with _measured(connection, "vacuum", messages):
        connection.execute(f"VACUUM {', '.join(TABLES)}".encode())


@contextmanager
def _measured(connection: Connection, name: str, count: int) -> Iterator[None]:
    (before,) = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
    started = time.perf_counter()
    yield
    took_s = time.perf_counter() - started
    (wal_bytes,) = connection.execute("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", [before]).fetchone()
    wal = f"WAL {wal_bytes / 2**20:,.0f} MiB, {wal_bytes / count:,.0f} B each"
    print(f"{name}: {took_s:.1f} s, {count / took_s:,.0f}/s, {wal}", flush=True)


_SIZES = """
SELECT c.relname, t.relname, pg_relation_size(c.oid) / 1048576.0, s.n_live_tup, s.n_dead_tup,
    CASE WHEN s.n_tup_upd > 0 THEN 100 * s.n_tup_hot_upd / s.n_tup_upd END, s.autovacuum_count
FROM pg_class AS t JOIN pg_stat_user_tables AS s ON s.relid = t.oid
    JOIN pg_class AS c ON c.oid = t.oid OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = t.oid)
WHERE t.relname = ANY(%s) ORDER BY array_position(%s, t.relname::text), c.relkind DESC, 1
"""


def _report(connection: Connection) -> None:
    """Sizes now, and compacted: what a rebuilt copy of the table and its indexes takes."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    now = connection.execute(_SIZES, [list(TABLES)] * 2).fetchall()
    with connection.transaction(force_rollback=True):
        # In a transaction that is undone, so that the next step begins with what is there.
        compact = {}
        for table in TABLES:
            connection.execute(
                f"CREATE TABLE copy (LIKE {table} INCLUDING ALL); INSERT INTO copy SELECT * FROM {table}".encode()
            )
            compact[table] = connection.execute(
                "SELECT pg_relation_size('copy') / 1048576.0, pg_indexes_size('copy') / 1048576.0"
            ).fetchone()
            connection.execute("DROP TABLE copy")
    for name, table, size_mib, live, dead, hot_percent, vacuums in now:
        if name == table:
            table_mib, indexes_mib = compact[table]
            print(
                f"  {name}: {size_mib:,.0f} MiB (compact {table_mib:,.0f}, its indexes {indexes_mib:,.0f}), "
                f"{live:,} live, {dead:,} dead, HOT {hot_percent} %, autovacuums {vacuums}"
            )
        else:
            print(f"    {name}: {size_mib:,.1f} MiB")
