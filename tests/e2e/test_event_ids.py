"""One event counts once in Customer.io, whatever changes on the way: handler, endpoint, installation, webhook id.
Real HTTP, real databases, real sandbox, real emulator.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from nicobar.cli.options import COMMAND_LINE, CommandServices
from nicobar.connectors.registry import CONNECTORS, find_recipe
from nicobar.emulator.app import create_app
from nicobar.emulator.state import State
from nicobar.model import DeliveryState, Endpoint, Setting
from nicobar.pipeline.recorder import Recorded
from nicobar.reasons import Reason
from nicobar.sources.samples import fresh
from nicobar.store import AddTransformation, PutApplication, RemoveEndpoint, RemoveSource, ReplayFilter, TaskKind
from nicobar.use_cases.deliveries import FINAL_STATES
from nicobar.use_cases.replays import start_replay
from nicobar.web.serving import Server
from support.api import Api, asking
from support.records import make_endpoint
from support.server import ADA, TYPES

NOW_MS = 1_789_000_000_000
ONE = 'function handler(w) { w.payload = nicobar.event("step"); return w; }'


def sends(*events: str) -> str:
    return f"function handler(w) {{ w.payload = [{', '.join(events)}]; return w; }}"


@asynccontextmanager
async def customer_io() -> AsyncIterator[tuple[State, str]]:
    """A workspace that outlives the installations that send to it, and its address."""
    state = State()
    server = await Server.start(create_app(state), "127.0.0.1", 0)
    try:
        yield state, server.url
    finally:
        await server.stop()


@asynccontextmanager
async def installed(directory: Path, handler: str, base_url: str, **settings: Setting) -> AsyncIterator[Api]:
    directory.mkdir(exist_ok=True)
    async with asking(directory, handler, endpoint_settings={"base_url": base_url, **settings}) as api:
        yield api


@pytest.fixture
async def workspace():
    async with customer_io() as it:
        yield it


def names(state: State) -> dict[str, int]:
    return dict(Counter(activity.name for activity in state.activities))


def endpoint(api: Api) -> Endpoint:
    return api.nicobar.runtime.configuration.snapshot.endpoints[0]


async def delivered(api: Api, count: int = 1) -> list[Recorded]:
    recorded = [await api.nicobar.next_recorded() for _ in range(count)]
    assert {item.attempt.state for item in recorded} == {DeliveryState.SUCCESS}, recorded
    return recorded


async def publish(api: Api, code: str) -> None:
    runtime = api.nicobar.runtime
    await runtime.store.change([AddTransformation(endpoint_id=endpoint(api).id, code=code, created_at_ms=1)])
    await runtime.configuration.refresh()


async def replay(api: Api, kind: TaskKind, *, new_ids: bool = False) -> None:
    runtime = api.nicobar.runtime
    which = ReplayFilter(states=FINAL_STATES)
    services = CommandServices(
        store=runtime.store,
        vault=runtime.vault,
        clock=runtime.clock,
        ids=runtime.ids,
        settings=runtime.settings,
        snapshot=runtime.configuration.snapshot,
    )
    await start_replay(services, COMMAND_LINE, kind, endpoint(api), which, new_ids=new_ids)


async def recreate(api: Api, base_url: str, code: str, name: str) -> None:
    """Removes the endpoint and creates one of that name, as a change of its name in the file does."""
    runtime = api.nicobar.runtime
    created = make_endpoint(
        vault=runtime.vault,
        ids=runtime.ids,
        app_id=api.app_id,
        name=name,
        kind="customerio",
        settings={"base_url": base_url},
        credentials={"site_id": "demo-site", "api_key": "demo-key"},
    )
    code_of = AddTransformation(endpoint_id=created.id, code=code, created_at_ms=1)
    await runtime.store.change([RemoveEndpoint(endpoint_id=endpoint(api).id), created, code_of])
    await runtime.configuration.refresh()
    assert endpoint(api).name == name


CHANGES = {
    "an event before": (
        ['nicobar.event("step")'],
        ['nicobar.event("receipt")', 'nicobar.event("step")'],
        {"step": 2, "receipt": 2},
    ),
    "one event less": (
        ['nicobar.event("receipt")', 'nicobar.event("step")'],
        ['nicobar.event("step")'],
        {"step": 2, "receipt": 2},
    ),
    "another order": (
        ['nicobar.event("a")', 'nicobar.event("b")', 'nicobar.event("c")'],
        ['nicobar.event("c")', 'nicobar.event("a")', 'nicobar.event("b")'],
        {"a": 2, "b": 2, "c": 2},
    ),
    "another order of equal names": (
        ['nicobar.event("a", {}, {key: "1"})', 'nicobar.event("a", {}, {key: "2"})'],
        ['nicobar.event("a", {}, {key: "3"})', 'nicobar.event("a", {}, {key: "2"})'],
        {"a": 6},
    ),
    "another person before": (
        ['nicobar.event("a")'],
        ['nicobar.event("a", {}, {identifiers: {id: "cus_other"}})', 'nicobar.event("a")'],
        {"a": 4},
    ),
    "the same person by email": (
        ['nicobar.event("a")'],
        [f'nicobar.event("a", {{}}, {{identifiers: {{email: "{ADA.email.upper()}"}}}})'],
        {"a": 2},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_replay_after_handler_change_adds_only_new_events(tmp_path, workspace, change):
    state, url = workspace
    before, after, expected = CHANGES[change]
    async with installed(tmp_path, sends(*before), url) as api:
        for event_id in ("evt_1", "evt_2"):
            await api.nicobar.send_sample("payment.succeeded", event_id)
        await delivered(api, 2)
        await publish(api, sends(*after))
        await replay(api, TaskKind.BULK_REPLAY)
        await delivered(api, 2)
    assert names(state) == expected


@pytest.mark.parametrize("name", ["customerio", "renamed"])
async def test_recreated_endpoint_doubles_nothing(tmp_path, workspace, name):
    state, url = workspace
    async with installed(tmp_path, ONE, url) as api:
        for event_id in ("evt_1", "evt_2", "evt_3"):
            await api.nicobar.send_sample("payment.succeeded", event_id)
        await delivered(api, 3)
        await recreate(api, url, ONE, name)
        await replay(api, TaskKind.REPLAY_MISSING)
        await delivered(api, 3)
    assert names(state) == {"step": 3}


async def test_deleted_source_changes_no_event_id(tmp_path, workspace):
    state, url = workspace
    by_email = sends(f'nicobar.event("a", {{}}, {{identifiers: {{email: "{ADA.email}"}}}})')
    async with installed(tmp_path, by_email, url) as api:
        await api.nicobar.send_sample("payment.succeeded", "evt_1")
        await delivered(api)
        runtime = api.nicobar.runtime
        await runtime.store.change([RemoveSource(source_id=runtime.configuration.snapshot.sources[0].id)])
        await runtime.configuration.refresh()
        await replay(api, TaskKind.BULK_REPLAY)
        await delivered(api)
    assert names(state) == {"a": 1}


async def test_two_installations_send_one_event(tmp_path, workspace):
    state, url = workspace
    chance = sends('nicobar.event("step")', '{...nicobar.event("drawn"), id: `n${Math.random()}`}')
    body = fresh(TYPES["payment.succeeded"], NOW_MS, ADA)
    for name in ("first", "second"):
        async with installed(tmp_path / name, chance, url) as api:
            await api.nicobar.send(body, "evt_1")
            await delivered(api)
    assert names(state) == {"step": 1, "drawn": 1}


async def test_redelivery_after_restore_adds_nothing(tmp_path, workspace):
    state, url = workspace
    directory, backup = tmp_path / "live", tmp_path / "restored"
    body = fresh(TYPES["payment.succeeded"], NOW_MS, ADA)
    async with installed(directory, ONE, url) as api:
        secrets = api.nicobar.secrets
    shutil.copytree(directory, backup)
    for where in (directory, backup):
        async with installed(where, ONE, url) as api:
            api.nicobar.secrets = secrets
            status, _ = await api.nicobar.send(body, "evt_1")
            assert status == 202, "the restored database does not know the event"
            await delivered(api)
    assert names(state) == {"step": 1}


MONEY = {
    "journeys": ["payment.succeeded", "refund.succeeded", "dispute.opened", "subscription.renewed"],
    "subscription_life_cycle": ["subscription.renewed"],
    "payment_failure": ["payment.failed", "subscription.past_due"],
}


@pytest.mark.parametrize("name", MONEY)
async def test_payment_under_two_webhook_ids_counts_once(tmp_path, workspace, name):
    state, url = workspace
    types = MONEY[name]
    async with installed(tmp_path, find_recipe(name, CONNECTORS).code, url) as api:
        bodies = {name: fresh(TYPES[name], api.nicobar.runtime.clock.now_ms(), ADA) for name in types}
        recorded = []
        for event_id in ("evt_1", "evt_2"):
            for event_type, body in bodies.items():
                await api.nicobar.send(body, f"{event_type}/{event_id}")
            recorded += [await api.nicobar.next_recorded() for _ in types]
        first = {item.message.id: item for item in recorded if item.message.event_id.endswith("/evt_1")}
        again = [item for item in recorded if item.message.id not in first]
        assert len(first) == len(again) == len(types)
        for item in again:
            (why,) = [reason for reason in reasons(item) if reason.code == "already_sent"]
            assert why.values["message_id"] in first
    assert set(names(state).values()) == {1}, names(state)
    assert len(names(state)) == len(types)


def reasons(item: Recorded) -> list[Reason]:
    return [verdict.reason for verdict in item.attempt.verdicts]


async def test_fact_of_another_message_is_not_sent_again(tmp_path, workspace):
    state, url = workspace
    once = sends('nicobar.event("paid", {}, {once: w.payload.data.payment_id})')
    async with installed(tmp_path, once, url, keep_profile=False) as api:
        runtime = api.nicobar.runtime
        body = fresh(TYPES["payment.succeeded"], runtime.clock.now_ms(), ADA)
        await api.nicobar.send(body, "evt_1")
        (first,) = await delivered(api)
        requests = len(state.requests)
        await api.nicobar.send(body, "evt_2")
        again = await api.nicobar.next_recorded()
        assert (again.attempt.state, len(state.requests)) == (DeliveryState.CANCELED, requests)
        assert again.attempt.reason is not None
        assert (again.attempt.reason.code, again.attempt.reason.values) == (
            "already_sent",
            {"message_id": first.message.id},
        )
        shown = await api.ask("GET", f"{api.app}/attempt/msg/{again.message.id}")
        assert first.message.id in str(shown.body)
        for new_ids, count in ((False, 1), (True, 2)):
            await replay(api, TaskKind.BULK_REPLAY, new_ids=new_ids)
            for _ in range(2):
                await api.nicobar.next_recorded()
            assert names(state) == {"paid": count}, "its own message may send it again; new ids are new"


def changed(event_type: str, api: Api, **data: object) -> bytes:
    value = msgspec.json.decode(fresh(TYPES[event_type], api.nicobar.runtime.clock.now_ms(), ADA))
    value["data"] |= data
    return msgspec.json.encode(value)


async def test_every_occurrence_of_a_fact_arrives_once(tmp_path, workspace):
    state, url = workspace
    async with installed(tmp_path, find_recipe("journeys", CONNECTORS).code, url) as api:
        bodies = []
        began = "2025-12-14T08:12:09.402117Z"
        for month in range(14):
            year, period = 2026 + month // 12, month % 12 + 1
            starts = f"{year}-{period:02}-14T08:12:09.402117Z"
            renewed = {"created_at": began, "previous_billing_date": starts, "payment_id": None}
            bodies.append(changed("subscription.renewed", api, **renewed))
            bodies.append(changed("payment.succeeded", api, payment_id=f"pay_{month}", charge_type="renewal"))
        for run in ("2026-03-01T00:00:00Z", "2026-09-01T00:00:00Z"):
            value = msgspec.json.decode(changed("dunning.recovered", api, created_at=run))
            bodies.append(msgspec.json.encode({**value, "timestamp": run.replace("01T", "03T")}))
            value = msgspec.json.decode(changed("subscription.on_hold", api, subscription_id="sub_held"))
            bodies.append(msgspec.json.encode({**value, "timestamp": run.replace("01T", "03T")}))
        bodies += [changed("refund.succeeded", api, refund_id=f"ref_{number}") for number in range(3)]
        for stage in ("dispute", "pre_arbitration"):
            bodies += [
                changed("dispute.opened", api, dispute_stage=stage, dispute_id="dp_open"),
                changed("dispute.lost", api, dispute_stage=stage),
            ]
        for attempt in ("first", "again"):
            for number, body in enumerate(bodies):
                await api.nicobar.send(body, f"{attempt}_{number}")
            for _ in bodies:
                await api.nicobar.next_recorded()
            assert names(state) == {
                "subscription_renewed": 14,
                "payment_succeeded": 14,
                "dunning_recovered": 2,
                "subscription_on_hold": 2,
                "refund_succeeded": 3,
                "dispute_opened": 2,
                "dispute_lost": 2,
            }, attempt


async def test_events_of_one_name_for_several_people_all_arrive(tmp_path, workspace):
    state, url = workspace
    team = ['nicobar.event("a")', 'nicobar.event("a")', 'nicobar.event("a", {}, {key: "k"})']
    team += [f'nicobar.event("a", {{}}, {{identifiers: {{id: "cus_{n}"}}}})' for n in (1, 2)]
    async with installed(tmp_path, sends(*team), url) as api:
        await api.nicobar.send_sample("payment.succeeded", "evt_1")
        (call,) = await delivered(api)
        await publish(api, sends(*reversed(team)))
        await replay(api, TaskKind.BULK_REPLAY)
        await delivered(api)
    assert names(state) == {"a": 5}
    assert len([verdict for verdict in call.attempt.verdicts if verdict.rule == "equal_events"]) == 1
    sent = "".join(request.body for request in call.attempt.requests)
    assert '"key"' not in sent


async def test_each_replay_with_new_ids_sends_new_events(tmp_path, workspace):
    state, url = workspace
    ulid = "01J8ZQ6V5M3X5T9W8Y7R4K2N1P"
    code = sends(
        'nicobar.event("own")',
        'nicobar.event("fact", {}, {once: "f"})',
        '{...nicobar.event("natural"), id: "n-1"}',
        f'{{...nicobar.event("given"), id: "{ulid}"}}',
    )
    async with installed(tmp_path, code, url) as api:
        await api.nicobar.send_sample("payment.succeeded", "evt_1")
        await delivered(api)
        for times in (2, 3):
            await replay(api, TaskKind.BULK_REPLAY, new_ids=True)
            await delivered(api)
            assert set(names(state).values()) == {times}
        await replay(api, TaskKind.BULK_REPLAY)
        await delivered(api)
        assert set(names(state).values()) == {3}, "without new ids nothing is added"
        await recreate(api, url, code, "again")
        await replay(api, TaskKind.REPLAY_MISSING)
        await delivered(api)
        assert set(names(state).values()) == {3}
        await replay(api, TaskKind.BULK_REPLAY, new_ids=True)
        await delivered(api)
        assert set(names(state).values()) == {4}, "new ids are new at a recreated endpoint, too"


async def test_api_events_count_once_by_their_event_id(tmp_path, workspace):
    state, url = workspace
    payload = {"data": {"customer": {"customer_id": ADA.key, "email": ADA.email}}}
    given = {"eventType": "order.paid", "eventId": "order-1", "payload": payload}
    nameless = {"eventType": "order.paid", "payload": payload}
    for name in ("first", "second"):
        async with installed(tmp_path / name, sends("nicobar.event(w.eventType)"), url) as api:
            for message in (given, nameless, nameless):
                assert (await api.ask("POST", f"{api.app}/msg", message)).status == 202
            keyed = await api.ask("POST", f"{api.app}/msg", nameless, idempotency_key="order-2/paid")
            assert (keyed.status, keyed.body["eventId"]) == (202, None)
            token = await api.make_token()
            again = await api.ask("POST", f"{api.app}/msg", nameless, token=token, idempotency_key="order-2/paid")
            assert (again.status, again.body["code"]) == (409, "idempotency_key_reused")
            await delivered(api, 4)
            await replay(api, TaskKind.BULK_REPLAY)
            await delivered(api, 4)
    assert names(state) == {"order.paid": 1 + 2 + 2 + 1}


async def test_two_applications_never_share_an_event_id(tmp_path, workspace):
    state, url = workspace
    async with installed(tmp_path, ONE, url) as api:
        body = {"eventType": "order.paid", "eventId": "order-1", "payload": {"data": {"customer_id": "cus_1"}}}
        assert (await api.ask("POST", f"{api.app}/msg", body)).status == 202
        await delivered(api)
        runtime = api.nicobar.runtime
        (application,) = runtime.configuration.snapshot.applications
        renamed = msgspec.structs.replace(application, uid="another")
        await runtime.store.change([PutApplication(application=renamed)])
        await runtime.configuration.refresh()
        await replay(api, TaskKind.BULK_REPLAY)
        await delivered(api)
    assert names(state) == {"step": 2}


async def test_samples_sent_twice_arrive_twice_with_a_recipe(tmp_path, workspace):
    state, url = workspace
    async with installed(tmp_path, find_recipe("journeys", CONNECTORS).code, url) as api:
        example = f"{api.app}/endpoint/{endpoint(api).id}/send-example"
        for _ in range(2):
            answer = await api.ask("POST", example, {"eventType": "payment.succeeded"})
            assert answer.status == 202, answer.body
        await delivered(api, 2)
    assert names(state) == {"payment_succeeded": 2}
