"""Checks the project's texts against `docs/style/words.toml`: `scripts/words.py [--code] [--count] [PATH ...]`.
Prints each finding with its file, line and suggestion, and exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import msgspec
from texts import ROOT, Text, texts

RULES = ROOT / "docs" / "style" / "words.toml"

_PLACE = re.compile(r"(?:%\(\w+\)[sd]|\{\w+\})")
# Particles whose form depends on the sound before them, which only the value decides.
_PARTICLE = re.compile(
    _PLACE.pattern + r"""(?:</?\w+>|["'\u2019\u201d」』)\]`*])*"""
    r"(?:은|는|이|가|을|를|과|와|으로|로|이라|라|이나|나|이면|면|이며|며|이고|고|이란|란|이랑|랑|아|야|이에요|예요"
    r"|(?:이었|였)[가-힣]+)(?:는|도|만|서|써|부터|의|고|면|서는|고는)?(?![가-힣])"
)


class Exemption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a rule does not apply, and why. `path` is a shell pattern; `text`, if given, is part of the line."""

    path: str
    reason: str
    text: str = ""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`find` is a regular expression in which a space is any white space. In English it stands for whole words, in
    upper or lower case unless `case`.
    """

    find: str
    use: str
    reason: str = ""
    case: bool = False
    fine: tuple[str, ...] = ()
    allow: tuple[Exemption, ...] = ()


class Unchanged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts that are the same in Korean."""

    texts: tuple[str, ...]
    reason: str


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    english: tuple[Rule, ...]
    korean: tuple[Rule, ...]
    unchanged: tuple[Unchanged, ...] = ()


class Finding(msgspec.Struct, frozen=True, order=True):
    path: str
    line: int
    phrase: str
    use: str
    reason: str = ""

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        return f'{self.path}:{self.line}: "{self.phrase}": {self.use}{why}'


class _Pattern:
    def __init__(self, rule: Rule, compiled: Callable[[str, int], re.Pattern[str]]) -> None:
        flags = 0 if rule.case else re.IGNORECASE
        self.rule = rule
        self._find = compiled(rule.find, flags)
        self._fine = compiled("|".join(rule.fine), flags) if rule.fine else None
        # Most texts hold nothing of a rule: a search in small letters finds that out sooner.
        self._quick = None if rule.case or "\\" in rule.find else re.compile(rule.find.lower().replace(" ", r"\s+"))

    def found_in(self, content: str, small: str) -> Iterator[re.Match[str]]:
        """`small` is the content in small letters."""
        if self._quick and not self._quick.search(small):
            return
        found = list(self._find.finditer(content))
        fine = [match.span() for match in self._fine.finditer(content)] if found and self._fine else []
        for match in found:
            if not any(start < match.end() and match.start() < end for start, end in fine):
                yield match


def _english(find: str, flags: int) -> re.Pattern[str]:
    """Whole words only: not in `take-over`, `v1.take`, `/take` or `take_over`."""
    find = find.replace(" ", r"\s+")
    return re.compile(rf"(?<![\w./%-])(?:{find})(?![\w/-]|\.\w)", flags)


class Guard:
    """The rules, and which of their exemptions were needed."""

    def __init__(self, rules: Rules) -> None:
        self._english = [_Pattern(rule, _english) for rule in rules.english]
        self._korean = [_Pattern(rule, re.compile) for rule in rules.korean]
        self._unchanged = {text for group in rules.unchanged for text in group.texts}
        self._unused = {item for rule in (*rules.english, *rules.korean) for item in rule.allow}

    def findings(self, checked: Iterable[Text]) -> list[Finding]:
        """In the order of files and lines, each once."""
        return sorted({finding for text in checked for finding in self._in(text)})

    def needless(self) -> list[str]:
        """The exemptions that no text seen so far needed."""
        return sorted(f"{item.path} ({item.reason})" for item in self._unused)

    def _in(self, text: Text) -> Iterator[Finding]:
        small = text.content.lower()
        for pattern in self._korean if text.korean else self._english:
            for found in pattern.found_in(text.content, small):
                if not self._is_exempt(pattern.rule, text, found):
                    yield _finding(text, found, pattern.rule.use, pattern.rule.reason)
        if text.korean:
            for found in _PARTICLE.finditer(text.content):
                yield _finding(text, found, "no particle after a value", "its form depends on the value")
        if text.original:
            yield from self._in_translation(text)

    def _in_translation(self, text: Text) -> Iterator[Finding]:
        places = set(_PLACE.findall(text.content))
        if places != set(_PLACE.findall(text.original[-1])):
            yield Finding(text.path, text.line, text.content, f"the values of {text.original[-1]!r}")
        if text.content in text.original and text.content not in self._unchanged and _has_words(text.content):
            yield Finding(text.path, text.line, text.content, "Korean, or an entry under [[unchanged]]")

    def _is_exempt(self, rule: Rule, text: Text, found: re.Match[str]) -> bool:
        start = text.content.rfind("\n", 0, found.start()) + 1
        end = text.content.find("\n", found.end())
        line = text.content[start : None if end < 0 else end]
        for item in rule.allow:
            if fnmatch(text.path, item.path) and item.text in line:
                self._unused.discard(item)
                return True
        return False


def _has_words(text: str) -> bool:
    return bool(re.search(r"[A-Za-z]{2}", _PLACE.sub("", text)))


def _finding(text: Text, found: re.Match[str], use: str, reason: str) -> Finding:
    return Finding(text.path, text.line_at(found.start()), " ".join(found[0].split()), use, reason)


def read_rules() -> Rules:
    return msgspec.toml.decode(RULES.read_bytes(), type=Rules)


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks the project's texts against docs/style/words.toml.")
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="only files in these")
    parser.add_argument("--code", action="store_true", help="also docstrings, comments and names of tests")
    parser.add_argument("--count", action="store_true", help="count the findings of each rule and of each file")
    options = parser.parse_args()
    wanted = [path.resolve() for path in options.paths]
    checked = texts(code=options.code)
    guard = Guard(read_rules())
    findings = [
        finding
        for finding in guard.findings(checked)
        if not wanted or any((ROOT / finding.path).is_relative_to(path) for path in wanted)
    ]
    if options.count:
        for count in (Counter(item.use for item in findings), Counter(item.path for item in findings)):
            for name, number in count.most_common():
                print(f"{number:5} {name}")
    else:
        for finding in findings:
            print(finding)
    print(f"{len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
