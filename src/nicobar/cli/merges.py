"""`nicobar merge …`: merges of people at the destination of an endpoint."""

from __future__ import annotations

import sys
from typing import Any

import click

from nicobar.cli.options import (
    COMMAND_LINE,
    CommandServices,
    open_services,
    plural,
    run_loop,
    setting_options,
    settings_of,
    shown,
)
from nicobar.errors import UserError
from nicobar.store import Merge, Pair
from nicobar.use_cases.people_merges import MergePlan, cancel_merge, plan_merge, start_merge

MAX_SHOWN_PAIRS = 20
MAX_SHOWN_MERGES = 50
_PAGE_PAIRS = 500
FINAL = (
    "This cannot be undone. The person who remains gets the events, message history, manual segments, relationships "
    "and journeys of the other one, and attributes that it does not have; the rest is lost."
)


@click.group()
def merge() -> None:
    """Merge the people whom an endpoint sent under the sender's customer id into those as whom customers are
    identified now.
    """


@merge.command()
@click.argument("endpoint")
@click.option("--customer", help="Only this customer, by the sender's id.")
@click.option("--dry-run", is_flag=True, help="Only show who would be merged.")
@click.option("--confirm", "confirmed", type=int, help="The number of people to merge, instead of entering it.")
@setting_options("data_dir", "database_url")
def start(*, endpoint: str, customer: str | None, dry_run: bool, confirmed: int | None, **flags: Any) -> None:
    """Merge people at the destination of ENDPOINT. Shows who would be merged, and asks for their number."""

    async def run() -> str:
        async with open_services(settings_of(flags)) as it:
            found = it.endpoint(endpoint)
            plan = await plan_merge(it, found, customer)
            for line in _outline(plan):
                click.echo(line)
            if dry_run or not plan.pairs:
                return ""
            expected = _asked(confirmed)
            made = await start_merge(it, COMMAND_LINE, found, expected=expected, customer_key=customer)
            return (
                f"Merge {made.id} started. A running `nicobar serve` carries it out. "
                f"Progress: nicobar merge show {made.id}"
            )

    if told := run_loop(run()):
        click.echo(told)


@merge.command("list")
@click.argument("endpoint")
@setting_options("data_dir", "database_url")
def list_merges(*, endpoint: str, **flags: Any) -> None:
    """List the latest merges of people at ENDPOINT."""

    async def run() -> list[str]:
        async with open_services(settings_of(flags)) as it:
            merges = await it.store.merges(it.endpoint(endpoint).seq, limit=MAX_SHOWN_MERGES)
            return list(map(_line, merges))

    click.echo("\n".join(run_loop(run())) or "No merges yet.")


@merge.command()
@click.argument("merge_id", metavar="MERGE")
@setting_options("data_dir", "database_url")
def show(*, merge_id: str, **flags: Any) -> None:
    """Show what came of each person of MERGE."""

    async def run() -> None:
        async with open_services(settings_of(flags)) as it:
            found = await _merge(it, merge_id)
            click.echo(_line(found))
            if found.reason is not None:
                click.echo(f"▲ {found.reason}")
            after, page = 0, (await it.store.merge_pairs(found.seq, after=0, limit=_PAGE_PAIRS))
            while page:
                for pair in page:
                    why = f": {pair.reason}" if pair.reason else ""
                    click.echo(f"{pair.state.value:10}  {_pair(pair)}{why}")
                after = page[-1].number
                page = await it.store.merge_pairs(found.seq, after=after, limit=_PAGE_PAIRS)

    run_loop(run())


@merge.command()
@click.argument("merge_id", metavar="MERGE")
@setting_options("data_dir", "database_url")
def cancel(*, merge_id: str, **flags: Any) -> None:
    """Cancel MERGE before its next step. Merged people stay merged."""

    async def run() -> str:
        async with open_services(settings_of(flags)) as it:
            return _line(await cancel_merge(it, COMMAND_LINE, await _merge(it, merge_id)))

    click.echo(run_loop(run()))


async def _merge(it: CommandServices, merge_id: str) -> Merge:
    found = await it.store.merge(merge_id)
    if found is None:
        raise UserError(
            "merge_unknown", f"Merge {merge_id} not found.", "List merges with: nicobar merge list ENDPOINT"
        )
    return found


def _asked(confirmed: int | None) -> int:
    """Raises UserError without a terminal."""
    if confirmed is not None:
        return confirmed
    if not sys.stdin.isatty():
        raise UserError(
            "not_asked", "Confirmation needed, but there is no terminal.", "Pass --confirm and the number of people."
        )
    return int(click.prompt("To confirm, enter the number of people", type=int))


def _outline(plan: MergePlan) -> list[str]:
    lines = [_pair(pair) for pair in plan.pairs[:MAX_SHOWN_PAIRS]]
    if len(plan.pairs) > MAX_SHOWN_PAIRS:
        lines.append(f"and {len(plan.pairs) - MAX_SHOWN_PAIRS} more")
    lines.append(f"{plural(len(plan.pairs), 'person')} to merge, identified by {plan.rule}.")
    if plan.without_look:
        lines.append(
            f"▲ {plural(plan.without_look, 'person')} skipped: with an email address as the identifier, both may "
            "already be one person, which only the destination knows. Add an App API key to the endpoint."
        )
    if plan.unidentified:
        lines.append(f"{plural(plan.unidentified, 'customer')} without an identity.")
    if plan.more:
        lines.append("There may be more for another merge.")
    return [*lines, f"▲ {FINAL}"] if plan.pairs else lines


def _pair(pair: Pair) -> str:
    secondary, primary = pair.secondary, pair.primary
    return f"{pair.customer_key}: {secondary.kind} {secondary.value} -> {primary.kind} {primary.value}"


def _line(found: Merge) -> str:
    return f"{found.id}  {found.status.value:9}  {found.done} of {found.expected}  {shown(found.created_at_ms)}"
