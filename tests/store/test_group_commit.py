"""Values that are written together do not fail together."""

from __future__ import annotations

import asyncio
import threading

import pytest

from nicobar.errors import StoreUnavailable
from nicobar.store.group_commit import GroupCommit

BAD = {3, 4, 17}


class Memory:
    """A writer whose session is a list; `gate` holds the first group until the others have come."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.kept: list[int] = []
        self.calls: list[list[int]] = []
        self.broken = False

    def begin(self):
        self.gate.wait()

    def alone(self, work):
        before = list(self.kept)
        try:
            return work(self.kept)
        except Exception:
            self.kept[:] = before
            raise

    def commit(self):
        if self.broken:
            raise StoreUnavailable("store_unavailable", "The disk is full.")

    def rollback(self):
        self.kept.clear()

    def is_blocked(self, _error):
        return False

    def translate(self, _error):
        return None

    def close(self):
        pass


@pytest.fixture
async def memory():
    return Memory()


async def submit_all(memory, numbers):
    def together(kept, values):
        memory.calls.append(list(values))
        for value in values:
            kept.append(value)
            if value in BAD:
                raise ValueError(value)
        return [value * 2 for value in values]

    commits = GroupCommit(memory)
    waiting = [asyncio.create_task(commits.submit(together, number)) for number in numbers]
    await asyncio.sleep(0)
    memory.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    await commits.close()
    return results


async def test_only_values_that_fail_alone_are_refused(memory):
    results = await submit_all(memory, range(40))
    assert {number for number, result in enumerate(results) if isinstance(result, ValueError)} == BAD
    assert [result for number, result in enumerate(results) if number not in BAD] == [
        number * 2 for number in range(40) if number not in BAD
    ]
    assert sorted(memory.kept) == [number for number in range(40) if number not in BAD]


async def test_values_that_wait_are_written_by_one_call(memory):
    await submit_all(memory, range(100, 140))
    assert max(map(len, memory.calls)) >= 39


async def test_all_of_a_group_that_is_not_committed_fails(memory):
    memory.broken = True
    results = await submit_all(memory, range(100, 110))
    assert {type(result) for result in results} == {StoreUnavailable}
    assert memory.kept == []
