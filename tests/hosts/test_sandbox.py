"""Hosts and programs in sandboxes, with real processes: their life cycle, disks, and control by several processes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sandboxes import living_sandbox, require

from support.errors import NotAvailable, ProcessFailed, UsageError
from support.hosts import Host, Process, Sandbox, probe, reentry_argv, why_not_namespaces
from support.waiting import eventually, throughout

TICKER = ["sh", "-c", "while echo tick; do sleep 0.02; done"]
DOUBLE_FORKED = ["sh", "-c", "setsid sh -c 'sleep 1000 & sleep 1000' & exec sleep 1000"]


@pytest.fixture(params=["namespaces", "loopback"])
def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sandbox]:
    with living_sandbox(request.param, tmp_path / "sandbox") as living:
        yield living


@pytest.fixture
def host(sandbox: Sandbox) -> Host:
    return sandbox.add_host("member-1", 11)


def test_the_probe_gives_a_reason_if_and_only_if_it_chooses_loopback() -> None:
    assert probe() == ("loopback" if why_not_namespaces() else "namespaces")


def test_where_namespaces_are_forbidden_the_probe_says_why() -> None:
    require("namespaces")
    script = "from support.hosts import probe, why_not_namespaces as why; print(probe(), why())"
    forbid = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", sys.executable, "-c", script]
    probed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert probed.stdout.startswith("loopback no namespaces here: [Errno 28] unshare: No space left on device; ")
    assert probed.stdout.rstrip().endswith("sudo sysctl user.max_user_namespaces=10000")


def test_a_program_runs_as_an_ordinary_user_in_its_host_directory(host: Host) -> None:
    who = host.add("who", ["sh", "-c", "id -u; id -un; pwd; echo $COLOUR; exec sleep 1000"], {"COLOUR": "blue"})
    who.start()
    eventually(lambda: _require_lines(who, 4), within=5, subject="it has printed everything")
    uid, user, directory, colour = who.log.read_text().split()
    assert int(uid) > 0
    assert user
    assert directory == str(host.directory)
    assert colour == "blue"
    assert host.run(["id", "-u"]).stdout.strip() == uid
    assert host.run(["pwd"]).stdout.strip() == directory


def test_a_second_start_changes_nothing_and_a_stopped_program_starts_again(host: Host) -> None:
    program = host.add("sleep", ["sleep", "1000"])
    assert program.pid is None
    program.start()
    first = program.pid
    program.start()
    assert program.pid == first
    program.stop()
    assert program.pid is None
    program.start()
    assert program.pid not in (None, first)
    assert list(host.processes) == ["sleep"]


def test_a_program_that_exits_by_itself_leaves_no_zombie(host: Host) -> None:
    program = host.add("brief", ["sh", "-c", "(sleep 1.12345 &); exit 3"])
    program.start()
    eventually(lambda: _require_gone(program), within=5, subject="it is gone")
    found = [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "1.12345"]]
    orphans = [p for p in found if _is_on(p, host)]
    assert orphans
    eventually(lambda: _require(not any(p.is_running() for p in orphans)), within=5, subject="orphans are reaped")


def test_a_program_that_ignores_sigterm_is_killed(host: Host) -> None:
    deaf = host.add("deaf", ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"])
    deaf.start()
    eventually(lambda: _require_lines(deaf, 1), within=5, subject="it ignores SIGTERM")
    deaf.stop(within=0.3)
    assert deaf.pid is None


def test_a_program_is_stopped_even_when_it_is_paused(host: Host) -> None:
    program = host.add("sleep", ["sleep", "1000"])
    program.start()
    program.pause()
    program.stop(within=2)
    assert program.pid is None


def test_kill_reaches_descendants_that_left_their_parent_session_and_group(host: Host) -> None:
    program, other = host.add("daemon", DOUBLE_FORKED), host.add("other", ["sleep", "2000"])
    program.start()
    other.start()
    eventually(lambda: _require_sleepers(host, 3), within=5, subject="the daemon has forked twice")
    program.kill()
    _require_sleepers(host, 0)
    assert other.pid is not None


def test_pause_freezes_and_resume_thaws_all_descendants(host: Host) -> None:
    ticker = host.add("ticker", TICKER)
    ticker.start()
    eventually(lambda: _require_lines(ticker, 1), within=5, subject="it ticks")
    ticker.pause()
    frozen_at = ticker.log.stat().st_size
    throughout(lambda: _require(ticker.log.stat().st_size == frozen_at), seconds=0.2)
    assert ticker.pid is not None
    ticker.resume()
    eventually(lambda: _require(ticker.log.stat().st_size > frozen_at), within=5, subject="it ticks again")


def test_a_program_that_cannot_be_executed_is_named_in_the_error(host: Host) -> None:
    with pytest.raises(ProcessFailed, match="no-such-program"):
        host.add("wrong", ["no-such-program"]).start()


def test_the_error_of_a_failing_command_has_its_output(host: Host) -> None:
    with pytest.raises(ProcessFailed, match=r"ended with 3: alas"):
        host.run(["sh", "-c", "echo alas >&2; exit 3"])
    with pytest.raises(ProcessFailed, match=r"did not end within 0.1 s"):
        host.run(["sleep", "10"], timeout=0.1)


def test_a_power_cycle_keeps_the_disk_and_restarts_what_ran(host: Host) -> None:
    (host.directory / "data").write_text("kept")
    ran, idle = host.add("ran", DOUBLE_FORKED), host.add("idle", ["sleep", "1000"])
    ran.start()
    idle.start()
    idle.stop()
    before = ran.pid
    command = subprocess.Popen(host.argv(["sleep", "1000"]))
    eventually(lambda: _require_sleepers(host, 4), within=5, subject="everything runs")
    host.power_off()
    assert (ran.pid, host.powered) == (None, False)
    assert command.wait(5) != 0
    with pytest.raises(ProcessFailed, match="powered off"):
        ran.start()
    host.power_off()
    host.power_on()
    assert ran.pid not in (None, before)
    assert idle.pid is None
    assert (host.directory / "data").read_text() == "kept"
    host.power_on()
    assert host.powered


def test_a_second_process_controls_the_same_programs(sandbox: Sandbox, host: Host) -> None:
    program = host.add("sleep", ["sleep", "1000"])
    program.start()
    script = f"""
