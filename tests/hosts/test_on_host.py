"""The script that is sent to users' hosts, run by shells of this machine, in a folder of the test's own."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import pytest
from booting import boots

from support.errors import Inconclusive, ProcessFailed
from support.hosts.interface import Clock, Running
from support.hosts.processes import LogFile
from support.hosts.remote import HostAccess, HostRefused, HostUnreached, ProgramAccess, Reach, RemoteHost, RemoteSite
from support.hosts.remote.clients import HostFailed
from support.hosts.remote.guards import GRACE, IN_TIME, Guards, heal_left
from support.hosts.remote.logs import CollectedLogs, RemoteLog, clock_of, log_filename, own_names
from support.hosts.remote.machines import identities
from support.hosts.remote.processes import parsed_table
from support.target.cluster import Cluster
from support.target.discovery.host_links import _tunnel
from support.target.timing import Span, Timing
from support.target.topology import Address, Login, Topology
from support.waiting import NotYet, eventually, throughout

SHELLS = {"dash": ("dash", "-s"), "bash": ("bash", "--posix", "-s"), "busybox": ("busybox", "sh", "-s")}


# A quick run tries the script with the first of them.
@pytest.fixture(params=[pytest.param(one, marks=[pytest.mark.long] * (one != "dash")) for one in SHELLS])
def here(request: pytest.FixtureRequest) -> Iterator[Reach]:
    argv = SHELLS[request.param]
    if shutil.which(argv[0]) is None:
        pytest.skip(f"{argv[0]} is not installed here")
    variables = {"FOLDER": f"accept-test-{token_hex(4)}", "MARK": "echo staging", "SCOPE": "staging"}
    yield replace(Reach.of("local:"), argv=argv, variables=variables)
    for folder in (_folder(variables["FOLDER"]), Path("/var/lib", variables["FOLDER"])):
        shutil.rmtree(folder, ignore_errors=True)


def _folder(name: str) -> Path:
    return Path(f"/run/{name}") if os.access("/run", os.W_OK) else Path(f"/tmp/{name}-{os.getuid()}")


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def _looked(reach: Reach, process: "subprocess.Popen[bytes]") -> Running:
    return next(one for one in parsed_table(reach.run("table")) if one.pid == process.pid)


def _require(true: object) -> None:
    if not true:
        raise NotYet("not yet")


def _await(true: object, within: float = 20.0) -> None:
    eventually(lambda: _require(true()), within=within, subject="it")  # type: ignore[operator]


def test_a_name_with_a_line_break_hides_no_other_process(here: Reach, sleeper: "subprocess.Popen[bytes]") -> None:
    strange = "import time; open('/proc/self/comm', 'w').write('a\\nb'); print(flush=True); time.sleep(60)"
    with subprocess.Popen(["python3", "-c", strange], stdout=subprocess.PIPE) as odd:
        assert odd.stdout is not None
        odd.stdout.readline()
        assert _looked(here, sleeper).name == "sleep"
        odd.kill()


@boots
def test_a_process_with_ids_of_its_own_is_in_a_container(here: Reach, sleeper: "subprocess.Popen[bytes]") -> None:
    if os.geteuid():
        pytest.skip("ids of its own need root")
    with subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "sleep", "600"]) as outer:
        try:
            _await(
                lambda: [
                    one for one in parsed_table(here.run("table")) if one.parent == outer.pid and one.name == "sleep"
                ]
            )
            (inner,) = [one for one in parsed_table(here.run("table")) if one.parent == outer.pid]
            assert (inner.contained, _looked(here, outer).contained) == (True, False)
            assert not _looked(here, sleeper).contained
        finally:
            outer.kill()


def test_what_was_printed_before_an_error_is_not_repeated_in_its_message(here: Reach, tmp_path: Path) -> None:
    secret = tmp_path / "patroni.yml"
    secret.write_text("password: tell-nobody\n")
    with pytest.raises(HostRefused, match=r"No such file|can't open") as refused:
        here.run("cat", str(secret), f"{secret}.old")
    assert "tell-nobody" not in str(refused.value)
    with pytest.raises(HostRefused, match="not marked as breakable for the scope another"):
        here.run("strike", "KILL", "1:1", variables={"SCOPE": "another"})


def test_who_has_a_watchdog_open_is_named(here: Reach, tmp_path: Path) -> None:
    """Not only Patroni may hold a watchdog: systemd can (RuntimeWatchdogSec), and there is a daemon for it."""
    (tmp_path / "dev").mkdir()
    shutil.copy(str(shutil.which("sleep")), tmp_path / "systemd")
    with (tmp_path / "dev/watchdog0").open("w") as watchdog:
        holder = subprocess.Popen([tmp_path / "systemd", "600"], stdout=watchdog, stderr=watchdog)
    try:
        _await(lambda: f"watchdog\tsystemd {holder.pid}\n" in here.run("look"))
        assert here.run("look").count(f"systemd {holder.pid}") == 1
    finally:
        holder.kill()
        holder.wait()
    assert f"systemd {holder.pid}" not in here.run("look")


def test_a_log_that_was_begun_anew_is_read_from_its_beginning(here: Reach, tmp_path: Path) -> None:
    log = tmp_path / "a log"
    log.write_text("one\ntwo\n")
    assert here.run("tail_of", str(log), "4").strip() == "two"
    log.write_text("new\n")
    assert here.run("tail_of", str(log), "8").strip() == "new"


def test_the_clock_of_a_host_has_its_time_zone(here: Reach) -> None:
    assert clock_of(replace(here, argv=("env", "TZ=EST5", *here.argv))) == Clock(-18000.0)
    assert clock_of(replace(here, argv=("env", "TZ=IST-5:30", *here.argv))) == Clock(19800.0)
    assert clock_of(replace(here, argv=("false",))) is None


def test_the_clock_of_a_host_may_be_wrong(here: Reach, tmp_path: Path) -> None:
    if here.argv[0] == "busybox":
        pytest.skip("busybox has a date of its own")
    date = tmp_path / "date"
    date.write_text('#!/bin/sh\necho "$(($(/bin/date +%s) - 90)) +0000"\n')
    date.chmod(0o755)
    found = clock_of(replace(here, argv=("env", f"PATH={tmp_path}:{os.environ['PATH']}", *here.argv)))
    assert found is not None
    assert (found.zone, found.ahead) == (0.0, pytest.approx(-90, abs=5))


def test_a_folder_of_somebody_else_is_not_used(here: Reach) -> None:
    folder = _folder(here.variables["FOLDER"])
    if os.geteuid():
        pytest.skip("only root can make a folder of somebody else's")
    (folder / "fault").mkdir(parents=True)
    (folder / "fault" / "owner").write_text("me\n")
    os.chown(folder, 4242, 4242)
    with pytest.raises(HostRefused, match="is not ours"):
        here.run("heal", "fault")


def test_without_sudo_nothing_is_said_of_what_root_has_done(here: Reach, sleeper: "subprocess.Popen[bytes]") -> None:
    """Such a login can neither see nor undo it, and would answer that nothing is there."""
    if os.geteuid():
        pytest.skip("another login needs root")
    login = ("setpriv", "--reuid=1001", "--regid=1001", "--clear-groups")
    without = replace(here, argv=(*login, *here.argv, "--", "", "sudo: a password is required"))
    assert without.run("left").split() == [], "there is nothing of root's yet"
    with pytest.raises(HostUnreached, match="was allowed before, and is refused now: sudo: a password is required"):
        replace(without, variables={**here.variables, "AS_ROOT": "yes"}).run("left")
    fault = Guards().inject("here", here, "freeze", *identities([_looked(here, sleeper)]))
    for verb in ("left", "look", "heal", "beat"):
        with pytest.raises(HostUnreached, match=r"only root may read /run/\S*, and sudo -n sh is refused: sudo: "):
            without.run(verb, *([fault.id] if verb in ("heal", "beat") else []))
    with pytest.raises(HostUnreached):
        heal_left(without)
    assert heal_left(here)
    _await(lambda: not _looked(here, sleeper).stopped)


def test_only_what_was_suspended_goes_on_afterwards(here: Reach, sleeper: "subprocess.Popen[bytes]") -> None:
    """The id of a process that is gone may be another's by now, which somebody else has suspended."""
    guards = Guards()
    found = _looked(here, sleeper)
    fault = guards.inject("here", here, "freeze", *identities([found]))
    _await(lambda: _looked(here, sleeper).stopped)
    undo = _folder(here.variables["FOLDER"]) / fault.id / "undo"
    undo.write_text(undo.read_text().replace(f" {found.started} ", " 42424242 "))
    guards.heal(fault)
    assert _looked(here, sleeper).stopped
    fault = guards.inject("here", here, "freeze", *identities([found]))
    guards.heal(fault)
    _await(lambda: not _looked(here, sleeper).stopped)


