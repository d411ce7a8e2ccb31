"""Addresses and hosts in the configuration file, on the command line."""

from __future__ import annotations

from cli.test_commands import SECRETS, _start, configure, nicobar, refused
from support.patience import PATIENCE_S

PORT = 9  # nothing listens there
ENTRY = f"127.0.0.1:{PORT}"
NONE = {"NICOBAR_ALLOWED_ADDRESSES": ""}
HOOKS = """
[[endpoints]]
name = "hooks"
connector = "http"
settings = { url = "%s" }
credentials = { secret = { env = "DODO_SECRET" } }
"""


TARGET = """
[[alert_targets]]
name = "on call"
kind = "webhook"
address = "http://127.0.0.1:9/hidden"
"""


def test_apply_rejects_a_private_address_and_names_the_entry(tmp_path):
    configure(tmp_path, PORT)
    line = refused(nicobar(tmp_path, "apply", "nicobar.toml", **NONE))
    assert "The endpoint customerio was not changed." in line
    assert f"NICOBAR_ALLOWED_ADDRESSES={ENTRY}" in line
    assert "No changes." not in nicobar(tmp_path, "apply", "nicobar.toml", "--allowed-addresses", ENTRY).stdout


def test_a_file_applied_before_an_upgrade_still_applies(tmp_path):
    configure(tmp_path, PORT)
    assert nicobar(tmp_path, "apply", "nicobar.toml").returncode == 0
    again = nicobar(tmp_path, "apply", "nicobar.toml", **NONE)
    assert (again.returncode, "No changes." in again.stdout) == (0, True), again
    assert "▲ endpoint customerio: Requests to 127.0.0.1 are blocked" in again.stdout
    assert f"add {ENTRY} to allowed_addresses" in again.stdout
    text = (tmp_path / "nicobar.toml").read_text()
    (tmp_path / "nicobar.toml").write_text(text.replace("max_messages_per_s = 500", "max_messages_per_s = 50"))
    changed = nicobar(tmp_path, "apply", "nicobar.toml", **NONE)
    assert (changed.returncode, "endpoint customerio: changed\n" in changed.stdout) == (0, True), changed
    configure(tmp_path, PORT + 1)
    assert "127.0.0.1:10" in refused(nicobar(tmp_path, "apply", "nicobar.toml", **NONE))


def test_doctor_and_the_log_list_endpoints_that_are_not_allowed(tmp_path):
    (tmp_path / "nicobar.toml").write_text(HOOKS % f"http://{ENTRY}/hooks" + TARGET)
    assert nicobar(tmp_path, "apply", "nicobar.toml").returncode == 0
    result = nicobar(tmp_path, "doctor", **NONE)
    assert "▲ alert target on call: Requests to 127.0.0.1 are blocked: its address is not public." in result.stdout
    assert "hidden" not in result.stdout
    assert result.returncode == 1
    assert "▲ endpoint hooks: Requests to 127.0.0.1 are blocked: its address is not public." in result.stdout
    assert f"add {ENTRY} to allowed_addresses" in result.stdout
    assert nicobar(tmp_path, "doctor").returncode == 0
    server, line = _start(
        tmp_path, "serve", "--port", "0", "--allowed-addresses", "10.0.0.1", until="address not allowed"
    )
    server.terminate()
    server.communicate(timeout=PATIENCE_S)
    assert f"add {ENTRY} to" in line


def test_apply_prints_a_changed_host_without_its_path(tmp_path):
    # Of a disabled endpoint the name is not resolved.
    (tmp_path / "nicobar.toml").write_text(HOOKS % "https://shop.example/hooks" + "disabled = true\n")
    assert nicobar(tmp_path, "apply", "nicobar.toml").returncode == 0
    (tmp_path / "nicobar.toml").write_text(HOOKS % "https://new.example/hooks?token=hidden" + "disabled = true\n")
    moved = nicobar(tmp_path, "apply", "nicobar.toml", "--dry-run").stdout
    assert "endpoint hooks: changed, URL changed from https://shop.example:443 to https://new.example:443" in moved
    assert "hidden" not in moved


def test_a_malformed_setting_is_one_line(tmp_path):
    line = refused(nicobar(tmp_path, "serve", NICOBAR_ALLOWED_ADDRESSES="http://crm.internal"))
    assert "Invalid entry 'http://crm.internal' in allowed_addresses" in line
    assert not any(secret in line for secret in SECRETS.values())


def test_the_demo_allows_its_own_emulator(tmp_path):
    result = nicobar(tmp_path, "demo", "--once", "--port", "0", "--emulator-port", "0", **NONE)
    assert (result.returncode, "36 events sent, 36 delivered" in result.stdout) == (0, True), result


def test_doctor_names_an_email_target_without_a_mail_server(tmp_path):
    target = '\n[[alert_targets]]\nname = "mail"\nkind = "email"\naddress = "ops@northpine.example"\n'
    (tmp_path / "nicobar.toml").write_text(HOOKS % f"http://{ENTRY}/hooks" + target)
    assert nicobar(tmp_path, "apply", "nicobar.toml").returncode == 0
    result = nicobar(tmp_path, "doctor")
    assert "▲ alert target mail: alert_smtp_url is not set" in result.stdout
    assert result.returncode == 1
