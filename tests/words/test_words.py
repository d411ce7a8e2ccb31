"""The checker of words finds the texts of all file types, and ignores code."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def words():
    sys.path.insert(0, str(SCRIPTS))
    try:
        return importlib.import_module("words")
    finally:
        sys.path.remove(str(SCRIPTS))


@pytest.fixture
def guard(words):
    take = words.Rule(find="taken?", use="accept", fine=("takes? effect", "taken over"))
    here = words.Exemption(path="docs/*.md", reason="quoted", text="quoted")
    return words.Guard(
        words.Rules(
            english=(take, words.Rule(find="hand it back", use="return", allow=(here,))),
            korean=(words.Rule(find="(?<!이)메일", use="이메일"),),
            unchanged=(words.Unchanged(texts=("Site ID",), reason="a name"),),
        )
    )


@pytest.fixture
def found(words, guard):
    def find(content, *, path="docs/a.md", korean=False, original=()):
        text = words.Text(path=path, line=1, content=content, korean=korean, original=original)
        return [f"{item.line} {item.phrase}" for item in guard.findings([text])]

    return find


def test_phrases_are_found_in_any_case_and_across_lines(found):
    assert found("Taken. Then\nhand it\n  back") == ["1 Taken", "2 hand it back"]


@pytest.mark.parametrize(
    "text", ["retake", "take-over", "take_over", "v1.take", "/take", "takes effect", "is taken over"]
)
def test_parts_of_words_and_right_phrases_are_no_findings(found, text):
    assert found(text) == []


def test_an_exception_holds_for_its_path_and_text_only(found, guard):
    assert guard.needless() == ["docs/*.md (quoted)"]
    assert found("hand it back") == ["1 hand it back"]
    assert found("hand it back", path="src/a.md") == ["1 hand it back"]
    assert found("quoted: hand it back") == []
    assert guard.needless() == []


@pytest.mark.parametrize(
    "text", ["%(name)s이 없습니다", "%(name)s을", '"%(url)s"로 보냅니다', "{id}는", "%(a)s이라는 이름", "%(a)s으로도"]
)
def test_a_particle_after_a_value_is_found(found, text):
    assert len(found(text, korean=True)) == 1


@pytest.mark.parametrize(
    "text", ["%(name)s 소스가", "%(count)s개를", "%(name)s에서", "이메일", "%(a)s 이상", "%(id)s이상"]
)
def test_other_endings_after_a_value_are_right(found, text):
    assert found(text, korean=True) == []


def test_a_translation_has_the_values_of_its_original(found):
    assert found("%(a)s 소스", korean=True, original=("The source %(a)s",)) == []
    assert found("소스", korean=True, original=("The source %(a)s",)) == ["1 소스"]


def test_a_translation_differs_from_its_original_unless_listed(found):
    assert found("Site ID", korean=True, original=("Site ID",)) == []
    assert found("%(a)s / %(b)s", korean=True, original=("%(a)s / %(b)s",)) == []
    assert found("Source", korean=True, original=("Source",)) == ["1 Source"]


def content_of(words, tmp_path, name, content, **options):
    texts = sys.modules["texts"]
    path = tmp_path / name
    path.write_text(content, "utf-8")
    texts.ROOT, root = tmp_path, texts.ROOT
    try:
        match path.suffix:
            case ".md":
                checked = [texts.markdown_text(path)]
            case ".html":
                checked = [texts.template_text(path)]
            case ".js":
                checked = [texts.javascript_comments(path)]
            case _:
                checked = list(texts.python_texts(path, texts.Published(), **options))
    finally:
        texts.ROOT = root
    rule = words.Rule(find="bad words?|worse", use="good")
    guard = words.Guard(words.Rules(english=(rule,), korean=()))
    return [item.line for item in guard.findings(checked)]


def test_markdown_is_checked_without_its_code(words, tmp_path):
    page = "# Bad word\n`bad word`\n```sh\nbad word\n```\n[a](worse) https://a.example/?worse\nbad\nword\n"
    assert content_of(words, tmp_path, "a.md", page) == [1, 7]


def test_templates_are_checked_where_they_are_read(words, tmp_path):
    page = (
        '<p class="bad word" title="bad word">\n{{ _("bad word") }} {{ _("a %(b)s", b="x") }}\n{# bad word #}\n'
        "<code>bad word</code><script>bad word</script>\n{% trans %}a bad word{% endtrans %}</p>\n"
    )
    assert content_of(words, tmp_path, "a.html", page) == [1, 2, 5]


def test_python_is_checked_in_prose_and_log_messages(words, tmp_path):
    source = (
        '"""A bad word."""\n\n# A bad word.\nx = {"bad": 1}\nlog.info("bad")\n'
        'raise UserError("code", "A " f"{x} bad "\n    "word.")\nSQL = "SELECT bad word"\n'
    )
    assert content_of(words, tmp_path, "a.py", source) == [6]
    assert content_of(words, tmp_path, "a.py", source, code=True) == [1, 3, 6]


def test_comments_of_handlers_are_checked(words, tmp_path):
    source = 'const word = "bad word"; // a bad word\n/* a bad\n word */\n'
    assert content_of(words, tmp_path, "a.js", source) == [1, 2]


def test_every_rule_and_exception_says_why(words):
    rules = words.read_rules()
    exemptions = [item for rule in (*rules.english, *rules.korean) for item in rule.allow]
    assert all(item.path and item.reason for item in exemptions)
    assert all(group.texts and group.reason for group in rules.unchanged)
    assert all(rule.find and rule.use for rule in (*rules.english, *rules.korean))


def test_the_project_s_texts_have_no_finding_and_no_needless_exception(words):
    guard = words.Guard(words.read_rules())
    assert not guard.findings(words.texts())
    assert not guard.needless()
