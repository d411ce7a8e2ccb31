"""`python -m bench.noop`: an ASGI application that reads the body and answers 202, on the server that Nicobar uses:
the ceiling for anything that accepts webhooks here. Prints its port; ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from nicobar.web.asgi import Message, Receive, Send, headers_of, read_body, send_json
from nicobar.web.serving import Server


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return
    await read_body(headers_of(scope), receive, max_bytes=2**20, timeout_ms=10_000)
    await send_json(send, 202, {"id": "msg_000000000000000000000000000"})


async def main() -> None:
    server = await Server.start(app, "127.0.0.1", 0)
    print(server.port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop()


if __name__ == "__main__":
    uvloop.run(main())
