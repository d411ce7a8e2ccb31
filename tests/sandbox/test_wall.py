"""Behind the second wall, a process that is no longer ours reaches nothing but its connection."""

from __future__ import annotations

import errno
import os
import platform
import sys

import msgspec
import pytest
from click.testing import CliRunner

from nicobar.cli import group
from nicobar.errors import SandboxError
from nicobar.sandbox import Bounds, Broken, Calls, Canceled, Failure, Untouched, children, wall
from nicobar.sandbox.children import Children
from nicobar.sandbox.pool import SandboxPool
from nicobar.sandbox.wall import ARCHITECTURES, NOT_EXECUTABLE
from support.sandbox_jobs import job
from support.server import running

NOBODY = 65_534
HIGHEST_CALL = 600
USERS = [os.getuid(), NOBODY] if os.getuid() == 0 else [os.getuid()]
# As the product starts it, by any user.
STARTER = """
import os, sys
from nicobar.sandbox import child, starter, wall

if os.getuid() != USER:
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)
CHANGE
starter.main()
"""
# What someone tries who controls the process: each returns how it was refused.
ATTACKER = """
import ctypes, json, signal, socket, threading
import nicobar.sandbox.wire as wire

def serve(*, walled):
    own = socket.socket(fileno=child.CONNECTION)
    if walled:
        child.confine(walled=True)
    child._send(wire.Greeting(pid=os.getpid()))
    libc = ctypes.CDLL(None, use_errno=True)
    key = sys.argv[1]

    def fork():
        if os.fork() == 0:
            os._exit(0)

    def ptrace():
        ctypes.set_errno(0)
        if libc.ptrace(0, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def refusal(attempt):
        try:
            attempt()
        except OSError as error:
            return error.errno
        except RuntimeError as error:
            return str(error)

    def refused(number):
        ctypes.set_errno(0)
        return libc.syscall(number, 0, 0, 0, 0, 0, 0) == -1 and ctypes.get_errno() == 1

    def is_open(descriptor):
        try:
            os.write(descriptor, b"")
        except OSError:
            return False
        return True

    attempts = {
        "read the key": lambda: open(key).read(),
        "list its directory": lambda: os.listdir(os.path.dirname(key)),
        "write a file": lambda: open(key + ".new", "w"),
        "remove the key": lambda: os.rename(key, key + ".gone"),
        "open a socket": lambda: socket.socket(),
        "open a pair of sockets": lambda: socket.socketpair(),
        "send a descriptor": lambda: own.sendmsg([b" "]),
        "fork": fork,
        "start a thread": lambda: threading.Thread(target=int).start(),
        "execute a program": lambda: os.execv("/nonexistent", ["x"]),
        "be traced": ptrace,
        "signal itself": lambda: os.kill(os.getpid(), 0),
        "signal its parent": lambda: os.kill(PARENT, 0),
        "catch the signal of its CPU time": lambda: signal.signal(signal.SIGPROF, signal.SIG_IGN),
    }
    answer = {name: refusal(attempt) for name, attempt in attempts.items()} if walled or sys.argv[2] == "try" else {}
    answer = {"attempts": answer, "open": [number for number in range(64) if is_open(number)]}
    if walled:
        answer["calls"] = [number for number in range(600) if number not in ALLOWED | PROBES and not refused(number)]
    os.write(child.CONNECTION, json.dumps(answer).encode() + b"\\n")

PARENT = os.getpid()
# uretprobe and uprobe of x86-64 pass every filter; anywhere but in the kernel's own code, they end the process.
PROBES = {335, 336}
ALLOWED = set(wall.ARCHITECTURES[os.uname().machine].calls.values())
child.serve = serve
"""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the wall is Linux's")
every_user = pytest.mark.parametrize("user", USERS)


def script(user: int, change: str = "") -> tuple[str, ...]:
    return (sys.executable, "-c", STARTER.replace("USER", str(user)).replace("CHANGE", change))


async def attacked(monkeypatch, tmp_path, user: int, *, walled: bool) -> dict[str, object]:
    key = tmp_path / "secret.key"
    key.write_text("a key")
    for path in (key, tmp_path):
        path.chmod(0o777)
    monkeypatch.setattr(children, "STARTER", (*script(user, ATTACKER), str(key), "try"))
    inherited, inheritable = os.dup(2), True
    os.set_inheritable(inherited, inheritable)
    them = Children(walled=walled)
    try:
        attacker = await them.start("app_1")
        answer = msgspec.json.decode(await attacker.reader.readline())
    finally:
        await them.close()
        os.close(inherited)
    assert isinstance(answer, dict)
    return answer


