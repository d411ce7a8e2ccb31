"""`make dev` restarts the servers when a file changes, and stops them at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def dev(tmp_path):
    """`run` on a command that prints its process id and the content of a watched file, then waits."""
    watched = tmp_path / "watched"
    watched.mkdir()
    (watched / "text").write_text("first")
    command = [
        sys.executable,
        "-c",
        f"import os, signal; print(os.getpid(), open({str(watched / 'text')!r}).read(), flush=True); signal.pause()",
    ]
    script = (
        f"import asyncio, sys; from pathlib import Path; sys.path.insert(0, {str(SCRIPTS)!r}); import dev; "
        f"dev.COMMANDS = [{command!r}]; dev.nicobar.__file__ = {str(watched / 'text')!r}; dev.POLL_MS = 20; "
        "asyncio.run(dev.main())"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    yield watched, process
    # It ends the command that it started.
    process.terminate()
    process.wait()
    process.stdout.close()


def test_a_changed_file_restarts_the_commands(dev):
    watched, process = dev
    assert process.stdout.readline().split()[1] == "first"
    (watched / "text").write_text("second")
    assert process.stdout.readline() == "Source changed. Restarting.\n"
    assert process.stdout.readline().split()[1] == "second"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_leaves_no_process(dev, number):
    _, process = dev
    child_id = int(process.stdout.readline().split()[0])
    process.send_signal(number)
    assert process.wait() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(child_id, 0)
