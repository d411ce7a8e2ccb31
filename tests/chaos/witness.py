"""What an operator sees while something is wrong: the readiness report and the metrics of every process that runs. A
fault that shows in neither of them, and in no alert, is silent.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from nicobar.model import Record

# A fault lasts until it is seen, at most so long.
MAX_UNSEEN_S = 90.0
LOOK_S = 0.1
# Longer than a readiness report takes.
TIMEOUT_S = 5.0
READINESS, METRIC, ALERT = "readiness", "metric", "alert"
_SAMPLE = re.compile(r"^(\w+(?:\{.*\})?) (\S+)$", re.MULTILINE)


class View(Record):
    """What one process shows: the states of its parts, its metrics, and how much each has grown since the fault."""

    parts: Mapping[str, str]
    metrics: Mapping[str, float]
    grown: Mapping[str, float]


class Sign(Record):
    """One way to see a fault: `by` what, and whether a view shows it."""

    by: str
    shows: Callable[[View], bool]


def part(name: str) -> Sign:
    """The part of that name is not well."""
    return Sign(by=READINESS, shows=lambda view: view.parts.get(name, "ok") != "ok")


def gauge(name: str, endpoint: str) -> Sign:
    sample = f'{name}{{endpoint="{endpoint}"}}'
    return Sign(by=METRIC, shows=lambda view: view.metrics.get(sample, 0) > 0)


def counter(start: str) -> Sign:
    """A sample whose name and first label start with this has grown."""
    return Sign(by=METRIC, shows=lambda view: _has_grown(view, start))


def alert(kind: str) -> Sign:
    """One of this type, also one that is left out because there were many."""
    return Sign(
        by=ALERT,
        shows=lambda view: any(f'type="{kind}"' in name for name in view.grown if name.startswith("nicobar_alerts_")),
    )


def _has_grown(view: View, start: str) -> bool:
    return any(name.startswith(start) for name in view.grown)


@dataclass(slots=True)
class Seen:
    """By fault: how often it was made and seen, by what first; `silent` names those that nothing showed."""

    made: Counter[str] = field(default_factory=Counter)
    by: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    silent: list[str] = field(default_factory=list)

    def note(self, fault: str, by: str | None) -> None:
        self.made[fault] += 1
        if by is None:
            self.silent.append(fault)
        else:
            self.by[fault][by] += 1


# What each process had counted, by its number and address.
Counted = Mapping[tuple[int, str], Mapping[str, float]]


class Witness:
    """Looks at all processes that run."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._running: dict[str, int] = {}
        self.seen = Seen()

    def open(self, url: str, number: int) -> None:
        """A process runs; no two have the same number."""
        self._running[url] = number

    def close(self, url: str) -> None:
        self._running.pop(url, None)

    async def count(self) -> Counted:
        """What all processes have counted so far. A process that starts later has counted nothing."""
        running = [(number, url) for url, number in self._running.items()]
        return dict(zip(running, await asyncio.gather(*(self._metrics(url) for _, url in running)), strict=True))

    async def sees(
        self,
        fault: str,
        signs: Sequence[Sign],
        *,
        url: str | None = None,
        since: Counted | None = None,
        unless: Callable[[], bool] = lambda: False,
        refused: Callable[[], int] = lambda: 0,
        silent: bool = True,
    ) -> bool:
        """Returns once a process shows one of the signs, or after a while. What was seen is noted. `url` is the
        process, by default all that run. `since` is what they had counted before the fault. `refused` counts servers
        that did not start because of it, which shows, too. `unless` ends it without a result. With `silent`, what was
        not seen is noted as well.
        """
        until_s, refused_before = time.monotonic() + MAX_UNSEEN_S, refused()
        before = await self.count() if since is None else since
        by = None
        while by is None and time.monotonic() < until_s:
            if refused() > refused_before:
                by = READINESS
                break
            running = [(number, at) for at, number in self._running.items()] if url is None else [(-1, url)]
            views = await asyncio.gather(*(self._look(at, before.get((number, at), {})) for number, at in running))
            found = {sign.by for sign in signs for view in views if sign.shows(view)}
            by = next((kind for kind in (READINESS, METRIC, ALERT) if kind in found), None)
            if by is None:
                if unless():
                    return False
                await asyncio.sleep(LOOK_S)
        if by is not None or silent:
            self.seen.note(fault, by)
        return by is not None

    async def is_ready(self, url: str) -> bool:
        """Whether all of the process's parts are well."""
        parts = await self._parts(url)
        return bool(parts) and all(state == "ok" for part, state in parts.items() if part != "disk")

    async def _look(self, url: str, before: Mapping[str, float]) -> View:
        parts, metrics = await asyncio.gather(self._parts(url), self._metrics(url))
        grown = {name: value - before.get(name, 0) for name, value in metrics.items() if value > before.get(name, 0)}
        return View(parts=parts, metrics=metrics, grown=grown)

    async def _parts(self, url: str) -> Mapping[str, str]:
        try:
            report = json.loads(await self._text(f"{url}/readyz"))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return {}
        return {item["name"]: item["state"] for item in report["parts"]}

    async def _metrics(self, url: str) -> Mapping[str, float]:
        try:
            text = await self._text(f"{url}/metrics")
        except (aiohttp.ClientError, OSError, TimeoutError):
            return {}
        return {name: float(value) for name, value in _SAMPLE.findall(text)}

    async def _text(self, url: str) -> str:
        async with self._http.get(url, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as answer:
            return await answer.text()
