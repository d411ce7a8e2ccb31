"""The command line in processes of its own, forked from one that has imported it already."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from nicobar.cli import MODULES
from support.patience import PATIENCE_S

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([f"nicobar.cli.{module}" for module in sorted(set(MODULES.values()))])


class Started:
    """`nicobar` in a process, used as a subprocess.Popen. There is no terminal; `stdout` includes its errors."""

    def __init__(self, directory: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        reader, writer = _FORKS.Pipe(duplex=False)
        self._process = _FORKS.Process(target=_write_to, args=(writer, directory, arguments, dict(environment)))
        self._process.start()
        writer.close()
        self.stdout = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        reader.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = PATIENCE_S) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            self._process.kill()
            self._process.join()
            raise subprocess.TimeoutExpired(["nicobar"], timeout)
        return self.returncode

    def communicate(self, timeout: float = PATIENCE_S) -> tuple[str, None]:
        text = "" if self.stdout.closed else self.stdout.read()
        self.stdout.close()
        self.wait(timeout)
        return text, None


def run_cli(
    directory: Path, arguments: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs `nicobar` in `directory`, without a terminal."""
    with tempfile.TemporaryDirectory() as kept:
        streams = [Path(kept) / "stdout", Path(kept) / "stderr"]
        process = _FORKS.Process(target=_write_apart, args=(streams, directory, arguments, dict(environment)))
        process.start()
        process.join(PATIENCE_S)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["nicobar", *arguments], PATIENCE_S)
        stdout, stderr = (stream.read_text("utf-8") for stream in streams)
    return subprocess.CompletedProcess(["nicobar", *arguments], process.exitcode, stdout, stderr)


def _write_to(writer: Connection, directory: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    for number in (1, 2):
        os.dup2(writer.fileno(), number)
    writer.close()
    _main(directory, arguments, environment)


def _write_apart(
    streams: Sequence[Path], directory: Path, arguments: Sequence[str], environment: Mapping[str, str]
) -> None:
    for number, stream in enumerate(streams, start=1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT), number)
    _main(directory, arguments, environment)


def _main(directory: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    from nicobar.cli import main  # noqa: PLC0415 - imported by the process that this one is forked from

    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - multiprocessing has closed it
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = ["nicobar", *arguments]
    main()
