"""What is costly to start and the same for all tests: opened by the first test that needs it, closed at the end of
the test process.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Generic, TypeVar

from nicobar.sandbox.pool import SandboxPool

T = TypeVar("T")
_opened = AsyncExitStack()


class Shared(Generic[T]):
    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._opening = opening
        self._value: T | None = None

    async def get(self) -> T:
        if self._value is None:
            self._value = await _opened.enter_async_context(self._opening())
        return self._value


async def close_all() -> None:
    await _opened.aclose()


# Runs handlers within the product's own limits.
SANDBOX = Shared(lambda: SandboxPool(children=1))
