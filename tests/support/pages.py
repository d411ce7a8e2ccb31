"""A browser without scripts, for tests of what the dashboard answers."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp

from nicobar.web.dashboard.app import HANDLERS
from support.installation import PASSWORD


class Visitor:
    """Keeps cookies, sends the token of the form that it was shown."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http
        self.token = ""
        self.cookies: list[str] = []

    async def ask(self, method: str, path: str, fields: dict[str, str] | None = None, **headers: str):
        async with self.http.request(
            method, self.url + path, data=fields, headers=headers, allow_redirects=False
        ) as answer:
            text = await answer.text()
            self.cookies += answer.headers.getall("set-cookie", [])
            found = re.search(r'name="form_token" value="(\w+)"', text)
            self.token = found[1] if found else self.token
            return answer.status, text, answer.headers

    async def send(self, path: str, **fields: str):
        """A form with the token of the page that was looked at last."""
        return await self.ask("POST", path, {"form_token": self.token, **fields})


@asynccontextmanager
async def visiting(nicobar):
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        yield Visitor(nicobar.url, http)


async def set_up(nicobar, visitor) -> str:
    path = urlsplit(nicobar.runtime.setup_url).path
    await visitor.ask("GET", path)
    status, _, headers = await visitor.send(path, password=PASSWORD, again=PASSWORD)
    assert (status, headers["location"]) == (303, "/webhooks")
    return path


def routes(method: str) -> list[str]:
    """The addresses of all pages, or forms, with the names of their places: `/webhooks/{endpoint_id}`."""
    paths = [path for handler in HANDLERS if method in handler.http_methods for path in handler.paths]
    return [re.sub(r":\w+}", "}", path) for path in paths]
