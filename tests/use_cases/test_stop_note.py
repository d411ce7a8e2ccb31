"""What a user is told who sends something to an endpoint that does not send at present."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.model import Endpoint
from nicobar.reasons import plain
from nicobar.use_cases.deliveries import stop_note

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
    ("by_hand", "note"),
    [
        (True, "shop is paused (sale). Nothing is sent until you resume it."),
        (False, "shop is on hold (sale). Sending continues when the destination accepts requests again."),
    ],
)
def test_a_pause_and_a_hold_are_told_apart(by_hand, note):
    assert stop_note(msgspec.structs.replace(SENDING, paused_reason=plain("sale"), paused_by_hand=by_hand)) == note


def test_an_endpoint_that_sends_has_no_note():
    assert stop_note(SENDING) is None
