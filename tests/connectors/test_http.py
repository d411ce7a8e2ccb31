"""The connector for a URL of one's own: what a test of it carries."""

from __future__ import annotations

from nicobar.connectors import Origin
from nicobar.connectors.http import HttpEndpoint
from nicobar.model import Call

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def prepared(test: str = "", **headers: str):
    it = HttpEndpoint().open({"url": "https://shop.example/hooks"}, {"secret": SECRET})
    origin = Origin(
        message_id="msg_1", endpoint_id="ep_1", occurred_at_ms=1_000, now_ms=2_000, customer=None, test=test
    )
    call = Call(method="POST", url=it.url, headers=headers, payload={"type": "a.b"})
    (ready,) = it.prepare([call], origin).calls
    return ready.headers


def test_a_test_is_marked_and_has_an_id_of_its_own_and_no_handler_can_mark_one():
    assert prepared("t1")["nicobar-test"] == "true"
    ids = [prepared()["webhook-id"], prepared("t1")["webhook-id"], prepared("t2")["webhook-id"]]
    assert len(set(ids)) == 3
    assert "nicobar-test" not in prepared(**{"Nicobar-Test": "true"})
