"""What can be done with the targets of alerts, and through which interfaces."""

from __future__ import annotations

from nicobar.audit import AuditAction
from nicobar.store import Change
from support.parity import NEW_SECRET, SECRET, TARGET, Interface, Operation, World, api, file, form

PATH = "/api/v1/alert-target"
ONE = f"{PATH}/<target>"
PAGE = "/settings/alerts/targets"
URL, OTHER = "<emulator>/hook", "<emulator>/other"
WEBHOOK = {"name": TARGET, "kind": "webhook", "address": URL, "secret": "<secret>", "alertTypes": ["disk.low"]}

PRIVATE = "https://10.0.0.5/hook"


def entry(text: str) -> str:
    return f'[[alert_targets]]\nname = "{TARGET}"\n{text}\n'


def nothing(_world: World) -> list[Change]:
    return []


def existing(world: World) -> list[Change]:
    return [world.target(address=str(world.filled(URL)), secret=SECRET)]


OPERATIONS = (
    Operation(
        "create an alert target",
        (AuditAction.ALERT_TARGET_CREATE,),
        nothing,
        {
            Interface.API: api("POST", PATH, WEBHOOK),
            Interface.DASHBOARD: form(
                PAGE, name=TARGET, kind="webhook", address=URL, secret="<secret>", alert_type="disk.low"
            ),
            Interface.FILE: file(
                entry(
                    f'kind = "webhook"\naddress = "{URL}"\nsecret = {{ env = "SECRET" }}\nalert_types = ["disk.low"]'
                )
            ),
        },
    ),
    Operation(
        "create an alert target for a malformed address",
        (),
        nothing,
        {
            Interface.API: api("POST", PATH, {"name": TARGET, "kind": "email", "address": "(ops)@shop.example"}),
            Interface.DASHBOARD: form(PAGE, name=TARGET, kind="email", address="(ops)@shop.example"),
            Interface.FILE: file(entry('kind = "email"\naddress = "(ops)@shop.example"')),
        },
        error="Invalid email address. Enter one address: name@example.com.",
    ),
    Operation(
        "create an alert target for a private address",
        (),
        nothing,
        {
            Interface.API: api("POST", PATH, {"name": TARGET, "kind": "slack", "address": PRIVATE}),
            Interface.DASHBOARD: form(PAGE, name=TARGET, kind="slack", address=PRIVATE),
            Interface.FILE: file(entry(f'kind = "slack"\naddress = "{PRIVATE}"')),
        },
        error="Requests to 10.0.0.5 are blocked: its address is not public.",
    ),
    Operation(
        "create an alert target whose name is taken",
        (),
        existing,
        {
            Interface.API: api("POST", PATH, WEBHOOK),
            Interface.DASHBOARD: form(PAGE, name=TARGET, kind="webhook", address=URL),
        },
        error=f"An alert target named {TARGET} already exists. Choose another name.",
    ),
    Operation(
        "send an alert target's alerts elsewhere, without its secret",
        (AuditAction.ALERT_TARGET_UPDATE,),
        existing,
        {
            Interface.API: api("PATCH", ONE, {"address": OTHER}),
            Interface.DASHBOARD: form(f"{PAGE}/<target>", name=TARGET, kind="webhook", address=OTHER),
            Interface.FILE: file(entry(f'kind = "webhook"\naddress = "{OTHER}"')),
        },
    ),
    Operation(
        "change an alert target's secret",
        (AuditAction.ALERT_TARGET_UPDATE,),
        existing,
        {
            Interface.API: api("PATCH", ONE, {"secret": NEW_SECRET}),
            Interface.DASHBOARD: form(f"{PAGE}/<target>", name=TARGET, kind="webhook", secret=NEW_SECRET),
            Interface.FILE: file(entry(f'kind = "webhook"\naddress = "{URL}"\nsecret = {{ env = "NEW_SECRET" }}')),
        },
    ),
    Operation(
        "leave an alert target as it is",
        (),
        existing,
        {
            Interface.API: api("PATCH", ONE, {"name": TARGET}),
            Interface.DASHBOARD: form(f"{PAGE}/<target>", name=TARGET, kind="webhook"),
            Interface.FILE: file(entry(f'kind = "webhook"\naddress = "{URL}"\nsecret = {{ env = "SECRET" }}')),
        },
    ),
    Operation(
        "send a test alert",
        (AuditAction.ALERT_TARGET_TEST,),
        existing,
        {
            Interface.API: api("POST", f"{ONE}/test"),
            Interface.DASHBOARD: form(f"{PAGE}/<target>/test"),
        },
    ),
    Operation(
        "delete an alert target",
        (AuditAction.ALERT_TARGET_DELETE,),
        existing,
        {
            Interface.API: api("DELETE", ONE),
            Interface.DASHBOARD: form(f"{PAGE}/<target>/delete"),
        },
    ),
)
