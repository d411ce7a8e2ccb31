"""The texts that users and contributors read, with file and line. The rest of a file (code, tags, code spans, URLs)
is blanked out, so that the line numbers are those of the file.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import msgspec
from babel.messages.pofile import read_po

from nicobar.cli import group
from nicobar.web.api.app import OPERATIONS
from nicobar.web.api.openapi import make_document

ROOT = Path(__file__).resolve().parents[1]
# Replaces anything that is not text: no phrase spans it.
GAP = "\0"
# Stands for a value or a code span: part of a sentence, and no word.
VALUE = "◦"
_MIN_PART_CHARS = 20


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """`line` is that of the first character, counted from 1. `original` is the English of a translation."""

    path: str
    line: int
    content: str
    korean: bool = False
    original: tuple[str, ...] = ()

    def line_at(self, position: int) -> int:
        return self.line + self.content.count("\n", 0, position)


def texts(*, code: bool = False) -> Iterator[Text]:
    """All texts of the project. With `code` also docstrings, comments and the names of tests."""
    published = Published()
    for path in files("src", "*.py") + files("scripts", "*.py"):
        yield from python_texts(path, published, code=code)
    yield from published.unlocated()
    yield from map(template_text, files("src", "templates/*.html"))
    yield from map(markdown_text, [*sorted(ROOT.glob("*.md")), *files("docs", "*.md"), *files("src", "*.md")])
    for path in files("src", "*.po"):
        yield from catalogue_texts(path)
    yield from makefile_texts(ROOT / "Makefile")
    scripts = [path for path in files("src", "*.js") if "vendor" not in path.parts]
    yield from map(javascript_comments, [path for path in scripts if code or {"recipes", "cli"} & set(path.parts)])
    if code:
        for path in files("tests", "*.py") + files("bench", "*.py"):
            yield from code_texts(path)


def files(folder: str, pattern: str) -> list[Path]:
    return sorted((ROOT / folder).rglob(pattern))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blank(text: str, fill: str = GAP) -> str:
    """As long as the text, with its line breaks."""
    return re.sub(r"[^\n]", fill, text)


class Published:
    """The texts of the OpenAPI document and of the commands' help, which are docstrings in part."""

    def __init__(self) -> None:
        self._left = {_joined(part): where for where, text in _published() for part in text.split("\n\n")}
        self._known = set(self._left)
        self._located: set[str] = set()

    def has(self, docstring: str) -> bool:
        """Whether a part of it is published."""
        parts = {_joined(part) for part in docstring.split("\n\n")}
        return bool(parts & self._known)

    def found(self, text: str) -> None:
        """The text has a file and a line."""
        for part in text.split("\n\n"):
            self._left.pop(_joined(part), None)
            self._located.add(_joined(part))

    def unlocated(self) -> Iterator[Text]:
        """Those that are put together at run time, of other texts than those with a line."""
        for content, where in self._left.items():
            if any(len(part) > _MIN_PART_CHARS and part in content for part in self._located):
                continue
            yield Text(path=where, line=1, content=_without_code(content))


def _published() -> Iterator[tuple[str, str]]:
    yield from _described("OpenAPI", make_document(OPERATIONS))
    context = click.Context(group)
    for name, command in {"nicobar": group, **group.load_commands()}.items():
        yield f"help of {name}", command.help or ""
        for parameter in command.get_params(context):
            yield f"help of {name}", getattr(parameter, "help", None) or ""


