"""Checks code before it becomes a version."""

from __future__ import annotations

import hashlib

from nicobar.sandbox import Broken, Failure, Job, Sandbox

_NEVER = frozenset({Failure.SYNTAX_ERROR, Failure.NO_HANDLER, Failure.CODE_TOO_LARGE})


async def why_it_cannot_run(sandbox: Sandbox, code: str, now_ms: int) -> Broken | None:
    """The error of code that can never run; None for any other code. Raises SandboxError."""
    # The sandbox caches compiled code by this id. The code shares a process with no other.
    code_id = f"check/{hashlib.sha256(code.encode('utf-8', 'surrogatepass')).hexdigest()}"
    job = Job(
        app_id=code_id,
        code_id=code_id,
        code=code,
        body=b'{"type":"check","data":{}}',
        event_type="check",
        url="",
        now_ms=now_ms,
        occurred_at_ms=now_ms,
        seed="",
    )
    (result,) = await sandbox.run([job])
    return result if isinstance(result, Broken) and result.failure in _NEVER else None
