"""The source and the connector of the guides, used through every interface after a folder and a line each."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import aiohttp
import pytest
from click.testing import CliRunner

from nicobar.cli import group
from nicobar.model import Customer, DeliveryState
from support.api import asking
from support.installation import installation
from support.pages import set_up, visiting
from support.toy_kinds import registered, toy_connector, toy_source

ADA = Customer(key="buyer_ada", email="ada@northpine.example", name="Ada Lindqvist")
API_KEY = "mail-key"
REFUND = "orders/zurückgezahlt"


@pytest.fixture(autouse=True)
def kinds():
    with registered():
        yield


@contextmanager
def mail_server():
    """A local Acme Mail server: its address, and the emails it received."""
    emails: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer()

        def do_POST(self):
            emails.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self._answer()

        def _answer(self):
            is_known = self.headers["authorization"] == f"Bearer {API_KEY}"
            self.send_response(200 if is_known else 401)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", emails
        server.shutdown()


async def post_order(http: aiohttp.ClientSession, url: str, secret: str, event_id: str, now_ms: int):
    """An order as the shop posts it: status and body of the answer."""
    shop = toy_source()
    (paid, _) = shop.event_types()
    body = shop.sample(paid, now_ms, ADA)
    headers = shop.sign(event_id, body, secret, now_ms, event_type=paid.name)
    async with http.post(url, data=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_the_api_creates_and_uses_them(tmp_path):
    shop = toy_source()
    secret = shop.new_secret()
    with mail_server() as (mail_url, emails):
        async with asking(tmp_path) as api:
            app = {"name": "shop", "uid": "shop"}
            app_id = (await api.ask("POST", "/api/v1/app", app)).body["id"]
            source = {"name": "acme", "type": "acme-shop", "appId": app_id, "config": {"secret": secret}}
            rejected = await api.ask(
                "POST", "/ingest/api/v1/source", source | {"config": {"secret": "whsec_" + "A" * 32}}
            )
            assert (rejected.status, rejected.body["detail"][0]["loc"]) == (422, ["body", "config", "secret"])
            created = (await api.ask("POST", "/ingest/api/v1/source", source)).body
            assert created["kind"] == "acme-shop"
            connector = (await api.ask("GET", "/api/v1/connector/acme-mail")).body
            assert connector["transformation"] == toy_connector().recipes[0].code
            wanted = {"connector": {"kind": "acme-mail", "config": {"base_url": mail_url, "api_key": API_KEY}}}
            endpoint = (await api.ask("POST", f"/api/v1/app/{app_id}/endpoint", wanted)).body
            await api.nicobar.runtime.configuration.refresh()

            now_ms = api.nicobar.runtime.clock.now_ms()
            sent = [
                await post_order(api.nicobar.http, created["ingestUrl"], secret, "evt_1", now_ms) for _ in range(2)
            ]
            assert [(status, body.get("duplicate")) for status, body in sent] == [(200, None), (200, True)]
            assert (await api.nicobar.next_recorded()).attempt.state is DeliveryState.SUCCESS

            payload = {
                "at": "2026-01-01T00:00:00Z",
                "total": 100,
                "currency": "JPY",
                "buyer": {"id": "b", "email": "b@x.example"},
            }
            posted = {"eventType": "orders/paid", "payload": payload}
            await api.ask("POST", f"/api/v1/app/{app_id}/msg", posted)
            recorded = await api.nicobar.next_recorded()
            assert recorded.message.customer_key == "b", "as the application's source kind reads it"
            assert [(email["name"], email["total"]) for email in emails] == [("receipt", 49.9), ("receipt", 100)]

            checked = await api.ask("POST", f"/api/v1/app/{app_id}/endpoint/{endpoint['id']}/check")
            assert checked.status in {200, 404}
            simulated = {"connector": "acme-mail", "code": connector["transformation"], **posted}
            answer = await api.ask("POST", "/api/v1/connector/simulate", simulated)
            assert json.loads(answer.body["payload"])["name"] == "receipt"


async def test_event_types_with_slashes_have_addresses(tmp_path):
    async with asking(tmp_path) as api:
        for name in ("orders/paid", "주문/결제"):
            path = f"/api/v1/event-type/{quote(name, safe='')}"
            assert (await api.ask("PUT", path, {"description": "An order."})).status in {200, 201}
            assert (await api.ask("GET", path)).body["name"] == name
        assert (await api.ask("GET", "/api/v1/event-type/orders%2Fpaid/retry-schedule")).status == 200
        rejected = await api.ask("PUT", "/api/v1/event-type/a%20b", {"description": "No."})
        assert (rejected.status, rejected.body["detail"][0]["loc"]) == (422, ["path", "event_type_name"])


async def test_the_dashboard_guides_through_them(tmp_path):
    shop, mail = toy_source(), toy_connector()
    with mail_server() as (mail_url, emails):
        async with installation(tmp_path) as nicobar, visiting(nicobar) as visitor:
            await set_up(nicobar, visitor)
            await visitor.ask("GET", "/sources/new")
            _, _, headers = await visitor.send("/sources/new", name="acme", kind="acme-shop", secret="")
            source = headers["location"]
            _, page, _ = await visitor.ask("GET", source)
            assert all(step.text.replace("'", "&#39;") in page for step in shop.setup)
            assert shop.secret_example in page

            _, page, _ = await visitor.ask("GET", "/webhooks/new/acme-mail")
            assert all(step in page for step in (*mail.setup, mail.setup_note, mail.fields[0].label))
            fields = {"name": "Mails", "field_base_url": mail_url, "field_api_key": API_KEY, "action": "next"}
            _, _, headers = await visitor.send("/webhooks/new/acme-mail", **fields)
            draft = headers["location"].removesuffix("/code")
            _, page, _ = await visitor.ask("GET", f"{draft}/code")
            assert "A receipt for each order." in page
            _, page, _ = await visitor.ask("GET", f"{draft}/test?sample_type=orders/paid&send=1")
            assert "receipt" in page
            assert mail.test_notes[0] in page
            _, _, headers = await visitor.send(f"{draft}/create")
            endpoint = headers["location"]
            _, page, _ = await visitor.ask("GET", endpoint)
            assert "Connect Acme Shop" in page
            assert all(step.text.replace("'", "&#39;") in page for step in shop.setup)

            assert (await visitor.send(f"{endpoint}/test-secret"))[0] == 201
            await visitor.send(f"{source}/sample", event_type="orders/paid")
            assert (await nicobar.next_recorded()).attempt.state is DeliveryState.SUCCESS
            assert [email["name"] for email in emails] == ["receipt"]
            for path in ("/catalogue", f"/catalogue/{quote(REFUND, safe='')}", "/logs", f"{endpoint}/settings"):
                status, page, _ = await visitor.ask("GET", path)
                assert (status, REFUND.partition("/")[2] in page) == (200, True), path


def test_the_commands_use_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    with mail_server() as (mail_url, _):
        (tmp_path / "nicobar.toml").write_text(f"""
