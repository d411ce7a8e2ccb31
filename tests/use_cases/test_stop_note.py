"""What a user is told who sends something to an endpoint that does not send at present."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.model import Endpoint
from nicobar.reasons import plain
from nicobar.use_cases.deliveries import stop_note
from nicobar.use_cases.restore import RESTORED

SENDING = Endpoint(
    seq=1,
    id="ep_1",
    app_id="app_1",
    name="shop",
    connector="http",
    settings={},
    sealed_credentials=b"",
    credential_references={},
    event_types=(),
    variables={},
    disabled=False,
    paused_reason=None,
    transformation=None,
)


@pytest.mark.parametrize(
    ("why", "by_hand", "note"),
    [
        (plain("sale"), True, "shop is paused (sale). Nothing is sent until you resume it."),
        (
            plain("401"),
            False,
            "shop is on hold (401). Sending continues when the destination accepts requests again.",
        ),
        (RESTORED, True, "shop is on hold (restored from a backup). Nothing is sent until you resume it."),
    ],
)
def test_a_pause_and_a_hold_are_told_apart(why, by_hand, note):
    assert stop_note(msgspec.structs.replace(SENDING, paused_reason=why, paused_by_hand=by_hand)) == note


def test_an_endpoint_that_sends_has_no_note():
    assert stop_note(SENDING) is None