from pathlib import Path
from support.hosts import attach
host = attach(Path({str(sandbox.directory)!r})).hosts["member-1"]
assert host.processes["sleep"].pid == {program.pid}
host.processes["sleep"].kill()
host.add("left", ["sleep", "1000"]).start()
"""
    subprocess.run(reentry_argv(sandbox.directory, [sys.executable, "-c", script]), check=True, timeout=20)
    assert program.pid is None
    assert host.processes["left"].pid is not None, "it died with the process that started it"


def test_a_host_with_a_used_or_invalid_name_or_number_is_refused(sandbox: Sandbox, host: Host) -> None:
    for name, number in (("member-1", 12), ("other", 11), ("other", 1), ("a/b", 13)):
        with pytest.raises(UsageError):
            sandbox.add_host(name, number)
    assert list(sandbox.hosts) == ["member-1"]
    assert sandbox.hosts["member-1"] == host


def test_a_host_that_is_removed_leaves_nothing_and_can_be_made_again(sandbox: Sandbox, host: Host) -> None:
    ticker = host.add("ticker", TICKER)
    ticker.start()
    pids, ticks = ticker.pids, ticker.log
    sandbox.remove_host(host.name)
    assert host.name not in sandbox.hosts
    assert not any(psutil.pid_exists(pid) for pid in pids) or sandbox.kind == "namespaces"
    size = ticks.stat().st_size
    sandbox.remove_host(host.name)
    with pytest.raises(UsageError, match="no host named member-1"):
        ticker.start()
    again = sandbox.add_host(host.name, host.number)
    assert (again.address, dict(again.processes), again.powered) == (host.address, {}, True)
    assert ticks.stat().st_size == size


def test_only_the_host_sees_its_disk_which_can_be_full_and_is_empty_after_a_power_off(tmp_path: Path) -> None:
    with living_sandbox("namespaces", tmp_path / "sandbox") as sandbox:
        host, other = sandbox.add_host("one", 11), sandbox.add_host("two", 12)
        place = host.directory / "disk"
        place.mkdir()
        host.give_disk(place, megabytes=1)
        host.run(["touch", f"{place}/mine"])
        with pytest.raises(ProcessFailed, match="No space left on device"):
            host.run(["dd", "if=/dev/zero", f"of={place}/ballast", "bs=64k", "count=17"])
        assert other.run(["ls", str(place)]).stdout == ""
        host.power_off()
        host.power_on()
        assert host.run(["ls", str(place)]).stdout == ""


def test_no_disk_can_be_mounted_at_a_missing_directory(tmp_path: Path) -> None:
    with living_sandbox("namespaces", tmp_path / "sandbox") as sandbox:
        host = sandbox.add_host("one", 11)
        with pytest.raises(ProcessFailed, match=r"one got no disk at .*: .*No such file"):
            host.give_disk(host.directory / "nowhere", megabytes=1)


def test_a_loopback_sandbox_has_no_disks(tmp_path: Path) -> None:
    with living_sandbox("loopback", tmp_path / "sandbox") as sandbox:
        host = sandbox.add_host("one", 11)
        with pytest.raises(NotAvailable, match="takes a sandbox of namespaces"):
            host.give_disk(host.directory, megabytes=1)


def _require(fact: bool) -> None:
    assert fact


def _require_gone(program: Process) -> None:
    assert program.pid is None


def _require_lines(program: Process, number: int) -> None:
    assert len(program.log.read_text().splitlines()) >= number


def _require_sleepers(host: Host, number: int) -> None:
    """This many processes on the host sleep for a thousand seconds."""
    sleepers = [
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if process.info["cmdline"] == ["sleep", "1000"] and _is_on(process, host)
    ]
    assert len(sleepers) == number


def _is_on(process: psutil.Process, host: Host) -> bool:
    try:
        return process.cwd() == str(host.directory)
    except psutil.NoSuchProcess:  # of another sandbox, ended between the two questions
        return False
