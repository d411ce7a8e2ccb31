"""Reasons are values until a person reads them."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import msgspec
import pytest

from nicobar.errors import Refusal, UserError
from nicobar.reasons import MAX_VALUE_CHARS, Reason, plain, reason
from nicobar.web.dashboard.language import DEFAULT, LANGUAGES, catalogue

OTHERS = [language for language in LANGUAGES if language != DEFAULT]
HANGUL = re.compile("[가-힣]")
THREW = reason("threw", "The handler threw %(error)s", error="Error: no", location=3)
TIMED_OUT = reason("timed_out", "timed out after %(timeout_ms)s ms", timeout_ms=15_000)
GIVEN_UP = reason(
    "given_up",
    "Failed after %(attempts)s attempts. Last attempt: %(reason)s",
    attempts=8,
    reason=reason("no_answer", "No response: %(reason)s.", reason=TIMED_OUT),
)
EMPTY = reason("empty", "The list of calls is empty.", "Shorten the name.", location="[0].payload")


@pytest.mark.parametrize(
    ("why", "english", "korean"),
    [
        (THREW, "line 3: The handler threw Error: no", "3번째 줄: 핸들러에서 오류가 발생했습니다: Error: no"),
        (
            GIVEN_UP,
            "Failed after 8 attempts. Last attempt: No response: timed out after 15000 ms.",
            "8번 시도한 뒤 실패했습니다. 마지막 시도: 응답이 없습니다: 시간 초과(15000 ms).",
        ),
        (
            EMPTY,
            "[0].payload: The list of calls is empty. Shorten the name.",
            "[0].payload: 호출 배열이 비어 있습니다. 이름을 줄이십시오.",
        ),
        (
            reason("contract", "%(reason)s (and %(count)s more)", reason=EMPTY, count=2),
            "[0].payload: The list of calls is empty. Shorten the name. (and 2 more)",
            "[0].payload: 호출 배열이 비어 있습니다. 이름을 줄이십시오. (외 2건)",
        ),
        (reason("not_handled", "not handled"), "not handled", catalogue("ko").gettext("not handled")),
        (plain("Settings of mine: 100%"), "Settings of mine: 100%", "Settings of mine: 100%"),
        (plain("The handler threw %(error)s"), "The handler threw %(error)s", "The handler threw %(error)s"),
        (plain("Settings"), "Settings", "Settings"),
        (plain(""), "", ""),
    ],
)
def test_a_reason_is_rendered_in_each_language(why, english, korean):
    assert why.text() == str(why) == english
    assert why.text(catalogue("ko").gettext) == korean


@pytest.mark.parametrize(
    ("why", "text"),
    [
        (Reason(code="c", template="%(nobody)s and %(x)9999999s", values={"x": "y"}), "… and %(x)9999999s"),
        (Reason(code="c", template="5 %% of %(x)s, %d", values={"x": "%(x)s"}), "5 % of %(x)s, %d"),
        (Reason(code="c", template="100% of %(x)s"), "100% of %(x)s"),
    ],
)
def test_no_template_and_no_value_breaks_the_rendering(why, text):
    assert why.text() == text


def test_values_are_bounded_and_hold_no_nul():
    why = reason("c", "%(text)s", text="\0" + "x" * 10_000)
    assert why.values["text"] == "x" * MAX_VALUE_CHARS


def test_a_line_is_found_behind_other_reasons():
    behind = reason("given_up", "%(reason)s", reason=THREW)
    assert (THREW.line, behind.line, GIVEN_UP.line, EMPTY.line) == (3, 3, None, None)


def test_texts_are_changed_at_every_depth():
    hidden = reason("given_up", "%(reason)s", reason=THREW).with_texts(lambda text: text.replace("no", "***"))
    assert str(hidden) == "line 3: The handler threw Error: ***"


def test_errors_carry_a_reason_and_say_it_in_english():
    error = UserError("unknown", "There is no %(name)s.", "There are %(names)s.", name="a", names="b, c")
    assert (error.code, error.detail, error.fix) == ("unknown", "There is no a.", "There are b, c.")
    assert str(error) == "There is no a. There are b, c."
    refusal = Refusal(422, "unknown", "5% of %(name)s", retry_after_s=3)
    assert (refusal.status, refusal.retry_after_s, str(refusal)) == (422, 3, "5% of %(name)s")
    assert UserError.because(THREW).reason is THREW


def load(path: Path):
    """A file of tests as a module of its own."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("language", OTHERS)
def test_every_verdict_is_rendered_in_each_language(language):
    translate = catalogue(language).gettext
    rules = load(Path(__file__).parent / "connectors" / "test_customerio_rules.py")
    for name, cases in rules.BREAKS.items():
        for case in cases:
            for verdict in rules.prepared(**dict(case)).verdicts:
                for text in (verdict.reason.detail(translate), verdict.reason.fix(translate)):
                    assert HANGUL.search(text), (name, text)


def test_a_reason_survives_its_encoding():
    assert msgspec.json.decode(msgspec.json.encode(GIVEN_UP), type=Reason) == GIVEN_UP