def _described(where: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in {"summary", "description"} and isinstance(item, str):
                yield where, item
            elif key not in {"example", "examples"}:
                yield from _described(f"{where} {key}", item)
    elif isinstance(value, list):
        for item in value:
            yield from _described(where, item)


def _joined(text: str) -> str:
    return " ".join(text.split())


# Python


def python_texts(path: Path, published: Published, *, code: bool = False) -> Iterator[Text]:
    """Strings that are prose, and docstrings that are published."""
    source = path.read_text("utf-8")
    strings = _strings_only(source)
    nodes = list(ast.walk(ast.parse(source)))
    docstrings = {id(node) for node in _docstrings(nodes)}
    inside = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    marked = {id(text) for node in nodes for text in _marked(node)}
    for node in nodes:
        if not isinstance(node, ast.Constant | ast.JoinedStr):
            continue
        value = _value(node)
        if value is None or (id(node) in inside and not isinstance(node, ast.JoinedStr)):
            continue
        if id(node) in docstrings:
            if not code and not published.has(value):
                continue
        elif not (id(node) in marked or _is_prose(value)):
            continue
        published.found(value)
        yield Text(path=name_of(path), line=node.lineno, content=_without_code(_span(strings, source, node)))
    if code:
        yield from _comments(path, source)


def code_texts(path: Path) -> Iterator[Text]:
    """Docstrings, comments and names of tests."""
    source = path.read_text("utf-8")
    strings = _strings_only(source)
    nodes = list(ast.walk(ast.parse(source)))
    for node in _docstrings(nodes):
        yield Text(path=name_of(path), line=node.lineno, content=_without_code(_span(strings, source, node)))
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield Text(path=name_of(path), line=node.lineno, content=node.name.replace("_", " "))
    yield from _comments(path, source)


def _docstrings(nodes: Iterable[ast.AST]) -> Iterator[ast.Constant]:
    """Strings that are statements: also those below a field."""
    for node in nodes:
        match node:
            case ast.Expr(value=ast.Constant(value=str()) as text):
                yield text


def _marked(node: ast.AST) -> list[ast.expr]:
    """What a call logs or marks for translation: a text even if it is one word."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="log"))):
            return node.args[:1]
        case ast.Call(func=ast.Name(id="noop" | "_" | "gettext" | "ngettext")):
            return node.args[:2]
    return []


def _value(node: ast.Constant | ast.JoinedStr) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    return "".join(part.value if isinstance(part, ast.Constant) else VALUE for part in node.values)


def _is_prose(value: str) -> bool:
    """Two words, or a label of one; not SQL, and not a key."""
    if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|PRAGMA|BEGIN|FROM|WHERE|AND|ORDER)\b", value):
        return False
    return bool(re.search(r"[A-Za-z%)]{2,}[,.;:]?\s+[A-Za-z%(◦]", value) or re.fullmatch(r"[A-Z][a-z]+", value))


def _strings_only(source: str) -> list[str]:
    """The lines of the source with nothing but the contents of strings; quotes and what joins two of them are spaces,
    and values in them are VALUE.
    """
    lines = [" " * len(line) for line in source.split("\n")]
    original = source.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.STRING:
            content = _content(token.string)
        elif tokenize.tok_name[token.type] == "FSTRING_MIDDLE":
            content = "\n".join(_slice(original, token.start, token.end))
        else:
            continue
        for offset, part in enumerate(content.split("\n")):
            row = token.start[0] - 1 + offset
            start = token.start[1] if offset == 0 else 0
            lines[row] = lines[row][:start] + part + lines[row][start + len(part) :]
    return lines


def _content(literal: str) -> str:
    """The literal with its quotes, escapes and values blanked."""
    prefix = literal[: len(literal) - len(literal.lstrip("rRbBuUfF"))]
    quote = literal[len(prefix) : len(prefix) + 3]
    quote = quote if quote in {'"""', "'''"} else quote[0]
    opening = len(prefix) + len(quote)
    content = " " * opening + literal[opening : -len(quote)] + " " * len(quote)
    content = re.sub(r"\\[nrt\"'\\]", "  ", content)
    if "f" in prefix.lower():
        content = re.sub(r"\{[^{}]*\}", lambda found: blank(found[0], VALUE), content)
    return content


def _slice(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> list[str]:
    """The lines between two places; rows are counted from 1."""
    part = lines[start[0] - 1 : end[0]]
    part[-1] = part[-1][: end[1]]
    part[0] = part[0][start[1] :]
    return part


def _span(lines: list[str], source: str, node: ast.expr) -> str:
    """Where the node is. Its columns are counted in bytes."""
    original = source.split("\n")
    end = node.end_lineno or node.lineno
    first = len(original[node.lineno - 1].encode()[: node.col_offset].decode())
    last = len(original[end - 1].encode()[: node.end_col_offset].decode())
    return "\n".join(_slice(lines, (node.lineno, first), (end, last)))


def _comments(path: Path, source: str) -> Iterator[Text]:
    lines = [blank(line) for line in source.split("\n")]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            before = source.split("\n")[row - 1][:column]
            # A comment on its own line continues on the next.
            start = blank(before) if before.strip() else " " * column
            lines[row - 1] = start + " " + token.string[1:]
    yield Text(path=name_of(path), line=1, content=_without_code("\n".join(lines)))


# Other files


def template_text(path: Path) -> Text:
    """What a page of Jinja shows: its text, labels in attributes, and the strings in its expressions."""
    content = path.read_text("utf-8")
    content = re.sub(r"\{#.*?#\}", lambda found: blank(found[0]), content, flags=re.DOTALL)
    for tag in ("script", "style", "code", "pre", "kbd"):
        content = re.sub(
            rf"<{tag}\b[^>]*>.*?</{tag}>", lambda found: _expressions(found[0], VALUE), content, flags=re.DOTALL
        )
    content = re.sub(r"<[a-zA-Z/!](?:\{\{.*?\}\}|\{%.*?%\}|[^>])*>", lambda found: _attributes(found[0]), content)
    content = re.sub(
        r"\{\{.*?\}\}|\{%.*?%\}",
        lambda found: _expressions(found[0], VALUE if found[0].startswith("{{") else GAP),
        content,
        flags=re.DOTALL,
    )
    return Text(path=name_of(path), line=1, content=_without_code(content))


_SHOWN = re.compile(
    r"\b(?:aria-label|title|placeholder|alt|data-[\w-]+)=\"((?:\{\{.*?\}\}|\{%.*?%\}|[^\"])*)\"", re.DOTALL
)
_STRING = re.compile(r"(_\(\s*|gettext\(\s*)?(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')")


def _attributes(tag: str) -> str:
    """The labels among a tag's attributes."""
    out = list(blank(tag))
    for found in _SHOWN.finditer(tag):
        start, end = found.span(1)
        out[start:end] = tag[start:end]
    for found in re.finditer(r"\{%.*?%\}|\{\{.*?\}\}", tag):
        start, end = found.span()
        out[start:end] = tag[start:end]
    return "".join(out)


def _expressions(expression: str, fill: str) -> str:
    """The strings in an expression that are texts."""
    out = list(blank(expression, fill))
    for found in _STRING.finditer(expression):
        start, end = found.span(2)
        if found[1] or " " in found[2].strip():
            out[start:end] = GAP + expression[start + 1 : end - 1] + GAP
    return "".join(out)


def javascript_comments(path: Path) -> Text:
    content = path.read_text("utf-8")
    out = list(blank(content))
    for found in re.finditer(r"(?<!:)//([^\n]*)|/\*(.*?)\*/", content, re.DOTALL):
        group_number = 1 if found[1] is not None else 2
        start, end = found.span(group_number)
        line_start = content.rfind("\n", 0, found.start()) + 1
        if not content[line_start : found.start()].strip():
            out[line_start : found.start()] = " " * (found.start() - line_start)
        out[found.start() : start] = " " * (start - found.start())
        out[start:end] = content[start:end]
    return Text(path=name_of(path), line=1, content=_without_code("".join(out)))


def markdown_text(path: Path) -> Text:
    content = path.read_text("utf-8")
    content = re.sub(
        r"^( *)(```|~~~).*?^ *\2", lambda found: blank(found[0]), content, flags=re.DOTALL | re.MULTILINE
    )
    content = re.sub(r"<!--.*?-->", lambda found: blank(found[0]), content, flags=re.DOTALL)
    content = _without_code(content)
    content = re.sub(r"\]\([^)\s]*\)", lambda found: "]" + " " * (len(found[0]) - 1), content)
    return Text(path=name_of(path), line=1, content=content, korean=path.name.endswith(".ko.md"))


def catalogue_texts(path: Path) -> Iterator[Text]:
    """The translations. Their English is in templates and code."""
    with path.open("rb") as file:
        for message in read_po(file, locale="ko"):
            original = message.id if isinstance(message.id, tuple | list) else (message.id,)
            strings = message.string if isinstance(message.string, tuple | list) else (message.string,)
            for string in filter(None, strings if message.id else ()):
                yield Text(
                    path=name_of(path),
                    line=message.lineno or 1,
                    content=string,
                    korean=True,
                    original=tuple(original),
                )


def makefile_texts(path: Path) -> Iterator[Text]:
    for number, line in enumerate(path.read_text("utf-8").split("\n"), 1):
        found = re.search(r"## (.*)|@echo \"([^\"]*)\"", line)
        if found:
            yield Text(path=name_of(path), line=number, content=_without_code(found[1] or found[2]))


def _without_code(content: str) -> str:
    """Without code spans and addresses."""
    content = re.sub(r"(`+)[^`]+\1", lambda found: blank(found[0], VALUE), content)
    return re.sub(r"\bhttps?://\S+", lambda found: blank(found[0], VALUE), content)
