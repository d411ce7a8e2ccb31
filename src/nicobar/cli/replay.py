"""`nicobar replay …` and `nicobar expunge`: sending again, and taking out."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from nicobar.cli.options import COMMAND_LINE, moment, open_services, run_loop, setting_options, settings_of, shown
from nicobar.errors import UserError
from nicobar.model import DeliveryState
from nicobar.store import ReplayFilter, Task, TaskKind
from nicobar.use_cases import erase as expunging
from nicobar.use_cases.deliveries import FINAL_STATES
from nicobar.use_cases.deliveries import resend as send_again
from nicobar.use_cases.endpoints import check_enabled
from nicobar.use_cases.replays import cancel_replay, count_replay, start_replay

MAX_SHOWN_TASKS = 50

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def replay() -> None:
    """Send again: one delivery, what failed, what was never sent, or what a filter finds. An event that was delivered
    keeps its id, also after a change of the handler, so that no email goes out twice, unless --new-ids is given.
    """


def _asking(command: F) -> F:
    """What every replay can be told."""
    for option in reversed(
        (
            click.option("--since", help="Accepted at or after: a time (ISO 8601), or 30m, 6h, 2d ago."),
            click.option("--until", help="Accepted before: a time, or 30m, 6h, 2d ago."),
            click.option("--event-type", "event_types", multiple=True, help="Of this type; may be repeated."),
            click.option("--customer", help="Of this customer, by the sender's id."),
            click.option("--channel", "channels", multiple=True, help="On this channel; may be repeated."),
            click.option("--tag", help="With this tag."),
            click.option("--new-ids", is_flag=True, help="Give events new ids: emails may go out again."),
            click.option("--dry-run", is_flag=True, help="Count, and change nothing."),
            click.option("--yes", is_flag=True, help="Do not ask."),
            setting_options("data_dir", "database_url"),
        )
    ):
        command = option(command)
    return command


@replay.command()
@click.argument("endpoint")
@_asking
def recover(*, endpoint: str, **given: Any) -> None:
    """Replay what failed at ENDPOINT."""
    run_loop(_replay(TaskKind.RECOVER, endpoint, (DeliveryState.FAILED,), None, given))


@replay.command()
@click.argument("endpoint")
@_asking
def missing(*, endpoint: str, **given: Any) -> None:
    """Send what ENDPOINT would get today and never got, such as a type that was added to its filter."""
    run_loop(_replay(TaskKind.REPLAY_MISSING, endpoint, (), None, given))


@replay.command()
@click.argument("endpoint")
@click.option(
    "--status",
    "states",
    multiple=True,
    type=click.Choice([final_state.value for final_state in FINAL_STATES]),
    help="That ended so; may be repeated. [default: all]",
)
@click.option("--failure", help="Of this group of failures, as `nicobar replay failures` shows it.")
@_asking
def bulk(*, endpoint: str, states: tuple[str, ...], failure: str | None, **given: Any) -> None:
    """Replay what a filter finds at ENDPOINT."""
    wanted = tuple(DeliveryState(state) for state in states) or FINAL_STATES
    run_loop(_replay(TaskKind.BULK_REPLAY, endpoint, wanted, failure, given))


async def _replay(
    kind: TaskKind, name: str, states: tuple[DeliveryState, ...], failure: str | None, given: dict[str, Any]
) -> None:
    names = ("since", "until", "event_types", "customer", "channels", "tag", "new_ids", "dry_run", "yes")
    asked = {name: given.pop(name) for name in names}
    async with open_services(settings_of(given)) as it:
        now_ms = it.clock.now_ms()
        endpoint = it.endpoint(name)
        which = ReplayFilter(
            since_ms=None if asked["since"] is None else moment(asked["since"], now_ms),
            until_ms=None if asked["until"] is None else moment(asked["until"], now_ms),
            states=states,
            event_types=tuple(asked["event_types"]),
            customer_key=asked["customer"],
            failure=failure,
            channels=tuple(asked["channels"]),
            tag=asked["tag"],
        )
        check_enabled(endpoint)
        count = await count_replay(it.store, kind, endpoint, which)
        oldest = f", the oldest accepted {shown(count.oldest_accepted_at_ms)}" if count.oldest_accepted_at_ms else ""
        click.echo(f"{count.deliveries} deliveries of {count.customers} customers at {endpoint.name}{oldest}.")
        if count.overtaken:
            click.echo(
                f"▲ {count.overtaken} of these customers were told something newer since: "
                "their attributes may be set back to what they were."
            )
        if count.earlier_ids:
            click.echo(
                f"▲ {count.earlier_ids} of these deliveries are of an earlier version, which derived event ids "
                "differently: the destination accepts their events as new ones, and emails go out again."
            )
        if asked["dry_run"]:
            return
        if not count.deliveries:
            return
        if not asked["yes"]:
            _ask("Send them again?")
        task = await start_replay(it, COMMAND_LINE, kind, endpoint, which, new_ids=asked["new_ids"])
    click.echo(f"{task.id}: queued. A running `nicobar serve` carries it out; see it with: nicobar replay list")
    if endpoint.paused_reason is not None:
        click.echo(
            f"▲ {endpoint.name} is paused ({endpoint.paused_reason}): nothing is sent until it is resumed. "
            f"Resume it: nicobar resume {shlex.quote(endpoint.name)}"
        )


@replay.command()
@click.argument("message")
@click.argument("endpoint")
@click.option("--new-ids", is_flag=True, help="Give events new ids: emails may go out again.")
@setting_options("data_dir", "database_url")
def resend(*, message: str, endpoint: str, new_ids: bool, **flags: Any) -> None:
    """Send MESSAGE to ENDPOINT again; one that waits for its next try is due at once."""

    async def run() -> str:
        async with open_services(settings_of(flags)) as it:
            to = it.endpoint(endpoint)
            found = await it.store.message(message)
            if found is None:
                raise UserError("message_unknown", f"There is no message {message}.", "Check its id.")
            return await send_again(it, COMMAND_LINE, found, to, new_ids=new_ids)

    click.echo(run_loop(run()))


@replay.command("list")
@setting_options("data_dir", "database_url")
def list_tasks(**flags: Any) -> None:
    """The latest replays and how far they are."""

    async def run() -> list[str]:
        async with open_services(settings_of(flags)) as it:
            apps = [application.id for application in it.snapshot.applications]
            tasks = await it.store.tasks(app_ids=apps, before_seq=None, after_seq=None, limit=MAX_SHOWN_TASKS)
            return [_line(task, it.endpoint_name(task.endpoint_id)) for task in tasks]

    click.echo("\n".join(run_loop(run())) or "No replays yet.")


@replay.command()
@click.argument("task")
@setting_options("data_dir", "database_url")
def cancel(*, task: str, **flags: Any) -> None:
    """Stop TASK; what it has put into the queue and was not tried yet becomes what it was before, also once all is
    there.
    """

    async def run() -> str:
        async with open_services(settings_of(flags)) as it:
            found = await it.store.task(task)
            if found is None:
                raise UserError("task_unknown", f"There is no replay {task}.", "See nicobar replay list.")
            canceled = await cancel_replay(it, COMMAND_LINE, found)
            return _line(canceled, it.endpoint_name(canceled.endpoint_id))

    click.echo(run_loop(run()))


@replay.command()
@click.argument("endpoint", required=False)
@setting_options("data_dir", "database_url")
def failures(*, endpoint: str | None, **flags: Any) -> None:
    """Failed deliveries, grouped by what they have in common, the latest first."""

    async def run() -> list[str]:
        async with open_services(settings_of(flags)) as it:
            of = it.endpoint(endpoint).id if endpoint else None
            lines = []
            for app in it.snapshot.applications:
                for group in await it.store.failure_groups(app.id, of):
                    when = f"{shown(group.first_at_ms)} to {shown(group.last_at_ms)}"
                    name = it.endpoint_name(group.endpoint_id)
                    lines.append(f"▲ {group.count} at {name}, {when}, the last one {group.message_id}")
                    lines += [f"  {group.reason}"] if group.reason else []
                    lines.append(f"  failure: {group.failure}")
            return lines

    click.echo("\n".join(run_loop(run())) or "● Nothing has failed for good.")


@click.command()
@click.option("--message", help="This message.")
@click.option("--customer", help="Every message of this customer, by the sender's id.")
@click.option("--app", "app_uid", default="default", show_default=True, help="The customer's application.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@setting_options("data_dir", "database_url")
def expunge(*, message: str | None, customer: str | None, app_uid: str, yes: bool, **flags: Any) -> None:
    """Take out payloads and what attempts say of them. Ids stay; what is not delivered yet is canceled."""
    if (message is None) == (customer is None):
        raise UserError("expunge_what", "Name what to expunge.", "Give either --message or --customer.")

    async def run() -> int:
        async with open_services(settings_of(flags)) as it:
            if not yes:
                _ask(f"Expunge {message or f'everything of {customer}'} for good?")
            if message is not None:
                found = await it.store.message(message)
                return int(found is not None and await expunging.expunge_message(it, COMMAND_LINE, found))
            app = next(
                (
                    application
                    for application in it.snapshot.applications
                    if app_uid in {application.id, application.uid}
                ),
                None,
            )
            if app is None:
                raise UserError("app_unknown", f"There is no application {app_uid!r}.", "Name another with --app.")
            messages, done = 0, False
            while not done:
                step, done = await expunging.expunge_customer(it, COMMAND_LINE, app.id, str(customer))
                messages += step
            return messages

    done = run_loop(run())
    if not done:
        raise UserError("nothing_found", f"Nothing of {message or customer} is here.", "Check the id.")
    click.echo(f"{done} messages expunged.")


def _ask(question: str) -> None:
    """Raises UserError where nobody can be asked, click.Abort for a no."""
    if not sys.stdin.isatty():
        raise UserError("not_asked", "Confirmation is needed, but there is no terminal.", "Add --yes.")
    click.confirm(question, abort=True)


def _line(task: Task, endpoint: str) -> str:
    return (
        f"{task.id}  {task.status.value:9}  {task.kind.value:20}  {endpoint}  {task.moved} of {task.expected}  "
        f"{shown(task.created_at_ms)}"
    )
