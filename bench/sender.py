"""`python -m bench.sender`: posts signed events from a process of its own.

Reads a `Plan` (a line of JSON) from standard input, prepares every request, prints `ready`, waits for another
line, sends, and prints a `Sent`. Requests are built beforehand and answers are only counted, so that the sender
uses little of the measured CPU time.
"""

from __future__ import annotations

import array
import asyncio
import collections
import sys
import time
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from bench.events import requests
from nicobar.model import Record

ACCEPTED = b"HTTP/1.1 202"
# The end of a JSON answer without a second line; Nicobar's answers to webhooks are of this form.
_HEAD_END = b"\r\n\r\n"
MAX_WAIT_S = 120


class Plan(Record):
    """What to send. `customers` have the events in turn; without it each event has one of its own, from
    `first_customer` on. `rate_per_s` spaces the events evenly; without it each connection sends its next event when
    the last one was answered. `times_file` receives two little 64-bit integers per event: when it was due and when it
    was acknowledged (monotonic nanoseconds, 0 for never).
    """

    host: str
    port: int
    path: str
    secret: str
    series: str
    count: int
    connections: int
    rate_per_s: float | None
    times_file: str
    customers: int | None = None
    first_customer: int = 0


class Sent(Record):
    """How it went. `cpu_us_per_event` is what the sender itself cost while it sent."""

    accepted: int
    rejected: int
    took_s: float
    cpu_us_per_event: float


class _Connection(asyncio.Protocol):
    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it

    def send(self, number: int) -> None:
        assert self._transport is not None
        self._number = number
        self._transport.write(self._sender.requests[number])

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(_HEAD_END)
        if not end:
            return
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(body) < int(length or 0):
            return
        accepted = self._received.startswith(ACCEPTED)
        self._received = b""
        self._sender.answered(self, self._number, accepted=accepted)

    def connection_lost(self, _error: Exception | None) -> None:
        self._sender.lost()


class Sender:
    """Holds the connections and the times."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        host = f"{plan.host}:{plan.port}"
        now_ms = time.time_ns() // 1_000_000
        self.requests = requests(
            host,
            plan.path,
            plan.secret,
            series=plan.series,
            count=plan.count,
            now_ms=now_ms,
            customers=plan.customers or plan.count,
            first_customer=plan.first_customer,
        )
        self._due_ns = array.array("q", bytes(8 * plan.count))
        self._acknowledged_ns = array.array("q", bytes(8 * plan.count))
        self._next = 0
        self._accepted = self._rejected = 0
        self._free: collections.deque[_Connection] = collections.deque()
        self._waiting: collections.deque[int] = collections.deque()
        self._ended = asyncio.Event()

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self._plan.connections):
            _, connection = await loop.create_connection(lambda: _Connection(self), self._plan.host, self._plan.port)
            self._free.append(connection)

    async def send(self) -> Sent:
        """Raises TimeoutError when not every event was answered within `MAX_WAIT_S`."""
        started_ns, cpu_ns = time.monotonic_ns(), time.process_time_ns()
        async with asyncio.timeout(MAX_WAIT_S):
            if self._plan.rate_per_s is None:
                while self._free and self._next < self._plan.count:
                    self._send_next(self._free.popleft())
            else:
                await self._send_evenly(started_ns, self._plan.rate_per_s)
            await self._ended.wait()
        took_ns = time.monotonic_ns() - started_ns
        with Path(self._plan.times_file).open("wb") as file:
            self._due_ns.tofile(file)
            self._acknowledged_ns.tofile(file)
        return Sent(
            accepted=self._accepted,
            rejected=self._rejected,
            took_s=took_ns / 1e9,
            cpu_us_per_event=(time.process_time_ns() - cpu_ns) / 1000 / self._plan.count,
        )

    def answered(self, connection: _Connection, number: int, *, accepted: bool) -> None:
        self._acknowledged_ns[number] = time.monotonic_ns() if accepted else 0
        self._accepted += accepted
        self._rejected += not accepted
        if self._accepted + self._rejected == self._plan.count:
            self._ended.set()
        elif self._plan.rate_per_s is not None and self._waiting:
            connection.send(self._waiting.popleft())
        elif self._plan.rate_per_s is None and self._next < self._plan.count:
            self._send_next(connection)
        else:
            self._free.append(connection)

    def lost(self) -> None:
        """A connection that ends before everything was answered ends the run: what it had in flight is unknown."""
        if not self._ended.is_set():
            sys.exit("The server closed a connection while events were in flight.")

    def _send_next(self, connection: _Connection) -> None:
        number, self._next = self._next, self._next + 1
        self._due_ns[number] = time.monotonic_ns()
        connection.send(number)

    async def _send_evenly(self, started_ns: int, rate_per_s: float) -> None:
        for number in range(self._plan.count):
            due_ns = started_ns + int(number * 1e9 / rate_per_s)
            wait_ns = due_ns - time.monotonic_ns()
            if wait_ns > 0:
                await asyncio.sleep(wait_ns / 1e9)
            self._due_ns[number] = due_ns
            if self._free:
                self._free.popleft().send(number)
            else:
                self._waiting.append(number)


async def main() -> None:
    plan = msgspec.json.decode(sys.stdin.readline(), type=Plan)
    sender = Sender(plan)
    await sender.connect()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    print(msgspec.json.encode(await sender.send()).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
