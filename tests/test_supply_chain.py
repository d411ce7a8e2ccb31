"""What an installation consists of: known packages with licenses that allow it."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[1]
NPM = "*/package-lock.json"
VENDOR = ROOT / "src" / "nicobar" / "web" / "dashboard" / "static" / "vendor"
# Licenses with the reason for each. Nicobar is distributed under Apache-2.0.
ALLOWED = {
    "MIT": "asks for its notice alone, which each package includes",
    "MIT-0": "asks for nothing",
    "BSD-2-Clause": "asks for its notice alone, which each package includes",
    "BSD-3-Clause": "asks for its notice alone, which each package includes",
    "Apache-2.0": "Nicobar's own",
    "PSF-2.0": "Python's own, asks for its notice alone",
    "MPL-2.0": "asks for the source of its own files alone, which are unchanged and public",
}
# Licenses that only these packages may have.
ALLOWED_FOR = {
    # Its library is used unchanged and can be replaced, which is what the license asks for; it is not a part of
    # Nicobar's own package, and who does not use PostgreSQL does not install it.
    "LGPL-3.0-only": {"psycopg", "psycopg-binary"},
}


@pytest.fixture(scope="module")
def sbom():
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "scripts" / "sbom.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.fixture(scope="module")
def document(sbom):
    return sbom.document()


@pytest.fixture(scope="module")
def components(document):
    return json.loads(document)["components"]


def test_the_bill_of_materials_is_valid_and_reproducible(sbom, document):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document) is None
    assert sbom.document() == document
    assert str(ROOT) not in document


def test_the_bill_of_materials_has_every_installed_package(components):
    lock = (ROOT / "constraints-runtime.txt").read_text("utf-8")
    pinned = dict(re.findall(r"^([a-z][\w.-]*)==([^\s;]+)", lock, re.MULTILINE))
    references = {item["bom-ref"].partition("/")[::2]: item for item in components}
    listed = {name: item for (registry, name), item in references.items() if registry == "pypi"}
    assert {name: item["version"] for name, item in listed.items()}.items() <= pinned.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = {re.match(r"[\w-]+", text)[0] for text in project["dependencies"]}
    assert named <= {name for name, item in listed.items() if item["scope"] == "required"}
    assert listed["psycopg"]["scope"] == "optional"
    assert not {"pytest", "hatchling"} & listed.keys()


def test_the_bill_of_materials_has_all_vendored_javascript(components):
    made_of = json.loads((VENDOR / "editor.json").read_text("utf-8"))["made_of"]
    listed = {item["name"] for item in components if item["bom-ref"].startswith("npm/")}
    assert {item["name"] for item in made_of} == listed
    assert {path.name for path in VENDOR.iterdir()} == {"editor.js", "editor.json", "editor.LICENSES.txt"}


def test_the_audit_covers_every_lock_file():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipe = makefile[makefile.index("\naudit:") :].partition("\n\n")[0]
    locks = [path.name for path in ROOT.glob("constraints*.txt")]
    folders = [path.parent.relative_to(ROOT).as_posix() for path in (*ROOT.glob(NPM), *ROOT.glob(f"tests/*/{NPM}"))]
    assert len(locks) == 3
    assert sorted(folders) == ["assets", "tests/clients/node"]
    assert [name for name in (*locks, *folders) if name not in recipe] == []
    # A package that is not found is a failure, not a pass.
    assert "--strict" in recipe


def test_every_package_has_an_allowed_license(components):
    for item in components:
        (given,) = item["licenses"]
        expression = given["expression"] if "expression" in given else given["license"]["id"]
        for choice in expression.split(" AND "):
            names = choice.split(" OR ")
            assert any(name in ALLOWED or item["name"] in ALLOWED_FOR.get(name, ()) for name in names), item


def test_a_package_without_a_known_license_is_noticed(sbom, tmp_path):
    metadata = tmp_path / "odd-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\nLicense: see the website\n")
    with pytest.raises(ValueError, match="odd names no license"):
        sbom.license_of(sbom.Distribution.at(metadata))