@pytest.mark.long
def test_a_guard_tries_again_what_could_not_be_undone(here: Reach, tmp_path: Path) -> None:
    guards = Guards(grace=1, beat=600)
    asked, able = tmp_path / "asked", tmp_path / "able"
    guards.inject("here", here, "outside", ":", f"touch {asked}; [ -e {able} ] && touch {tmp_path}/undone")
    _await(asked.exists)
    assert not (tmp_path / "undone").exists()
    able.touch()
    _await((tmp_path / "undone").exists)


def test_what_began_although_no_answer_came_is_undone(here: Reach, tmp_path: Path) -> None:
    """Otherwise nobody would heal it, and as long as other faults last, its guard would be told that somebody will."""
    guards, undone = Guards(), tmp_path / "undone"
    (tmp_path / "deaf").write_text(
        'text=$(cat)\ncase $text in *"main outside"*) echo "$text" | sh -s >/dev/null; exit 1;; esac\n'
    )
    deaf = replace(here, argv=("sh", "-c", f'. {tmp_path}/deaf; echo "$text" | {" ".join(here.argv)}'))
    with pytest.raises(HostUnreached):
        guards.inject("here", deaf, "outside", ":", f"touch {undone}")
    assert undone.exists()
    assert not guards.active


def test_what_cannot_be_recorded_any_more_is_undone_at_once(here: Reach, tmp_path: Path) -> None:
    """As where /run is full by then: a guard alone would undo it, some time later."""
    guards, undone, records = Guards(), tmp_path / "undone", _folder(here.variables["FOLDER"])
    in_the_way = f"for one in {records}/*/; do mkdir ${{one}}lasts; done"
    with pytest.raises(HostRefused, match="it was undone again"):
        guards.inject("here", here, "outside", in_the_way, f"touch {undone}", ":")
    assert undone.exists()
    assert not guards.active


