"""Reasons of earlier versions, which were plain texts, are shown as they are."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.model import AlertResult, Attempt, Breaker, BreakerState, DeliveryState, Level, Verdict
from nicobar.reasons import plain, reason
from nicobar.store.stored_reasons import read_attempt, read_breaker, read_reason, read_refusal, reason_column
from nicobar.store.tables.alerts import read_result, stored_result

WHY = reason("threw", "The handler threw %(error)s", error='"no\0"', location=3)


def test_a_column_holds_a_reason_without_nul():
    column = reason_column(WHY)
    assert read_reason(column) == WHY
    assert "\0" not in column
    assert (reason_column(None), read_reason(None)) == (None, None)


@pytest.mark.parametrize(
    "text", ["line 3: The handler threw Error: no", "expunged", "", '{"code":1}', '{"code":"x"', '{"code":"x"}', "{}"]
)
def test_a_plain_column_is_shown_as_it_is(text):
    assert read_reason(text) == plain(text)


def test_a_refusal_keeps_its_code():
    assert str(read_refusal("signature_mismatch", "No signature fits.")) == "No signature fits."
    assert read_refusal("signature_mismatch", "No signature fits.").code == "signature_mismatch"
    assert read_refusal("threw", reason_column(WHY)) == WHY


ATTEMPT = Attempt(
    id="atmpt_1",
    started_at_ms=1,
    duration_ms=2,
    state=DeliveryState.FAILED,
    reason=WHY,
    transformation_version=4,
    verdicts=(Verdict(level=Level.ERROR, reason=WHY, source="https://example.com"),),
)
OLD_VERDICT = {"level": "error", "rule": "size", "path": "[0]", "reason": "Too large.", "fix": "", "source": "x"}


@pytest.mark.parametrize("why", [None, "line 3: no"])
@pytest.mark.parametrize("verdicts", [[], [OLD_VERDICT]])
def test_an_attempt_with_plain_texts_is_read(why, verdicts):
    assert read_attempt(msgspec.msgpack.encode(ATTEMPT)) == ATTEMPT
    old = msgspec.to_builtins(ATTEMPT) | {"reason": why, "verdicts": verdicts}
    attempt = read_attempt(msgspec.msgpack.encode(old))
    assert attempt.reason == (None if why is None else plain(why))
    assert (attempt.id, attempt.transformation_version, len(attempt.verdicts)) == ("atmpt_1", 4, len(verdicts))
    for verdict in attempt.verdicts:
        assert (verdict.rule, verdict.path, str(verdict.reason)) == ("size", "[0]", "[0]: Too large.")


def test_a_breaker_with_a_plain_text_is_read():
    breaker = Breaker(state=BreakerState.OPEN, failures=5, reason=WHY)
    assert read_breaker(msgspec.json.encode(breaker).decode()) == breaker
    old = msgspec.json.encode(msgspec.to_builtins(breaker) | {"reason": "503"}).decode()
    assert read_breaker(old) == msgspec.structs.replace(breaker, reason=plain("503"))


def test_alert_result_is_read_by_and_from_earlier_versions():
    result = AlertResult(at_ms=1, alert_type="disk.low", reason=WHY)
    stored = stored_result(result)
    assert read_result(stored) == result
    assert msgspec.json.decode(stored)["error"] == WHY.text()
    of_before = '{"at_ms":1,"alert_type":"disk.low","error":"status 500"}'
    assert read_result(of_before).reason == plain("status 500")
    assert read_result('{"at_ms":1,"alert_type":"disk.low"}').reason is None
