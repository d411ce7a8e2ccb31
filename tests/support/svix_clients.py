"""The real Svix clients for a running server, both closed at the end, which they do not offer themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from svix.api import Svix, SvixAsync, SvixOptions

from support.api import Api


@asynccontextmanager
async def async_client(api: Api) -> AsyncIterator[SvixAsync]:
    client = SvixAsync(api.token, _options(api))
    try:
        yield client
    finally:
        await client._httpx_client.aclose()


@contextmanager
def blocking_client(api: Api) -> Iterator[Svix]:
    client = Svix(api.token, _options(api))
    try:
        yield client
    finally:
        client._httpx_client.close()


def _options(api: Api) -> SvixOptions:
    return SvixOptions(server_url=api.url, retry_schedule=[])
