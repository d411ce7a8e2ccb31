"""One writer thread that commits for everybody who waits: one `fsync` for a group of calls."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from nicobar.errors import NicobarError, StoreBusy, StoreUnavailable

MAX_WAITING = 10_000
MAX_GROUP = 512

C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)
T = TypeVar("T")


class Session(Protocol[C_co]):
    """A connection that one thread writes with. `translate` says what an error of the database means, None for an
    error that is none of its.
    """

    def begin(self) -> None: ...
    def alone(self, work: Callable[[C_co], T]) -> T:
        """Runs the work so that its failure undoes only itself."""
        ...

    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def translate(self, error: Exception) -> NicobarError | None: ...
    def close(self) -> None: ...


class _Call(Generic[C]):
    """Work that was handed in, and who waits for it. Its result has any type, which `submit` gives back."""

    __slots__ = ("done", "error", "loop", "result", "work")

    def __init__(self, work: Callable[[C], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.done: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: Exception | None = None

    def tell(self) -> None:
        if self.done.cancelled():
            return
        if self.error is None:
            self.done.set_result(self.result)
        else:
            self.done.set_exception(self.error)


class GroupCommit(Generic[C]):
    """Runs work in one thread. `submit` returns after the commit of the group that the work was in."""

    def __init__(self, session: Session[C], *, max_waiting: int = MAX_WAITING) -> None:
        self._session = session
        self._waiting: queue.Queue[_Call[C] | None] = queue.Queue()
        self._max_waiting = max_waiting
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="nicobar-writer", daemon=True)
        self._thread.start()

    async def submit(self, work: Callable[[C], T]) -> T:
        """Raises StoreBusy at the bound of what may wait, StoreUnavailable when the database refuses the group."""
        if self._closed:
            raise StoreUnavailable("store_closed", "The store is closed.", "Start Nicobar again.")
        if self._waiting.qsize() >= self._max_waiting:
            raise StoreBusy(
                "store_busy", f"{self._max_waiting} writes are waiting already.", "Wait, or give it a faster disk."
            )
        call = _Call(work, asyncio.get_running_loop())
        self._waiting.put(call)
        result: T = await call.done
        return result

    async def close(self) -> None:
        """Finishes what was handed in."""
        if not self._closed:
            self._closed = True
            self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        last = False
        while not last:
            group, last = self._take()
            if group:
                self._commit(group)
        self._session.close()

    def _take(self) -> tuple[list[_Call[C]], bool]:
        group: list[_Call[C]] = []
        call = self._waiting.get()
        while call is not None:
            group.append(call)
            if len(group) == MAX_GROUP:
                return group, False
            try:
                call = self._waiting.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _commit(self, group: list[_Call[C]]) -> None:
        try:
            self._session.begin()
            for call in group:
                try:
                    call.result = self._session.alone(call.work)
                except StoreUnavailable:
                    raise
                except Exception as error:
                    translated = self._session.translate(error)
                    if isinstance(translated, StoreUnavailable):
                        raise translated from error
                    call.error = translated or error
            self._session.commit()
        except Exception as error:  # noqa: BLE001 - nothing of the group is on disk, and everybody is told so
            self._session.rollback()
            failure = error if isinstance(error, NicobarError) else self._session.translate(error) or error
            for call in group:
                call.error = failure
        for loop in {call.loop for call in group}:
            mine = [call for call in group if call.loop is loop]
            if not loop.is_closed():
                loop.call_soon_threadsafe(_tell_all, mine)


def _tell_all(calls: list[_Call[C]]) -> None:
    for call in calls:
        call.tell()
