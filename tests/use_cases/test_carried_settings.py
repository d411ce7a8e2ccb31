"""What identifies people was a variable of the recipes: it becomes the setting wherever an endpoint is read."""

from __future__ import annotations

import pytest

from nicobar.cli.options import CommandLine, CommandServices
from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.customerio.recipes import RECIPES
from nicobar.pipeline.carried_settings import read_snapshot
from nicobar.store import AddTransformation
from nicobar.use_cases.config_file import ACTOR, Planner, read_document
from nicobar.use_cases.dry_run import dry_target
from support.api import asking
from support.handlers import EARLIER_RECIPE
from support.records import make_endpoint
from support.shared import SANDBOX

SECRETS = {"site_id": "a", "api_key": "b"}
FIXED = {"identify_fallback": "reject", "trust_metadata": True, "event_ids_by": "metadata.user"}


@pytest.mark.parametrize(
    ("value", "settings", "expected"),
    [
        ("email", {}, {"identify_by": "email"}),
        ("customer_id", {"region": "eu"}, {"region": "eu", "identify_by": "customer_id"}),
        ("metadata.user", {}, {"identify_by": "metadata.user", **FIXED}),
        ("email", {"identify_by": "customer_id"}, {"identify_by": "customer_id"}),
        ("", {}, None),
        ("mail", {}, None),
        ("metadata.", {}, None),
    ],
)
def test_variable_becomes_the_setting(value, settings, expected):
    for code in (None, EARLIER_RECIPE, RECIPES[0].code):
        found = CustomerIo().carried_settings(settings, {"IDENTIFIER": value, "A": "b"}, code)
        assert found == (expected and (expected, {"A": "b"}))


def test_variable_of_code_of_its_own_stays():
    own = "function handler(w) { return w.env.IDENTIFIER === 'email' ? w : null; }"
    also = f"{EARLIER_RECIPE}\nfunction log(w) {{ console.log(w.env['IDENTIFIER']); }}"
    for code in (own, also):
        assert CustomerIo().carried_settings({}, {"IDENTIFIER": "email"}, code) is None
    assert CustomerIo().carried_settings({}, {"A": "b"}, None) is None


async def test_endpoint_of_the_version_before_is_read_with_the_setting_and_stays_stored(tmp_path):
    async with asking(tmp_path) as api:
        runtime = api.nicobar.runtime
        put = make_endpoint(
            vault=runtime.vault,
            ids=runtime.ids,
            app_id=api.app_id,
            kind="customerio",
            name="mails",
            credentials=SECRETS,
            variables={"IDENTIFIER": "email"},
        )
        version = AddTransformation(endpoint_id=put.id, code=EARLIER_RECIPE, created_at_ms=1)
        await runtime.store.change([put, version])
        await runtime.configuration.refresh()
        (opened,) = [it for it in runtime.configuration.endpoints.values() if it.endpoint.id == put.id]
        assert str(opened.destination.identity_rule) == "email"
        assert opened.endpoint.variables == {}
        (stored,) = (await runtime.store.snapshot()).endpoints
        # A process of the version before reads this.
        assert (stored.settings, stored.variables) == ({}, {"IDENTIFIER": "email"})
        path = f"{api.app}/endpoint/{put.id}"
        assert (await api.ask("PATCH", path, {"description": "x"})).status == 200
        (stored,) = (await runtime.store.snapshot()).endpoints
        assert (stored.settings, stored.variables) == ({"identify_by": "email"}, {})
        version_path = f"{path}/transformation"
        changed = {"variables": {"IDENTIFIER": "metadata.user", "PLAN": "pro"}}
        assert (await api.ask("PATCH", version_path, changed)).status < 300
        (stored,) = (await runtime.store.snapshot()).endpoints
        assert (stored.settings, stored.variables) == ({"identify_by": "email"}, {"PLAN": "pro"}), "it was answered"


async def test_file_with_the_variable_is_applied_as_the_setting_with_a_note(tmp_path):
    async with asking(tmp_path / "data") as api:
        runtime = api.nicobar.runtime
        (tmp_path / "handler.js").write_text(EARLIER_RECIPE)
        entry = '[[endpoints]]\nname = "mails"\nconnector = "customerio"\nhandler = "handler.js"\n'
        entry += 'credentials = { site_id = { env = "S" }, api_key = { env = "K" } }\n'
        entry += 'variables = { IDENTIFIER = "metadata.user", PLAN = "pro" }\n'
        (tmp_path / "nicobar.toml").write_text(entry)
        for sentences in (("endpoint mails: added",), ()):
            services = CommandServices(
                store=runtime.store,
                vault=runtime.vault,
                clock=runtime.clock,
                ids=runtime.ids,
                settings=runtime.settings,
                snapshot=await read_snapshot(runtime.store),
            )
            planner = Planner(
                services,
                services.snapshot,
                sandbox=await SANDBOX.get(),
                folder=tmp_path,
                environment={"S": "a", "K": "b"},
            )
            plan = await planner.plan(read_document(tmp_path / "nicobar.toml"), prune=False)
            assert plan.sentences == sentences, "applying it again changes nothing"
            (note,) = plan.notes
            assert note == (
                "endpoint mails: the variable IDENTIFIER is a setting now, and was applied as one. Add "
                'identify_by = "metadata.user", identify_fallback = "reject", trust_metadata = true, '
                'event_ids_by = "metadata.user" to its settings. '
                "Remove IDENTIFIER from its variables."
            )
            async with services.edit(CommandLine(ACTOR)) as edit:
                await edit.commit_acts(plan.acts)
        (stored,) = [item for item in (await runtime.store.snapshot()).endpoints if item.name == "mails"]
        assert stored.variables == {"PLAN": "pro"}
        assert stored.settings == {"identify_by": "metadata.user", **FIXED}


def test_dry_run_of_a_file_carries_the_variable_over_too():
    at = dry_target("customerio", EARLIER_RECIPE, {"IDENTIFIER": "email", "PLAN": "pro"})
    assert (at.endpoint.settings["identify_by"], at.endpoint.variables) == ("email", {"PLAN": "pro"})
    assert str(at.destination.identity_rule) == "email"
