"""One writer thread that commits for all callers: one `fsync` for a group of values."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from nicobar.errors import NicobarError, StoreBusy, StoreMoving, StoreUnavailable

MAX_WAITING = 10_000
MAX_GROUP = 512
# So often a group is halved to find the blocked value; each time costs a wait.
MAX_BLOCKED = 24

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)
V = TypeVar("V")
T = TypeVar("T")


class Writer(Protocol[S_co]):
    """What one thread writes with. `translate` says what an error of the database means, None for another error."""

    def begin(self) -> None: ...
    def alone(self, work: Callable[[S_co], T]) -> T:
        """Runs the work so that its failure undoes only itself."""
        ...

    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def translate(self, error: Exception) -> NicobarError | None: ...
    def is_blocked(self, error: Exception) -> bool:
        """Whether the work waited too long for another transaction, so that a part of it may still succeed."""
        ...

    def close(self) -> None: ...


class _Call(Generic[S]):
    """A value that was submitted, what is to be done with it and its like, and who waits for the result. Value and
    result have any type, which `submit` gives back.
    """

    def __init__(
        self, together: Callable[[S, Sequence[Any]], Sequence[Any]], value: object, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.together = together
        self.value = value
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


class GroupCommit(Generic[S]):
    """Writes in one thread. Values that are to be written by the same function while the writer is busy are written
    by one call of it. If that call fails because of its values, it is repeated with each half, until the values that
    fail alone are found: no value fails because of another one.
    """

    def __init__(self, writer: Writer[S], *, max_waiting: int = MAX_WAITING) -> None:
        self._writer = writer
        self._waiting: queue.Queue[_Call[S] | None] = queue.Queue()
        self._max_waiting = max_waiting
        self._closed = False
        self._blocked = 0
        self._thread = threading.Thread(target=self._run, name="nicobar-writer", daemon=True)
        self._thread.start()

    async def submit(self, together: Callable[[S, Sequence[V]], Sequence[T]], value: V) -> T:
        """The value's result, after the commit. Raises StoreBusy where too many wait already, StoreUnavailable where
        the database rejects the group.
        """
        if self._closed:
            raise StoreUnavailable("store_closed", "The store is closed.", "Start Nicobar again.")
        if self._waiting.qsize() >= self._max_waiting:
            raise StoreBusy(
                "store_busy", f"{self._max_waiting} writes are waiting already.", "Wait, or give it a faster disk."
            )
        call = _Call(together, value, asyncio.get_running_loop())
        self._waiting.put(call)
        result: T = await call.done
        return result

    async def close(self) -> None:
        """Finishes the submitted values."""
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
        self._writer.close()

    def _take(self) -> tuple[list[_Call[S]], bool]:
        group: list[_Call[S]] = []
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

    def _commit(self, group: list[_Call[S]]) -> None:
        self._blocked = 0
        alike: dict[Callable[[S, Sequence[Any]], Sequence[Any]], list[_Call[S]]] = {}
        for call in group:
            alike.setdefault(call.together, []).append(call)
        try:
            self._writer.begin()
            for calls in alike.values():
                self._write(calls)
            self._writer.commit()
        except Exception as error:  # noqa: BLE001 - nothing of the group is on disk, and every caller gets the error
            self._writer.rollback()
            failure = error if isinstance(error, NicobarError) else self._writer.translate(error) or error
            for call in group:
                call.error = failure
        for loop in {call.loop for call in group}:
            mine = [call for call in group if call.loop is loop]
            if not loop.is_closed():
                loop.call_soon_threadsafe(_tell_all, mine)

    def _write(self, calls: list[_Call[S]]) -> None:
        together, values = calls[0].together, [call.value for call in calls]
        try:
            results = self._writer.alone(lambda session: together(session, values))
        except StoreUnavailable:
            raise
        except Exception as error:
            translated = self._writer.translate(error)
            is_blocked = self._writer.is_blocked(error)
            self._blocked += is_blocked
            # A database that is being moved rejects some writes only.
            is_partly = is_blocked or isinstance(translated, StoreMoving)
            if isinstance(translated, StoreUnavailable) and not is_partly:
                raise translated from error
            if len(calls) == 1 or (is_blocked and self._blocked > MAX_BLOCKED):
                for call in calls:
                    call.error = translated or error
                return
            half = len(calls) // 2
            self._write(calls[:half])
            self._write(calls[half:])
            return
        for call, result in zip(calls, results, strict=True):
            call.result = result


def _tell_all(calls: Sequence[_Call[S]]) -> None:
    for call in calls:
        call.tell()
