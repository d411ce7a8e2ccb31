"""What a run is made of on each database, and how long things take there."""

from __future__ import annotations

import msgspec

from nicobar.model import Record
from nicobar.settings import Role


class Scene(Record):
    """`roles` has one for each process that runs at a time. `life_s`: a plan whose point has not come up in this
    time is put off, and the server is killed from outside instead. `calm_s`: at most how long a server lives that is
    killed at any moment. `freeze_s` is longer than a lease lasts, `hold_ms` longer than a take-over takes. A server
    that was frozen goes on for `thawed_s` before it is stopped in order.
    """

    roles: tuple[Role, ...]
    endpoints: int
    life_s: float
    calm_s: float
    max_pause_s: float
    post_timeout_s: float
    operation_pause_s: float
    freeze_s: tuple[float, float]
    thawed_s: float
    hold_ms: int = 0
    max_outage_s: float = 0.0
    kills: int = 19
    quick: bool = False

    @property
    def many(self) -> bool:
        return len(self.roles) > 1


SQLITE = Scene(
    roles=(Role.ALL,),
    endpoints=3,
    life_s=10,
    calm_s=1,
    max_pause_s=1.0,
    post_timeout_s=10,
    operation_pause_s=5,
    freeze_s=(0.5, 2.0),
    thawed_s=0.5,
)
POSTGRESQL = Scene(
    roles=(Role.WEB, Role.WEB, Role.WORKER, Role.WORKER, Role.WORKER),
    endpoints=7,
    life_s=25,
    calm_s=15,
    max_pause_s=2,
    post_timeout_s=4,
    operation_pause_s=5,
    freeze_s=(10.0, 15.0),
    thawed_s=3.0,
    hold_ms=12_000,
    max_outage_s=3,
    kills=15,
)
# Fewer processes, with leases that are shortened as well.
QUICK = msgspec.structs.replace(
    POSTGRESQL,
    roles=(Role.WEB, Role.WORKER, Role.WORKER),
    endpoints=3,
    life_s=8,
    calm_s=1.5,
    max_pause_s=1.5,
    operation_pause_s=1.5,
    freeze_s=(2.5, 3.5),
    thawed_s=1.0,
    hold_ms=1_500,
    max_outage_s=0.5,
    quick=True,
)
