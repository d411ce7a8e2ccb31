"""Headers of every response."""

from __future__ import annotations

from collections.abc import Mapping

from nicobar.web.asgi import App, Message, Receive, Send


class ResponseHeaders:
    """Adds `always`, and the headers of `unless_set` that a response does not have. Names are in lower case."""

    def __init__(self, app: App, *, always: Mapping[str, str], unless_set: Mapping[str, str]) -> None:
        self._app = app
        self._always = [(name.encode(), value.encode()) for name, value in always.items()]
        self._unless_set = [(name.encode(), value.encode()) for name, value in unless_set.items()]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                missing = [item for item in self._unless_set if item[0] not in given]
                message["headers"] = [*message["headers"], *self._always, *missing]
            await send(message)

        await self._app(scope, receive, complete)