@linux_only
@every_user
async def test_nothing_is_reached_from_behind_the_wall(monkeypatch, tmp_path, user):
    found = await attacked(monkeypatch, tmp_path, user, walled=True)
    refusals = found["attempts"]
    assert refusals.pop("start a thread") == "can't start new thread"
    assert set(refusals.values()) == {errno.EPERM}, refusals
    assert found["calls"] == [], "system calls that are not on the list"
    assert found["open"] == [0, 1, 2], "the connection, and nothing"
    assert (tmp_path / "secret.key").read_text() == "a key"


@linux_only
async def test_the_same_attempts_work_without_the_wall(monkeypatch, tmp_path):
    """So they would be noticed."""
    found = await attacked(monkeypatch, tmp_path, os.getuid(), walled=False)
    refusals = found["attempts"]
    assert refusals.pop("execute a program") == errno.ENOENT
    assert set(refusals.values()) == {None}, refusals


def run_filter(lines: bytes, call: int, architecture: int, protection: int = 0) -> int:
    """What the kernel would do with these instructions."""
    data = {wall.NUMBER_AT: call, wall.ARCHITECTURE_AT: architecture, wall.PROTECTION_AT: protection}
    program, place, value = list(wall._INSTRUCTION.iter_unpack(lines)), 0, 0
    while True:
        code, if_true, if_false, operand = program[place]
        place += 1
        if code == wall.RETURN:
            return operand
        if code == wall.LOAD:
            value = data[operand]
        else:
            met = {
                wall.JUMP_EQUAL: value == operand,
                wall.JUMP_AT_LEAST: value >= operand,
                wall.JUMP_BIT: bool(value & operand),
            }[code]
            place += if_true if met else if_false


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_filter_allows_the_list_and_nothing_else(name):
    it = ARCHITECTURES[name]
    lines = wall.program(it)
    allowed = {number for number in range(HIGHEST_CALL) if run_filter(lines, number, it.audit) == wall.ALLOW}
    assert allowed == set(it.calls.values())
    refused = {number for number in range(HIGHEST_CALL) if run_filter(lines, number, it.audit) == wall.REFUSE}
    assert allowed | refused == set(range(HIGHEST_CALL))
    executable = {run_filter(lines, it.calls[call], it.audit, protection=7) for call in NOT_EXECUTABLE}
    assert executable == {wall.REFUSE}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_calls_of_another_architecture_end_the_process(name):
    it = ARCHITECTURES[name]
    lines = wall.program(it)
    others = {other.audit for other in ARCHITECTURES.values()} - {it.audit} | {0x40000003}
    assert {run_filter(lines, number, audit) for number in it.calls.values() for audit in others} == {wall.KILL}
    if it.has_x32:
        assert run_filter(lines, wall.X32_BIT | it.calls["read"], it.audit) == wall.KILL


EVERY_RESULT = {
    "w.payload = {type: 'person'}; return w;": Calls,
    "return Array(200).fill({payload: 1});": Calls,
    "w.payload = 'x'.repeat(500000); return w;": Calls,
    "w.payload = [...'a'.repeat(1e5)].map((c) => ({c})).length; return w;": Calls,
    "w.payload = [new Date(2020, 6, 1).toString(), new Date().toLocaleString(), Math.random()]; return w;": Calls,
    "w.payload = [String(7n ** 3000n), /(a+)b/.exec('aaab'), 'ü'.normalize('NFD'), [3, 1].sort()]; return w;": Calls,
    "w.payload = [new Float64Array(1e5).length, new ArrayBuffer(3e7).byteLength]; return w;": Calls,
    "w.payload = (0, eval)('1 + 1') + new Function('return 1')(); return w;": Calls,
    "console.log(new Error('x').stack); w.payload = 1; return w;": Calls,
    "return w;": Untouched,
    "import('x').catch(() => 1); return w;": Untouched,
    "(async () => { for (let n = 0; n < 50; n++) await n; })(); return w;": Untouched,
    "return [];": Canceled,
    "throw new Error('x');": Failure.THREW,
    "throw {toString() { throw 1; }};": Failure.THREW,
    "return 1;": Failure.BAD_RESULT,
    "w.payload = '\\ud800'; return w;": Failure.BAD_RESULT,
    "let x = 1; for (let n = 0; n < 1e5; n++) x = [x]; w.payload = x; return w;": Failure.BAD_RESULT,
    "w.payload = 'x'.repeat(9e5); return w;": Failure.OUTPUT_TOO_LARGE,
    "return handler(w);": Failure.STACK_OVERFLOW,
    "const a = []; for (;;) a.push(new Array(1e5).fill(a.length));": Failure.OUT_OF_MEMORY,
    "'x'.repeat(2 ** 29) + 'y';": Failure.OUT_OF_MEMORY,
    "for (;;);": Failure.TIMED_OUT,
    "(async () => { for (;;) await 0; })(); return w;": Failure.TIMED_OUT,
    "let = ;": Failure.SYNTAX_ERROR,
    "//" + "x" * 60_000: Failure.CODE_TOO_LARGE,
}


