"""Jobs for the sandbox's tests."""

from __future__ import annotations

import msgspec

from nicobar.sandbox import Calls, Job
from nicobar.sandbox.pool import SandboxPool


def job(code: str, *, body: bytes = b'{"data":{"a":1}}', code_id: str | None = None, **more: object) -> Job:
    values = {"customer_key": "cus_1", "seed": "seed", "now_ms": 1_700_000_000_000} | more
    return Job(
        code_id=code_id or code,
        code=code,
        body=body,
        event_type="payment.succeeded",
        url="https://track.example/entity",
        occurred_at_ms=1,
        **values,
    )


async def payload(pool: SandboxPool, code: str, **more: object) -> object:
    """The payload of the only call of a handler that works."""
    (result,) = await pool.run([job(code, **more)])
    assert isinstance(result, Calls), result
    return msgspec.to_builtins(result.calls[0].payload)
