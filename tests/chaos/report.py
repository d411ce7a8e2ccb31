"""What a run was asked for, and what it saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import click
import msgspec

from chaos.judge import Verdict
from chaos.takeovers import TakeOvers
from nicobar.model import Record


class Wanted(Record):
    """The parameters of a run: `kills` times each kill and fault, of `sample` kinds only, within the limits.
    `quick`: few processes with short leases.
    """

    seed: int
    kills: int
    sample: int | None
    customers: int
    max_events: int
    max_seconds: int
    postgresql: bool
    quick: bool


class Report(Record):
    """What a run saw. `kills` are the deaths and faults of processes and the database, by kind. `redelivered` events
    were lost with the database that a backup replaced. `seen` says by what each fault was seen first, `silent` names
    those that nothing showed. `orphans` are processes that outlived their server, `surprises` what must not happen at
    all, `missed` what happened less often than requested, `left_out` what this machine cannot do.
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
    redelivered: int
    activities: int
    left_out_by_id: int
    overtaken: int
    take_overs: dict[str, TakeOvers]
    unfinished: int
    orphans: int
    verdict: Verdict
    seen: dict[str, dict[str, int]]
    silent: tuple[str, ...]
    surprises: tuple[str, ...]
    missed: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def ok(self) -> bool:
        zeros = (*msgspec.structs.astuple(self.verdict), self.unfinished, self.orphans, len(self.silent))
        return not any(zeros) and not self.surprises and not self.missed


def show(report: Report) -> None:
    """One table."""
    _rows(f"kills and faults ({report.postponed} postponed, {report.turned_away} turned away)", report.kills)
    _rows("requests and destinations with a fault", report.faults)
    _rows("operations", report.operations)
    _rows("faults seen", {f"{fault}: by {_by(ways)}": sum(ways.values()) for fault, ways in report.seen.items()})
    _rows(
        "",
        {
            "events acknowledged": report.acknowledged,
            "posts": report.posts,
            "of them answered as duplicates": report.answered_as_repeated,
            "delivered again after a restore": report.redelivered,
            "activities at the destinations": report.activities,
            "calls with known ids, ignored there": report.left_out_by_id,
            "events declared as overtaken": report.overtaken,
        },
    )
    for how, times in report.take_overs.items():
        _row(times.count, f"endpoints taken over from workers {how}: median {times.p50_ms} ms, max {times.max_ms} ms")
    _rows("", {name.replace("_", " "): count for name, count in msgspec.structs.asdict(report.verdict).items()})
    _rows("", {"unfinished": report.unfinished, "orphaned processes": report.orphans, "silent": len(report.silent)})
    silent = [f"silent: {fault} ({count} times)" for fault, count in Counter(report.silent).items()]
    for line in (*silent, *report.surprises, *report.missed):
        click.echo(f"  ▲ {line}")
    for line in report.left_out:
        click.echo(f"  ○ left out: {line}")
    click.echo(
        f"{'●' if report.ok else '▲'} seed {report.seed}, {sum(report.kills.values())} kills and faults, "
        f"{report.duration_s} s, {report.drain_s} s of it draining"
    )


def _by(ways: Mapping[str, int]) -> str:
    return ", ".join(f"{way} {count}" for way, count in ways.items())


def _rows(title: str, counts: Mapping[str, int]) -> None:
    click.echo(f"\n{sum(counts.values()):6} {title}" if title else "")
    for name, count in counts.items():
        _row(count, name)


def _row(count: int, name: str) -> None:
    click.echo(f"  {count:6} {name}")
