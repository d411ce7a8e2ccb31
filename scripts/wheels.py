"""Checks that every runtime package has a wheel for every supported platform, so that nothing needs compiling.
Downloads the wheels and prints their size: `make wheels`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path(__file__).parents[1] / "constraints-runtime.txt"
PLATFORMS = {
    "Linux x86-64 (glibc)": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "Linux arm64 (glibc)": ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
    "Linux x86-64 (musl)": ("musllinux_1_2_x86_64", "musllinux_1_1_x86_64"),
    "Linux arm64 (musl)": ("musllinux_1_2_aarch64", "musllinux_1_1_aarch64"),
    "macOS arm64": ("macosx_14_0_arm64",),
}
PYTHON_VERSIONS = ("3.11", "3.12", "3.13")


def main() -> int:
    failed = False
    for name, tags in PLATFORMS.items():
        for version in PYTHON_VERSIONS:
            with tempfile.TemporaryDirectory() as folder:
                problem = _download(Path(folder), tags, version)
                wheels = list(Path(folder).iterdir())
                size_mb = sum(wheel.stat().st_size for wheel in wheels) / 1_000_000
            print(f"{'●' if not problem else '▲'} {name}, Python {version}: {len(wheels)} wheels, {size_mb:.0f} MB")
            if problem:
                print(problem, file=sys.stderr)
                failed = True
    return int(failed)


def _download(folder: Path, tags: tuple[str, ...], version: str) -> str:
    """The error of the download, if any. The lock file has every package, so dependencies are not resolved."""
    platforms = [part for tag in tags for part in ("--platform", tag)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *(
                "--only-binary=:all:",
                "--no-deps",
                "--require-hashes",
                "--requirement",
                str(LOCK),
            ),
            *("--python-version", version, *platforms, "--dest", str(folder)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip() if done.returncode else ""


if __name__ == "__main__":
    sys.exit(main())
