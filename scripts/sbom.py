"""Writes what an installation consists of, as CycloneDX JSON: `make sbom`. The runtime packages of this environment,
those of its extras as optional ones, and the JavaScript that the dashboard's editor is made of. Needs no network; the
same packages give the same file.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
TARGET = ROOT / ".build" / "nicobar.cdx.json"
EDITOR = ROOT / "src" / "nicobar" / "web" / "dashboard" / "static" / "vendor" / "editor.json"
# The extras of development; all others are installed for use.
DEVELOPMENT = frozenset({"build", "dev"})
_EXPRESSION = re.compile(r"[\w.-]+(?: (?:AND|OR) [\w.-]+)*")
# What packages without an SPDX expression write instead.
SPDX = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# Packages that name no license but in the file that they include.
IN_A_FILE = {"quickjs-ng": ("MIT", "MIT License")}


def license_of(package: Distribution) -> str:
    """An SPDX expression. Raises ValueError for a package without a license that is understood."""
    metadata = package.metadata
    name = metadata["Name"]
    given = [metadata.get("License-Expression"), metadata.get("License")]
    classifiers = [text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier", ()) if "License ::" in text]
    for text in (*given, " OR ".join(sorted(SPDX.get(text, text) for text in classifiers))):
        if text and _EXPRESSION.fullmatch(SPDX.get(text, text)):
            return SPDX.get(text, text)
    if name in IN_A_FILE:
        expression, start = IN_A_FILE[name]
        files = [file.locate() for file in package.files or () if file.name == "LICENSE"]
        if any(Path(str(file)).read_text("utf-8").startswith(start) for file in files):
            return expression
    raise ValueError(f"{name} names no license that is understood: {given}, {classifiers}. Look at its files.")


def packages() -> dict[str, tuple[Distribution, bool]]:
    """The distributions of an installation by name, and whether each is required."""
    found: dict[str, tuple[Distribution, bool]] = {}
    optional = sorted({*distribution("nicobar").metadata.get_all("Provides-Extra", ())} - DEVELOPMENT)
    for is_required, extras in ((True, ("",)), (False, tuple(optional))):
        left = [("nicobar", extras)]
        while left:
            name, wanted = left.pop()
            for requirement in _requirements(distribution(name), wanted):
                key = canonicalize_name(requirement.name)
                if key not in found:
                    found[key] = (distribution(key), is_required)
                    left.append((requirement.name, ("", *sorted(requirement.extras))))
    return dict(sorted(found.items()))


def _requirements(package: Distribution, extras: tuple[str, ...]) -> Iterator[Requirement]:
    for text in package.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement


def components() -> list[Component]:
    licenses = LicenseFactory()
    found = [
        Component(
            name=package.metadata["Name"],
            version=package.version,
            scope=ComponentScope.REQUIRED if is_required else ComponentScope.OPTIONAL,
            licenses=[licenses.make_from_string(license_of(package))],
            purl=PackageURL("pypi", None, name, package.version),
            bom_ref=f"pypi/{name}",
        )
        for name, (package, is_required) in packages().items()
    ]
    for item in json.loads(EDITOR.read_text("utf-8"))["made_of"]:
        namespace, _, name = item["name"].rpartition("/")
        found.append(
            Component(
                name=item["name"],
                version=item["version"],
                scope=ComponentScope.REQUIRED,
                licenses=[licenses.make_from_string(item["license"])],
                purl=PackageURL("npm", namespace, name, item["version"]),
                bom_ref=f"npm/{item['name']}",
            )
        )
    return found


def document() -> str:
    """The whole file. Without a time; the serial number is derived from the content."""
    own = distribution("nicobar")
    subject = Component(
        name="nicobar",
        type=ComponentType.APPLICATION,
        version=own.version,
        licenses=[LicenseFactory().make_from_string(license_of(own))],
        purl=PackageURL("pypi", None, "nicobar", own.version),
        bom_ref="nicobar",
    )
    found = components()
    content = "\n".join(sorted(str(component.purl) for component in [subject, *found]))
    serial_number = uuid.uuid5(uuid.NAMESPACE_URL, content)
    bom = Bom(components=found, metadata=BomMetaData(component=subject), serial_number=serial_number)
    bom.register_dependency(subject, found)
    written = json.loads(JsonV1Dot6(bom).output_as_string())
    del written["metadata"]["timestamp"]
    return json.dumps(written, indent=2, sort_keys=True) + "\n"


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(document(), "utf-8")
    print(f"wrote {target}: {len(json.loads(target.read_text('utf-8'))['components'])} components")


if __name__ == "__main__":
    main()
