"""What can be done with sources, and through which interfaces."""

from __future__ import annotations

from nicobar.audit import AuditAction
from nicobar.store import Change
from support.parity import NEW_SECRET, SECRET, SOURCE, Interface, Operation, World, api, command, file, form

PATH = "/ingest/api/v1/source"
ONE = f"{PATH}/<source>"
PAGE = "/sources/<source>"


def entry(*variables: str, kind: str = "dodo-payments") -> str:
    secrets = ", ".join(f'{{ env = "{name}" }}' for name in variables)
    return f'[[sources]]\nname = "{SOURCE}"\nkind = "{kind}"\nsecrets = [{secrets}]\n'


def nothing(_world: World) -> list[Change]:
    return []


def existing(world: World) -> list[Change]:
    return [world.source()]


def without_secret(world: World) -> list[Change]:
    return [world.source(secrets=())]


def in_rotation(world: World) -> list[Change]:
    return [world.source(secrets=(NEW_SECRET, SECRET))]


OPERATIONS = (
    Operation(
        "create a source",
        (AuditAction.SOURCE_CREATE,),
        nothing,
        {
            Interface.API: api(
                "POST", PATH, {"name": SOURCE, "type": "dodo-payments", "config": {"secret": "<secret>"}}
            ),
            Interface.DASHBOARD: form("/sources/new", name=SOURCE, kind="dodo-payments", secret="<secret>"),
            Interface.FILE: file(entry("SECRET")),
        },
    ),
    Operation(
        "create a source whose name is taken",
        (),
        existing,
        {
            Interface.API: api(
                "POST", PATH, {"name": SOURCE, "type": "dodo-payments", "config": {"secret": "<secret>"}}
            ),
            Interface.DASHBOARD: form("/sources/new", name=SOURCE, kind="dodo-payments", secret="<secret>"),
        },
        error=f"A source named {SOURCE} already exists. Choose another name.",
    ),
    Operation(
        "create a source of an unknown kind",
        (),
        nothing,
        {
            Interface.API: api("POST", PATH, {"name": SOURCE, "type": "github", "config": {"secret": "<secret>"}}),
            Interface.DASHBOARD: form("/sources/new", name=SOURCE, kind="github", secret="<secret>"),
            Interface.FILE: file(entry("SECRET", kind="github")),
        },
        error="Unknown source kind 'github'.",
    ),
    Operation(
        "change a source's secrets",
        (AuditAction.SOURCE_UPDATE,),
        existing,
        {
            Interface.API: api("PATCH", ONE, {"config": {"secret": "<new>", "previousSecret": "<secret>"}}),
            Interface.FILE: file(entry("NEW_SECRET", "SECRET")),
        },
    ),
    Operation(
        "state a source's mode and history",
        (AuditAction.SOURCE_UPDATE,),
        existing,
        {
            Interface.API: api("PATCH", ONE, {"mode": "live", "historyCompleteSince": "2026-01-31T00:00:00Z"}),
            Interface.DASHBOARD: form(f"{PAGE}/ledger", mode="live", history_complete_since="2026-01-31"),
            Interface.FILE: file(entry("SECRET") + 'mode = "live"\nhistory_complete_since = 2026-01-31T00:00:00Z\n'),
        },
    ),
    Operation(
        "state a history from the future",
        (),
        existing,
        {
            Interface.API: api("PATCH", ONE, {"historyCompleteSince": "2999-01-31T00:00:00Z"}),
            Interface.DASHBOARD: form(f"{PAGE}/ledger", mode="", history_complete_since="2999-01-31"),
            Interface.FILE: file(entry("SECRET") + "history_complete_since = 2999-01-31T00:00:00Z\n"),
        },
        error="this time is in the future",
    ),
    Operation(
        "change nothing of a source",
        (),
        existing,
        {Interface.API: api("PATCH", ONE, {"name": SOURCE}), Interface.FILE: file(entry("SECRET"))},
    ),
    Operation(
        "rotate a source's secret",
        (AuditAction.SOURCE_ROTATE_SECRET,),
        existing,
        {Interface.DASHBOARD: form(f"{PAGE}/secret", secret="<new>", hours="0")},
    ),
    Operation(
        "create a test secret",
        (AuditAction.SOURCE_ROTATE_SECRET,),
        without_secret,
        {
            Interface.DASHBOARD: form(f"{PAGE}/test-secret"),
            Interface.COMMAND: command(
                "trigger", "payment.succeeded", "--source", SOURCE, "--create-secret", "--url", "<base>"
            ),
        },
    ),
    Operation(
        "create a test secret where there is one",
        (),
        existing,
        {Interface.DASHBOARD: form(f"{PAGE}/test-secret")},
        error=f"Source {SOURCE} already has a signing secret.",
    ),
    Operation(
        "end a source's older secret",
        (AuditAction.SOURCE_END_OLDER_SECRET,),
        in_rotation,
        {Interface.DASHBOARD: form(f"{PAGE}/end-older")},
    ),
    Operation(
        "rotate a source's URL",
        (AuditAction.SOURCE_ROTATE_TOKEN,),
        existing,
        {Interface.API: api("POST", f"{ONE}/token/rotate"), Interface.DASHBOARD: form(f"{PAGE}/address")},
    ),
    Operation(
        "delete a source",
        (AuditAction.SOURCE_DELETE,),
        existing,
        {
            Interface.API: api("DELETE", ONE),
            Interface.DASHBOARD: form(f"{PAGE}/delete"),
            Interface.FILE: file("", "--prune"),
        },
    ),
)
