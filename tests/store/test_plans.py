"""How SQLite goes about the lists: by an index, and where a page is one in an order, without sorting more than it."""

from __future__ import annotations

import re
import sqlite3

import pytest

from nicobar.store.sqlite import apply_migrations
from nicobar.store.sqlite.database import SQL

# What grows without an end; the rest is configuration.
LARGE = ("messages", "deliveries", "attempts", "audit", "refusals", "tallies")
LISTS = sorted(name for name in SQL if re.search(r"_(before|after)$", name) and not name.startswith("tasks"))
OTHERS = ["attempt", "count_attempts", "customers", "find_message", "first_message_from", "last_message_until"]
OTHERS += ["tallies", "tallies_by_type", "unfinished_of_endpoint", "trim_refusals"]


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    path = tmp_path_factory.mktemp("plans") / "a.db"
    apply_migrations(path, 1)
    with sqlite3.connect(path) as connection:
        yield connection
    connection.close()


def plan(connection, name):
    values = dict.fromkeys(re.findall(r":([a-z_]+)", SQL[name]), 1)
    values |= {name: "[]" for name in values if name in {"channels", "event_types", "states"}}
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
