"""What PostgreSQL reads for each query with many messages: pages of 8 KiB, and the time."""

from __future__ import annotations

from nicobar.store.postgres.connection import SQL, connect
from store.test_postgres_plans import BESIDE_LONG_QUEUES, DEFINITIONS, WHOLE
from support import postgres
from support.plans import Plans, blocks, tables_read_whole


async def plans(messages: int) -> None:
    server = postgres.Cluster({"listen_addresses": "", "fsync": "off", "shared_buffers": "1GB"})
    server.ask("CREATE DATABASE bench TEMPLATE template0")
    url = server.url("bench")
    postgres.apply_migrations(url, 1)
    with connect(url) as connection:
        known = Plans(connection, messages)
        print(f"{messages:,} messages: pages read, time, tables read whole")
        queries = [(name, {}) for name in sorted(SQL.keys() - WHOLE - DEFINITIONS)] + BESIDE_LONG_QUEUES
        for name, values in queries:
            seen = known.seen(name, **values)
            about = " ".join(f"{key}={value}" for key, value in values.items())
            whole = " ".join(sorted(tables_read_whole(seen)))
            print(f"  {name} {about}: {blocks(seen):,}, {seen['ms']:.1f} ms {whole}")
    server.stop()