[[sources]]
name = "acme"
kind = "acme-shop"
secrets = [{{ env = "ACME_SECRET" }}]

[[endpoints]]
name = "mails"
connector = "acme-mail"
handler = "receipt.js"
settings = {{ base_url = "{mail_url}" }}
credentials = {{ api_key = {{ env = "ACME_KEY" }} }}
""")
        environment = {
            "ACME_SECRET": toy_source().new_secret(),
            "ACME_KEY": API_KEY,
            "NICOBAR_ALLOWED_ADDRESSES": "127.0.0.0/8",
        }

        def output_of(*arguments: str) -> str:
            result = runner.invoke(group, arguments, env=environment)
            assert result.exit_code == 0, (arguments, result.output, result.exception)
            return result.output

        (tmp_path / "receipt.js").write_text(output_of("recipe", "receipt"))
        options = ("--connector", "acme-mail", "--source-kind", "acme-shop")
        assert '"name":"receipt"' in output_of("transform", "receipt.js", "--event", "orders/paid", *options)
        assert "2 events, 0 failed." in output_of("transform", "receipt.js", "--all", *options)
        assert "Sends for 1 of 2 event types: orders/paid." in output_of("apply", "nicobar.toml")
        examined = output_of("doctor")
        assert "● source acme:" in examined
        assert "● endpoint mails: Acme Mail accepts the API key. Sends for 1 of 2 event types" in examined
