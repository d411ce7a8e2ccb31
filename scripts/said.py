"""The sentences that errors and verdicts are made of, found in the code that makes them: an f-string is a sentence
with places, `The name has more than %(max_name_chars)s characters.` They are said in English everywhere but in the
dashboard, which finds the sentence again and shows it in the visitor's language (`web.dashboard.reason_texts`).
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Where people meet them in the dashboard. What only commands and the API say is not among them.
MODULES = (
    "use_cases/bounds.py",
    "use_cases/deliveries.py",
    "use_cases/destination_check.py",
    "use_cases/endpoints.py",
    "use_cases/login_limit.py",
    "use_cases/lookups.py",
    "use_cases/replays.py",
    "use_cases/test_events.py",
    "use_cases/sources.py",
    "use_cases/tokens.py",
    "use_cases/transformations.py",
    "use_cases/users.py",
    "use_cases/dry_run.py",
    "connectors",
    "crypto.py",
    "web/dashboard",
    "web/middleware/cross_site.py",
    "pipeline/configuration.py",
    "pipeline/deliver.py",
    "pipeline/retry.py",
    "pipeline/transform.py",
    "pipeline/worker.py",
    "sandbox",
    "sources",
)
# A call's name → which of its arguments are sentences.
POSITIONS = {
    "at": (1, 2),
    "_error": (1, 2),
    "UserError": (1, 2),
    "Conflict": (0, 1),
    "_disabled": (1,),
    "Refusal": (2, 3),
    "not_found": (),
}
KEYWORDS = {
    "Blocked": ("reason",),
    "Broken": ("reason",),
    "Checkup": ("detail",),
    "Deferred": ("reason",),
    "Gone": ("reason",),
    "NoResponse": ("reason",),
    "Refused": ("reason",),
    "Stopped": ("reason",),
    "Verdict": ("reason", "fix"),
}


# Variables that a sentence is put into, and functions that answer with one.
VARIABLES = frozenset({"reason", "why"})
FUNCTIONS = frozenset({"_reason", "_why_stopped", "why_foreign"})
# Where a handler's failures are named in JavaScript; and the rules' meanings, which are the reference's.
PRELUDE = "sandbox/prelude.js"
LEFT_OUT = frozenset({"connectors/customerio/rules.py"})
_JAVASCRIPT = re.compile(r"""(?:\bbad\(|\bnew Bad\("\w+", |\breason: )(["`])(.*?)\1""")


@dataclass(frozen=True, slots=True)
class Sentence:
    """`rule` is the name of the rule that says it, empty for an error's."""

    template: str
    rule: str
    place: str


def sentences(root: Path) -> list[Sentence]:
    """All sentences of the package in `root`. Raises ValueError for a rule's that is put together out of sight."""
    found = list(_of_javascript(root / PRELUDE))
    for name in MODULES:
        path = root / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if str(file.relative_to(root)) not in LEFT_OUT:
                found += _of_file(root, file)
    return [item for item in found if any(letter.isalpha() for letter in _without_places(item.template))]


def _of_file(root: Path, file: Path) -> Iterator[Sentence]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield from _of_call(node, str(file.relative_to(root)))
        elif isinstance(node, ast.Assign) and any(_targets(target) & VARIABLES for target in node.targets):
            yield from _of_value(node.value, str(file.relative_to(root)))
        elif isinstance(node, ast.FunctionDef) and node.name in FUNCTIONS:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and inner.value is not None:
                    yield from _of_value(inner.value, str(file.relative_to(root)))


def _of_call(node: ast.Call, file: str) -> Iterator[Sentence]:
    name = _name(node.func)
    arguments = [node.args[index] for index in POSITIONS.get(name, ()) if index < len(node.args)]
    arguments += [keyword.value for keyword in node.keywords if keyword.arg in KEYWORDS.get(name, ())]
    rule = _name(node.func.value) if name == "at" and isinstance(node.func, ast.Attribute) else ""
    place = f"{file}:{node.lineno}"
    for argument in arguments:
        templates = list(_templates(argument))
        if rule.isupper() and not templates and not isinstance(argument, ast.Attribute):
            raise ValueError(f"{place}: {ast.unparse(argument)} is no sentence")
        for template in templates:
            yield Sentence(template=template, rule=rule.lower() if rule.isupper() else "", place=place)


def _of_value(node: ast.expr, file: str) -> Iterator[Sentence]:
    """The sentences of a value, or of a tuple that has one beside a code."""
    for part in node.elts if isinstance(node, ast.Tuple) else [node]:
        for template in _templates(part):
            if " " in template:
                yield Sentence(template=template, rule="", place=f"{file}:{node.lineno}")


def _of_javascript(file: Path) -> Iterator[Sentence]:
    for number, line in enumerate(file.read_text("utf-8").split("\n"), 1):
        for found in _JAVASCRIPT.finditer(line):
            template = re.sub(r"(?:\$\{[^}]*\})+", "%(value)s", found[2].replace("%", "%%"))
            yield Sentence(template=template, rule="", place=f"{file.name}:{number}")


def _targets(node: ast.expr) -> set[str]:
    return {_name(elt) for elt in (node.elts if isinstance(node, ast.Tuple) else [node])}


def _templates(node: ast.expr) -> Iterator[str]:
    """What an expression may say."""
    match node:
        case ast.Constant(value=str(text)):
            yield text.replace("%", "%%")
        case ast.JoinedStr():
            yield _joined(node)
        case ast.IfExp():
            yield from _templates(node.body)
            yield from _templates(node.orelse)
        case ast.BinOp(op=ast.Add()):
            yield from map("".join, itertools.product(_templates(node.left), _templates(node.right)))


def _joined(node: ast.JoinedStr) -> str:
    taken: dict[str, str] = {}
    text = ""
    for part in node.values:
        match part:
            case ast.Constant(value=str(literal)):
                text += literal.replace("%", "%%")
            case ast.FormattedValue():
                source = ast.unparse(part.value)
                name = wanted = _place(part.value)
                number = 2
                while taken.get(name, source) != source:
                    name, number = f"{wanted}_{number}", number + 1
                taken[name] = source
                text += f"%({name})s"
    return text


def _place(node: ast.expr) -> str:  # noqa: PLR0911 - one a kind of expression
    """A name for a place, that tells a translator what stands there."""
    match node:
        case ast.Name():
            return node.id.lower().strip("_")
        case ast.Attribute():
            return node.attr.lower().strip("_")
        case ast.Constant(value=str(text)) if text.isidentifier():
            return text
        case ast.Call(args=[*_, last]):
            return _place(last)
        case ast.BinOp():
            return _place(node.left)
        case ast.BoolOp():
            return _place(node.values[0])
        case _:
            return "value"


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
        case _:
            return ""


def _without_places(template: str) -> str:
    parts = template.split("%(")
    return parts[0] + "".join(part.partition(")s")[2] for part in parts[1:])


if __name__ == "__main__":
    import nicobar

    for one in sentences(Path(nicobar.__file__).parent):
        print(one.place, one.rule, "|", one.template)
