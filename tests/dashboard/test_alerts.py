"""Alerts are the operator's: a link to one application shows none."""

from __future__ import annotations

from urllib.parse import quote

import aiohttp

from nicobar.model import AlertResult, AlertTarget, Scope, TargetKind
from nicobar.pipeline.alert_types import Alert, AlertType
from nicobar.reasons import plain, reason
from nicobar.store import PutAlertTarget
from nicobar.store.history import AttemptFilter, MessageFilter
from support.api import asking
from support.installation import installation
from support.pages import set_up, visiting

HANDLER = "function handler(webhook) { return webhook; }"
OPS = {"url": "http://127.0.0.1:9/hooks", "uid": "ops", "name": "ops"}


async def test_a_link_to_an_application_shows_no_alerts(tmp_path):
    async with asking(tmp_path, HANDLER, alert_endpoint="ops") as api:
        store = api.nicobar.runtime.store
        ops = (await api.ask("POST", f"{api.app}/endpoint", OPS)).body["id"]
        shop = next(
            endpoint for endpoint in api.nicobar.runtime.configuration.snapshot.endpoints if endpoint.id != ops
        )
        alert = Alert(type=AlertType.EXHAUSTED, endpoint=shop, reason=plain("a test"), cause="a test")
        await api.nicobar.runtime.alerts.tell(alert)
        await api.nicobar.next_recorded()
        ((stored,), (tried,)) = (
            (await store.messages(api.app_id, MessageFilter(alerts=True), limit=10)).items,
            (await store.attempts_of_endpoint(ops, AttemptFilter(alerts=True), limit=10)).items,
        )
        link = await api.make_token(scope=Scope.APPLICATION, app_id=api.app_id, portal=True)
        async with aiohttp.ClientSession(cookies={"nicobar_session": link}) as http:

            async def look(path: str) -> tuple[int, str]:
                async with http.get(f"{api.url}{path}", allow_redirects=False) as answer:
                    return answer.status, await answer.text()

            for path in ("/logs", f"/webhooks/{ops}/deliveries", f"/webhooks/{ops}", "/queue", "/failures"):
                status, text = await look(path)
                assert (path, status) == (path, 200)
                assert stored.id not in text
                assert tried.attempt.id not in text
            assert (await look(f"/logs?q={quote(stored.id)}"))[0] == 200, "no redirect to the message"
            for path in (f"/logs/{stored.id}", f"/webhooks/{ops}/attempts/{tried.attempt.id}"):
                assert (await look(path))[0] == 404


async def test_result_of_an_alert_is_in_the_visitors_language(tmp_path):
    why = reason("status", "The alert target responded with status %(status)s.", status=410)
    hook = AlertTarget(id="alt_1", name="ops", kind=TargetKind.WEBHOOK, sealed=b"")
    async with installation(tmp_path) as nicobar, visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        store = nicobar.runtime.store
        await store.change([PutAlertTarget(target=hook)])
        await store.put_alert_result(hook.id, AlertResult(at_ms=1, alert_type="disk.low", reason=why))
        shown = {
            language: (await visitor.ask("GET", "/settings/alerts", **{"accept-language": language}))[1]
            for language in ("en", "ko")
        }
        assert why.text() in shown["en"]
        assert why.text() not in shown["ko"]
        assert "410" in shown["ko"]
