"""Whatever is killed, the sandbox leaves nothing behind: no process, no namespace, no mount, no shared memory."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from bounds import takes_less_than
from sandboxes import NOBODY, await_death, begin, directory_of, reach, require
from traces import SPACES, Traces, lives, traces_of

from support.hosts import Sandbox
from support.waiting import eventually

WITHIN = 1.0  # seconds from the kill to the last trace, as far as the processors are ours
PATIENCE = 10.0
MARK = "left-by-a-sandbox"
BEGAN = int(time.time())
# Like PostgreSQL, it leaves its parent, session and group, leaves shared memory behind, and ignores signals.
UNRULY = """
import ctypes, os, signal, time
ctypes.CDLL(None).shmget(0, 56, 0o1600)
if os.fork() == 0:
    os.setsid()
    os.fork()
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
open("ready", "w").close()
time.sleep(1000)
"""


@pytest.mark.parametrize("user", [None, NOBODY])
@pytest.mark.parametrize(
    ("kind", "victim"),
    [
        *(("namespaces", victim) for victim in ("caller", "wrapper", "supervisor", "worker")),
        *(("loopback", victim) for victim in ("caller", "supervisor", "worker")),
    ],
)
def test_nothing_survives_when_a_process_of_ours_is_killed(kind: str, victim: str, user: int | None) -> None:
    require(kind)
    if user is not None and os.geteuid() != 0:
        pytest.skip("not root already")
    with directory_of(os.geteuid() if user is None else user) as directory:
        caller = begin(kind, directory, _work, publish=("web",), user=user)
        eventually(lambda: _require((directory / "busy").exists()), within=10, subject="the sandbox is busy")
        traces = traces_of(caller)
        assert len(traces.processes) >= 8
        assert len(traces.namespaces) >= (len(SPACES) if kind == "namespaces" else 0)
        os.kill(_find(victim, caller, kind), signal.SIGKILL)
        with takes_less_than(WITHIN):
            os.waitpid(caller, 0)
            eventually(lambda: _require_nothing(traces), within=PATIENCE, subject=f"{kind}: all is gone", pause=0.01)
    assert _mounts(directory) == []
    assert _segments(traces) == []


@pytest.mark.parametrize("kind", ["namespaces", "loopback"])
def test_nothing_survives_when_the_worker_exits_without_closing(kind: str, tmp_path: Path) -> None:
    require(kind)
    caller = begin(kind, tmp_path, _work_and_leave, publish=("web",))
    eventually(lambda: _require((tmp_path / "busy").exists()), within=10, subject="the sandbox is busy")
    traces = traces_of(caller)
    (tmp_path / "leave").touch()
    assert os.waitpid(caller, 0)[1] == 0
    eventually(lambda: _require_nothing(traces), within=PATIENCE, subject="all is gone", pause=0.01)
    assert _segments(traces) == []


def test_shared_memory_files_die_with_the_host(tmp_path: Path) -> None:
    """PostgreSQL makes such files. In a loopback sandbox its settings keep them with its data."""
    require("namespaces")

    def leave_a_file(sandbox: Sandbox) -> None:
        host = sandbox.add_host("member-1", 11)
        host.run(["touch", f"/dev/shm/{MARK}"])
        host.power_off()
        host.power_on()
        assert MARK not in host.run(["ls", "/dev/shm"]).stdout
        host.run(["touch", f"/dev/shm/{MARK}"])

    caller = begin("namespaces", tmp_path, leave_a_file)
    assert os.waitpid(caller, 0)[1] == 0
    assert not Path("/dev/shm", MARK).exists()


@pytest.mark.parametrize("kind", ["namespaces", "loopback"])
def test_a_killed_relay_is_replaced(kind: str, tmp_path: Path) -> None:
    require(kind)
    caller = begin(kind, tmp_path, _work, publish=("web",))
    try:
        sandbox = reach(tmp_path, hosts=2)
        eventually(lambda: _require((tmp_path / "busy").exists()), within=10, subject="the sandbox is busy")
        relay = _find("relay", caller, kind)
        os.kill(relay, signal.SIGKILL)
        eventually(lambda: _require(_find("relay", caller, kind) not in (0, relay)), within=5, subject="a new relay")
        assert sandbox.hosts["member-1"].processes["unruly"].pid is not None
    finally:
        os.kill(caller, signal.SIGKILL)
        os.waitpid(caller, 0)
        await_death(tmp_path)


def test_a_killed_host_is_off_and_can_be_powered_on(tmp_path: Path) -> None:
    require("namespaces")
    caller = begin("namespaces", tmp_path, _work, publish=("web",))
    try:
        host = reach(tmp_path, hosts=2).hosts["member-1"]
        eventually(lambda: _require((tmp_path / "busy").exists()), within=10, subject="the sandbox is busy")
        (init,) = [p for p in traces_of(caller).processes if lives(p) and p.cmdline()[:1] == ["host:member-1"]]
        init.kill()
        eventually(lambda: _require(not host.powered), within=5, subject="the host is off", pause=0.01)
        assert host.processes["unruly"].pid is None
        host.power_on()
        host.processes["unruly"].start()
    finally:
        os.kill(caller, signal.SIGKILL)
        os.waitpid(caller, 0)
        await_death(tmp_path)


def _work(sandbox: Sandbox) -> None:
    """Be a worker with a child of its own and with hosts that run something unruly, forever."""
    _be_busy(sandbox)
    signal.pause()


def _work_and_leave(sandbox: Sandbox) -> None:
    """The same, but end when told to."""
    _be_busy(sandbox)
    eventually(lambda: _require((sandbox.directory / "leave").exists()), within=10, subject="told to leave")


def _be_busy(sandbox: Sandbox) -> None:
    python = sys.executable if os.access(sys.executable, os.X_OK) else "python3"
    for name, number in (("member-1", 11), ("member-2", 12)):
        host = sandbox.add_host(name, number)
        host.add("unruly", [python, "-c", UNRULY]).start()
        ready = host.directory / "ready"
        eventually(lambda ready=ready: _require(ready.exists()), within=10, subject="it is unruly")
        sandbox.publish({"web": (host.address, 80)})
    if os.fork() == 0:  # as behave does
        os.setsid()
        signal.pause()
    (sandbox.directory / "busy").touch()


def _find(role: str, caller: int, kind: str) -> int:
    """The pid of a process of ours; 0 when there is none at the moment."""
    supervisor = psutil.Process(caller).children()[0]
    found = {"caller": caller, "wrapper": supervisor.pid}
    if kind == "namespaces":
        supervisor = supervisor.children()[0]
    found["supervisor"] = supervisor.pid
    for child in supervisor.children():
        if child.name() == "accept-relay":
            found["relay"] = child.pid
        elif os.getpgid(child.pid) == os.getpgid(caller):  # all others have a session of their own
            found["worker"] = child.pid
    return found.get(role, 0)


def _mounts(folder: Path) -> list[str]:
    """Those below a folder; tests that run beside this one mount disks of their own."""
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line]


def _segments(traces: Traces) -> list[str]:
    """The System V shared memory segments that these processes made; their pids may have made older ones, too."""
    makers = {str(process.pid) for process in traces.processes}
    with open("/proc/sysvipc/shm") as table:
        heading, *lines = (line.split() for line in table)
    found = [dict(zip(heading, line, strict=True)) for line in lines]
    return [one["shmid"] for one in found if one["cpid"] in makers and int(one["ctime"]) >= BEGAN]


def _require(fact: bool) -> None:
    assert fact


def _require_nothing(traces: Traces) -> None:
    assert traces.left() == []
