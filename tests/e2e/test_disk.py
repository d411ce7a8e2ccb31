"""A full disk, a disk that became read-only and a read-only file system: real processes, real file systems. No
acknowledged event is lost, and work resumes with the disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.test_commands import SECRETS, _start, configure, nicobar, refused
from nicobar.model import Customer
from nicobar.sources.samples import fresh
from support.cli import Started
from support.patience import PATIENCE_S
from support.server import DODO, TYPES

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a file system of its own needs root")
MAX_EVENTS = 4_000


class Reading:
    """Reads what a process says, so that its pipe never fills, and waits for what it should say."""

    def __init__(self, process: Started) -> None:
        self.process = process
        self.counts: Counter[str] = Counter()
        self.last = ""
        self._changed = threading.Condition()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            with self._changed:
                self.last = line
                self.counts[json.loads(line)["event"] if line.startswith("{") else line] += 1
                self._changed.notify_all()
        self.process.stdout.close()

    def wait(self, event: str, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.counts[event] >= count, timeout=PATIENCE_S), self.counts


class World:
    """A server, an emulator, and a sender that remembers the acknowledged events."""

    def __init__(self, directory: Path, data_dir: Path, *more: str) -> None:
        self.emulator, line = _start(directory, "emulator", "--port", "0", until="emulator: http")
        self.emulator_port = int(re.search(r":(\d+) ", line)[1])
        configure(directory, self.emulator_port)
        applied = nicobar(directory, "apply", "nicobar.toml", "--data-dir", str(data_dir))
        token = re.search(r"/in/(\S+)", applied.stdout)[1]
        arguments = ("serve", "--port", "0", "--data-dir", str(data_dir), *more)
        self.server, line = _start(directory, *arguments, until='"running"')
        self.log = Reading(self.server)
        self.url = f"{re.search(r'http://[0-9.:]+', line)[0]}/in/{token}"
        self.acknowledged: set[str] = set()

    def send(self, number: int) -> tuple[int, str | None]:
        """Posts an event; returns the status and Retry-After."""
        now_ms = time.time_ns() // 1_000_000
        customer = Customer(key=f"cus_{number}", email=f"{number}@shop.example")
        body = fresh(TYPES["payment.succeeded"], now_ms, customer)
        headers = DODO.sign(f"evt_{number}", body, SECRETS["DODO_SECRET"], now_ms)
        request = urllib.request.Request(self.url, data=body, headers=dict(headers))
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                self.acknowledged.add(f"cus_{number}")
                return answer.status, None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers.get("retry-after")

    def recorded(self) -> list[str]:
        """Whose events Customer.io holds."""
        url = f"http://127.0.0.1:{self.emulator_port}/emulator/activities?limit=10000"
        with urllib.request.urlopen(url) as answer:
            return [item["person"] for item in json.load(answer)["activities"]]

    def stop(self) -> None:
        self.server.send_signal(signal.SIGTERM)
        code = self.server.wait(timeout=PATIENCE_S)
        self.emulator.send_signal(signal.SIGTERM)
        self.emulator.communicate(timeout=PATIENCE_S)
        self.log.thread.join()
        assert code == 0, self.log.last
        assert not [line for line in self.log.counts if " " in line and "Error" in line], self.log.counts


@contextmanager
def world(directory: Path, data_dir: Path, *more: str):
    it = World(directory, data_dir, *more)
    try:
        yield it
    finally:
        it.stop()


@contextmanager
def file_system(path: Path, *options: str):
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def remount(path: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(path)], check=True)


def until_refused(it: World) -> int:
    """Sends until an event is rejected; returns its number."""
    for number in range(MAX_EVENTS):
        status, retry_after = it.send(number)
        if status != 202:
            assert (status, retry_after) == (503, "5")
            return number
    raise AssertionError("never refused")


def check_everything_arrived(it: World) -> None:
    it.log.wait("delivered", len(it.acknowledged))
    recorded = it.recorded()
    assert len(recorded) == len(set(recorded)) == len(it.acknowledged), "each once"


@needs_root
def test_a_full_disk_rejects_new_events_and_loses_none(tmp_path):
    with file_system(tmp_path / "data", "size=3m") as disk, world(tmp_path, disk) as it:
        refused_number = until_refused(it)
        assert refused_number > 10
        remount(disk, "size=100m")
        for number in range(refused_number, refused_number + 20):
            assert it.send(number)[0] == 202
        check_everything_arrived(it)


def test_an_unwritable_disk_rejects_new_events_and_loses_none(tmp_path):
    with world(tmp_path, tmp_path / "data") as it:
        for number in range(20):
            assert it.send(number)[0] == 202
        # Every write from here on fails, as on a file system that turned read-only under the process.
        _, most = resource.prlimit(it.server.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        for number in range(20, 25):
            assert it.send(number) == (503, "5")
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(it.url.partition("/in/")[0] + "/readyz")
        resource.prlimit(it.server.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        for number in range(20, 40):
            assert it.send(number)[0] == 202
        check_everything_arrived(it)


@needs_root
def test_a_read_only_file_system_is_named_at_the_start(tmp_path):
    configure(tmp_path)
    with file_system(tmp_path / "data", "size=3m") as disk:
        assert nicobar(tmp_path, "apply", "nicobar.toml", "--data-dir", str(disk)).returncode == 0
        remount(disk, "ro")
        output = refused(nicobar(tmp_path, "serve", "--port", "0", "--data-dir", str(disk)))
        assert "cannot be opened for writing" in output
        assert "Give the user that runs Nicobar read and write access to the data directory." in output


def test_sigterm_with_a_hanging_destination_requeues_deliveries_in_time(tmp_path):
    with world(tmp_path, tmp_path / "data", "--shutdown-ms", "200") as it:
        faults = json.dumps([{"delay_ms": 60_000, "times": 1_000}]).encode()
        url = f"http://127.0.0.1:{it.emulator_port}/emulator/faults"
        urllib.request.urlopen(urllib.request.Request(url, data=faults, method="PUT")).close()
        assert it.send(1)[0] == 202
        it.log.wait("accepted", 1)
    # `world` has asserted that the server ended with 0; the next process continues the deliveries in flight.
    with sqlite3.connect(tmp_path / "data" / "nicobar.db") as connection:
        assert connection.execute("SELECT state, tries FROM deliveries").fetchall() == [("pending", 0)]
    connection.close()


@needs_root
@pytest.mark.parametrize("begun", [False, True])
def test_a_start_on_a_full_disk_asks_for_free_space(tmp_path, begun):
    configure(tmp_path)
    with file_system(tmp_path / "data", "size=3m") as disk:
        if begun:
            assert nicobar(tmp_path, "apply", "nicobar.toml", "--data-dir", str(disk)).returncode == 0
        with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while filler.write(b"x" * 4096):
                pass
        output = refused(nicobar(tmp_path, "serve", "--port", "0", "--data-dir", str(disk)))
        assert "ree space" in output
        assert "read and write access" not in output
        (disk / "filler").unlink()
        process, _ = _start(tmp_path, "serve", "--port", "0", "--data-dir", str(disk), until='"running"')
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
