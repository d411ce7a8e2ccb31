"""How PostgreSQL goes about our queries with 40,000 messages, where they have the plans that they have
with more; `make bench ARGS=plans` shows them with a million.
"""

from __future__ import annotations

import pytest

from nicobar.store.postgres.connection import MAX_ORDERED, SQL, connect
from support import postgres
from support.plans import Plans, blocks, tables_read_whole

ROWS = 40_000
# They count or group all there is, where a person asks for it.
WHOLE = {name for name in SQL if name.startswith("count_")} | {"backlog", "failure_groups", "sealed"}
WHOLE |= {"deliveries_naming"}  # of a deletion: beside the work, and nothing waits for it
WHOLE |= {"another_with_email"}  # of a merge of one customer
# They have no plan.
_PLANNED = ("WITH", "SELECT", "INSERT", "UPDATE", "DELETE")
DEFINITIONS = {name for name, text in SQL.items() if not text.as_string(None).startswith(_PLANNED)}
# A search looks at 10,000 messages at most; each has three deliveries here, and is two to ten blocks.
SEARCHES = {"attempted_after", "attempted_before", "messages_after", "messages_before", "sent_customers"}
MAX_BLOCKS = 3_000
MAX_SEARCH_BLOCKS = 100_000
# Endpoint 51 has 8,000 deliveries that are due, endpoint 52 as many that were not put in order yet.
BESIDE_LONG_QUEUES = [
    ("claim_deliveries", {"endpoint_seq": 51}),
    ("claim_deliveries", {"endpoint_seq": 51, "behind": 99, "oldest_new": 10, "newest_new": 10, "new_after_ms": 0}),
    ("next_due", {"endpoint_seq": 51}),
    ("next_due", {"endpoint_seq": 52}),
    ("order_appended", {"endpoint_seqs": [7], "limit": MAX_ORDERED}),
    ("order_appended", {"endpoint_seqs": [51], "limit": MAX_ORDERED}),
    ("cancel_some", {"endpoint_seq": 51}),
    ("waiting", {"endpoint_seq": 51}),
    ("waits", {"endpoint_id": "ep_51"}),
    ("old_messages", {"after_seq": 0, "until_seq": ROWS, "before_ms": ROWS, "limit": 200}),
]


@pytest.fixture(scope="module")
def plans():
    url = postgres.cluster().take_database()
    with connect(url) as connection:
        yield Plans(connection, ROWS)
    postgres.cluster().drop_database(url)  # its statistics and size are of no use to others


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SQL.keys() - WHOLE - DEFINITIONS))
def test_no_query_reads_a_whole_table(plans, name):
    seen = plans.seen(name)
    assert not tables_read_whole(seen), seen
    assert blocks(seen) <= (MAX_SEARCH_BLOCKS if name in SEARCHES else MAX_BLOCKS), seen


@pytest.mark.slow
@pytest.mark.parametrize(("name", "values"), BESIDE_LONG_QUEUES)
def test_a_long_queue_slows_no_query(plans, name, values):
    seen = plans.seen(name, **values)
    assert not tables_read_whole(seen), seen
    assert blocks(seen) <= MAX_BLOCKS, seen
