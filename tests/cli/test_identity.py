"""What identifies people, on the command line: asked by `doctor`, named by `apply`, set by `identify`."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from nicobar.cli import group
from nicobar.errors import UserError

FILE = """
[[endpoints]]
name = "customerio"
connector = "customerio"
settings = {{ base_url = "http://127.0.0.1:1"{more} }}
credentials = {{ site_id = {{ env = "SITE_ID" }}, api_key = {{ env = "API_KEY" }} }}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command in this process; returns what it prints."""
    monkeypatch.chdir(tmp_path)
    for name in ("SITE_ID", "API_KEY"):
        monkeypatch.setenv(name, "demo")
    monkeypatch.setenv("NICOBAR_ALLOWED_ADDRESSES", "127.0.0.1:1")

    def run(*arguments: str, more: str = "") -> str:
        (tmp_path / "nicobar.toml").write_text(FILE.format(more=more), "utf-8")
        result = CliRunner().invoke(group, [*arguments, "--data-dir", str(tmp_path)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return run


def test_the_command_line_asks_names_and_sets_what_identifies_people(run):
    run("apply", "nicobar.toml")
    asked = run("doctor")
    assert "○ endpoint customerio: what identifies people? Until then, the transformation decides." in asked
    assert "nicobar identify customerio --by email" in asked
    by_email = ', identify_by = "email"'
    planned = "endpoint customerio: changed, identify_by changed from none to email"
    assert f"planned: {planned}" in run("apply", "nicobar.toml", "--dry-run", more=by_email)
    assert planned in run("apply", "nicobar.toml", more=by_email)
    assert run("identify", "customerio") == "Endpoint customerio: email.\n"
    shown = run("identify", "customerio", "--by", "metadata.user_id", "--fallback", "reject", "--dry-run")
    assert "Endpoint customerio: email -> metadata.user_id, then nothing.\n" in shown
    assert "0 waiting deliveries." in shown
    assert run("identify", "customerio") == "Endpoint customerio: email.\n", "it was a dry run"
    with pytest.raises(UserError, match="Confirmation needed"):
        run("identify", "customerio", "--by", "customer_id")
    run("identify", "customerio", "--by", "customer_id", "--yes")
    assert run("identify", "customerio") == "Endpoint customerio: customer_id.\n"
    assert "what identifies people?" not in run("doctor")
