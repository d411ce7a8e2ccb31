"""`python -m bench.sink COUNT`: a destination that accepts everything, in a process of its own.

It answers as Customer.io's Track API does and notes when it first saw each event's number. Prints its port, then
obeys lines on standard input: `report FILE` writes the first sights (monotonic nanoseconds, 0 for never) and prints a
`Seen`, `forget` starts over. It ends when its standard input does.
"""

from __future__ import annotations

import array
import asyncio
import sys
import time
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from bench.events import NUMBER
from nicobar.model import Record

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
_REGION = b'{"region":"us","data_center":"us","environment_id":1}'
_REGION_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    len(_REGION),
    _REGION,
)


class Seen(Record):
    """`events` counts numbers seen, `calls` the objects with an action, `requests` HTTP requests; `cpu_us_per_event`
    is what the sink itself cost.
    """

    events: int
    calls: int
    requests: int
    cpu_us_per_event: float


class Sink:
    def __init__(self, count: int) -> None:
        self.first_ns = array.array("q", bytes(8 * count))
        self.forget()

    def forget(self) -> None:
        for number in range(len(self.first_ns)):
            self.first_ns[number] = 0
        self.events = self.calls = self.requests = 0
        self._cpu_ns = time.process_time_ns()

    def see(self, body: bytes) -> None:
        now_ns = time.monotonic_ns()
        self.requests += 1
        self.calls += body.count(b'"action":')
        for text in NUMBER.findall(body):
            number = int(text)
            if not self.first_ns[number]:
                self.first_ns[number] = now_ns
                self.events += 1

    def report(self, file: str) -> Seen:
        cpu_ns = time.process_time_ns() - self._cpu_ns
        Path(file).write_bytes(self.first_ns.tobytes())
        return Seen(
            events=self.events,
            calls=self.calls,
            requests=self.requests,
            cpu_us_per_event=cpu_ns / 1000 / max(1, self.events),
        )


class _Connection(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end]).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._received) < end + 4 + length:
                return
            body = bytes(self._received[end + 4 : end + 4 + length])
            del self._received[: end + 4 + length]
            assert self._transport is not None
            if head.startswith(b"get "):
                self._transport.write(_REGION_ANSWER)
            else:
                self._sink.see(body)
                self._transport.write(_ANSWER)


async def main() -> None:
    sink = Sink(int(sys.argv[1]))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(sink), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, _, file = line.strip().partition(" ")
        if command == "forget":
            sink.forget()
            print("forgotten", flush=True)
        else:
            print(msgspec.json.encode(sink.report(file)).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
