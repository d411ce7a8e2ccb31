"""What errors and verdicts say is said in every language of the dashboard, however long ago it was made."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import time
from pathlib import Path

import pytest

import nicobar
from nicobar.connectors.customerio.rules import RULES
from nicobar.web.dashboard.language import DEFAULT, LANGUAGES, catalogue
from nicobar.web.dashboard.reason_texts import MAX_CHARS, SAID, say

OTHERS = [language for language in LANGUAGES if language != DEFAULT]
ROOT = Path(__file__).parents[2]
HANGUL = re.compile("[가-힣]")


def load(path: Path):
    """A file of the scripts or the tests as a module of its own."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def said():
    return load(ROOT / "scripts" / "said.py")


@pytest.fixture(scope="module")
def sentences(said):
    return said.sentences(Path(nicobar.__file__).parent)


def test_every_rule_s_sentences_are_found_in_the_code(sentences):
    borrowed = {"merge"}  # says what is wrong with an identifier in that rule's words
    assert {sentence.rule for sentence in sentences if sentence.rule} | borrowed == set(RULES)


@pytest.mark.parametrize("language", OTHERS)
def test_every_verdict_that_a_call_can_get_is_said(language):
    rules = load(ROOT / "tests" / "connectors" / "test_customerio_rules.py")
    for name, cases in rules.BREAKS.items():
        for case in cases:
            for verdict in rules.prepared(**dict(case)).verdicts:
                for text in (verdict.reason, verdict.fix):
                    assert HANGUL.search(say(language, text)), (name, text)
                whole = f"{verdict.path}: {verdict.reason} {verdict.fix} (and 2 more)"
                assert HANGUL.search(say(language, whole)), whole
                assert say(DEFAULT, verdict.reason) == verdict.reason


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_is_found_again_with_its_values(sentences, language):
    for sentence in sentences:
        places = re.findall(r"%\((\w+)\)s", sentence.template)
        values = {name: f"«{number}»" for number, name in enumerate(dict.fromkeys(places))}
        wanted = catalogue(language).pgettext(SAID, sentence.template) % values
        assert say(language, sentence.template % values) == wanted, sentence


@pytest.mark.parametrize(
    ("english", "korean"),
    [
        ("line 3: The handler threw Error: no", "3번째 줄: 핸들러에서 오류가 발생했습니다: Error: no"),
        ("No answer: timed out after 15000 ms.", "응답이 없습니다: 15000 ms 뒤 시간 초과."),
        (
            "Given up after 8 tries; the last one: No answer: connection refused.",
            "8번 시도한 뒤 그만두었습니다. 마지막 시도: 응답이 없습니다: 연결이 거부됨.",
        ),
        (
            "[0].payload.name: An event needs a name. Shorten it.",
            "[0].payload.name: 이벤트에는 이름이 필요합니다. 줄이세요.",
        ),
        ("not handled", "처리하지 않음"),
        ("paused by hand", "직접 일시 중지함"),
        ("name_of_theirs is missing.", "name_of_theirs이(가) 없습니다."),
        # A destination's own words, and a person's, stay as they are.
        ("The destination answered 503: Sorry, closed.", "대상의 응답: 503: Sorry, closed."),
        ("The handler threw Error: Settings", "핸들러에서 오류가 발생했습니다: Error: Settings"),
        ("Something that nobody has written.", "Something that nobody has written."),
        ("Settings of mine", "Settings of mine"),
        ("", ""),
    ],
)
def test_texts_that_are_put_together_are_said_piece_by_piece(english, korean):
    if english == "paused by hand":
        korean = catalogue("ko").gettext(english)
    assert say("ko", english) == korean


def test_what_is_long_takes_no_longer_than_its_length():
    started = time.monotonic()
    for text in ("%(x)s: " * 500, "is " * 1_300, ". " * 1_900, "line 1: " * 480, "a" * (MAX_CHARS + 1)):
        say("ko", text)
    assert time.monotonic() - started < 2


def test_a_rule_s_sentence_that_is_put_together_out_of_sight_is_refused(said, tmp_path):
    for name in said.MODULES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("") if name.endswith(".py") else path.mkdir(exist_ok=True)
    (tmp_path / "sandbox" / "prelude.js").write_text("")
    (tmp_path / "crypto.py").write_text('rules.SIZE.at(path, f"It has {len(body)} bytes.", "Send " + less)\n')
    with pytest.raises(ValueError, match="is no sentence"):
        said.sentences(tmp_path)
    (tmp_path / "crypto.py").write_text(
        'rules.SIZE.at(path, f"It has {len(body)} bytes, 5%.", "Less" if x else "No.")\n'
    )
    assert [sentence.template for sentence in said.sentences(tmp_path)] == [
        "It has %(body)s bytes, 5%%.",
        "Less",
        "No.",
    ]
