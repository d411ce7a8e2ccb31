"""Replays from the command line: a handler fails, is fixed, and the failed deliveries are sent."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import urllib.request

from cli.test_commands import _start, configure, nicobar, refused
from support.cli import Started
from support.handlers import ORDER_PAID
from support.patience import PATIENCE_S

THROWS = ORDER_PAID.replace("const order = webhook.payload.data;", "const order = webhook.payload.nothing.data;")


def lines(process: Started, event: str, count: int) -> list[dict[str, object]]:
    """The next `count` log lines of this event."""
    found: list[dict[str, object]] = []
    while len(found) < count:
        line = json.loads(process.stdout.readline())
        if line["event"] == event:
            found.append(line)
    return found


def activities(port: int) -> list[dict[str, object]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/emulator/activities") as answer:
        recorded = json.load(answer)["activities"]
    return [item for item in recorded if item["name"] == "Order Paid"]


def select(tmp_path, query: str) -> list[tuple[str, ...]]:
    with sqlite3.connect(tmp_path / "nicobar-data" / "nicobar.db") as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def audited(tmp_path) -> list[tuple[str, ...]]:
    """The audit log of replays and deletions on the command line: action, subject and detail."""
    audit_lines = select(
        tmp_path, "SELECT action, subject, detail FROM audit WHERE actor = 'command line' ORDER BY seq"
    )
    return [
        item
        for item in audit_lines
        if re.match(r"message|customer|task|endpoint\.(recover|replay|bulk-replay)", item[0])
    ]


def test_failures_are_grouped_and_replayed_after_a_fix(tmp_path):
    emulator, line = _start(tmp_path, "emulator", "--port", "0", until="emulator: http")
    port = int(re.search(r":(\d+) ", line)[1])
    configure(tmp_path, port, THROWS)
    nicobar(tmp_path, "apply", "nicobar.toml")
    server, line = _start(tmp_path, "serve", "--port", "0", until='"running"')
    url = re.search(r"http://[\d.:]+", line)[0]
    try:
        assert "No failed deliveries." in nicobar(tmp_path, "replay", "failures").stdout
        nicobar(tmp_path, "trigger", "payment.succeeded", "--count", "3", "--url", url)
        failed = lines(server, "failed", 3)
        shown = nicobar(tmp_path, "replay", "failures", "customerio").stdout
        assert shown.count("▲") == 1
        assert re.match(r"▲ 3 at customerio, .*, latest msg_", shown)
        assert "line 4: The handler threw TypeError: cannot read property 'data' of undefined" in shown
        assert "failure: threw line 4" in shown

        (tmp_path / "paid.js").write_text(ORDER_PAID)
        nicobar(tmp_path, "apply", "nicobar.toml")
        dry = nicobar(tmp_path, "replay", "recover", "customerio", "--since", "1h", "--dry-run")
        assert dry.stdout.startswith("3 deliveries to customerio for "), dry
        assert "Confirmation needed, but there is no terminal. Pass --yes." in refused(
            nicobar(tmp_path, "replay", "recover", "customerio")
        )
        assert "No replays yet." in nicobar(tmp_path, "replay", "list").stdout
        started = nicobar(tmp_path, "replay", "recover", "customerio", "--yes").stdout
        task = re.search(r"qtask_\w+", started)[0]
        lines(server, "delivered", 3)
        assert len(activities(port)) == 3
        listed = nicobar(tmp_path, "replay", "list").stdout
        assert re.match(rf"{task}  finished   endpoint.recover      customerio  3 of 3", listed), listed
        assert "There is nothing left to cancel." in refused(nicobar(tmp_path, "replay", "cancel", task))

        message = str(failed[0]["message_id"])
        assert "queued again" in nicobar(tmp_path, "replay", "resend", message, "customerio").stdout
        lines(server, "delivered", 1)
        assert len(activities(port)) == 3, "the same ids: Customer.io leaves them out"
        nicobar(tmp_path, "replay", "resend", message, "customerio", "--new-ids")
        lines(server, "delivered", 1)
        assert len(activities(port)) == 4, "new ids were asked for"

        assert "Deleted the data of 1 message." in nicobar(tmp_path, "expunge", "--message", message, "--yes").stdout
        gone = refused(nicobar(tmp_path, "replay", "resend", message, "customerio"))
        assert gone == f"Error: The payload of message {message} was deleted. The message cannot be resent."
    finally:
        for process in (server, emulator):
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE_S)
    assert server.returncode == 0
    check_the_audit_log(tmp_path, task, message)


def check_the_audit_log(tmp_path, task: str, message: str) -> None:
    started = nicobar(tmp_path, "replay", "bulk", "customerio", "--status", "success", "--yes").stdout
    waiting = re.search(r"qtask_\w+", started)[0]
    for _ in range(2):
        assert "canceling" in nicobar(tmp_path, "replay", "cancel", waiting).stdout
    ((customer,),) = select(tmp_path, "SELECT DISTINCT customer_key FROM messages WHERE customer_key IS NOT NULL")
    ((email,),) = select(tmp_path, "SELECT DISTINCT customer_email FROM messages WHERE customer_email IS NOT NULL")
    left = nicobar(tmp_path, "expunge", "--customer", email, "--yes").stdout
    assert "Message of another customer: msg_" in left, "what is left is reported for who has no messages"
    assert "Deleted the data of 3 messages." in nicobar(tmp_path, "expunge", "--customer", customer, "--yes").stdout
    done = audited(tmp_path)
    assert [action for action, *_ in done] == [
        "endpoint.recover",
        "message.resend",
        "message.resend",
        "message.expunge",
        "endpoint.bulk-replay",
        "task.cancel",
        "customer.expunge",
        "customer.expunge",
    ], "what changed nothing is not in it"
    assert (done[0][2], done[4][2], done[5][1]) == (task, waiting, waiting)
    assert {subject for _, subject, _ in done[1:4]} == {message}
    assert [detail for *_, detail in done[6:]] == ["0 messages", "3 messages"], (
        "the key itself is what is to be forgotten"
    )


def test_invalid_replay_arguments_are_explained_in_one_line(tmp_path):
    configure(tmp_path)
    nicobar(tmp_path, "apply", "nicobar.toml")
    for arguments, words in (
        (("replay", "recover", "shop"), "Endpoint 'shop' not found. Endpoints: customerio."),
        (("replay", "missing", "customerio", "--since", "soon"), "Invalid time 'soon'. Use a time such as"),
        (("replay", "cancel", "qtask_1"), "Replay qtask_1 not found."),
        (("replay", "resend", "msg_1", "customerio"), "Message msg_1 not found."),
        (("expunge", "--yes"), "Use either --message or --customer."),
        (("expunge", "--customer", "cus_1", "--yes"), "No data found for cus_1."),
        (("expunge", "--customer", "cus_1", "--yes", "--app", "x"), "Application 'x' not found."),
    ):
        assert words in refused(nicobar(tmp_path, *arguments)), arguments
    assert audited(tmp_path) == []
    none = nicobar(tmp_path, "replay", "bulk", "customerio", "--status", "success", "--yes")
    assert (none.returncode, none.stdout) == (0, "0 deliveries to customerio for 0 customers.\n")


def test_a_dry_run_is_rejected_like_its_replay(tmp_path):
    configure(tmp_path)
    file = tmp_path / "nicobar.toml"
    file.write_text(file.read_text().replace("max_messages_per_s", "disabled = true\nmax_messages_per_s"))
    nicobar(tmp_path, "apply", "nicobar.toml")
    for command in ("recover", "missing", "bulk"):
        for option in ("--dry-run", "--yes"):
            audit_lines = refused(nicobar(tmp_path, "replay", command, "customerio", option))
            assert audit_lines.startswith("Error: Endpoint customerio is disabled."), (command, option)
