"""`nicobar replay …` and `nicobar expunge`: replay deliveries, and delete data."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any, TypeVar

import click

from nicobar.cli.options import (
    COMMAND_LINE,
    CommandServices,
    OneOf,
    confirm,
    moment,
    open_services,
    plural,
    run_loop,
    sandbox_of,
    setting_options,
    settings_of,
    shown,
)
from nicobar.errors import UserError
from nicobar.model import DeliveryState, Endpoint
from nicobar.pipeline.configuration import Configuration
from nicobar.store import ReplayCount, ReplayFilter, Task, TaskKind
from nicobar.use_cases import erase
from nicobar.use_cases.deliveries import FINAL_STATES, stop_note
from nicobar.use_cases.deliveries import resend as send_again
from nicobar.use_cases.endpoints import check_enabled
from nicobar.use_cases.erase_report import Report
from nicobar.use_cases.replay_effects import EffectServices, known_effect, outline
from nicobar.use_cases.replays import cancel_replay, count_replay, start_replay

MAX_SHOWN_TASKS = 50

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def replay() -> None:
    """Resend a message, or replay many deliveries.

    Delivered events keep their ids, even after the handler changed, so no email is sent twice. Use --new-ids for
    new ids.
    """


def _replay_options(command: F) -> F:
    """The options of every replay."""
    for option in reversed(
        (
            click.option("--since", help="Accepted at or after this time (ISO 8601), or this long ago: 30m, 6h, 2d."),
            click.option("--until", help="Accepted before this time (ISO 8601), or this long ago: 30m, 6h, 2d."),
            click.option("--event-type", "event_types", multiple=True, help="Only this event type (repeatable)."),
            click.option("--customer", help="Only this customer, by the sender's id."),
            click.option("--channel", "channels", multiple=True, help="Only this channel (repeatable)."),
            click.option("--tag", help="Only messages with this tag."),
            click.option("--new-ids", is_flag=True, help="Give events new ids. Emails may be sent twice."),
            click.option("--dry-run", is_flag=True, help="Only count the matching deliveries."),
            click.option("--yes", is_flag=True, help="Skip the confirmation."),
            setting_options("data_dir", "database_url"),
        )
    ):
        command = option(command)
    return command


@replay.command()
@click.argument("endpoint")
@_replay_options
def recover(*, endpoint: str, **given: Any) -> None:
    """Replay the failed deliveries of ENDPOINT."""
    run_loop(_replay(TaskKind.RECOVER, endpoint, (DeliveryState.FAILED,), None, given))


@replay.command()
@click.argument("endpoint")
@_replay_options
def missing(*, endpoint: str, **given: Any) -> None:
    """Send messages that ENDPOINT never received. It would receive them today, for example
    because an event type was added to its filter.
    """
    run_loop(_replay(TaskKind.REPLAY_MISSING, endpoint, (), None, given))


@replay.command()
@click.argument("endpoint")
@click.option(
    "--status",
    "states",
    multiple=True,
    type=OneOf([final_state.value for final_state in FINAL_STATES]),
    help="Only deliveries with this status (repeatable). [default: all]",
)
@click.option("--failure", help="Only this group of failures, as listed by `nicobar replay failures`.")
@_replay_options
def bulk(*, endpoint: str, states: tuple[str, ...], failure: str | None, **given: Any) -> None:
    """Replay the deliveries of ENDPOINT that match the filters."""
    wanted = tuple(DeliveryState(state) for state in states) or FINAL_STATES
    run_loop(_replay(TaskKind.BULK_REPLAY, endpoint, wanted, failure, given))


async def _tell_effect(
    it: CommandServices,
    kind: TaskKind,
    endpoint: Endpoint,
    which: ReplayFilter,
    count: ReplayCount,
    *,
    new_ids: bool,
) -> None:
    configuration = Configuration(it.store, it.vault, it.clock, redaction=it.settings.redaction)
    await configuration.refresh()
    async with sandbox_of(it.settings) as sandbox:
        services = EffectServices(it.store, configuration, it.vault, sandbox, it.clock)
        effect = await known_effect(services, kind, endpoint, which, count, new_ids=new_ids)
    for line in outline(effect) if effect else ["▲ The handler cannot be run, so what would be sent is not known."]:
        click.echo(line)


async def _replay(
    kind: TaskKind, name: str, states: tuple[DeliveryState, ...], failure: str | None, given: dict[str, Any]
) -> None:
    names = ("since", "until", "event_types", "customer", "channels", "tag", "new_ids", "dry_run", "yes")
    options = {name: given.pop(name) for name in names}
    async with open_services(settings_of(given)) as it:
        now_ms = it.clock.now_ms()
        endpoint = it.endpoint(name)
        replay_filter = ReplayFilter(
            since_ms=None if options["since"] is None else moment(options["since"], now_ms),
            until_ms=None if options["until"] is None else moment(options["until"], now_ms),
            states=states,
            event_types=tuple(options["event_types"]),
            customer_key=options["customer"],
            failure=failure,
            channels=tuple(options["channels"]),
            tag=options["tag"],
        )
        check_enabled(endpoint)
        count = await count_replay(it.store, kind, endpoint, replay_filter)
        oldest = f", oldest accepted {shown(count.oldest_accepted_at_ms)}" if count.oldest_accepted_at_ms else ""
        deliveries, customers = plural(count.deliveries, "delivery"), plural(count.customers, "customer")
        click.echo(f"{deliveries} to {endpoint.name} for {customers}{oldest}.")
        if count.overtaken:
            click.echo(
                f"▲ {count.overtaken} of these customers have newer deliveries: a replay may set their attributes "
                "back to older values."
            )
        if count.earlier_ids:
            click.echo(
                f"▲ {count.earlier_ids} of these deliveries were created by an older version with other event ids: "
                "the destination treats their events as new and may send emails twice."
            )
        if count.deliveries:
            await _tell_effect(it, kind, endpoint, replay_filter, count, new_ids=options["new_ids"])
        if options["dry_run"] or not count.deliveries:
            return
        if not options["yes"]:
            confirm("Replay them?")
        task = await start_replay(it, COMMAND_LINE, kind, endpoint, replay_filter, new_ids=options["new_ids"])
    click.echo(f"Replay {task.id} queued. A running `nicobar serve` processes it. Progress: nicobar replay list")
    stop = stop_note(endpoint)
    if stop is not None:
        click.echo(f"▲ {stop} To send now: nicobar resume {shlex.quote(endpoint.name)}")


@replay.command()
@click.argument("message")
@click.argument("endpoint")
@click.option("--new-ids", is_flag=True, help="Give events new ids. Emails may be sent twice.")
@setting_options("data_dir", "database_url")
def resend(*, message: str, endpoint: str, new_ids: bool, **flags: Any) -> None:
    """Send MESSAGE to ENDPOINT again. A delivery that is waiting for a retry is sent now."""

    async def run() -> str:
        async with open_services(settings_of(flags)) as it:
            to = it.endpoint(endpoint)
            found = await it.store.message(message)
            if found is None:
                raise UserError("message_unknown", f"Message {message} not found.", "Check the id.")
            people = Configuration(it.store, it.vault, it.clock)
            await people.refresh()
            return await send_again(it, COMMAND_LINE, found, to, people=people, new_ids=new_ids)

    click.echo(run_loop(run()))


@replay.command("list")
@setting_options("data_dir", "database_url")
def list_tasks(**flags: Any) -> None:
    """List the latest replays and their progress."""

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
    """Cancel the replay TASK. Deliveries that it queued and that have not been attempted return to their previous
    state, even after it finished queuing.
    """

    async def run() -> str:
        async with open_services(settings_of(flags)) as it:
            found = await it.store.task(task)
            if found is None:
                raise UserError("task_unknown", f"Replay {task} not found.", "List replays with: nicobar replay list")
            canceled = await cancel_replay(it, COMMAND_LINE, found)
            return _line(canceled, it.endpoint_name(canceled.endpoint_id))

    click.echo(run_loop(run()))


@replay.command()
@click.argument("endpoint", required=False)
@setting_options("data_dir", "database_url")
def failures(*, endpoint: str | None, **flags: Any) -> None:
    """List failed deliveries, grouped by cause, latest first."""

    async def run() -> list[str]:
        async with open_services(settings_of(flags)) as it:
            endpoint_id = it.endpoint(endpoint).id if endpoint else None
            lines = []
            for app in it.snapshot.applications:
                for group in await it.store.failure_groups(app.id, endpoint_id):
                    when = f"{shown(group.first_at_ms)} to {shown(group.last_at_ms)}"
                    name = it.endpoint_name(group.endpoint_id)
                    lines.append(f"▲ {group.count} at {name}, {when}, latest {group.message_id}")
                    lines += [f"  {group.reason}"] if group.reason else []
                    lines.append(f"  failure: {group.failure}")
            return lines

    click.echo("\n".join(run_loop(run())) or "● No failed deliveries.")


@click.command()
@click.option("--message", help="Id of the message whose data to delete.")
@click.option("--customer", help="Customer whose data to delete, by the sender's id.")
@click.option(
    "--app", "app_uid", default="default", show_default=True, help="Application of the customer (uid or id)."
)
@click.option("--yes", is_flag=True, help="Skip the confirmation.")
@setting_options("data_dir", "database_url")
def expunge(*, message: str | None, customer: str | None, app_uid: str, yes: bool, **flags: Any) -> None:
    """Delete the data of a message or a customer. Payloads and their copies in attempts are deleted, and a customer's
    id, email and name. Ids of messages are kept. Pending deliveries are canceled.
    """
    if (message is None) == (customer is None):
        raise UserError("expunge_what", "No message or customer given.", "Use either --message or --customer.")

    async def run() -> tuple[int, Report | None]:
        async with open_services(settings_of(flags)) as it:
            if not yes:
                data = f"the payload of {message}" if message else f"all data of {customer}"
                confirm(f"Permanently delete {data}?")
            if message is not None:
                found = await it.store.message(message)
                return int(found is not None and await erase.expunge_message(it, COMMAND_LINE, found)), None
            app = next(
                (
                    application
                    for application in it.snapshot.applications
                    if app_uid in {application.id, application.uid}
                ),
                None,
            )
            if app is None:
                raise UserError("app_unknown", f"Application {app_uid!r} not found.", "Choose one with --app.")
            messages, report = 0, None
            while report is None:
                erased = await erase.expunge_customer(it, COMMAND_LINE, app.id, str(customer))
                messages, report = messages + erased.messages, erased.report
            return messages, report

    done, report = run_loop(run())
    # What is left, or was deleted beside the customer's own messages, is reported without any.
    if not done and (report is None or (report.is_clean and not report.without_customer)):
        raise UserError("nothing_found", f"No data found for {message or customer}.", "Check the id.")
    click.echo("\n".join([f"Deleted the data of {plural(done, 'message')}.", *(report.outline() if report else ())]))


def _line(task: Task, endpoint: str) -> str:
    return (
        f"{task.id}  {task.status.value:9}  {task.kind.value:20}  {endpoint}  {task.moved} of {task.expected}  "
        f"{shown(task.created_at_ms)}"
    )
