"""How SQLite goes about the lists: by an index, and where a page is one in an order, without sorting more than it."""

from __future__ import annotations

import re
from contextlib import closing

import pytest

from nicobar.store.sqlite import apply_migrations
from nicobar.store.sqlite.connection import SQL, connect

# What grows without an end; the rest is configuration.
LARGE = ("messages", "deliveries", "attempts", "audit", "refusals", "tallies")
LISTS = sorted(name for name in SQL if re.search(r"_(before|after)$", name) and "tasks" not in name)
OTHERS = [
    "attempt",
    "count_of_attempts",
    "customers",
    "customers_with_email",
    "facts_like",
    "latest_customers",
    "latest_of_customers",
    "find_message",
    "first_message_from",
    "last_message_until",
    "latencies",
]
OTHERS += ["tallies", "tallies_by_type", "unfinished_of_endpoint", "trim_refusals"]
# What delivers, replays and cleans up.
WORK = [
    "backlog",
    "backlog_of_endpoint",
    "bound_times",
    "failed_before",
    "waiting_since",
    "cancel_some",
    "claimable_deliveries",
    "failure_groups",
    "free_next",
    "free_next_of_customer",
    "left_by_removed",
]
WORK += [
    "left_by_removed",
    "due_times",
    "next_due",
    "old_messages",
    "release_deliveries",
    "release_strays",
    "replay_deliveries",
    "replayable",
    "shift_setbacks",
    "shift_times",
    "take_over_deliveries",
]
WORK += [
    "replayable_missing",
    "replayable_missing_of_customers",
    "replayable_of_customers",
    "untried_of_customers",
    "untried_of_replay",
    "waiting",
    "waits",
]
# What is repeated.
WORK += ["due_repeats", "recent_orders", "remove_repeats_of_messages", "unfinished_among"]
LISTED = {
    "actions",
    "app_ids",
    "channels",
    "customer_keys",
    "emails",
    "endpoint_seqs",
    "event_types",
    "keys",
    "message_ids",
    "message_seqs",
    "metadata_values",
    "prefixes",
    "seqs",
    "states",
}
# These hold what is not finished, or has failed.
PARTIAL = "deliveries_(due|unfinished|failed|replayed)"


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    path = tmp_path_factory.mktemp("plans") / "a.db"
    apply_migrations(path, 1)
    with closing(connect(path)) as connection:
        yield connection


def plan(connection, name):
    values = dict.fromkeys(re.findall(r":([a-z_]+)", SQL[name]), 1)
    values |= {name: "[]" for name in values if name in LISTED}
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", values)]


def tables(name):
    return dict(re.findall(r"\b(?:FROM|JOIN) (\w+)(?: AS (\w+))?", SQL[name]))


@pytest.mark.parametrize("name", [*LISTS, *OTHERS])
def test_no_list_reads_a_whole_table(connection, name):
    steps = plan(connection, name)
    assert steps
    for table, alias in tables(name).items():
        if table in LARGE:
            whole = [step for step in steps if re.fullmatch(rf"SCAN {alias or table}\b.*", step)]
            assert not whole, steps


@pytest.mark.parametrize("name", [name for name in LISTS if "of_message_" not in name])
def test_no_list_sorts_what_it_reads(connection, name):
    assert not [step for step in plan(connection, name) if "TEMP B-TREE" in step and "ORDER BY" in step]


def test_customers_are_found_by_their_address(connection):
    assert any("facts_by_email (app_id=? AND email=?)" in step for step in plan(connection, "facts_of_people"))


def test_the_facts_of_a_person_are_found_by_an_index(connection):
    steps = plan(connection, "facts_of_persons")
    assert not [step for step in steps if re.match(r"SCAN (facts|f|i|metadata_ids)\b", step)]
    for index in (
        "(app_id=? AND email=?)",
        "(app_id=? AND name=? AND value=?)",
        "(app_id=? AND customer_key=?)",
        "(app_id=? AND parent_key=?)",
    ):
        assert any(index in step for step in steps), index


@pytest.mark.parametrize("name", WORK)
def test_work_does_not_read_finished_deliveries(connection, name):
    steps = plan(connection, name)
    # The backlog counts first; what it then reads is a row an endpoint.
    large = "deliveries|messages" if name.startswith("backlog") else "deliveries|messages|d|m"
    whole = [step for step in steps if re.match(rf"SCAN ({large})\b", step)]
    assert not [step for step in whole if not re.search(rf"INDEX {PARTIAL}", step)], steps


def test_the_backlog_of_one_endpoint_reads_no_other_s(connection):
    steps = plan(connection, "backlog_of_endpoint")
    assert any("deliveries_unfinished_in_order (endpoint_seq>? AND endpoint_seq<?)" in step for step in steps), steps


@pytest.mark.parametrize("name", [name for name in SQL if name.startswith("count_replayable")])
def test_a_replay_count_reads_only_newer_messages_of_customers(connection, name):
    steps = plan(connection, name)
    assert any("messages_of_customer (app_id=? AND customer_key=? AND seq>?" in step for step in steps), steps


@pytest.mark.parametrize(
    "name", [name for name in WORK if name.startswith("replayable") and name.endswith("_of_customers")]
)
def test_a_replay_reads_its_customers_messages_alone(connection, name):
    assert any("messages_of_customer (app_id=? AND customer_key=?" in step for step in plan(connection, name))


def test_a_cancel_reads_only_the_customer_s_deliveries(connection):
    steps = plan(connection, "untried_of_customers")
    assert any("deliveries_unfinished (endpoint_seq=? AND customer_key=?" in step for step in steps), steps


@pytest.mark.parametrize("name", ["claimable_deliveries", "next_due"])
def test_claims_check_the_endpoint_once_not_per_row(connection, name):
    steps = plan(connection, name)
    (first,) = [place for place, step in enumerate(steps) if step.startswith("SEARCH e USING INTEGER PRIMARY KEY")]
    due = r"SEARCH (d|deliveries) USING .*deliveries_due \(endpoint_seq=\?"
    assert any(re.match(due, step) for step in steps[first:]), steps


def test_a_claim_costs_the_same_whatever_waits(connection):
    steps = [step for step in plan(connection, "claimable_deliveries") if re.match(r"(SCAN|SEARCH) (d|o|m)\b", step)]
    behind = "USING INDEX deliveries_unfinished (endpoint_seq=? AND customer_key=? AND position>? AND position<?)"
    assert steps == [
        "SEARCH d USING INDEX deliveries_due (endpoint_seq=? AND due_at_ms<?)",
        f"SEARCH o {behind}",
        *["SEARCH d USING INDEX deliveries_new (endpoint_seq=? AND due_at_ms>? AND due_at_ms<?)"] * 2,
        f"SEARCH d {behind}",
        "SEARCH d USING PRIMARY KEY (message_seq=? AND endpoint_seq=?)",
        "SEARCH m USING INTEGER PRIMARY KEY (rowid=?)",
    ]


def test_a_claim_reads_one_message_after_the_other(connection):
    steps = plan(connection, "claimable_deliveries")
    assert "ORDER BY" not in steps[-1], "a sort would hold all bodies"
