"""What every store promises about tokens, kept answers and the switch of a transformation."""

from __future__ import annotations

import asyncio

import pytest

from nicobar.errors import ConfigurationError, StoreMoved
from nicobar.model import Application, Scope, Token
from nicobar.store import (
    AddTransformation,
    BasedOn,
    EnableTransformation,
    KeptAnswer,
    PutApplication,
    PutEndpoint,
    PutToken,
    RemoveApplication,
)


def token(number: int, **more: object) -> Token:
    return Token(id=f"tok_{number}", name="one", sha256=f"hash-{number}", created_at_ms=number, **more)


async def test_a_token_is_found_by_its_hash(store):
    other = Application(id="app_1", uid="one")
    limited = token(
        2, scope=Scope.APPLICATION_READ_ONLY, app_id=other.id, portal=True, session_id="s", expires_at_ms=9
    )
    await store.change([PutApplication(application=other)])
    await store.change([PutToken(token=token(1)), PutToken(token=limited)])
    assert await store.token("hash-2") == limited
    assert await store.token("hash-3") is None
    assert [token.id for token in await store.tokens()] == ["tok_1", "tok_2"]
    await store.change([RemoveApplication(app_id=other.id)])
    assert await store.token("hash-2") is None, "its application is gone"


async def test_a_token_s_last_use_is_kept_through_changes(store):
    await store.change([PutToken(token=token(1))])
    version = await store.version()
    await store.touch_token("tok_1", at_ms=50)
    assert await store.version() == version
    await store.change([PutToken(token=token(1, revoked_at_ms=60))])
    kept = await store.token("hash-1")
    assert (kept.last_used_at_ms, kept.revoked_at_ms) == (50, 60)


async def test_changes_based_on_an_old_version_are_rejected(store):
    version = await store.version()
    await store.change([BasedOn(version=version), PutToken(token=token(1))])
    with pytest.raises(StoreMoved):
        await store.change([BasedOn(version=version), PutToken(token=token(2))])
    assert [token.id for token in await store.tokens()] == ["tok_1"]
    assert await store.version() == version + 1


async def begin(store, key="k", request="r", now_ms=100, before_ms=0) -> KeptAnswer | None:
    return await store.begin_answer("tok_1", key, request, now_ms=now_ms, before_ms=before_ms)


async def test_of_many_requests_with_one_key_one_takes_the_place(store):
    took = await asyncio.gather(*(begin(store) for _ in range(20)))
    assert took.count(None) == 1
    assert {item.status for item in took if item is not None} == {0}


async def test_an_answer_is_kept_dropped_and_too_old(store):
    assert await store.answer("tok_1", "k") is None
    assert await begin(store) is None
    assert await store.answer("tok_1", "k") == KeptAnswer(request="r", status=0, body=b"")
    await store.keep_answer("tok_1", "k", status=201, body=b"{}")
    assert await store.answer("tok_1", "k") == KeptAnswer(request="r", status=201, body=b"{}")
    assert await begin(store, request="other") == KeptAnswer(request="r", status=201, body=b"{}")
    await store.drop_answer("tok_1", "k")
    assert (await begin(store)).status == 201
    assert await begin(store, before_ms=101) is None
    await store.drop_answer("tok_1", "k")
    assert await begin(store) is None
    assert await store.begin_answer("tok_2", "k", "r", now_ms=100, before_ms=0) is None


async def test_a_transformation_is_switched_off_and_keeps_its_code(store):
    (app,) = (await store.snapshot()).applications
    put = PutEndpoint(
        id="ep_1",
        app_id=app.id,
        name="one",
        connector="http",
        settings={},
        sealed_credentials=b"",
        credential_references={},
        event_types=(),
        variables={},
        disabled=False,
    )
    added = AddTransformation(endpoint_id="ep_1", code="code", created_at_ms=1)
    await store.change([put, added, EnableTransformation(endpoint_id="ep_1", enabled=False)])
    (endpoint,) = (await store.snapshot()).endpoints
    assert (endpoint.transformation_enabled, endpoint.transformation.code) == (False, "code")
    await store.change([put])
    assert (await store.snapshot()).endpoints[0].transformation_enabled is False
    with pytest.raises(ConfigurationError):
        await store.change([EnableTransformation(endpoint_id="ep_2", enabled=True)])
