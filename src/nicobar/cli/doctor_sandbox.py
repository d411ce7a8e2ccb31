"""What `nicobar doctor` finds out about the sandbox: whether handlers run, and what isolates them on this machine."""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import click

from nicobar.errors import NicobarError
from nicobar.sandbox import Bounds, Calls, Job, wall
from nicobar.sandbox.pool import SandboxPool

Look: TypeAlias = Callable[[str, Callable[[], Awaitable[str]]], Awaitable[None]]
_ONLY_ENGINE = "Handlers are isolated by the JavaScript engine only."


async def examine_sandbox(
    look: Callable[[str, Callable[[], Awaitable[str]]], Awaitable[None]], pool: SandboxPool
) -> None:
    """`look` prints the result of a check, under a name."""
    await look("sandbox", lambda: _run(pool))
    bounds = Bounds()
    click.echo(
        f"● sandbox engine: any system: handlers run in processes of their own, with at most "
        f"{bounds.memory_bytes // 1024**2} MiB and {bounds.run_ms} ms of CPU time per event."
    )
    system = f"{platform.system()} on {platform.machine()}"
    if pool.is_walled:
        await look("sandbox filter", lambda: _filter(pool, system))
    elif wall.is_available():
        click.echo(f"○ sandbox filter: {system}: turned off by NICOBAR_SANDBOX=engine. {_ONLY_ENGINE}")
    else:
        click.echo(f"○ sandbox filter: {system}: none. {_ONLY_ENGINE} Use Linux for code that you do not trust.")


async def _run(pool: SandboxPool) -> str:
    code = "function handler(webhook) { webhook.payload = {a: 1}; return webhook; }"
    job = Job(code_id="doctor", code=code, body=b"{}", event_type="", url="", now_ms=0, occurred_at_ms=0, seed="")
    (result,) = await pool.run([job])
    if not isinstance(result, Calls):
        raise NicobarError("sandbox_broken", f"A test handler returned {result}.", "Reinstall Nicobar.")
    return "handlers run."


async def _filter(pool: SandboxPool, system: str) -> str:
    await pool.check_wall()
    return f"{system}: no files, connections, processes and new privileges (seccomp)."
