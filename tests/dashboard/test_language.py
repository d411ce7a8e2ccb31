"""The catalogues of all languages are complete and compiled."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest

from nicobar.emulator.language import DOMAIN as EMULATOR
from nicobar.web.dashboard.language import DEFAULT, DOMAIN, LANGUAGES, catalogue, choose

SCRIPT = Path(__file__).parents[2] / "scripts" / "messages.py"
OTHERS = [language for language in LANGUAGES if language != DEFAULT]


@pytest.fixture(scope="module")
def messages():
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        return importlib.import_module("messages")
    finally:
        sys.path.remove(str(SCRIPT.parent))


@pytest.mark.parametrize("domain", [DOMAIN, EMULATOR])
@pytest.mark.parametrize("language", OTHERS)
def test_exactly_the_texts_are_translated_with_their_placeholders(messages, language, domain):
    wanted = {(item.context, item.id) for item in messages.gather(domain) if item.id}
    catalog = messages.read(language, domain)
    translations = {(item.context, item.id): item for item in catalog if item.id}
    assert set(translations) == wanted, "make messages"
    for (_, text), message in translations.items():
        places = set(re.findall(r"%\(\w+\)s", text[-1] if isinstance(text, tuple) else text))
        forms = messages.forms(message)
        assert len(forms) == (catalog.num_plurals if isinstance(text, tuple) else 1), text
        for translated in forms:
            assert translated, text
            assert set(re.findall(r"%\(\w+\)s", translated)) == places, text


@pytest.mark.parametrize("package", ["connectors", "pipeline", "sandbox", "sources", "use_cases", "web/dashboard"])
def test_templates_of_reasons_are_literals(messages, package):
    for file in (messages.PACKAGE / package).rglob("*.py"):
        if str(file.relative_to(messages.PACKAGE)) in messages.NOT_SHOWN:
            continue
        for call in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(call, ast.Call):
                function = getattr(call.func, "attr", None) or getattr(call.func, "id", None)
                for position in messages.TEMPLATES.get(function, ()):
                    composed = position < len(call.args) and isinstance(
                        call.args[position], ast.JoinedStr | ast.BinOp | ast.IfExp
                    )
                    assert not composed, f"{file}:{call.lineno}"


def test_errors_and_verdicts_are_formal_in_korean(messages):
    translate = catalogue("ko").gettext
    informal = [
        text for text in messages.reason_templates(messages.PACKAGE) if re.search(r"요[.?!]", translate(text))
    ]
    assert not informal


@pytest.mark.parametrize("domain", [DOMAIN, EMULATOR])
@pytest.mark.parametrize("language", OTHERS)
def test_compiled_catalogues_are_up_to_date(messages, language, domain):
    compiled = messages.path_of(language, domain).with_suffix(".mo").read_bytes()
    assert compiled == messages.compiled(messages.read(language, domain))
    assert catalogue(language).gettext("Webhooks") != "Webhooks"


@pytest.mark.parametrize("language", LANGUAGES)
def test_formats_are_up_to_date(messages, language):
    assert (messages.ROOT / "locale" / language / messages.FILE).read_bytes() == messages.formats_file(language)


@pytest.mark.parametrize(
    ("chosen", "header", "language"),
    [
        ("", "", "en"),
        ("", "ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("", "fr, en;q=0.5, ko;q=0.9", "ko"),
        ("", "ko;q=0, en", "en"),
        ("", "de;q=x, *;q=0.1", "en"),
        ("en", "ko", "en"),
        ("xx", "ko", "ko"),
        ("", "," * 10_000 + "ko", "en"),
    ],
)
def test_the_language_is_chosen_or_the_browser_s(chosen, header, language):
    assert choose(chosen, header) == language
