"""Hints between processes: a process that stored work tells those that deliver."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import psycopg

from nicobar.clock import SystemClock
from nicobar.store.postgres import hints as module
from nicobar.store.postgres.hints import PostgresHints
from support import postgres
from support.patience import PATIENCE_S
from support.pgbouncer import pgbouncer


@contextlib.asynccontextmanager
async def listening(url: str, direct_url: str = ""):
    """What is heard, in order. The first is of what was stored before."""
    heard: asyncio.Queue = asyncio.Queue()
    stop = asyncio.Event()
    ear = PostgresHints(url, direct_url or url, SystemClock())
    task = asyncio.create_task(ear.listen(lambda seqs: heard.put_nowait(list(seqs)), stop))
    try:
        yield heard
    finally:
        stop.set()
        await task
        await ear.close()


@contextlib.asynccontextmanager
async def mouth(url: str):
    made = PostgresHints(url, url, SystemClock())
    try:
        yield made
    finally:
        await made.close()


async def next_of(heard: asyncio.Queue) -> list[int]:
    async with asyncio.timeout(PATIENCE_S):
        return await heard.get()


async def test_another_process_hears_which_endpoints_have_work(url):
    async with listening(url) as heard, mouth(url) as teller:
        assert await next_of(heard) == [], "look at what was stored before"
        teller.tell([7, 3])
        assert await next_of(heard) == [3, 7]


async def test_hints_of_the_same_moment_are_one(url):
    async with listening(url) as heard, mouth(url) as teller:
        assert await next_of(heard) == []
        for seq in (1, 2, 1, 3):
            teller.tell([seq])
        assert await next_of(heard) == [1, 2, 3]
        await teller.close()
        teller.tell([9])
        assert await next_of(heard) == [9]


async def test_a_hint_for_many_endpoints_names_none(url):
    async with listening(url) as heard, mouth(url) as teller:
        assert await next_of(heard) == []
        teller.tell(range(1, module.MAX_NAMED + 2))
        assert await next_of(heard) == []


async def test_hints_of_a_second_are_at_most_twenty(url, monkeypatch):
    pauses = []

    class Clock(SystemClock):
        async def wait(self, signal: asyncio.Event, timeout_ms: int) -> bool:
            pauses.append(timeout_ms)
            return signal.is_set()

    sent = []
    monkeypatch.setattr(module, "_notify", lambda _connection, text: sent.append(text))
    teller = PostgresHints(url, url, Clock())
    for seq in (1, 2):
        teller.tell([seq])
        await teller.close()
    assert sent == ["1", "2"]
    assert pauses == [50, 50]


async def test_a_listening_connection_that_broke_is_replaced(url, monkeypatch):
    monkeypatch.setattr(module, "AGAIN_MS", 10)
    name = url.removeprefix("postgresql:///").partition("?")[0]
    async with listening(url) as heard, mouth(url) as teller:
        assert await next_of(heard) == []
        postgres.cluster().ask(
            f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        assert await next_of(heard) == [], "look at what was stored meanwhile"
        teller.tell([5])
        assert await next_of(heard) == [5]


async def test_the_number_of_a_closed_socket_may_be_used_again(url, monkeypatch):
    """The library closes the socket of a connection that broke; the next socket may get its number."""
    monkeypatch.setattr(module, "AGAIN_MS", 10)
    name = url.removeprefix("postgresql:///").partition("?")[0]
    read = module._Ear._read
    ours, theirs = socket.socketpair()
    opened: list[asyncio.Transport] = []

    async def open_another(number: int, ended: asyncio.Event):
        os.dup2(theirs.fileno(), number)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=socket.socket(fileno=number))
        opened.append(transport)
        ended.set()

    def read_and_open_another(ear):
        number, ended = ear._connection.fileno(), ear._ended
        ear._ended = asyncio.Event()
        read(ear)
        broke, ear._ended = ear._ended.is_set(), ended
        if broke:
            opening.append(asyncio.create_task(open_another(number, ended)))

    opening: list[asyncio.Task[None]] = []
    monkeypatch.setattr(module._Ear, "_read", read_and_open_another)
    with ours, theirs:
        async with listening(url) as heard:
            assert await next_of(heard) == []
            postgres.cluster().ask(
                f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'"
            )
            assert await next_of(heard) == []
        await asyncio.gather(*opening)
        (other,) = opened
        assert not other.is_closing()
        other.close()


async def test_a_hint_that_cannot_be_sent_stops_nothing(url, monkeypatch):
    def fail(_connection, _text):
        raise psycopg.OperationalError("gone")

    async with listening(url) as heard, mouth(url) as teller:
        assert await next_of(heard) == []
        with monkeypatch.context() as patched:
            patched.setattr(module, "_notify", fail)
            teller.tell([1])
            await teller.close()
        teller.tell([2])
        assert await next_of(heard) == [2]


async def test_a_hint_passes_a_pooler_on_its_way_to_the_server(url):
    with pgbouncer(url) as pooled:
        async with listening(pooled, url) as heard, mouth(pooled) as teller:
            assert await next_of(heard) == []
            teller.tell([4])
            assert await next_of(heard) == [4]


async def test_who_listens_behind_a_pooler_says_so(url, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(module.log, "warning", lambda text, **_more: said.append(text))
    with pgbouncer(url) as pooled:
        stop = asyncio.Event()
        ear = PostgresHints(pooled, pooled, SystemClock())
        task = asyncio.create_task(ear.listen(lambda _seqs: None, stop))
        async with asyncio.timeout(PATIENCE_S):
            while not said:
                await asyncio.sleep(0)
        assert "database_listen_url" in said[0]
        assert not ear.is_heard
        stop.set()
        await task
        await ear.close()
