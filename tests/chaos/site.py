"""An installation of Nicobar: its configuration, its database and its commands."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chaos.load import HANDLER
from chaos.plan import QUICK_VARIABLE
from nicobar.crypto import new_webhook_secret

if TYPE_CHECKING:
    # Its libraries are loaded only where they are used.
    from support.postgres import Cluster

NICOBAR = str(Path(sys.executable).with_name("nicobar"))
AGAIN_S = 0.2
_PORTS = range(20_000, 30_000)
_SOURCE = """
[[sources]]
name = "dodo"
kind = "dodo-payments"
secrets = [{secrets}]
"""
_ENDPOINT = """
[[endpoints]]
name = "customerio-{number}"
connector = "customerio"
handler = "handler.js"
max_messages_per_s = {most}
settings = {{ base_url = "{url}" }}
credentials = {{ site_id = {{ env = "CHAOS_SITE" }}, api_key = {{ env = "CHAOS_KEY" }} }}
"""


class Site:
    """In `directory`, with an endpoint for each destination. `keys` are the secrets that the sender signs with.
    Without a server of PostgreSQL the database is one of SQLite.
    """

    def __init__(self, directory: Path, destinations: Sequence[str], cluster: Cluster | None, *, quick: bool) -> None:
        self.directory = directory
        self.destinations = destinations
        self.outages = Outages(cluster)
        self.keys = [new_webhook_secret()]
        self._quick = quick
        self._database_url = cluster.create_database() if cluster else ""
        self._secret_key = secrets.token_hex(32)
        self._edition = 0

    async def create(self) -> tuple[str, str]:
        """Returns the path of the source's address, and an API token."""
        applied = await self._apply(self.keys, *(["--new-installation"] if self._database_url else []))
        found = re.search(r"(/in/\S+)$", applied.strip())
        if found is None:
            raise click.ClickException(f"The configuration was rejected: {applied}")
        return found[1], (await self._run("token", "create", "chaos")).strip()

    async def change(self) -> None:
        """Applies another edition of the handler, which does the same, and another rate."""
        self._edition += 1
        await self._apply(self.keys[-2:])

    async def rotate(self) -> None:
        """A source has two secrets: the latest and a new one. The sender signs with an older one as well, since a
        server that was frozen meanwhile knows only that.
        """
        new = new_webhook_secret()
        await self._apply([self.keys[-1], new])
        self.keys = [*self.keys[-2:], new]

    def flags(self) -> list[str]:
        url = self._database_url
        return [f"--data-dir={self.directory / 'data'}", *([f"--database-url={url}"] if url else [])]

    def environment(self) -> dict[str, str]:
        own = {"CHAOS_SITE": "demo-site", "CHAOS_KEY": "demo-key"}
        own["NICOBAR_ALLOWED_ADDRESSES"] = ",".join(url.removeprefix("http://") for url in self.destinations)
        if self._database_url:
            own["NICOBAR_SECRET_KEY"] = self._secret_key
        if self._quick:
            own[QUICK_VARIABLE] = "1"
        return {**{name: value for name, value in os.environ.items() if not name.startswith("NICOBAR_")}, **own}

    async def _apply(self, keys: Sequence[str], *flags: str) -> str:
        names = [f"CHAOS_SECRET_{number}" for number in range(len(keys))]
        entries = [_SOURCE.format(secrets=", ".join(f'{{ env = "{name}" }}' for name in names))]
        entries += [
            _ENDPOINT.format(number=number, url=url, most=1_000 + self._edition % 2)
            for number, url in enumerate(self.destinations)
        ]
        path = self.directory / "nicobar.toml"
        path.write_text("".join(entries))
        (self.directory / "handler.js").write_text(f"{HANDLER}// edition {self._edition}\n")
        return await self._run("apply", *flags, str(path), **dict(zip(names, keys, strict=True)))

    async def _run(self, *command: str, **variables: str) -> str:
        """What the command prints; it is repeated while the database is away."""
        while True:
            started_s = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                NICOBAR,
                *command,
                *self.flags(),
                env=self.environment() | variables,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
            )
            try:
                out, wrong = await process.communicate()
            except asyncio.CancelledError:
                process.kill()
                await process.wait()
                raise
            if process.returncode == 0:
                return out.decode()
            if b"Traceback" in wrong or not self.outages.since(started_s):
                raise click.ClickException(f"nicobar {' '.join(command)} failed: {wrong.decode()}")
            await asyncio.sleep(AGAIN_S)


class Outages:
    """When the database's server was away, by the steady clock."""

    def __init__(self, cluster: Cluster | None) -> None:
        self._cluster = cluster
        self._ended_at_s = 0.0
        self._is_away = False

    async def make(self, duration_s: float) -> None:
        """Ends the server at once, and starts it again."""
        assert self._cluster is not None
        self._is_away = True
        await asyncio.to_thread(self._cluster.quit)
        await asyncio.sleep(duration_s)
        await asyncio.to_thread(self._cluster.start)
        self._is_away = False
        self._ended_at_s = time.monotonic()

    def since(self, at_s: float) -> bool:
        """Whether there was one at that time or later."""
        return self._is_away or self._ended_at_s >= at_s


def free_port() -> int:
    """Below the range of outgoing connections, so that none uses it while the server is down."""
    for port in secrets.SystemRandom().sample(_PORTS, k=len(_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise click.ClickException(f"No free port from {_PORTS.start} to {_PORTS.stop - 1}.")
