"""An installation of Nicobar: its configuration, its database and its commands."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import secrets
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chaos.editions import EDITIONS, LAST_EDITION, handler
from chaos.nursery import Nursery
from chaos.plan import Birth
from nicobar.crypto import new_webhook_secret

if TYPE_CHECKING:
    # Its libraries are loaded only where they are used.
    from support.postgres import Cluster

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
name = "{name}"
connector = "customerio"
handler = "handler.js"
max_messages_per_s = {most}
settings = {{ base_url = "{url}" }}
credentials = {{ site_id = {{ env = "CHAOS_SITE" }}, api_key = {{ env = "{key}" }} }}
"""


class Site:
    """In `directory`, with an endpoint for each destination. `keys` are the secrets that the sender signs with.
    Without a server of PostgreSQL the database is one of SQLite. `calm` is held to change the configuration,
    or to keep it unchanged.
    """

    def __init__(
        self, directory: Path, nursery: Nursery, destinations: Sequence[str], cluster: Cluster | None
    ) -> None:
        self.directory = directory
        self.nursery = nursery
        self.destinations = destinations
        self.outages = Outages()
        self.keys = [new_webhook_secret()]
        self.calm = asyncio.Lock()
        self.data = directory / "data"
        self.database = self.data / "nicobar.db"
        self.names = [f"customerio-{number}" for number in range(len(destinations))]
        self.database_url = cluster.create_database() if cluster else ""
        self._numbers = itertools.count()
        self._secret_key = secrets.token_hex(32)
        self._edition = 0
        self._parts = EDITIONS[0]
        # Where the credentials are wrong.
        self._mistaken: int | None = None

    async def create(self) -> tuple[str, str]:
        """Returns the path of the source's address, and an API token."""
        applied = await self.apply(*(["--new-installation"] if self.database_url else []))
        found = re.search(r"(/in/\S+)$", applied.strip())
        if found is None:
            raise click.ClickException(f"The configuration was rejected: {applied}")
        return found[1], (await self.run("token", "create", "chaos")).strip()

    async def edit(self) -> None:
        """Applies another edition of the handler, and another rate."""
        self._edition += 1
        self._parts = EDITIONS[self._edition % len(EDITIONS)]
        await self.apply()

    async def finish(self) -> None:
        """Applies the last edition."""
        self._edition += 1
        self._parts = LAST_EDITION
        await self.apply()

    async def rotate(self) -> None:
        """A source has two secrets: the latest and a new one. The sender signs with an older one as well, since a
        server that was frozen meanwhile knows only that.
        """
        new = new_webhook_secret()
        await self.apply(keys=[self.keys[-1], new])
        self.keys = [*self.keys[-2:], new]

    async def mistake(self, place: int | None) -> None:
        """Applies wrong credentials for the endpoint there; with None the right ones for all."""
        self._mistaken = place
        await self.apply()

    async def rename(self, place: int) -> None:
        """In the file that is another endpoint, and the former one is not there any more."""
        self._edition += 1
        self.names[place] = f"customerio-{place}-{self._edition}"
        await self.apply("--prune")

    def flags(self) -> list[str]:
        return [f"--data-dir={self.data}", *([f"--database-url={self.database_url}"] if self.database_url else [])]

    def environment(self) -> dict[str, str]:
        own = {"CHAOS_SITE": "demo-site", "CHAOS_KEY": "demo-key", "CHAOS_WRONG_KEY": "wrong-key"}
        own["NICOBAR_ALLOWED_ADDRESSES"] = ",".join(url.removeprefix("http://") for url in self.destinations)
        if self.database_url:
            own["NICOBAR_SECRET_KEY"] = self._secret_key
        return {**{name: value for name, value in os.environ.items() if not name.startswith("NICOBAR_")}, **own}

    async def apply(self, *flags: str, keys: Sequence[str] = ()) -> str:
        """The configuration as it is now."""
        keys = keys or self.keys[-2:]
        variables = [f"CHAOS_SECRET_{number}" for number in range(len(keys))]
        entries = [_SOURCE.format(secrets=", ".join(f'{{ env = "{name}" }}' for name in variables))]
        entries += [
            _ENDPOINT.format(
                name=name,
                url=url,
                most=1_000 + self._edition % 2,
                key="CHAOS_WRONG_KEY" if number == self._mistaken else "CHAOS_KEY",
            )
            for number, (name, url) in enumerate(zip(self.names, self.destinations, strict=True))
        ]
        path = self.directory / "nicobar.toml"
        path.write_text("".join(entries))
        (self.directory / "handler.js").write_text(handler(self._parts, self._edition))
        return await self.run("apply", *flags, str(path), **dict(zip(variables, keys, strict=True)))

    async def run(self, *command: str, **variables: str) -> str:
        """What the command prints; it is repeated while the database is away."""
        while True:
            started_s = time.monotonic()
            number = next(self._numbers)
            out, errors = (self.directory / f"command-{number}.{name}" for name in ("out", "log"))
            process = await self.nursery.bear(
                Birth(
                    arguments=(*command, *self.flags()),
                    environment=self.environment() | variables,
                    out=str(out),
                    errors=str(errors),
                )
            )
            try:
                await process.wait()
            except asyncio.CancelledError:
                process.send_signal(signal.SIGKILL)
                await process.wait()
                raise
            if process.returncode == 0:
                return out.read_text()
            wrong = errors.read_text()
            if "Traceback" in wrong or not self.outages.since(started_s):
                raise click.ClickException(f"nicobar {' '.join(command)} failed: {wrong}")
            await asyncio.sleep(AGAIN_S)


class Outages:
    """When the database was not well, by the steady clock."""

    def __init__(self) -> None:
        self._ended_at_s = 0.0
        self._lasting = 0

    @contextlib.contextmanager
    def lasting(self) -> Iterator[None]:
        """Until the end of the block."""
        self._lasting += 1
        try:
            yield
        finally:
            self._lasting -= 1
            self._ended_at_s = time.monotonic()

    def since(self, at_s: float) -> bool:
        """Whether there was one at that time or later."""
        return self._lasting > 0 or self._ended_at_s >= at_s


def free_port() -> int:
    """Below the range of outgoing connections, so that none uses it while the server is down."""
    for port in secrets.SystemRandom().sample(_PORTS, k=len(_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise click.ClickException(f"No free port from {_PORTS.start} to {_PORTS.stop - 1}.")
