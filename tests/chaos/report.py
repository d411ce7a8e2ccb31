"""What a run was asked for, and what it saw."""

from __future__ import annotations

from collections.abc import Mapping

import click
import msgspec

from chaos.judge import Verdict
from chaos.takeovers import TakeOvers
from nicobar.model import Record


class Wanted(Record):
    """The parameters of a run: `kills` deaths at each point, within the limits. `quick`: with short leases."""

    seed: int
    kills: int
    customers: int
    max_events: int
    max_seconds: int
    postgresql: bool
    quick: bool


class Report(Record):
    """What a run saw. `orphans` are processes that outlived their server, `surprises` what must not happen at all,
    `missed` the points with fewer deaths than requested.
    """

    seed: int
    duration_s: float
    drain_s: float
    kills: dict[str, int]
    postponed: int
    turned_away: int
    faults: dict[str, int]
    operations: dict[str, int]
    events: int
    acknowledged: int
    posts: int
    answered_as_repeated: int
    activities: int
    left_out_by_id: int
    take_overs: dict[str, TakeOvers]
    unfinished: int
    orphans: int
    verdict: Verdict
    surprises: tuple[str, ...]
    missed: tuple[str, ...]

    @property
    def ok(self) -> bool:
        zeros = (*msgspec.structs.astuple(self.verdict), self.unfinished, self.orphans)
        return not any(zeros) and not self.surprises and not self.missed


def show(report: Report) -> None:
    click.echo(f"\n{sum(report.kills.values())} kills and freezes ({report.postponed} postponed):")
    _list(report.kills)
    click.echo("Requests with a fault:")
    _list(report.faults)
    click.echo("Operations:")
    _list(report.operations)
    click.echo(
        f"{report.events} events sent in {report.posts} posts, {report.acknowledged} acknowledged "
        f"({report.answered_as_repeated} of them as duplicates); {report.activities} activities at the destinations, "
        f"which ignored {report.left_out_by_id} calls with known ids"
    )
    for how, times in report.take_overs.items():
        click.echo(
            f"{times.count} endpoints of workers that were {how} were taken over: "
            f"median {times.p50_ms} ms, maximum {times.max_ms} ms"
        )
    if report.turned_away:
        click.echo(f"{report.turned_away} servers were started again because the database was away")
    _list({name.replace("_", " "): count for name, count in msgspec.structs.asdict(report.verdict).items()})
    _list({"unfinished": report.unfinished, "orphaned processes": report.orphans})
    for line in (*report.surprises, *report.missed):
        click.echo(f"  ▲ {line}")
    click.echo(
        f"{'●' if report.ok else '▲'} seed {report.seed}, {report.duration_s} s, {report.drain_s} s of it draining"
    )


def _list(counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        click.echo(f"  {count:4} {name}")
