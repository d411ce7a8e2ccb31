"""The file of `apply` and the API change the same things by the same code."""

from __future__ import annotations

from pathlib import Path

import pytest

from nicobar.cli.options import CommandLine, CommandServices
from nicobar.crypto import new_webhook_secret
from nicobar.errors import ConfigurationError
from nicobar.reasons import plain
from nicobar.store import PauseEndpoint
from nicobar.use_cases.config_file import ACTOR, Plan, Planner, read_document
from nicobar.use_cases.config_file_export import write_document
from support.api import Api, asking
from support.shared import SANDBOX

HANDLER = 'function handler(webhook) { webhook.payload = nicobar.event("paid", {}); return webhook; }'


def services(api: Api) -> CommandServices:
    runtime = api.nicobar.runtime
    return CommandServices(
        store=runtime.store,
        vault=runtime.vault,
        clock=runtime.clock,
        ids=runtime.ids,
        settings=runtime.settings,
        snapshot=runtime.configuration.snapshot,
    )


async def planned(api: Api, folder: Path, environment: dict[str, str], *, prune: bool = False) -> Plan:
    snapshot = await api.nicobar.runtime.store.snapshot()
    sandbox = await SANDBOX.get()
    planner = Planner(services(api), snapshot, sandbox=sandbox, folder=folder, environment=environment)
    return await planner.plan(read_document(folder / "nicobar.toml"), prune=prune)


async def apply(api: Api, plan: Plan) -> None:
    async with services(api).edit(CommandLine(ACTOR)) as edit:
        await edit.commit_acts(plan.acts)


async def test_what_the_api_made_is_exported_and_applied_again(tmp_path):
    async with asking(tmp_path / "data") as api:
        secret = new_webhook_secret()
        source = {"name": "shop", "type": "svix", "config": {"secret": secret}, "metadata": {"a": "b"}, "uid": "shop"}
        stated = {"mode": "test", "historyCompleteSince": "2026-01-31T09:30:00Z"}
        assert (await api.ask("POST", "/ingest/api/v1/source", source | stated)).status == 201
        endpoint = {
            "name": "hooks",
            "url": "https://shop.example/",
            "secret": secret,
            "channels": ["eu"],
            "headers": {"x-a": "1"},
            "throttleRate": 5,
            "retrySchedule": [{"secs": 90, "nanos": 0}],
            "mode": "test",
            "businessIds": ["bus_1"],
            "brandIds": ["brnd_1", "brnd_2"],
        }
        typed = "/api/v1/event-type/payment.succeeded"
        await api.ask("PUT", f"{typed}/retry-schedule", {"retrySchedule": []})
        made = (await api.ask("POST", f"{api.app}/endpoint", endpoint)).body
        runtime = api.nicobar.runtime
        write_document(runtime.vault, await runtime.store.snapshot(), tmp_path / "nicobar.toml", force=False)
        written = (tmp_path / "nicobar.toml").read_text()
        assert "retry_schedule = []" in written
        assert '"90s"' in written
        environment = {"SHOP_SECRET": secret, "HOOKS_SECRET": secret, "DODO_SECRET": api.nicobar.secrets[0]}
        plan = await planned(api, tmp_path, environment)
        assert set(plan.sentences) == {"source shop: changed", "source dodo: changed", "endpoint hooks: changed"}
        await apply(api, plan)
        assert (await planned(api, tmp_path, environment)).acts == ()
        after = (await api.ask("GET", f"{api.app}/endpoint/{made['id']}")).body
        assert {name: value for name, value in after.items() if name != "updatedAt"} == {
            name: value for name, value in made.items() if name != "updatedAt"
        }
        assert (await api.ask("GET", f"{api.app}/endpoint/{made['id']}/headers")).body["sensitive"] == ["x-a"]
        assert (await api.ask("GET", f"{typed}/retry-schedule")).body == {"retrySchedule": []}
        shown = (await api.ask("PUT", "/ingest/api/v1/source/shop", source)).body  # what it omits is kept
        assert shown["metadata"] == {"a": "b"}
        assert {name: shown[name] for name in stated} == stated
        cleared = {"mode": None, "historyCompleteSince": None}
        shown = (await api.ask("PATCH", "/ingest/api/v1/source/shop", cleared)).body
        assert {name: shown[name] for name in cleared} == cleared
        log = (await api.ask("GET", "/api/v1/audit-log?actor=apply")).body["data"]
        assert {item["action"] for item in log} == {"source.update", "endpoint.update"}


