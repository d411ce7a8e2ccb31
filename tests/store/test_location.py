"""Which database a URL names, and what it requires."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nicobar.errors import StoreUnusable
from nicobar.store.location import locate


def test_postgresql_without_its_driver_names_the_package(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("nicobar.store.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreUnusable) as caught:
        locate("postgresql://127.0.0.1/nicobar")
    assert caught.value.code == "postgresql_not_installed"
    assert "pip install 'nicobar[postgresql]'" in caught.value.fix


def test_nicobar_runs_without_the_driver_of_postgresql():
    code = "import sys; sys.modules['psycopg'] = None; import nicobar.cli, nicobar.runtime, nicobar.cli.doctor"
    subprocess.run([sys.executable, "-c", code], check=True)
