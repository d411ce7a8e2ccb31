"""The command line in processes of its own, forked from one that has imported it already."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.patience import PATIENCE_S

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["nicobar.cli"])


def run_cli(
    directory: Path, arguments: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs `nicobar` in `directory`, with nobody at the terminal."""
    with tempfile.TemporaryDirectory() as kept:
        streams = [Path(kept) / "stdout", Path(kept) / "stderr"]
        process = _FORKS.Process(target=_main, args=(directory, arguments, dict(environment), streams))
        process.start()
        process.join(PATIENCE_S)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["nicobar", *arguments], PATIENCE_S)
        stdout, stderr = (stream.read_text("utf-8") for stream in streams)
    return subprocess.CompletedProcess(["nicobar", *arguments], process.exitcode, stdout, stderr)


def _main(directory: Path, arguments: Sequence[str], environment: Mapping[str, str], streams: Sequence[Path]) -> None:
    from nicobar.cli import main  # noqa: PLC0415 - imported by the process that this one is forked from

    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - multiprocessing has closed it
    for number, stream in enumerate(streams, start=1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = ["nicobar", *arguments]
    main()
