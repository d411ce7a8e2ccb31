"""The field's own JavaScript client against the API."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from support.api import asking

NODE = Path(__file__).parent / "node"
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
EXPECTED = {
    "health": None,
    "application.create": "made",
    "application.getOrCreate": "Acme",
    "application.get": {"plan": "pro"},
    "application.patch": "Acme Ltd",
    "application.upsert": "Acme Inc",
    "application.list": 1,
    "application.taken": {"status": 409, "code": "conflict"},
    "application.invalid": {"status": 422, "code": "validation"},
    "eventType.create": "order.placed",
    "eventType.patch": True,
    "eventType.list": 49,
    "eventType.delete": None,
    "connector.list": ["CustomerIO", "Custom"],
    "endpoint.create": "http://127.0.0.1:9/hooks",
    "endpoint.patch": "The shop",
    "endpoint.list": 1,
    "endpoint.getSecret": "whsec_",
    "endpoint.rotateSecret": None,
    "endpoint.secret": True,
    "endpoint.setHeaders": ["x-shop"],
    "transformation.patch": True,
    "message.create": "order-7",
    "message.get": {"number": 7},
    "message.list": 1,
    "messageAttempt.listAttemptedDestinations": [True],
    "endpoint.recover": "endpoint.recover",
    "endpoint.replayMissing": "running",
    "backgroundTask.list": 2,
    "ingest.source.create": "svix",
    "ingest.source.rotateToken": True,
    "ingest.source.list": True,
    "ingest.source.delete": None,
    "authentication.appPortalAccess": ["acme"],
    "endpoint.delete": None,
    "application.delete": None,
    "application.gone": {"status": 404, "code": "not_found"},
}


async def test_the_javascript_client_finds_everything_it_calls(tmp_path):
    async with asking(tmp_path) as api:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("node")),
            str(NODE / "svix.mjs"),
            api.token,
            api.url,
            SECRET,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert dict(json.loads(line) for line in output.splitlines()) == EXPECTED
