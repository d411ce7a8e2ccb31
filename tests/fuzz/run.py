"""Runs the targets for a long time: `python -m fuzz.run [TARGET ...] [--executions N] [--seconds S]`.

If atheris is installed, it first looks for inputs that run new lines of code, slowly; those and the seeds are then
changed at random, fast. A target runs in processes of its own, so that one which hangs or uses up memory ends alone.
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from fuzz.mutations import mutations
from fuzz.names import target_names

# Where found inputs are kept between runs, and those that failed.
DIRECTORY = Path(".fuzz")
EXECUTIONS = 1_000_000
CHUNK_EXECUTIONS = 50_000
GUIDED_EXECUTIONS = 20_000
MAX_INPUT_BYTES = 2_048
MAX_UNIT_S = 20
MAX_MEMORY_MIB = 2_048
_DONE = re.compile(r"stat::number_of_executed_units: *(\d+)")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz ARGS=", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(target_names()))
    parser.add_argument("--executions", type=int, default=EXECUTIONS, help="for each target")
    parser.add_argument("--seconds", type=int, default=0, help="for all targets together; 0 for no limit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--plain", action="store_true", help="without atheris: on from the inputs that it found before"
    )
    parser.add_argument("--child", choices=["guided", "plain"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        run_one = guided if given.child == "guided" else plain
        return run_one(given.targets[0], given.executions, given.seed)
    return run_all(given)


def run_all(given: argparse.Namespace) -> int:
    """Chunks of each target in turn, so that every target has had its share whenever the time ends."""
    names = given.targets or target_names()
    end_s = time.monotonic() + given.seconds if given.seconds else float("inf")
    done = dict.fromkeys(names, 0)
    failed: set[str] = set()
    guided_first = not given.plain and find_spec("atheris") is not None
    for chunk in itertools.count(given.seed):
        left = [name for name in names if done[name] < given.executions and name not in failed]
        if not left or time.monotonic() > end_s:
            break
        is_guided = guided_first and chunk == given.seed
        most = GUIDED_EXECUTIONS if is_guided else CHUNK_EXECUTIONS
        for name in left:
            if time.monotonic() > end_s:
                break
            started_s = time.monotonic()
            count, is_broken = run_chunk(name, min(most, given.executions - done[name]), chunk, is_guided=is_guided)
            done[name] += count
            failed |= {name} if is_broken else set()
            print(f"{name:24} {done[name]:>10,}  {time.monotonic() - started_s:6.1f} s", flush=True)
    return report(done, failed)


def run_chunk(name: str, count: int, seed: int, *, is_guided: bool) -> tuple[int, bool]:
    """How many inputs were run, and whether one failed."""
    command = [sys.executable, "-m", "fuzz.run", name, "--child", "guided" if is_guided else "plain"]
    command += ["--executions", str(count), "--seed", str(seed)]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    counted = _DONE.search(ended.stderr)
    if ended.returncode:
        print(ended.stdout[-5_000:], ended.stderr[-5_000:], sep="\n", flush=True)
    return int(counted[1]) if counted else 0, ended.returncode != 0


def report(done: dict[str, int], failed: set[str]) -> int:
    for name, count in done.items():
        print(f"{name:24} {count:>10,} executions, {'FAILED' if name in failed else 'no findings'}")
    print(f"{'all targets':24} {sum(done.values()):>10,} executions, {len(failed)} findings")
    return 1 if failed else 0


def plain(name: str, count: int, seed: int) -> int:
    """Changes at random, of the seeds and of the inputs found before."""
    target = import_module(f"fuzz.targets.{name}")
    found = [path.read_bytes() for path in sorted((DIRECTORY / "corpus" / name).glob("*"))]
    ran = 0
    data = b""
    try:
        for data in mutations([*target.SEEDS, *found], count, seed):
            ran += 1
            target.run(data)
    except Exception:
        print(f"input: {data!r}", file=sys.stderr)
        raise
    finally:
        print(f"stat::number_of_executed_units: {ran}", file=sys.stderr)
    return 0


def guided(name: str, count: int, seed: int) -> int:
    """Looks for inputs that run other lines of Nicobar, and keeps them."""
    import atheris  # noqa: PLC0415 - not installed everywhere

    with atheris.instrument_imports(include=["nicobar"]):
        target = import_module(f"fuzz.targets.{name}")
    corpus, failed = DIRECTORY / "corpus" / name, DIRECTORY / "failed" / name
    for directory in (corpus, failed):
        directory.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(target.SEEDS):
        (corpus / f"seed-{number}").write_bytes(content)
    arguments = {
        "runs": count,
        "seed": seed + 1,
        "max_len": MAX_INPUT_BYTES,
        "timeout": MAX_UNIT_S,
        "rss_limit_mb": MAX_MEMORY_MIB,
        "artifact_prefix": f"{failed}/",
        "print_final_stats": 1,
        "verbosity": 1,
    }
    atheris.Setup([name, *(f"-{key}={value}" for key, value in arguments.items()), str(corpus)], target.run)
    atheris.Fuzz()  # ends the process
    return 0


if __name__ == "__main__":
    sys.exit(main())