@pytest.mark.slow
@linux_only
async def test_every_kind_of_result_leaves_through_the_wall(monkeypatch):
    monkeypatch.setattr(children, "STARTER", script(USERS[-1]))
    kills: list[str] = []
    jobs = [job(f"function handler(w) {{ {code} }}", body=b'{"a":"%s"}' % (b"x" * 90_000)) for code in EVERY_RESULT]
    async with SandboxPool(children=1, bounds=Bounds(run_ms=200, cpu_ms=60_000), on_kill=kills.append) as pool:
        await pool.check_wall()
        results = [result for each in jobs for result in await pool.run([each])]
        idle = len(pool._idle)
    kinds = [result.failure if isinstance(result, Broken) else type(result) for result in results]
    assert kinds == list(EVERY_RESULT.values())
    assert (kills, idle) == ([], 1), "one process ran them all"


UNUSABLE = {
    "no system call filter": "wall.ARCHITECTURES = {}",
    "does not enforce": "wall.REFUSE = wall.ALLOW",
    "prctl": "wall._SECCOMP_MODE_FILTER = 77",
}


@linux_only
@pytest.mark.parametrize("why", UNUSABLE)
async def test_no_handler_runs_where_the_wall_fails(monkeypatch, why):
    monkeypatch.setattr(children, "STARTER", script(os.getuid(), UNUSABLE[why]))
    async with SandboxPool(children=1) as pool:
        with pytest.raises(SandboxError, match=why) as caught:
            await pool.run([job("function handler(w) { return w; }")])
        with pytest.raises(SandboxError, match="NICOBAR_SANDBOX=engine"):
            await pool.check_wall()
    assert caught.value.code == "sandbox_filter_failed"


@linux_only
async def test_serve_refuses_to_start_without_the_wall_unless_told(monkeypatch, tmp_path):
    monkeypatch.setattr(children, "STARTER", script(os.getuid(), UNUSABLE["no system call filter"]))
    with pytest.raises(SandboxError, match="NICOBAR_SANDBOX=engine"):
        async with running(tmp_path, None, own_sandbox=True):
            pass
    async with running(tmp_path, None, own_sandbox=True, sandbox="engine") as nicobar:
        assert nicobar.runtime.server is not None


def doctor(monkeypatch, tmp_path, **more: str) -> list[str]:
    """What it says about the sandbox; there is no database."""
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    printed = CliRunner().invoke(group, ["doctor", "--data-dir", str(tmp_path)]).stdout
    return [line for line in printed.splitlines() if "sandbox" in line]


@linux_only
def test_doctor_shows_the_layers_of_this_machine(monkeypatch, tmp_path):
    runs, engine, filter_ = doctor(monkeypatch, tmp_path)
    assert (runs, engine[0]) == ("● sandbox: handlers run.", "●")
    assert filter_.startswith(f"● sandbox filter: Linux on {os.uname().machine}: no files")


@linux_only
def test_doctor_says_where_the_filter_is_turned_off(monkeypatch, tmp_path):
    assert "○ sandbox filter: Linux" in doctor(monkeypatch, tmp_path, NICOBAR_SANDBOX="engine")[-1]


def test_doctor_says_that_another_system_has_no_filter(monkeypatch, tmp_path):
    monkeypatch.setattr(wall, "is_available", lambda: False)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    runs, _, filter_ = doctor(monkeypatch, tmp_path)
    assert runs == "● sandbox: handlers run."
    assert filter_.startswith("○ sandbox filter: Darwin on ")


@linux_only
def test_doctor_tells_a_filter_that_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(children, "STARTER", script(os.getuid(), UNUSABLE["prctl"]))
    lines = doctor(monkeypatch, tmp_path)
    assert [line[0] for line in lines] == ["▲", "●", "▲"]
    assert "NICOBAR_SANDBOX=engine" in lines[-1]