def test_what_failed_halfway_is_undone_at_once(here: Reach, tmp_path: Path) -> None:
    guards, undone = Guards(), tmp_path / "undone"
    failing = replace(here, argv=("sh", "-c", f"sed 's/&& settle/\\&\\& false/' | {' '.join(here.argv)}"))
    with pytest.raises(HostRefused):
        guards.inject("here", failing, "outside", ":", f"touch {undone}")
    assert undone.exists()


def test_a_file_with_two_names_is_given_back_after_a_reboot(here: Reach, tmp_path: Path) -> None:
    """Its place as [hosts] says it, and as the command line of its program does."""
    file = tmp_path / "patroni.yml"
    file.write_text("old")
    with subprocess.Popen(["sh", "-c", "sleep 600; :", "patroni", str(file)]) as program:
        (found,) = identities([_looked(here, program)])
        fault = Guards(beat=600).inject("here", here, "edit", f"{tmp_path}//patroni.yml", found, "new")
        record = _folder(here.variables["FOLDER"]) / fault.id
        subprocess.run(["pkill", "-KILL", "-f", f"{record}/[g]uard"], check=False)
        shutil.rmtree(record)
        assert "failed" not in here.run("heal", fault.id)
        assert file.read_text() == "old"
        assert not list(tmp_path.glob("*.accept-*"))
        program.kill()