async def test_only_new_credentials_in_a_file_end_a_pause(tmp_path):
    async with asking(tmp_path / "data") as api:
        runtime = api.nicobar.runtime
        entry = '[[endpoints]]\nname = "hooks"\nconnector = "http"\nsettings = {{ url = "https://a.example/" }}\n'
        entry += 'credentials = {{ secret = {{ env = "S" }} }}\nmax_messages_per_s = {0}\n'
        secrets = [new_webhook_secret(), new_webhook_secret()]
        for secret, rate, sentence, paused in (
            (secrets[0], 1, "added", None),
            (secrets[0], 2, "changed", "401"),
            (secrets[1], 2, "changed, resumed", None),
        ):
            (tmp_path / "nicobar.toml").write_text(entry.format(rate))
            plan = await planned(api, tmp_path, {"S": secret})
            assert plan.sentences == (f"endpoint hooks: {sentence}",)
            await apply(api, plan)
            (endpoint,) = (await runtime.store.snapshot()).endpoints
            assert endpoint.paused_reason == (paused and plain(paused))
            await runtime.store.change([PauseEndpoint(endpoint_id=endpoint.id, reason=plain("401"))])


async def test_a_file_leaves_other_applications_alone(tmp_path):
    async with asking(tmp_path / "data") as api:
        await api.ask("POST", "/api/v1/app", {"name": "Other", "uid": "other"})
        other = {"name": "hooks", "url": "https://other.example/"}
        await api.ask("POST", "/api/v1/app/other/endpoint", other)
        (tmp_path / "nicobar.toml").write_text("")
        plan = await planned(api, tmp_path, {}, prune=True)
        assert plan.sentences == ("source dodo: deleted",)
        runtime = api.nicobar.runtime
        write_document(runtime.vault, await runtime.store.snapshot(), tmp_path / "nicobar.toml", force=True)
        assert "hooks" not in (tmp_path / "nicobar.toml").read_text()


async def test_an_event_type_keeps_properties_missing_from_a_file(tmp_path):
    async with asking(tmp_path / "data") as api:
        schemas = {"1": {"type": "object"}}
        await api.ask("POST", "/api/v1/event-type", {"name": "order.placed", "description": "A", "schemas": schemas})
        (tmp_path / "nicobar.toml").write_text('[[event_types]]\nname = "order.placed"\ndescription = "B"\n')
        await apply(api, await planned(api, tmp_path, {}))
        shown = (await api.ask("GET", "/api/v1/event-type/order.placed")).body
        assert (shown["description"], shown["schemas"]) == ("B", schemas)
        assert (await planned(api, tmp_path, {})).acts == ()


async def test_a_file_gives_a_built_in_event_type_a_schedule_only(tmp_path):
    one = "/api/v1/event-type/payment.succeeded"
    async with asking(tmp_path / "data") as api:
        before = (await api.ask("GET", one)).body
        (tmp_path / "nicobar.toml").write_text(
            '[[event_types]]\nname = "payment.succeeded"\nretry_schedule = ["1s", "1d"]\n'
        )
        await apply(api, await planned(api, tmp_path, {}))
        after = (await api.ask("GET", one)).body
        assert (after["description"], after["example"]) == (before["description"], before["example"])
        (tmp_path / "nicobar.toml").write_text(
            '[[event_types]]\nname = "payment.succeeded"\nretry_schedule = ["1w"]\n'
        )
        with pytest.raises(ConfigurationError, match=r"payment\.succeeded .*'1w' is not a delay"):
            await planned(api, tmp_path, {})


async def test_every_handler_of_a_file_is_checked(tmp_path):
    async with asking(tmp_path / "data") as api:
        (tmp_path / "good.js").write_text(HANDLER)
        (tmp_path / "bad.js").write_text("function handler(webhook) {\n  return )\n}")
        entry = '[[endpoints]]\nname = "{0}"\nconnector = "http"\nhandler = "{0}.js"\n'
        entry += 'settings = {{ url = "https://a.example/" }}\ncredentials = {{ secret = {{ env = "S" }} }}\n'
        (tmp_path / "nicobar.toml").write_text(entry.format("good") + entry.format("bad"))
        with pytest.raises(ConfigurationError, match=r"bad\.js, line 2"):
            await planned(api, tmp_path, {"S": new_webhook_secret()})


async def test_other_headers_do_not_follow_a_file_s_new_host(tmp_path):
    async with asking(tmp_path / "data") as api:
        secret = new_webhook_secret()
        entry = '[[endpoints]]\nname = "hooks"\nconnector = "http"\nsettings = {{ url = "{}" }}\n'
        entry += 'credentials = {{ secret = {{ env = "S" }} }}\n'
        body = {
            "name": "hooks",
            "url": "https://a.example/",
            "secret": secret,
            "headers": {"authorization": "stored"},
        }
        made = (await api.ask("POST", f"{api.app}/endpoint", body)).body
        (tmp_path / "nicobar.toml").write_text(entry.format("https://a.example/other"))
        assert (await planned(api, tmp_path, {"S": secret})).sentences == (
            "endpoint hooks: changed, URL changed at https://a.example:443",
        )
        (tmp_path / "nicobar.toml").write_text(entry.format("https://b.example/"))
        with pytest.raises(ConfigurationError) as caught:
            await planned(api, tmp_path, {"S": secret})
        assert "hooks was not changed" in caught.value.detail
        assert caught.value.fix == "Enter these again, or remove them: header authorization."
        await api.ask("PUT", f"{api.app}/endpoint/{made['id']}/headers", {"headers": {}})
        assert len((await planned(api, tmp_path, {"S": secret})).acts) == 1
