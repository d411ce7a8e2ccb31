"""Pages in Korean have the commands, code and links of the English ones, and the words of the dashboard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[2]
KOREAN = sorted([*ROOT.glob("*.ko.md"), *(ROOT / "docs").rglob("*.ko.md")])
GUIDES = [
    ROOT / "docs" / f"{name}.md"
    for name in (
        "reference",
        "how-to/send-to-customerio",
        "how-to/send-to-customerio.ko",
        "how-to/identify-people",
        "how-to/identify-people.ko",
        "how-to/use-the-dashboard",
        "how-to/troubleshoot-missing-emails",
        "how-to/invite-a-user",
        "how-to/rotate-a-signing-secret",
        "how-to/test-and-publish",
    )
]
CATALOG = ROOT / "src" / "nicobar" / "web" / "dashboard" / "locale" / "ko" / "LC_MESSAGES" / "nicobar.po"
# A fence of a code block, with its language.
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def english(path: Path) -> Path:
    return path.with_name(path.name.replace(".ko.md", ".md"))


def read(path: Path) -> str:
    return path.read_text("utf-8")


def code(path: Path) -> list[tuple[str, str]]:
    """The code blocks with a language, without comments."""
    blocks = [(language, text) for language, text in FENCE.findall(read(path)) if language]
    return [(language, re.sub(r" +(?:#|//) .*", "", text)) for language, text in blocks]


def spans(path: Path) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", FENCE.sub("", read(path))))


def links(path: Path) -> set[str]:
    return {target.replace(".ko.", ".") for target in re.findall(r"\]\(([^)]+)\)", read(path))}


@pytest.mark.parametrize("path", KOREAN, ids=lambda path: path.name)
def test_korean_pages_have_the_same_code(path):
    assert code(path) == code(english(path))
    assert spans(path) == spans(english(path))


@pytest.mark.parametrize("path", KOREAN, ids=lambda path: path.name)
def test_korean_and_english_pages_have_the_same_links(path):
    assert links(path) == links(english(path))
    assert f"]({path.name})" in read(english(path))
    assert f"]({english(path).name})" in read(path)


@pytest.mark.parametrize("path", KOREAN, ids=lambda path: path.name)
def test_korean_and_english_pages_have_the_same_sections(path):
    levels = [re.findall(r"^(#+) ", FENCE.sub("", read(page)), re.MULTILINE) for page in (path, english(path))]
    assert levels[0] == levels[1]


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_guides_use_the_labels_of_the_dashboard(path):
    """Bold text is a label, unless it ends with a mark: `**Step.** Text`."""
    with CATALOG.open("rb") as file:
        messages = [message for message in read_po(file, locale="ko") if isinstance(message.id, str)]
    labels = [str(message.string if path.name.endswith(".ko.md") else message.id) for message in messages]
    patterns = [re.compile(re.sub(r"%\\\(\w+\\\)s", ".+", re.escape(label))) for label in labels if label]
    bold = {" ".join(text.split()) for text in re.findall(r"\*\*([^*]+)\*\*", read(path))}
    named = {text for text in bold if text[-1] not in ".,?"}
    assert named
    assert {text for text in named if not any(pattern.fullmatch(text) for pattern in patterns)} == set()
