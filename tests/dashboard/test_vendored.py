"""The editor's bundle matches its sources and contains its licenses."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import nicobar.web.dashboard
from support.patience import PATIENCE_S

ASSETS = Path(__file__).parents[2] / "assets"
VENDOR = Path(nicobar.web.dashboard.__file__).parent / "static" / "vendor"
MAX_BYTES = 400_000


def test_the_bundle_matches_its_list_and_licenses():
    manifest = json.loads((VENDOR / "editor.json").read_text("utf-8"))
    bundle = (VENDOR / manifest["file"]).read_bytes()
    assert hashlib.sha256(bundle).hexdigest() == manifest["sha256"]
    assert len(bundle) < MAX_BYTES
    licenses = (VENDOR / "editor.LICENSES.txt").read_text("utf-8")
    for item in manifest["made_of"]:
        assert item["license"] == "MIT"
        assert f"{item['name']} {item['version']}\n" in licenses


def test_the_sources_produce_the_bundle(tmp_path):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(
        ["node", "build.mjs", str(tmp_path)],
        cwd=ASSETS,
        check=True,
        timeout=PATIENCE_S,
        env={**os.environ, "PATH": path},
    )
    for made in tmp_path.iterdir():
        assert made.read_bytes() == (VENDOR / made.name).read_bytes(), "make assets"


def test_lock_files_contain_no_urls():
    lock = (ASSETS / "package-lock.json").read_text("utf-8")
    assert "resolved" not in lock
    assert "integrity" in lock
