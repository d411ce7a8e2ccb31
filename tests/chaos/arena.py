"""What all servers of a run share."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chaos.disk import Disk
from chaos.faults import Weather
from chaos.lives import Life
from chaos.load import Load
from chaos.plan import Point
from chaos.scene import Scene
from chaos.site import Site
from chaos.takeovers import Loss
from chaos.witness import Witness
from nicobar.settings import Role

FLAGS = ("--sandbox-children=1", "--log-level=warning")


@dataclass(slots=True)
class Tally:
    """What happened in all slots. `kills` are deaths and faults by role and point; `postponed` are plans whose point
    did not come up, `turned_away` servers that could not start because the database was away.
    """

    kills: Counter[tuple[Role | None, Point]] = field(default_factory=Counter)
    postponed: int = 0
    turned_away: int = 0
    orphans: int = 0
    surprises: list[str] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    losses: list[Loss] = field(default_factory=list)
    outages_ns: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Arena:
    """`is_over` ends a run early."""

    scene: Scene
    site: Site
    load: Load
    weather: Sequence[Weather]
    witness: Witness
    disk: Disk
    tally: Tally
    is_over: Callable[[], bool]
    # The servers in the slots; how each slot brings back its last one; and whether new ones may start.
    running: set[Life] = field(default_factory=set)
    revivals: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def plan_server(
        self,
        flags: Sequence[str],
        environment: Mapping[str, str],
        *,
        role: Role,
        port: int,
        clock: Path | None = None,
        no_sandbox: bool = False,
    ) -> Life:
        """To be started."""
        life = Life.planned(
            self.site.nursery,
            [*FLAGS, *([] if role is Role.ALL else [f"--role={role}"]), *flags],
            environment,
            port=port,
            directory=self.site.directory,
            number=next(self.tally.numbers),
            clock=clock,
            no_sandbox=no_sandbox,
        )
        self.tally.lives.append(life)
        return life