@pytest.mark.long
def test_a_fault_that_could_not_be_healed_is_left_to_its_guard(
    here: Reach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.hosts.remote.guards._HEALS_WITHIN", 1.0)
    guards, undone, off = Guards(grace=3, beat=0.5), tmp_path / "undone", tmp_path / "off"
    cut = replace(here, argv=("sh", "-c", f"[ ! -e {off} ] || exit 1; exec {' '.join(here.argv)}"))
    fault = guards.inject("here", cut, "outside", ":", f"touch {undone}")
    off.touch()
    with pytest.raises(Exception, match="its guard on the host undoes it"):
        guards.heal(fault)
    off.unlink()  # it can be reached again, and beats would arrive
    begun = time.monotonic()
    _await(undone.exists, within=15)
    assert time.monotonic() - begun < 10


@pytest.mark.long
def test_a_fault_whose_undo_failed_is_left_to_its_guard(here: Reach, tmp_path: Path) -> None:
    """As long as the suite answered for it, its guard would leave it alone."""
    guards, able = Guards(grace=2, beat=0.5), tmp_path / "able"
    fault = guards.inject("here", here, "outside", ":", f"[ -e {able} ] && touch {tmp_path}/undone")
    with pytest.raises(ProcessFailed, match="could not be undone"):
        guards.heal(fault)
    able.touch()
    _await((tmp_path / "undone").exists, within=15)


@pytest.mark.parametrize("signal", ["CONT", "KILL"])
def test_a_suspension_that_somebody_else_has_ended_is_no_evidence(
    here: Reach, sleeper: "subprocess.Popen[bytes]", signal: str
) -> None:
    guards, found = Guards(), _looked(here, sleeper)
    fault = guards.inject("here", here, "freeze", *identities([found]))
    subprocess.run(["kill", f"-{signal}", str(sleeper.pid)], check=True)
    _await(lambda: not _looked(here, sleeper).stopped)
    with pytest.raises(Inconclusive, match="somebody else had ended it"):
        guards.heal(fault)


def test_what_the_cluster_itself_may_kill_was_suspended_as_long_as_it_lived(
    here: Reach, sleeper: "subprocess.Popen[bytes]"
) -> None:
    guards, found = Guards(), _looked(here, sleeper)
    for ended in ("KILL", "CONT"):
        with subprocess.Popen(["sleep", "600"]) as another:
            both = identities([found, _looked(here, another)])
            fault = guards.inject("here", here, "freeze", *both, MAY_DIE="yes")
            subprocess.run(["kill", f"-{ended}", str(another.pid)], check=True)
            _await(lambda one=another: not _looked(here, one).stopped)  # type: ignore[misc]
            if ended == "KILL":
                guards.heal(fault)
            else:
                with pytest.raises(Inconclusive, match="somebody else had ended it"):
                    guards.heal(fault)
            another.kill()


def test_what_the_suite_itself_kills_or_resumes_was_ended_by_nobody_else(
    here: Reach, sleeper: "subprocess.Popen[bytes]"
) -> None:
    """Two faults may have suspended a process, and a crash may hit one that is suspended."""
    guards, found = Guards(), _looked(here, sleeper)
    first, second = (guards.inject("here", here, "freeze", *identities([found])) for _ in range(2))
    guards.heal(second)
    guards.heal(first)
    first, second = (guards.inject("here", here, "freeze", *identities([found])) for _ in range(2))
    here.run("strike", "KILL", *identities([found]))
    guards.heal(second)
    guards.heal(first)
    with subprocess.Popen(["sleep", "600"]) as another:
        found = _looked(here, another)
        first = guards.inject("here", here, "freeze", *identities([found]))
        second = guards.inject("here", here, "down", "", ":", *identities([found]))
        guards.heal(second)
        guards.heal(first)


def test_many_processes_go_on_at_once(here: Reach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program started for each of them takes seconds on a busy host: a leader has hundreds, and resumes by parts."""
    if "busybox" in here.argv:
        pytest.skip("it has a grep of its own")
    begun, grep = tmp_path / "begun", tmp_path / "programs" / "grep"
    grep.parent.mkdir()
    grep.write_text(f'#!/bin/sh\necho begun >> {begun}\nexec {shutil.which("grep")} "$@"\n')
    grep.chmod(0o755)
    monkeypatch.setenv("PATH", f"{grep.parent}:{os.environ['PATH']}")
    with ExitStack() as ending:
        sleepers = [ending.enter_context(subprocess.Popen(["sleep", "600"])) for _ in range(12)]
        for one in sleepers:
            ending.callback(one.kill)
        own = {one.pid for one in sleepers}
        found = identities([one for one in parsed_table(here.run("table")) if one.pid in own])
        guards = Guards()
        first, second = (guards.inject("here", here, "freeze", *found) for _ in range(2))
        begun.write_text("")
        guards.heal(second)
        assert not any(one.stopped for one in parsed_table(here.run("table")) if one.pid in own)
        guards.heal(first)
        assert begun.read_text().count("begun") <= 6, "one for each record and mark, none for a process"


def test_a_container_that_somebody_else_lets_go_on_is_no_evidence(here: Reach, tmp_path: Path) -> None:
    guards, state = Guards(), tmp_path / "state"
    pause, unpause = f"echo paused > {state}", f"echo running > {state}"
    for ended in (False, True):
        fault = guards.inject("here", here, "outside", pause, unpause, f'[ "$(cat {state})" = paused ]')
        if ended:
            state.write_text("running\n")
            with pytest.raises(Inconclusive, match="somebody else had ended it"):
                guards.heal(fault)
        else:
            guards.heal(fault)


def test_a_container_that_cannot_be_brought_back_is_not_called_undone(here: Reach, tmp_path: Path) -> None:
    """Somebody has removed it, so nobody need try that again."""
    guards, gone = Guards(), tmp_path / "gone"
    for removed in (False, True):
        fault = guards.inject("here", here, "outside", ":", "false", GONE=f"[ -e {gone} ]")
        with pytest.raises(ProcessFailed, match="failed" if not removed else "no such container any more"):
            guards.heal(fault)
        if not removed:
            gone.touch()
            told: list[str] = []
            assert not heal_left(here, told.append)
            assert [one.startswith(f"{fault.id} could not be undone") for one in told] == [True]
        assert here.run("left").split() == []
    fault = guards.inject("here", here, "outside", ":", ":", GONE=f"[ -e {gone} ]")
    guards.heal(fault)


@boots
def test_the_cut_of_a_container_that_was_down_is_undone_when_it_runs_again(here: Reach, tmp_path: Path) -> None:
    """Nobody gets into its network while it is down, and its engine may keep that, with the rules."""
    if os.geteuid() or shutil.which("nft") is None:
        pytest.skip("a network of its own needs root, and its rules nft")
    inside, down = tmp_path / "inside", tmp_path / "down"
    with subprocess.Popen(["unshare", "--net", "sleep", "600"]) as container:
        try:
            ours, its = Path("/proc/self/ns/net"), Path(f"/proc/{container.pid}/ns/net")
            _await(lambda: its.readlink() != ours.readlink())
            enter = f"exec nsenter --net={its}"
            inside.write_text(f'#!/bin/sh\n[ ! -e {down} ] || {{ echo "it is down"; exit 1; }}\n{enter} "$@"\n')
            inside.chmod(0o755)
            given = {"NET": str(inside), "DOWN": f"[ -e {down} ]", "CUTTER": "nft", "LINE": "none", "ISOLATED": "yes"}
            guards = Guards()
            fault = guards.inject("here", here, "outside", f"touch {down}", f"rm -f {down}", **given)
            assert down.exists()
            guards.heal(fault)
            assert not down.exists()
            tables = subprocess.run([inside, "nft", "list", "tables"], capture_output=True, text=True, check=True)
            assert tables.stdout == ""
        finally:
            container.kill()


def test_a_log_of_any_length_is_read_in_portions(here: Reach, tmp_path: Path) -> None:
    """Byte by byte as it is, whatever is in it."""
    short, long = tmp_path / "a log", tmp_path / "another"
    short.write_bytes(b"the only line")
    long.write_bytes(os.urandom(1 << 20) * 5 + b"the end\n\n")
    for file in (short, long):
        portions = list(RemoteLog(here, str(file)).portions())
        assert b"".join(portions) == file.read_bytes() == b"".join(LogFile(file).portions())
        assert max(map(len, portions)) < 2 << 20
    collected = CollectedLogs(here, str(tmp_path), [str(short), str(long)])
    os.utime(short, (1, 1))
    assert b"".join(collected.portions()) == short.read_bytes() + long.read_bytes()
    with pytest.raises(FileNotFoundError, match=r"none of its files can be found: .*/none"):
        list(RemoteLog(here, str(tmp_path / "none")).portions())


def test_only_silence_ends_what_is_read_in_portions(here: Reach) -> None:
    """A long log may take a long time."""
    slow = "for i in 1 2 3 4; do echo $i; sleep 0.5; done"
    with pytest.raises(HostUnreached, match="no answer within 1 s"):
        here.run("sh", "-c", slow, within=1)
    assert b"".join(here.stream("sh", "-c", slow, within=1)) == b"1\n2\n3\n4\n"
    with pytest.raises(HostUnreached, match="no answer within 1 s"):
        list(here.stream("sh", "-c", "echo 1; exec sleep 5", within=1))
    with pytest.raises(HostFailed, match=r"local:: it is broken$"):
        list(here.stream("sh", "-c", "echo what was logged; echo it is broken >&2; exit 3", within=5))
    with pytest.raises(HostFailed, match=r"local:: sh ended with 3$"):
        list(here.stream("sh", "-c", "echo what was logged; exit 3", within=5))
    for argv in (("false",), ("no-such-program",)):
        with pytest.raises(HostUnreached):
            list(replace(here, argv=argv).stream("date", within=5))


def test_what_a_server_logged_before_it_started_again_is_read(here: Reach, tmp_path: Path) -> None:
    """PostgreSQL's own log_filename: each start begins a file, and the one with the PANIC is not the last."""
    folder = tmp_path / "log"
    folder.mkdir()
    old, first = folder / "postgresql 1.log", folder / "postgresql 2.log"
    old.write_text("PANIC: of last week\n")
    first.write_text("before the fault\n")
    log = CollectedLogs(here, str(folder), [str(first)])
    mark = log.end()
    assert log.since(mark) == ""
    with first.open("a") as more:
        more.write("shut down\n")
    (folder / "postgresql 3.log").write_text("PANIC: could not locate a valid checkpoint record\n")
    (folder / "postgresql 4.log").write_text("ready to accept connections\n")
    for seconds, file in enumerate((old, first, folder / "postgresql 3.log", folder / "postgresql 4.log")):
        os.utime(file, (seconds, seconds))
    assert log.since(mark).splitlines() == [
        "shut down",
        "PANIC: could not locate a valid checkpoint record",
        "ready to accept connections",
    ]
    assert log.since("").splitlines() == ["before the fault", "shut down"], "not what is older than the suite"
    assert log.last(6) == "tions\n"
    old.write_text("anew\n")  # a file that is used again after a week is shorter than before
    assert log.since(mark).splitlines()[-1] == "anew"


class Writer:
    """A program that is called etcd and logs to files: by standard output, and to one that it has opened."""

    def __init__(self, folder: Path, own: str = "own.log") -> None:
        self.out, self.own = folder / "out", folder / own
        self._shell = shutil.copy(str(shutil.which("sh")), folder / "etcd")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        script = f"exec 7>>'{self.own}'; while read -r to line; do echo \"$line\" >&$to; done"
        with self.out.open("ab") as out:
            command = [self._shell, "-c", script]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.DEVNULL)
        _await(lambda: self.own.exists())

    def say(self, words: str, to: int = 1) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        file = Path(f"/proc/{self._process.pid}/fd/{to}")
        self._process.stdin.write(f"{to} {words}\n".encode())
        self._process.stdin.flush()
        _await(lambda: words in file.read_text())

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    found = Writer(tmp_path)
    yield found
    found.end()


@pytest.fixture
def host(here: Reach, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> RemoteHost:
    """This machine, on which that program runs."""
    table = RemoteHost.table

    def its(host: RemoteHost) -> list[Running]:
        return [one for one in table(host) if str(writer.own.parent) in one.title]

    monkeypatch.setattr(RemoteHost, "table", its)
    found = RemoteSite({"one": HostAccess("local:", programs={"etcd": ProgramAccess()})}).machines["one"]
    found.reach = here
    return found


def _since(host: RemoteHost, marks: Mapping[str, str]) -> list[str]:
    """As an experiment looks for alarms; each log was marked when it began."""
    return "".join(log.since(marks.get(name, "")) for name, log in sorted(host.logs().items())).splitlines()


def _marks(host: RemoteHost) -> dict[str, str]:
    return {name: log.end() for name, log in host.logs().items()}


def test_a_file_that_a_program_logs_to_is_read(writer: Writer, host: RemoteHost) -> None:
    """Such as the one of Patroni's `log: dir`."""
    writer.start()
    marks = _marks(host)
    assert set(marks) == {f"etcd ({writer.out})", f"etcd ({writer.own})"}
    writer.say("by standard output")
    writer.say("by itself", to=7)
    assert sorted(_since(host, marks)) == ["by itself", "by standard output"]
    assert host.logs()[f"etcd ({writer.own})"].last(7) == "itself\n"


def test_what_a_program_appends_to_its_data_is_no_log(tmp_path: Path, writer: Writer, host: RemoteHost) -> None:
    writer.own = tmp_path / "appendonly.aof"
    writer.start()
    assert set(host.logs()) == {f"etcd ({writer.out})"}


@pytest.mark.long
@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("how", ["renamed", "renamed twice", "copied", "moved", "packed"])
def test_a_rotation_makes_no_old_line_new_and_loses_none(
    tmp_path: Path, writer: Writer, host: RemoteHost, how: str, restarted: bool
) -> None:
    """As logrotate does it in its various ways, whether or not the program is restarted then, as by a fault."""
    writer.out.write_text("PANIC:  of last week\n")
    writer.start()
    (tmp_path / "out.9").write_text("PANIC:  of the week before\n")
    marks = _marks(host)
    writer.say("before")
    if how == "copied":
        shutil.copy(writer.out, tmp_path / "out.1")
        os.truncate(writer.out, 0)
    elif how == "moved":
        (tmp_path / "old").mkdir()
        writer.out.rename(tmp_path / "old/out.1")
    elif how == "packed":
        writer.out.unlink()
        (tmp_path / "out.1.gz").write_text("PANIC:  packed")
    else:
        writer.out.rename(tmp_path / "out.1")
    writer.say("after")
    if restarted:
        writer.end()
        if how == "renamed twice":
            (tmp_path / "out.1").rename(tmp_path / "out-20261129")
        writer.start()
        writer.say("anew")
    lost = restarted and how in ("moved", "packed")
    expected = {*(() if lost else ("before", "after")), *(("anew",) if restarted else ())}
    assert set(_since(host, marks)) == expected


def test_what_others_log_to_the_folder_of_a_collector_is_not_read(here: Reach, tmp_path: Path) -> None:
    """As in Debian's /var/log/postgresql: a PANIC of another server is none of ours."""
    own = tmp_path / "postgresql-16-main-Mon.log"
    own.write_text("before the fault\n")
    for configured in ("postgresql-16-main-%a.log", ""):
        log = CollectedLogs(here, str(tmp_path), [str(own)], configured)
        mark = log.end()
        for other in ("postgresql-16-main.log", "pgbouncer.log", "postgresql-16-main-Mon.log.gz"):
            with (tmp_path / other).open("a") as file:
                file.write("PANIC:  of another server\n")
        assert log.since(mark) == ""
        assert log.last(100) == "before the fault\n"
        for number, later in enumerate(("postgresql-16-main-Tue.log", "postgresql-16-main-Tue.json")):
            (tmp_path / later).write_text(f"{later}\n")
            os.utime(tmp_path / later, (number, number))
        assert log.since(mark).splitlines() == ["postgresql-16-main-Tue.log", "postgresql-16-main-Tue.json"]
        for file_of_later in tmp_path.glob("*Tue*"):
            file_of_later.unlink()


@pytest.mark.parametrize(
    ("configured", "written", "own", "others"),
    [
        (
            "postgresql-%Y-%m-%d_%H%M%S.log",
            "postgresql-2026-11-30_235959.log",
            ["postgresql-2026-12-01_000000.log", "postgresql-2026-12-01_000000.csv"],
            ["postgresql-15-main.log", "postgresql-2026-12-01_000000.log.gz"],
        ),
        ("", "postgresql-2026-11-30_235959.csv", ["postgresql-2026-12-01_000000.log"], ["postgresql-Mon.log"]),
        ("pg16-%a.log", "pg16-Mon.log", ["pg16-Tue.log", "pg16-Mon.log.1"], ["pg15-Tue.log"]),
        (
            "postgresql.log",
            "postgresql.log",
            ["postgresql.log-20261130", "postgresql.json"],
            ["postgresql-15-main.log"],
        ),
        ("server", "server.csv", ["server", "server.json"], ["server.log"]),
        ("100%%.log", "100%.log", ["100%.csv"], ["100.log"]),
        ("", "postgresql-November.log", ["postgresql-May.log"], ["postgresql-main.log"]),
        ("of-another-time-%a.log", "postgresql-Mon.log", ["postgresql-Tue.log"], ["of-another-time-Mon.log"]),
    ],
)
def test_a_collectors_own_files_are_known_by_their_names(
    configured: str, written: str, own: list[str], others: list[str]
) -> None:
    known = own_names([f"/var/log/postgresql/{written}"], configured)
    assert [name for name in (written, *own, *others) if known.fullmatch(name)] == [written, *own]


def test_how_a_collector_calls_its_files_is_read_from_its_configuration(here: Reach, tmp_path: Path) -> None:
    """The last word is ALTER SYSTEM's; Debian has the other files elsewhere, and the command line says where."""
    data, etc = tmp_path / "data", tmp_path / "etc"
    data.mkdir()
    etc.mkdir()
    (data / "current_logfiles").write_text("stderr ../logs/pg16-Mon.log\n")
    (etc / "postgresql.base.conf").write_text("log_filename = 'of the base.log'\n")
    command = f"postgres -D {data} --config-file={etc}/postgresql.conf --port=5432"
    assert log_filename(here, str(data), command) == "of the base.log"
    (etc / "postgresql.conf").write_text(
        "include 'postgresql.base.conf'\n#log_filename = 'x'\nlog_filename 'it''s.log'\n"
    )
    assert log_filename(here, str(data), command) == "it's.log"
    (data / "postgresql.auto.conf").write_text("log_filename = 'pg16-%a.log'\n")
    assert log_filename(here, str(data), command) == "pg16-%a.log"
    assert log_filename(here, str(tmp_path / "none"), "postgres") == ""
    collector = subprocess.Popen(["sleep", "600"], cwd=data)
    try:
        host = RemoteSite({"one": HostAccess("local:")}).machines["one"]
        host.reach = here
        tree = [
            Running(1, 1, "S", "postgres", command),
            Running(collector.pid, 1, "S", "postgres", "postgres: a: logger", 1),
        ]
        assert host._collected(tree) == [f"{data}/../logs/pg16-Mon.log"]
        assert host._log_names == {f"{data}/../logs": "pg16-%a.log"}
    finally:
        collector.kill()
        collector.wait()


def test_a_collected_log_that_was_rotated_as_well_is_the_same(here: Reach, tmp_path: Path) -> None:
    file = tmp_path / "postgresql.log"
    file.write_text("PANIC:  of last week\n")
    log = CollectedLogs(here, str(tmp_path), [str(file)])
    mark = log.end()
    file.rename(tmp_path / "postgresql.log.1")
    file.write_text("anew\n")
    assert log.since(mark) == "anew\n"


@pytest.mark.long
def test_a_heal_that_was_killed_keeps_no_guard_from_healing(here: Reach, tmp_path: Path) -> None:
    asked, able, undone = tmp_path / "asked", tmp_path / "able", tmp_path / "undone"
    guards = Guards(grace=3, beat=600)
    slow = f"touch {asked}; [ -e {able} ] || sleep 60; touch {undone}"
    fault = guards.inject("here", here, "outside", ":", slow)
    with pytest.raises(HostUnreached, match="no answer within"):
        here.run("heal", fault.id, within=1.0)  # which kills the shell that heals
    assert asked.exists()
    able.touch()
    _await(undone.exists)
    assert "expired" in here.run("heal", fault.id)
    assert here.run("left").split() == []


@pytest.mark.long
def test_one_heals_at_a_time(here: Reach, tmp_path: Path) -> None:
    undone = tmp_path / "undone"
    fault = Guards(grace=600).inject("here", here, "outside", ":", f"sleep 2; echo once >> {undone}")
    with ThreadPoolExecutor() as both:
        said = sorted(both.map(lambda _: here.run("heal", fault.id).strip(), range(2)))
    assert said == ["", f"gone {fault.id}"]
    assert undone.read_text() == "once\n"


def test_a_guard_undoes_with_our_path_and_our_home(
    here: Reach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd starts a guard with its own PATH and without HOME: a command that starts a program may need either."""
    (tmp_path / "programs").mkdir()
    program = tmp_path / "programs" / "start-the-program"
    program.write_text('#!/bin/sh\necho "$HOME" > "$1"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", f"{tmp_path}/it's home")
    guards, undone = Guards(), tmp_path / "undone"
    fault = guards.inject("here", here, "outside", ":", f"start-the-program {undone}")
    undo = _folder(here.variables["FOLDER"]) / fault.id / "undo"
    subprocess.run(["/usr/bin/env", "-i", "/bin/sh", str(undo)], check=True)
    assert undone.read_text() == f"{tmp_path}/it's home\n"
    guards.heal(fault)


@pytest.mark.parametrize(
    ("policy", "encrypted"),
    [
        ("dst 10.1.0.0/24 dir out tmpl proto esp", True),
        ("dst 0.0.0.0/0 dir out tmpl proto esp mode transport", True),
        ("dst 10.2.0.0/24 dir out tmpl proto esp", False),
        ("dst 10.1.0.0/24 dir in tmpl proto esp", False),
        ("dst 10.1.0.0/24 dir out", False),
        ("dst 10.1.0.0/24 dir out mark 42 tmpl proto esp", False),
    ],
)
def test_a_line_that_a_policy_encrypts_is_known(here: Reach, policy: str, encrypted: bool) -> None:
    """Its packets are others than those of the line, and it has no device of its own. Others' are no matter."""
    if here.argv[0] == "busybox":
        pytest.skip("busybox has an ip of its own")
    ways = "ip link set lo up && ip route add 10.0.0.0/8 dev lo"
    own = ("unshare", "--net", "sh", "-c", f'{ways} && ip xfrm policy add src 0.0.0.0/0 {policy} && exec "$@"', "sh")
    if os.geteuid() or subprocess.run([*own, "true"], capture_output=True, check=False).returncode:
        pytest.skip("policies of IPsec cannot be made here")
    told = _tunnel(replace(here, argv=(*own, *here.argv)), "10.1.0.7")
    assert told == ("our own connection comes through IPsec" if encrypted else "")


@pytest.mark.parametrize("fault", [("cut", "in:10.1.0.7"), ("lossy", "200", "10.1.0.7"), ("outside", ":", ":")])
def test_what_nft_has_to_say_of_its_refusal_is_told(here: Reach, tmp_path: Path, fault: tuple[str, ...]) -> None:
    """Its first error; the lines around that show the rule."""
    nft = tmp_path / "nft"
    nft.write_text(
        '#!/bin/sh\n[ "$1" = -f ] || exit 0\ncat >/dev/null\necho "/dev/stdin:3:1-9: Error: Could not process rule: '
        'Operation not supported" >&2\necho "add rule inet" >&2\necho "^^^^" >&2\nexit 1\n'
    )
    nft.chmod(0o755)
    isolated = {"ISOLATED": "yes"} if fault[0] == "outside" else {}
    given = {"NET": f"env PATH={tmp_path}:/usr/bin:/bin", "CUTTER": "nft", "LINE": "none", **isolated}
    with pytest.raises(HostRefused, match=r"nft refused it: Could not process rule: Operation not supported$"):
        Guards().inject("here", here, fault[0], *fault[1:], **given)
    assert here.run("left").split() == []


SLOW = Timing(ttl=120, loop_wait=30, retry_timeout=10, silence=60, proxy=12)


def test_a_guard_leaves_a_fault_as_long_as_the_cluster_needs(here: Reach) -> None:
    """Otherwise, with a long ttl, it would end the fault in every run while the cluster is still being watched."""
    hosts = {"one": HostAccess("local:", scope=here.variables["FOLDER"])}
    topology = Topology("app", Login("app", ""), Address("127.0.0.1", 5432), hosts=hosts)
    for timing, longest in ((Timing(), 300), (SLOW, round(SLOW.longest_fault)), (Timing(), round(SLOW.longest_fault))):
        site = Cluster(replace(topology, timing=timing)).site
        assert isinstance(site, RemoteSite)
        fault = site.guards.inject("here", here, "outside", ":", ":")
        guard = (_folder(here.variables["FOLDER"]) / fault.id / "guard").read_text()
        assert f"latest=$((${{up%%.*}} + {longest}))" in guard
        site.guards.heal(fault)
    assert SLOW.longest_fault > SLOW.total(Span.FAILOVER) + SLOW.second_outage + SLOW.notice > 300


@pytest.mark.long
@pytest.mark.parametrize("crossing", ["mv", "rm"])
def test_a_beat_that_crosses_a_heal_does_not_revive_the_guard(
    here: Reach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crossing: str
) -> None:
    """The whole heal happens while the beat is written (mv), or the beat arrives while the record is cleared (rm)."""
    if "busybox" in here.argv:
        pytest.skip("it may use a mv and a rm of its own")
    undone, record = tmp_path / "undone", _folder(here.variables["FOLDER"])
    fault = Guards(grace=3, beat=600).inject("here", here, "outside", ":", f"echo once >> {undone}")
    beat, go, healed = record / fault.id / "beat", tmp_path / "go", tmp_path / "healed"
    during = {
        "mv": f'case "$*" in */beat) touch {go}; while [ ! -e {healed} ]; do sleep 0.1; done;; esac; exec {{}} "$@"',
        "rm": f'{{}} "$@"; case "$*" in */beat) cat /proc/uptime > {beat};; esac',
    }[crossing]
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / crossing).write_text(f"#!/bin/sh\n{during.format(shutil.which(crossing))}\n")
    (slow / crossing).chmod(0o755)
    path = os.environ["PATH"]
    with ThreadPoolExecutor() as other:
        monkeypatch.setenv("PATH", f"{slow}:{path}")
        if crossing == "mv":
            beating = other.submit(here.run, "beat", fault.id)
            _await(go.exists)
            monkeypatch.setenv("PATH", path)
            here.run("heal", fault.id)
            healed.touch()
            beating.result()
        else:
            here.run("heal", fault.id)
            monkeypatch.setenv("PATH", path)
    throughout(lambda: _require(undone.read_text() == "once\n"), seconds=6)
    assert not beat.exists()


def test_what_a_run_does_now_is_told_from_what_one_has_left(here: Reach, tmp_path: Path) -> None:
    """Whoever heals the first, because doctor says so, ends a fault in the middle of a scenario."""
    guards = Guards(grace=600)
    fault = guards.inject("here", here, "outside", ":", ":")
    record = _folder(here.variables["FOLDER"]) / fault.id
    assert here.run("at_work", variables=IN_TIME).split() == [fault.id]
    assert [f"{word}\t{fault.id}" in here.run("look", variables=IN_TIME) for word in ("left", "busy")] == [True, True]
    now = float(Path("/proc/uptime").read_text().split()[0])
    for beat in (now - GRACE - 1, now + 600):  # the second one was before a reboot
        (record / "beat").write_text(f"{beat:.0f}\n")
        assert here.run("at_work", variables=IN_TIME).split() == []
        assert here.run("left").split() == [fault.id]
    here.run("beat", fault.id)
    assert here.run("at_work", variables=IN_TIME).split() == [fault.id]
    (record / "expired").write_text("1\n")
    assert here.run("at_work", variables=IN_TIME).split() == []
    with pytest.raises(Inconclusive):
        guards.heal(fault)


OWNED = {"OWNER": "us", "GRACE": "600", "LONGEST": "600"}


def test_what_was_healed_before_it_began_does_not_begin(here: Reach, tmp_path: Path) -> None:
    """As after a line that was silent for a while: what was sent is carried out when it is back."""
    struck = tmp_path / "struck"
    assert here.run("heal", "0a1b2c3d").strip() == "gone 0a1b2c3d"
    with pytest.raises(HostRefused, match="healed before it began"):
        here.run("outside", "0a1b2c3d", f"touch {struck}", ":", variables=OWNED)
    assert not struck.exists()
    assert here.run("left").split() == []


@pytest.mark.long
@pytest.mark.parametrize("when", ["before", "while"])
def test_what_was_healed_in_the_meantime_is_not_done(
    here: Reach, sleeper: "subprocess.Popen[bytes]", tmp_path: Path, when: str
) -> None:
    """The one who asked for it gave up waiting, and had it healed, which was answered at once."""
    begun, struck = tmp_path / "begun", tmp_path / "struck"
    wait = f"touch {begun}; sleep 3"
    if when == "before":
        fault = ["down", "0a1b2c3d", wait, f"rm -f {struck}", *identities([_looked(here, sleeper)])]
    else:
        fault = ["outside", "0a1b2c3d", f"{wait}; touch {struck}", f"rm -f {struck}"]
    with ThreadPoolExecutor() as other:
        making = other.submit(lambda: here.run(*fault, variables=OWNED))
        _await(begun.exists)
        assert "failed" not in here.run("heal", "0a1b2c3d")
        with pytest.raises(HostRefused, match=f"healed {when} it began"):
            making.result()
    assert sleeper.poll() is None
    assert not struck.exists()
    assert here.run("left").split() == []
