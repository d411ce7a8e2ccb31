"""A browser without scripts, for tests of the dashboard's answers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp

from nicobar.web.dashboard.app import OPERATIONS
from support.installation import PASSWORD, SAME_ORIGIN


class Visitor:
    """Keeps cookies."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http
        self.cookies: list[str] = []

    async def ask(self, method: str, path: str, fields: dict[str, str] | None = None, **headers: str):
        async with self.http.request(
            method, self.url + path, data=fields, headers=headers, allow_redirects=False
        ) as answer:
            text = await answer.text()
            self.cookies += answer.headers.getall("set-cookie", [])
            return answer.status, text, answer.headers

    async def send(self, path: str, **fields: str):
        """A form of a page of this server."""
        return await self.ask("POST", path, fields, **SAME_ORIGIN)


@asynccontextmanager
async def visiting(nicobar):
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        yield Visitor(nicobar.url, http)


async def set_up(nicobar, visitor) -> str:
    path = urlsplit(nicobar.runtime.setup_url).path
    status, _, headers = await visitor.send(path, password=PASSWORD, again=PASSWORD)
    assert (status, headers["location"]) == (303, "/webhooks")
    return path


def routes(method: str) -> list[str]:
    """The paths of all pages, or forms, with the names of their parameters: `/webhooks/{endpoint_id}`."""
    return [operation.plain_path for operation in OPERATIONS if operation.method == method]
