"""The commands as a user runs them: real processes, exit codes, one-line errors."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from nicobar.cli import group
from nicobar.clock import SystemClock
from nicobar.database import open_store
from nicobar.errors import NicobarError
from nicobar.facts import of_customer, state
from nicobar.model import Customer, Event, Fact, FactKind
from nicobar.pipeline.configuration import seal_source_secrets
from nicobar.settings import Settings
from nicobar.store import PutSource
from nicobar.use_cases.config_file import Document, Plan, Planner
from support.cli import Started, run_cli
from support.handlers import ORDER_PAID, PERSON_STATE, PLAN_LIFE
from support.patience import PATIENCE_S

NICOBAR = str(Path(sys.executable).with_name("nicobar"))
SECRETS = {
    "DODO_SECRET": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3",
    "CIO_SITE": "demo-site",
    "CIO_KEY": "demo-key",
}
FILE = """
[[sources]]
name = "dodo"
kind = "dodo-payments"
secrets = [{ env = "DODO_SECRET" }]

[[endpoints]]
name = "customerio"
connector = "customerio"
max_messages_per_s = 500
handler = "paid.js"
settings = { base_url = "http://127.0.0.1:%d" }
credentials = { site_id = { env = "CIO_SITE" }, api_key = { env = "CIO_KEY" } }
"""


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NICOBAR_")}
    return {**kept, **SECRETS, "NICOBAR_ALLOWED_ADDRESSES": "127.0.0.0/8", **more}


def nicobar(directory: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return run_cli(directory, arguments, environment(**more))


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """The one line of an error."""
    assert result.returncode == 1, result
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.strip().splitlines() if not line.startswith("{")]  # without the log
    assert line.startswith("Error: ")
    return line


def configure(directory: Path, emulator_port: int = 1, handler: str = ORDER_PAID) -> None:
    (directory / "nicobar.toml").write_text(FILE % emulator_port)
    (directory / "paid.js").write_text(handler)


@pytest.mark.parametrize(
    ("handler", "event", "name"),
    [
        (ORDER_PAID, "payment.succeeded", '"name":"Order Paid"'),
        (PLAN_LIFE, "subscription.active", '"name":"Plan Begun"'),
        (PLAN_LIFE, "subscription.cancelled", '"name":"Plan Ended"'),
    ],
)
def test_transform_shows_the_intended_event_and_its_fix(tmp_path, handler, event, name):
    (tmp_path / "h.js").write_text(handler)
    result = nicobar(tmp_path, "transform", "h.js", "--event", event)
    assert result.returncode == 0
    assert name in result.stdout
    assert 'Use action: "event".' in result.stdout


def test_transform_runs_all_samples(tmp_path):
    (tmp_path / "h.js").write_text(PERSON_STATE)
    result = nicobar(tmp_path, "transform", "h.js", "--all")
    assert result.returncode == 0
    variants = "88 variants (nullable fields null, guest checkouts, other states of the ledger), 0 failed."
    assert f"48 events, 0 failed.\n{variants}" in result.stdout


def test_transform_runs_every_file_that_is_given(tmp_path):
    (tmp_path / "h.js").write_text(ORDER_PAID)
    for event_type in ("payment.failed", "refund.failed"):
        (tmp_path / f"{event_type}.json").write_text(json.dumps({"type": event_type, "data": {}}))
    files = [option for name in ("payment.failed", "refund.failed") for option in ("--file", f"{name}.json")]
    result = nicobar(tmp_path, "transform", "h.js", *files)
    assert "2 events" in result.stdout, result
    assert all(name in result.stdout for name in ("payment.failed", "refund.failed"))


def test_transform_fails_on_calls_that_customer_io_rejects(tmp_path):
    (tmp_path / "h.js").write_text("function handler(w) { w.payload = {type: 'person', action: 'event'}; return w; }")
    result = nicobar(tmp_path, "transform", "h.js")
    assert result.returncode == 1
    assert "Customer.io requires a name for events." in result.stdout


def test_apply_is_repeatable_and_export_restores_the_file(tmp_path):
    configure(tmp_path)
    first = nicobar(tmp_path, "apply", "nicobar.toml")
    assert "endpoint customerio: added" in first.stdout, first
    second = nicobar(tmp_path, "apply", "nicobar.toml")
    assert "No changes." in second.stdout
    assert re.findall("/in/.*", first.stdout) == re.findall("/in/.*", second.stdout)
    assert nicobar(tmp_path, "export", "out/all.toml").returncode == 0
    assert (tmp_path / "out" / "handlers" / "customerio.js").read_text() == ORDER_PAID
    assert "No changes." in nicobar(tmp_path, "apply", "out/all.toml").stdout
    written = (tmp_path / "out" / "all.toml").read_text()
    assert not any(secret in written for secret in SECRETS.values())
    assert "already exists" in refused(nicobar(tmp_path, "export", "out/all.toml"))


def test_apply_prints_the_public_address_of_a_source(tmp_path):
    configure(tmp_path)
    applied = nicobar(tmp_path, "apply", "nicobar.toml", "--public-url", "https://hooks.shop.example/")
    assert re.search(r"^source dodo: https://hooks\.shop\.example/in/\S+$", applied.stdout, re.MULTILINE), applied


def test_apply_plans_again_after_a_concurrent_apply(tmp_path, monkeypatch):
    configure(tmp_path)
    (tmp_path / "more.toml").write_text((FILE % 1).replace('"customerio"\nconnector', '"second"\nconnector'))
    plan = Planner.plan
    plans = []

    async def overtaken(planner: Planner, document: Document, *, prune: bool) -> Plan:
        plans.append(await plan(planner, document, prune=prune))
        if len(plans) == 1:
            assert nicobar(tmp_path, "apply", "more.toml").returncode == 0
        return plans[-1]

    monkeypatch.setattr(Planner, "plan", overtaken)
    arguments = ["apply", str(tmp_path / "nicobar.toml"), "--data-dir", str(tmp_path / "nicobar-data")]
    result = CliRunner().invoke(group, arguments, env=environment())
    assert (result.exit_code, len(plans)) == (0, 2), result
    with sqlite3.connect(tmp_path / "nicobar-data" / "nicobar.db") as connection:
        assert connection.execute("SELECT count(*) FROM sources").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM endpoints").fetchone() == (2,)


def test_secrets_are_encrypted_in_the_database(tmp_path):
    configure(tmp_path)
    nicobar(tmp_path, "apply", "nicobar.toml")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "nicobar-data").glob("nicobar.db*"))
    assert not any(secret.encode() in kept for secret in SECRETS.values())


def test_apply_deletes_only_with_prune(tmp_path):
    configure(tmp_path)
    nicobar(tmp_path, "apply", "nicobar.toml")
    (tmp_path / "empty.toml").write_text("")
    assert "endpoint customerio: not in the file, kept" in nicobar(tmp_path, "apply", "empty.toml").stdout
    assert (
        "planned: endpoint customerio: deleted"
        in nicobar(tmp_path, "apply", "empty.toml", "--prune", "--dry-run").stdout
    )
    assert "endpoint customerio: deleted" in nicobar(tmp_path, "apply", "empty.toml", "--prune").stdout
    assert "source" not in nicobar(tmp_path, "apply", "empty.toml").stdout


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.replace('{ env = "DODO_SECRET" }', '"whsec_written"'), "is invalid"),
        (lambda file: file.replace("DODO_SECRET", "NOT_SET"), "NOT_SET"),
        (lambda file: file.replace("kind =", "sort ="), "sort"),
        (lambda file: file.replace("dodo-payments", "stripes"), "stripes"),
        (lambda file: file.replace('connector = "customerio"', 'connector = "mailer"'), "mailer"),
        (lambda file: file.replace("base_url", "base_uri"), "base_uri"),
        (lambda file: file.replace("paid.js", "lost.js"), "lost.js"),
        (lambda file: file + FILE % 1, "Duplicate name 'dodo'"),
        (lambda file: file + "= 5", "Invalid TOML"),
        (lambda file: file + "deep = " + "[" * 50_000 + "]" * 50_000, "nested too deeply"),
        (lambda file: file + "deep = " + "{a=" * 5_000 + "1" + "}" * 5_000, "nested too deeply"),
        (lambda file: file + "long = " + "9" * 5_000, "Invalid TOML"),
    ],
)
def test_an_invalid_file_gets_a_one_line_error_without_changes(tmp_path, change, words):
    configure(tmp_path)
    (tmp_path / "nicobar.toml").write_text(change(FILE % 1))
    line = refused(nicobar(tmp_path, "apply", "nicobar.toml"))
    assert words in line
    assert "whsec_written" not in line
    (tmp_path / "empty.toml").write_text("")
    assert "No changes." in nicobar(tmp_path, "apply", "empty.toml").stdout


def test_apply_rejects_a_handler_that_cannot_run(tmp_path):
    configure(tmp_path, handler="function handler(w) {\n  return = w;\n}")
    assert "paid.js, line 2" in refused(nicobar(tmp_path, "apply", "nicobar.toml"))


def test_a_token_is_printed_once_and_stored_as_a_hash(tmp_path):
    token = nicobar(tmp_path, "token", "create", "ci").stdout.strip()
    assert token.startswith("nbr_")
    with sqlite3.connect(tmp_path / "nicobar-data" / "nicobar.db") as connection:
        (kept,) = connection.execute("SELECT sha256 FROM tokens").fetchone()
    connection.close()
    assert token not in kept
    assert "already" in refused(nicobar(tmp_path, "token", "create", "ci"))


def test_migrate_prints_applied_migrations(tmp_path):
    assert "applied 0001_first" in nicobar(tmp_path, "migrate").stdout
    assert "up to date" in nicobar(tmp_path, "migrate").stdout


@pytest.mark.parametrize(
    ("arguments", "more", "words"),
    [
        (["serve", "--port", "x"], {}, "Invalid --port: must be an integer. Got 'x'."),
        (["serve", "--port", "70000"], {}, "Invalid --port: must be at most 65535. Got '70000'."),
        (["serve", "--role", "x"], {}, "Invalid --role: must be one of all, web, worker. Got 'x'."),
        (["serve"], {"NICOBAR_PROT": "1"}, "(environment variable NICOBAR_PROT). Did you mean port?"),
        (["serve"], {"NICOBAR_SECRET_KEY": "0f"}, "Invalid environment variable NICOBAR_SECRET_KEY: wrong format."),
        (["serve", "--data-dir", "file/below"], {}, "data directory"),
        (["serve", "--data-dir", "bad"], {}, "not a SQLite database"),
        (["serve", "--database-url", "mysql://x"], {}, "sqlite:///"),
        (["serve", "--settings", "none.toml"], {}, "none.toml"),
        (["transform", "none.js"], {}, "none.js"),
        (["emulator", "--https-port", "0", "--certificate", "none/x.pem"], {}, "none/x.pem"),
        (["emulator", "--https-port", "0", "--certificate", "file"], {}, "not a PEM file with a certificate"),
        (
            ["transform", "file", "--event", "nothing"],
            {},
            "'nothing'. Samples exist for abandoned_checkout.",
        ),
        (["transform", "file", "--event", "payment.suceeded"], {}, "Did you mean payment.succeeded?"),  # misspelled
        (["recipe", "journey"], {}, "Unknown recipe 'journey'. Did you mean journeys?"),
        (["apply", "wrong.toml"], {}, "Did you mean connector?"),
        (["apply", "top.toml"], {}, 'the file has an unknown field "endpoint". Did you mean endpoints?'),
        (["apply", "none.toml"], {}, "none.toml"),
    ],
)
def test_errors_are_one_line_with_the_fix(tmp_path, arguments, more, words):
    (tmp_path / "file").write_text("function handler(w) { return w; }")
    (tmp_path / "wrong.toml").write_text('[[endpoints]]\nname = "a"\nconector = "http"\n')  # misspelled
    (tmp_path / "top.toml").write_text("[[endpoint]]\n")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "nicobar.db").write_bytes(b"letters " * 600)
    assert words in refused(nicobar(tmp_path, *arguments, **more))


# Commands that require an existing database, with an unknown name as argument.
NEEDS_A_DATABASE = (
    ("trigger", "payment.succeeded"),
    ("trigger", "payment.succeeded", "--create-secret"),
    ("doctor",),
    ("resume", "nobody"),
    ("enable", "nobody"),
    ("export",),
    ("token", "list"),
    ("token", "revoke", "nobody"),
    ("replay", "list"),
    ("replay", "failures"),
    ("replay", "recover", "nobody", "--yes"),
    ("replay", "missing", "nobody", "--yes"),
    ("replay", "bulk", "nobody", "--yes"),
    ("replay", "resend", "msg_1", "nobody"),
    ("replay", "cancel", "qtask_1"),
    ("expunge", "--message", "msg_1", "--yes"),
)


def said_by(*arguments: str) -> tuple[int, str]:
    """The exit code and the output of a command that runs in this process."""
    result = CliRunner().invoke(group, arguments, env=SECRETS)
    if result.exception is None or isinstance(result.exception, SystemExit):
        return result.exit_code, result.output
    assert isinstance(result.exception, NicobarError), (arguments, result.exception)
    return 1, f"{result.output}Error: {result.exception}"


def test_a_missing_database_is_named_and_not_created(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = f"No Nicobar database at {tmp_path / 'nicobar-data' / 'nicobar.db'}."
    for arguments in NEEDS_A_DATABASE:
        code, printed = said_by(*arguments)
        assert (code, named in printed) == (1, True), printed
        assert not any(tmp_path.iterdir()), arguments
    assert named in refused(nicobar(tmp_path, "resume", "customerio"))


def test_apply_creates_a_database_only_for_a_valid_file(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    configure(folder, handler="function handler(w) {\n  return = w;\n}")
    file, path = str(folder / "nicobar.toml"), tmp_path / "nicobar-data" / "nicobar.db"
    assert "line 2" in refused(nicobar(tmp_path, "apply", file))
    assert not path.parent.exists()
    configure(folder)
    planned = nicobar(tmp_path, "apply", file, "--dry-run")
    assert planned.returncode == 0, planned
    assert f"planned: create database {path}\nplanned: source dodo: added\n" in planned.stdout
    assert not path.parent.exists()
    assert f"Created database: {path}" in nicobar(tmp_path, "apply", file).stderr
    assert nicobar(tmp_path, "apply", file).stderr == ""


def test_every_command_explains_an_empty_database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said_by("migrate")[0] == 0
    printed = {arguments: said_by(*arguments)[1] for arguments in NEEDS_A_DATABASE}
    assert all(printed.values())
    assert "There are no sources yet." in printed["trigger", "payment.succeeded"]
    assert "○ source: none, so no events are accepted." in printed["doctor",]
    assert "○ endpoint: none, so nothing is sent." in printed["doctor",]


def test_trigger_can_create_a_test_secret(tmp_path):
    configure(tmp_path)
    nicobar(tmp_path, "apply", "nicobar.toml")
    without_secrets(tmp_path)
    misspelled = refused(nicobar(tmp_path, "trigger", "payment.suceeded"))  # misspelled
    assert "Did you mean payment.succeeded?" in misspelled
    printed = refused(nicobar(tmp_path, "trigger", "payment.succeeded"))
    assert "Source dodo has no signing secret, so it rejects all events." in printed
    assert "--source dodo --create-secret" in printed
    assert "▲ source dodo: Source dodo has no signing secret" in nicobar(tmp_path, "doctor").stdout
    server, line = _start(tmp_path, "serve", "--port", "0", until='"running"')
    try:
        trigger = "trigger", "payment.succeeded", "--url", re.search(r"http://[\d.:]+", line)[0]
        first = nicobar(tmp_path, *trigger, "--create-secret")
        assert re.match(r"Created a test secret for source dodo: whsec_\S+\n202 ", first.stdout), first
        again = nicobar(tmp_path, *trigger, "--create-secret")
        assert again.stdout.startswith("202 "), "a secret that is there is used"
    finally:
        server.send_signal(signal.SIGTERM)
        printed, _ = server.communicate(timeout=PATIENCE_S)
    assert first.stdout.split()[7] not in printed


def without_secrets(directory: Path) -> None:
    """Removes the secrets of the source, like one that the dashboard created along with an endpoint."""
    settings = Settings(data_dir=directory / "nicobar-data")

    async def run() -> None:
        async with open_store(settings, SystemClock()) as (store, vault):
            (source,) = (await store.snapshot()).sources
            none = msgspec.structs.replace(source, sealed_secrets=seal_source_secrets(vault, source.id, []))
            await store.change([PutSource(source=none)])

    asyncio.run(run())


def test_a_handler_that_sends_nothing_always_gets_a_warning(tmp_path):
    configure(tmp_path, handler="function handler(webhook) {\n  return webhook;\n}")
    result = nicobar(tmp_path, "apply", "nicobar.toml")
    applied = result.stdout
    assert result.returncode == 0, "the file is applied"
    silent = "Sends for 0 of 48 event types. This handler sends nothing. Events will be canceled as not handled."
    assert f"▲ endpoint customerio: {silent}" in applied
    tried = nicobar(tmp_path, "transform", "paid.js", "--all")
    assert (tried.returncode, f"▲ {silent}" in tried.stdout) == (0, True), tried
    tried = nicobar(tmp_path, "transform", "paid.js", "--event", "payment.failed")
    assert tried.stdout.endswith("event types. The handler sends nothing for this event type.\n")
    (tmp_path / "paid.js").write_text(ORDER_PAID)
    applied = nicobar(tmp_path, "apply", "nicobar.toml").stdout
    assert "\nendpoint customerio: Sends for 1 of 48 event types: payment.succeeded.\n" in applied
    file = (tmp_path / "nicobar.toml").read_text()
    (tmp_path / "nicobar.toml").write_text(file + 'event_types = ["refund.succeeded", "payment.failed"]\n')
    applied = nicobar(tmp_path, "apply", "nicobar.toml").stdout
    assert "▲ endpoint customerio: Sends for 0 of 2 event types." in applied
    (tmp_path / "nicobar.toml").write_text(
        file.replace('handler = "paid.js"\n', "").replace('"customerio"\nc', '"b"\nc')
    )
    assert (
        "▲ endpoint b: no handler, so nothing is sent."
        in nicobar(tmp_path, "apply", "nicobar.toml", "--dry-run").stdout
    )
    shown = nicobar(tmp_path, "transform", "paid.js", "--all").stdout
    assert "Sends for 1 of 48 event types: payment.succeeded." in shown
    assert "Not handled: 47 event types." in shown
    assert len(shown.splitlines()) < 20


def test_transform_reads_the_ledger_of_a_customer(tmp_path):
    calls = "nicobar.event('is_' + w.customer.status, {to: w.customer.email})"
    configure(tmp_path, handler=f"function handler(w) {{ w.payload = {calls}; return w; }}")
    assert nicobar(tmp_path, "apply", "nicobar.toml").returncode == 0
    customer = Customer(key="cus_1", email="ada@northpine.example")
    fact = Fact(kind=FactKind.SUBSCRIPTION, id="sub_1", fields={"customer_id": "cus_1", "status": "paused"})
    event = Event(event_type="a", occurred_at_ms=1, customer=customer, facts=(of_customer(customer), fact))
    stated = state("dodo-payments", event, event_id="evt_1", body=b"", accepted_at_ms=1)

    async def remember() -> None:
        async with open_store(Settings(data_dir=tmp_path / "nicobar-data"), SystemClock()) as (store, _):
            await store.put_facts((await store.snapshot()).applications[0].id, stated.facts)

    asyncio.run(remember())
    of = ("transform", "paid.js", "--endpoint", "customerio", "--event", "refund.succeeded", "--customer")
    found = nicobar(tmp_path, *of, "cus_1")
    assert '"name":"is_paused"' in found.stdout, found
    assert "ada@northpine.example" not in found.stdout
    assert "cus_2" in refused(nicobar(tmp_path, *of, "cus_2"))


def test_doctor_reports_a_disabled_endpoint(tmp_path):
    configure(tmp_path)
    file = tmp_path / "nicobar.toml"
    file.write_text(file.read_text().replace("max_messages_per_s", "disabled = true\nmax_messages_per_s"))
    nicobar(tmp_path, "apply", "nicobar.toml")
    assert (
        "○ endpoint customerio: disabled, so nothing is sent. Enable it: nicobar enable customerio."
        in nicobar(tmp_path, "doctor").stdout
    )


def test_a_port_in_use_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert "--port" in refused(nicobar(tmp_path, "serve", "--port", port))
        assert port in refused(nicobar(tmp_path, "emulator", "--port", port))


def test_the_demo_picks_free_ports_if_its_own_are_used(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = nicobar(tmp_path, "demo", "--once", "--port", port, "--emulator-port", "0")
    assert result.returncode == 0, result
    assert f"Port {port} is in use" in result.stdout
    assert "36 events sent, 36 delivered" in result.stdout
    assert "3 people and 42 activities; 0 rejected." in result.stdout
    assert "30 emails sent." in result.stdout


def test_the_demo_runs_until_it_is_stopped(tmp_path):
    demo, _ = _start(tmp_path, "demo", "--port", "0", "--emulator-port", "0", until="Still running")
    source, emulator = (re.search(r"http://\S+", demo.stdout.readline())[0] for _ in range(2))
    assert "/in/" in source
    with urllib.request.urlopen(emulator) as page:
        html = page.read()
    assert b"Your plan has ended" in html
    assert f"{source.partition('/in/')[0]}/logs?q=".encode() in html
    assert "/setup/" in demo.stdout.readline()
    demo.send_signal(signal.SIGTERM)
    output, _ = demo.communicate(timeout=PATIENCE_S)
    assert (demo.returncode, "Traceback" in output) == (0, False)


def test_a_demo_reports_that_it_was_stopped_early(tmp_path):
    demo, _ = _start(tmp_path, "demo", "--port", "0", "--emulator-port", "0", until="Emulator")
    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=PATIENCE_S)
    # All events may have arrived before the signal.
    assert demo.returncode == ("Stopped before" in output)
    assert "Traceback" not in output


def _start(directory: Path, *arguments: str, until: str) -> tuple[Started, str]:
    """A process, and the line that it prints once it is up."""
    process = Started(directory, arguments, environment())
    for line in process.stdout:
        if until in line:
            return process, line
    raise AssertionError(process.wait())


def test_serve_trigger_and_doctor_work_together_and_sigterm_ends_cleanly(tmp_path):
    emulator, line = _start(tmp_path, "emulator", "--port", "0", until="emulator: http")
    port = int(re.search(r":(\d+) ", line)[1])
    configure(tmp_path, port)
    nicobar(tmp_path, "apply", "nicobar.toml")
    server, line = _start(tmp_path, "serve", "--port", "0", until='"running"')
    url = re.search(r"http://[\d.:]+", line)[0]
    try:
        assert '"event": "running"' in line
        result = nicobar(tmp_path, "trigger", "payment.succeeded", "--count", "2", "--url", url)
        assert result.stdout.count("202 ") == 2, result
        token = re.search(r"/in/(\S+)", nicobar(tmp_path, "apply", "nicobar.toml").stdout)[1]
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{url}/in/{token}", b"{}")
        result = nicobar(tmp_path, "doctor")
        assert result.returncode == 0, result
        checks = ("sandbox", "database", "keys", "source ", "endpoint ", "clock")
        assert [name for name in checks if f"● {name}" not in result.stdout] == []
        assert "▲" not in result.stdout
        assert "accepted the credentials. The region is us" in result.stdout
    finally:
        codes, printed = [], ""
        for process in (server, emulator):
            if process is emulator:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/emulator/activities") as answer:
                    page = answer.read()
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=PATIENCE_S)
            codes.append(process.returncode)
            assert "Traceback" not in output
            printed += output if process is server else ""
    assert codes == [0, 0]
    assert page.count(b'"Order Paid"') == 2
    lines = [json.loads(line) for line in printed.splitlines()]
    ids = {
        "accepted": {"message_id", "source_id", "event_id"},
        "delivered": {"message_id", "endpoint_id", "delivery_id", "attempt_id"},
        "rejected": {"source_id", "code"},
    }
    for event, wanted in ids.items():
        assert any(wanted <= line.keys() for line in lines if line["event"] == event), printed
    assert not any(secret in printed for secret in (SECRETS["DODO_SECRET"], "demo-key"))


def test_terminal_logs_are_readable(tmp_path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [NICOBAR, "serve", "--port", "0"], cwd=tmp_path, env=environment(), stderr=theirs, stdin=subprocess.DEVNULL
    )
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        printed = b""
        while b"running" not in printed:
            printed += terminal.read(4096)
        process.terminate()
        assert process.wait(timeout=PATIENCE_S) == 0
    assert b"\x1b[" in printed, "colors"
    assert b'{"' not in printed


def test_apply_reports_a_workspace_in_the_other_region(tmp_path):
    emulator, line = _start(tmp_path, "emulator", "--port", "0", "--region", "eu", until="emulator: http")
    configure(tmp_path, int(re.search(r":(\d+) ", line)[1]))
    wrong = nicobar(tmp_path, "apply", "nicobar.toml")
    text = (tmp_path / "nicobar.toml").read_text()
    (tmp_path / "nicobar.toml").write_text(text.replace("settings = {", 'settings = { region = "eu",'))
    right = nicobar(tmp_path, "apply", "nicobar.toml")
    emulator.terminate()
    emulator.communicate(timeout=PATIENCE_S)
    assert (wrong.returncode, right.returncode) == (0, 0), "the file is applied"
    assert "▲ endpoint customerio: The workspace is in region eu. Set the region to eu." in wrong.stdout
    assert "● endpoint customerio: " in right.stdout
    assert "The region is eu" in right.stdout


def test_the_emulator_creates_a_certificate_and_serves_https(tmp_path):
    arguments = ("emulator", "--port", "0", "--https-port", "0", "--settle-ms", "0", "--mode", "observed")
    emulator, line = _start(tmp_path, *arguments, until="HTTPS: https")
    url = re.search(r"https://127\.0\.0\.1:\d+", line)
    try:
        trusted = ssl.create_default_context(cafile=str(tmp_path / "emulator.pem"))
        with urllib.request.urlopen(f"{url[0]}/emulator/settings", context=trusted, timeout=PATIENCE_S) as answer:
            assert json.loads(answer.read()) == {"mode": "observed", "settle_ms": 0}
        assert (tmp_path / "emulator.pem").stat().st_mode & 0o077 == 0
    finally:
        emulator.terminate()
        emulator.communicate(timeout=PATIENCE_S)
    assert emulator.returncode == 0


def test_doctor_names_wrong_credentials(tmp_path):
    emulator, line = _start(tmp_path, "emulator", "--port", "0", "--api-key", "other", until="emulator: http")
    configure(tmp_path, int(re.search(r":(\d+) ", line)[1]))
    applied = nicobar(tmp_path, "apply", "nicobar.toml")
    result = nicobar(tmp_path, "doctor")
    emulator.terminate()
    emulator.communicate(timeout=PATIENCE_S)
    assert (applied.returncode, result.returncode) == (0, 1)
    for printed in (applied.stdout, result.stdout):
        assert "▲ endpoint customerio" in printed
        assert "Check the Site ID, the API key" in printed
    assert "demo-key" not in result.stdout
