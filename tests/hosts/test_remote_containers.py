"""Containers as hosts, with a real engine: faults by the engine and inside, their guards, cuts, refusals."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from engines import Pods, engine

from support.errors import Inconclusive, NotAvailable, ProcessFailed
from support.faults.nemesis import Nemesis
from support.faults.process import Freeze, HostCrash, Kill
from support.hosts.remote import Guards, HostAccess, HostRefused, Reach, RemoteSite, ways
from support.hosts.remote.containers import Container, EngineLog
from support.hosts.remote.processes import parsed_table
from support.hosts.remote.ways import heal_host
from support.target.discovery.host_capabilities import Looked
from support.target.discovery.user_hosts import declared_access, look
from support.target.topology import Address, Login, Topology
from support.waiting import NotYet, eventually

SCOPE = "staging"
TOPOLOGY = Topology("app", Login("app", "secret"), Address("10.0.2.1", 5000), scope=SCOPE)
PORT = 4379
DOWN = ("exited", "stopped")
"""A container that has ended: podman calls it stopped until it has tidied up after it."""
_LISTEN = f"""
import socket
one = socket.create_server(("", {PORT}))
while True:
    one.accept()[0].close()
"""


@pytest.fixture(scope="module", params=["podman", "docker"])
def pods(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    with engine(request.param, tmp_path_factory.mktemp("pods")) as found:
        for name in ("one", "two"):
            etcd = _program(found, name)
            script = f"{etcd} 600 & exec {etcd} 601" if name == "one" else f"exec {etcd} -c '{_LISTEN}'"
            found.run(name, "/usr/bin/sh", "-c", script)
            found.mark(name, SCOPE)
        yield found


def _program(pods: Pods, name: str) -> str:
    """A program that is called etcd, as which it is known."""
    folder = pods.root(name) / "opt"
    folder.mkdir(parents=True)
    shutil.copy(str(shutil.which("sleep" if name == "one" else "python3", path="/usr/bin")), folder / "etcd")
    return "/opt/etcd"


@pytest.fixture
def site(pods: Pods) -> Iterator[RemoteSite]:
    """The two, as they are found by looking."""
    found = _site(pods, Guards(grace=4, longest=60, beat=1.0))
    yield found
    for fault in found.guards.active:
        found.guards.heal(fault)
    for name in ("one", "two"):
        for reach in (Reach.beside(Container(pods.client, name)), Reach.of(pods.url(name))):
            assert reach.run("left").split() == []
        assert pods.state(name) == "running"


def _site(pods: Pods, guards: Guards) -> RemoteSite:
    looked = {name: _look(pods.url(name)) for name in ("one", "two")}
    assert {name: one.obstacles for name, one in looked.items()} == {"one": (), "two": ()}
    return RemoteSite({name: one.access for name, one in looked.items()}, guards)


def _look(url: str) -> Looked:
    return look("one", declared_access("one", url), TOPOLOGY)


def _require(true: object) -> None:
    if not true:
        raise NotYet("not so")


def test_a_look_tells_what_a_container_is(pods: Pods) -> None:
    found = _look(pods.url("one"))
    assert found.access.programs["etcd"].how == "container one"
    assert found.access.addresses == tuple(_address(pods, "one").split())
    assert (found.access.cutter, found.access.network) == ("nft", "nsenter --target={pid} --net")


def test_what_runs_in_a_container_is_told_from_what_runs_on_its_machine(pods: Pods, site: RemoteSite) -> None:
    first = int(pods.call("inspect", "--format={{.State.Pid}}", "one"))
    with subprocess.Popen(["sleep", "602"]) as own:
        found = {one.pid: one.contained for one in parsed_table(Reach.of("local:").run("table"))}
        own.kill()
    assert (found[first], found[own.pid]) == (True, False)
    assert not any(one.contained for one in site.machines["one"].table()), "seen from inside"


def test_a_look_tells_where_guards_end_with_the_job(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "_OF_CONTAINERS", ())
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert "guards" not in " ".join(_look(pods.url("one")).remarks)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    assert "end with it: run ./accept heal" in " ".join(_look(pods.url("one")).remarks)


def _address(pods: Pods, name: str) -> str:
    return pods.call("inspect", "--format={{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name).strip()


def test_a_crash_stays_until_it_is_healed(pods: Pods, site: RemoteSite) -> None:
    host = site.machines["one"]
    with Nemesis() as nemesis:
        nemesis.inject(HostCrash(host))
        assert pods.state("one") in DOWN
        assert host.running() == []
    assert pods.state("one") == "running"
    eventually(lambda: _require(host.powered), within=5, subject="its programs run")


def test_what_a_container_was_made_for_is_killed_with_it(pods: Pods, site: RemoteSite) -> None:
    program = site.hosts["one"].processes["etcd"]
    with Nemesis() as nemesis:
        nemesis.inject(Kill(program))
        assert pods.state("one") in DOWN
    program.kill()
    program.start()
    assert pods.state("one") == "running"


def test_a_freeze_is_the_engines_pause(pods: Pods, site: RemoteSite) -> None:
    with Nemesis() as nemesis:
        nemesis.inject(Freeze(site.hosts["one"]))
        assert pods.state("one") == "paused"
    assert pods.state("one") == "running"


def test_even_the_first_process_is_suspended(site: RemoteSite) -> None:
    host = site.machines["one"]
    everything = [one for one in host.running() if one.name == "etcd"]
    assert {one.pid == 1 for one in everything} == {True, False}
    host.suspend(everything)
    eventually(lambda: _require(host.awake() == []), within=5, subject="all are suspended")
    host.resume(everything)
    eventually(lambda: _require(len(host.awake()) == len(everything)), within=5, subject="all go on")


def test_a_process_inside_is_killed(site: RemoteSite) -> None:
    host = site.machines["one"]
    child = next(one for one in host.running() if one.pid != 1)
    host.kill([child])
    eventually(lambda: _require(host.alive([child]) == []), within=5, subject="it is gone")
    assert host.powered


@pytest.mark.parametrize("network", ["", "{client} exec -i --privileged one"])
def test_a_cut_in_the_network_of_the_container(pods: Pods, site: RemoteSite, network: str) -> None:
    if network:
        declared = declared_access("one", {"reach": pods.url("one"), "network": network.format(client=pods.client)})
        access = look("one", declared, TOPOLOGY).access
        assert access.network == network.format(client=pods.client)
        site = RemoteSite({"one": access, "two": site.machines["two"].access}, site.guards)
    both = [("one", "two"), ("two", "one")]
    assert _reaches(pods, "two") is True
    site.network.prepare(both)
    site.network.cut_all(both)
    eventually(lambda: site.network.require_cut(both), within=10, subject="it is cut")
    assert _reaches(pods, "two") is False
    site.network.reconnect_all(both)
    assert _reaches(pods, "two") is True


def test_the_cut_of_a_container_that_is_paused_by_then_is_not_called_undone(pods: Pods, site: RemoteSite) -> None:
    """Nothing can be run in it, and its rules are still there. One that is down has no network, and so no rules."""
    network = f"{pods.client} exec -i --privileged one"
    declared = declared_access("one", {"reach": pods.url("one"), "network": network})
    host = RemoteSite({"one": look("one", declared, TOPOLOGY).access}, site.guards).machines["one"]
    cut = host.cut(["in:10.1.2.3"])
    pods.call("pause", "one")
    try:
        with pytest.raises(ProcessFailed, match="could not be undone"):
            host.heal(cut)
    finally:
        pods.call("unpause", "one")
    with suppress(Inconclusive):  # nor could it be seen to have lasted
        host.heal(cut)
    assert "accept_" not in pods.call("exec", "--privileged", "one", "nft", "list", "tables")
    cut = host.cut(["in:10.1.2.3"])
    pods.call("kill", "one")
    eventually(lambda: _require(pods.state("one") in DOWN), within=10, subject="it is killed")
    with pytest.raises(Inconclusive):
        host.heal(cut)
    pods.call("start", "one")


def _reaches(pods: Pods, name: str) -> bool:
    words = f"timeout 1 bash -c '</dev/tcp/{_address(pods, name)}/{PORT}' 2>/dev/null; echo $?"
    return pods.call("exec", "one", "sh", "-c", words).strip() == "0"


@pytest.mark.parametrize("fault", ["suspend", "freeze", "power_off"])
def test_a_container_that_was_restarted_meanwhile_is_no_evidence(pods: Pods, site: RemoteSite, fault: str) -> None:
    host = site.machines["one"]
    processes = [one for one in host.running() if one.pid != 1] or host.running()
    if fault == "suspend":
        host.suspend(processes)
    else:
        getattr(host, fault)()
    if fault == "freeze":
        pods.call("unpause", "one")
    pods.call("restart", "--time=0", "one")
    with pytest.raises(Inconclusive, match=r"restarted|started again"):
        host.resume(processes) if fault == "suspend" else host.thaw() if fault == "freeze" else host.power_on()


_RUNNER = """
import sys, time
from support.hosts.remote import Guards, HostAccess, RemoteSite
access = HostAccess(sys.argv[1], scope="staging")
site = RemoteSite({"one": access}, Guards(grace=3, beat=1.0))
site.machines["one"].freeze() if sys.argv[2] == "freeze" else site.machines["one"].power_off()
print("done", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("fault", "states"), [("freeze", ("paused",)), ("power_off", DOWN)])
def test_a_runner_that_is_killed_leaves_nothing(
    pods: Pods, site: RemoteSite, fault: str, states: tuple[str, ...]
) -> None:
    words = [sys.executable, "-c", _RUNNER, pods.url("one"), fault]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == b"done\n"
        assert pods.state("one") in states
        os.kill(runner.pid, signal.SIGKILL)
    eventually(lambda: _require(pods.state("one") == "running"), within=15, subject="its guard has let it go")
    _heal(pods, "one")


def test_what_is_left_of_a_paused_container_is_told_and_healed(pods: Pods, site: RemoteSite) -> None:
    other = _site(pods, Guards(grace=60))
    other.machines["one"].freeze()
    assert "is paused" in _look(pods.url("one")).obstacles[0]
    assert len(_heal(pods, "one")) == 1
    assert pods.state("one") == "running"


def _heal(pods: Pods, name: str) -> list[str]:
    """What `accept heal` says of a container of which nothing is left afterwards."""
    told: list[str] = []
    assert heal_host(HostAccess(pods.url(name)), told.append), told
    return told


def _lose_record(pods: Pods, name: str) -> None:
    """As where the job that had it, and the guard, was a container, which is removed."""
    folder = Path(f"/run/accept-{pods.client}-{name}")
    shutil.rmtree(folder)
    subprocess.run(["pkill", "-KILL", "-f", f"^sh {folder}/"], check=True)


def test_what_a_removed_job_has_paused_goes_on_if_it_is_marked(pods: Pods, site: RemoteSite) -> None:
    _site(pods, Guards(beat=600)).machines["one"].freeze()
    _lose_record(pods, "one")
    told: list[str] = []
    pods.mark("one")
    assert not heal_host(HostAccess(pods.url("one")), told.append), "somebody else may have done it"
    assert told == [f"it is paused; if a run did that: {pods.client} unpause one"]
    pods.mark("one", SCOPE)
    assert len(_heal(pods, "one")) == 1
    assert pods.state("one") == "running"
    assert _heal(pods, "one") == []


@pytest.mark.parametrize("marked", [True, False])
def test_what_a_removed_job_has_killed_is_started_if_it_is_marked(pods: Pods, marked: bool) -> None:
    name = f"killed-{marked}"
    label = (f"--label=accept-breakable={SCOPE}",) if marked else ()
    pods.run(name, "/usr/bin/sleep", "600", options=label)
    pods.call("kill", name)
    eventually(lambda: _require(pods.state(name) in DOWN), within=10, subject="it is killed")
    told: list[str] = []
    assert heal_host(HostAccess(pods.url(name)), told.append) == marked
    assert told[0].endswith(f"{pods.client} start {name}")
    assert pods.state(name) in (("running",) if marked else DOWN)


@pytest.mark.parametrize(
    ("label", "orchestrator"), [("com.docker.swarm.task.id", "Swarm"), ("io.kubernetes.pod.name", "Kubernetes")]
)
def test_what_an_orchestrator_replaces_is_neither_killed_nor_started(pods: Pods, label: str, orchestrator: str) -> None:
    """When it is killed, the next one gets its data; two servers would run on that if the old one was started again."""
    name = orchestrator.lower()
    labels = (f"--label=accept-breakable={SCOPE}", f"--label={label}=k3j2h1")
    pods.run(name, _program(pods, name), "-c", _LISTEN, options=labels)
    found = _look(pods.url(name))
    assert found.obstacles == ()
    assert found.access.programs["etcd"].start == ""
    assert orchestrator in found.access.programs["etcd"].unstarted
    assert any(f"is not crashed: {orchestrator} replaces it" in one for one in found.remarks)
    host = RemoteSite({"one": found.access}, Guards(grace=4, longest=60, beat=1.0)).machines["one"]
    first = [one for one in host.table() if one.pid == 1]
    for attempt in (host.power_off, host.processes["etcd"].kill, lambda: host.kill(first)):
        with pytest.raises(NotAvailable, match=f"is not killed: {orchestrator} replaces it"):
            attempt()
    assert pods.state(name) == "running"
    host.freeze()
    assert pods.state(name) == "paused"
    host.thaw()
    pods.call("kill", name)
    eventually(lambda: _require(pods.state(name) in DOWN), within=10, subject="it is killed")
    told: list[str] = []
    assert not heal_host(HostAccess(pods.url(name)), told.append)
    assert [f"{orchestrator} replaces it" in one and "start " not in one for one in told] == [True]
    assert pods.state(name) in DOWN
    assert f"{orchestrator} replaces it" in _look(pods.url(name)).obstacles[0]


def test_a_container_that_has_ended_itself_is_not_called_clean(pods: Pods) -> None:
    pods.run("ended", "/usr/bin/true")
    pods.mark("ended", SCOPE)
    eventually(lambda: _require(pods.state("ended") == "exited"), within=10, subject="it has ended")
    told: list[str] = []
    assert not heal_host(HostAccess(pods.url("ended")), told.append)
    assert told[0].startswith("it is exited; if a run did that:")


def test_what_its_engine_removes_is_not_killed(pods: Pods) -> None:
    """As podman runs the containers of its units: what is in an anonymous volume would be gone with it."""
    labels = (f"--label=accept-breakable={SCOPE}", "--rm")
    pods.run("removed", _program(pods, "removed"), "-c", _LISTEN, options=labels)
    found = _look(pods.url("removed"))
    assert found.obstacles == ()
    assert "removes it when it is killed (--rm)" in found.access.programs["etcd"].unstarted
    host = RemoteSite({"one": found.access}, Guards(grace=4, longest=60, beat=1.0)).machines["one"]
    with pytest.raises(NotAvailable, match="is not killed: its engine removes it"):
        host.power_off()
    assert pods.state("removed") == "running"


def test_a_container_that_is_gone_for_good_is_not_called_undone(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    etcd = shutil.which("sleep", path="/usr/bin")
    pods.run("doomed", "/usr/bin/sh", "-c", f"ln -s {etcd} /etcd; exec /etcd 600")
    pods.mark("doomed", SCOPE)
    container, access = Container(pods.client, "doomed"), _look(pods.url("doomed")).access
    guards = Guards(grace=4, longest=60, beat=1.0)
    host = RemoteSite({"doomed": replace(access, scope=SCOPE)}, guards).machines["doomed"]
    beside = Reach.beside(container)
    assert not _succeeds(container.is_down)
    host.power_off()
    assert _succeeds(container.is_down)
    pods.call("rm", "--force", pods.names.pop())
    assert _succeeds(container.is_down)
    for fault in guards.active:
        with pytest.raises(ProcessFailed, match="no such container any more"):
            guards.heal(fault)
    assert beside.run("left").split() == []
    monkeypatch.setenv("PATH", str(Path(str(shutil.which("grep"))).parent))
    for name in ("DOCKER_HOST", "CONTAINER_HOST"):
        monkeypatch.setenv(name, "unix:///nowhere.sock")
    assert not _succeeds(Container("docker", "doomed").is_down), "its engine does not answer"


def _succeeds(command: str) -> bool:
    return subprocess.run(["sh", "-c", command], check=False).returncode == 0


def test_rules_without_a_record_are_found_and_removed(pods: Pods, site: RemoteSite) -> None:
    other = _site(pods, Guards(beat=600))
    if not other.machines["two"].access.cutter:
        pytest.skip("links cannot be cut here")
    other.machines["two"].cut(["in:10.1.2.3"])
    _lose_record(pods, "two")
    assert "an earlier run left" in " ".join(_look(pods.url("two")).obstacles)
    assert [one.partition(" ")[0] for one in _heal(pods, "two")] == ["healed"]
    assert _look(pods.url("two")).obstacles == ()


@pytest.mark.parametrize("marks", [(), ("another",)])
def test_a_container_without_its_own_mark_is_left_alone(pods: Pods, site: RemoteSite, marks: tuple[str, ...]) -> None:
    pods.mark("one", *marks)
    try:
        assert "does not say staging" in _look(pods.url("one")).obstacles[0]
        host = site.machines["one"]
        for attempt in (host.freeze, host.power_off, lambda: host.suspend(host.running())):
            with pytest.raises(HostRefused, match="not marked"):
                attempt()
    finally:
        pods.mark("one", SCOPE)
    assert pods.state("one") == "running"


def test_a_label_is_a_mark_as_well(pods: Pods) -> None:
    etcd = _program(pods, "labelled")
    pods.run("labelled", etcd, "-c", _LISTEN, options=(f"--label=accept-breakable={SCOPE}", "--network=host"))
    found = _look(pods.url("labelled"))
    assert found.obstacles == ()
    assert found.access.cutter == ""
    assert "no network of its own" in found.not_cut
    assert found.not_cut in found.remarks
    host = RemoteSite({"one": found.access}).machines["one"]
    host.power_off()
    assert pods.state("labelled") in DOWN
    host.power_on()
    host.suspend(host.running())
    host.resume(host.running())


def test_a_container_without_tools_is_looked_at_from_outside(pods: Pods) -> None:
    folder = pods.folder / "bare"
    folder.mkdir()
    shutil.copy(str(shutil.which("sleep")), folder / "etcd")
    pods.run("bare", str(folder / "etcd"), "600", options=(f"--label=accept-breakable={SCOPE}",), tools=False)
    found = _look(pods.url("bare"))
    assert found.obstacles == ()
    assert found.access.without_shell
    assert (found.access.cutter, found.access.programs["etcd"].how) == ("nft", "container bare")
    host = RemoteSite({"one": found.access}).machines["one"]
    everything = host.running()
    assert [one.name for one in everything] == ["etcd"]
    host.suspend(everything)
    assert host.awake() == []
    host.resume(everything)
    host.power_off()
    assert not host.powered
    host.power_on()
    eventually(lambda: _require(host.powered), within=5, subject="it runs again")


@pytest.fixture
def foreign(pods: Pods) -> Iterator[str]:
    """A container whose programs are another user's, and which was given no more rights than usual."""
    for program in ("patroni", "postgres"):
        (pods.root("foreign") / "opt").mkdir(parents=True, exist_ok=True)
        shutil.copy(str(shutil.which("python3", path="/usr/bin")), pods.root("foreign") / "opt" / program)
    data = pods.root("foreign") / "home/data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")
    (data.parent / "patroni.yml").write_text("scope: staging\n")
    (data.parent / "patroni.log").touch()
    for one in (data.parent, data, data.parent / "patroni.log"):
        os.chown(one, 1001, 1001)
    wait = "import time; log = open('/home/patroni.log', 'a'); time.sleep(600)"
    server = "/opt/postgres -c 'import time; time.sleep(600)' -D /home/data"
    script = f'cd /home/data && {server} & exec /opt/patroni -c "{wait}" /home/patroni.yml'
    label = f"--label=accept-breakable={SCOPE}"
    try:
        pods.run("foreign", "/usr/bin/sh", "-c", script, options=(label, "--user=1001", "--env=PGSSLMODE=require"))
        url = pods.url("foreign")
        eventually(lambda: _require("patroni" in _look(url).access.programs), within=10, subject="it runs")
        yield url
    finally:
        pods.call("rm", "--force", "--time=0", "--ignore", "foreign")
        pods.names[:] = [name for name in pods.names if name != "foreign"]
        shutil.rmtree(pods.root("foreign"))


def test_processes_of_another_user_in_a_container_are_looked_into(pods: Pods, foreign: str) -> None:
    """Root in a container has no CAP_SYS_PTRACE unless it was given."""
    found = _look(foreign)
    assert found.obstacles == ()
    assert (found.access.configuration, found.access.data) == ("/home/patroni.yml", "/home/data")
    assert found.fixed["member_files"] == found.fixed["member_data"] == ""
    assert not [one for one in found.remarks if "not read" in one]
    host = RemoteSite({"one": found.access}).machines["one"]
    assert host.files.environment()["PGSSLMODE"] == "require"
    logs = host.logs()
    assert set(logs) == {"patroni (/home/patroni.log)", "container"}
    mark = logs["patroni (/home/patroni.log)"].end()
    (pods.root("foreign") / "home/patroni.log").write_text("promoted self\n")
    assert logs["patroni (/home/patroni.log)"].since(mark) == "promoted self\n"


def test_what_an_engine_keeps_from_us_is_told(pods: Pods, foreign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where its administrator has forbidden privileged commands."""
    client = pods.folder / "refuses" / pods.client
    client.parent.mkdir()
    refusal = 'case "$*" in *--privileged*) echo "authorization denied" >&2; exit 1;; esac'
    client.write_text(f'#!/bin/sh\n{refusal}\nexec {shutil.which(pods.client)} "$@"\n')
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{client.parent}:{os.environ['PATH']}")
    found = _look(foreign)
    assert found.obstacles == ()
    assert "SYS_PTRACE" in found.fixed["member_files"]
    assert "SYS_PTRACE" in found.fixed["member_data"]
    (remark,) = [one for one in found.remarks if "not read" in one]
    assert "patroni" in remark
    assert "SYS_PTRACE" in remark
    host = RemoteSite({"one": found.access}).machines["one"]
    with pytest.raises(NotAvailable, match="cannot be read"):
        host.files.environment()


def test_what_is_wrong_with_a_container_is_told(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ps --all lists them" in _look(pods.url("nobody")).obstacles[0]
    assert f"{pods.client} start tried" in _look(pods.url("tried")).obstacles[0]
    if pods.client == "docker":
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
        assert "DOCKER_HOST" in _look(pods.url("one")).obstacles[0]
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert "install that client" in _look(pods.url("one")).obstacles[0]


def test_what_was_logged_since_is_told_by_the_clock_of_the_engine(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be on another machine, whose clock is not ours."""
    script = "while [ ! -e /tmp/speak ]; do sleep 0.01; done; echo one; echo two >&2; exec sleep 600"
    pods.run("talks", "/usr/bin/sh", "-c", f"echo before; {script}")
    log = EngineLog(Container(pods.client, "talks"))
    eventually(lambda: _require(log.since("") == "before\n"), within=10, subject="it has begun")
    monkeypatch.setattr("time.time", lambda: 4e9)
    mark = log.end()
    monkeypatch.undo()
    assert log.since(mark) == ""
    (pods.root("talks") / "tmp/speak").touch()
    eventually(lambda: _require(sorted(log.since(mark).splitlines()) == ["one", "two"]), within=10, subject="it speaks")
    assert sorted(b"".join(log.portions()).splitlines()) == [b"before", b"one", b"two"]
    later = log.end()
    assert log.since(later) == ""
    pods.run("mute", "/usr/bin/sleep", "600")
    assert EngineLog(Container(pods.client, "mute")).end() == ""
    with pytest.raises(OSError, match="logs nobody"):
        list(EngineLog(Container(pods.client, "nobody")).portions())


def test_no_line_of_the_second_of_the_mark_is_lost(pods: Pods) -> None:
    """What an engine tells whole seconds of was written before the mark and after it alike."""
    script = "for i in $(seq 1 200); do echo $i; sleep 0.01; done; exec sleep 600"
    pods.run("counts", "/usr/bin/sh", "-c", script)
    log = EngineLog(Container(pods.client, "counts"))
    eventually(lambda: _require("20\n" in log.since("")), within=10, subject="it counts")
    before, mark, after = log.since(""), log.end(), log.since("")
    eventually(lambda: _require("\n200\n" in log.since("")), within=20, subject="it has counted")
    numbers = [int(one) for one in log.since(mark).split()]
    assert numbers == list(range(numbers[0], 201))
    assert len(before.split()) < numbers[0] <= len(after.split()) + 1


def test_what_the_client_says_of_itself_is_no_line_of_the_log(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "echo before; while [ ! -e /tmp/speak ]; do sleep 0.01; done; echo 'a\rb'; exec sleep 600"
    pods.run("warned", "/usr/bin/sh", "-c", script)
    client = pods.folder / "warns" / pods.client
    client.parent.mkdir()
    client.write_text(
        f'#!/bin/sh\necho "Emulate Docker CLI using podman." >&2\nexec {shutil.which(pods.client)} "$@"\n'
    )
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{client.parent}:{os.environ['PATH']}")
    log = EngineLog(Container(pods.client, "warned"))
    eventually(lambda: _require("before" in log.since("")), within=10, subject="it has begun")
    mark = log.end()
    (pods.root("warned") / "tmp/speak").touch()
    eventually(lambda: _require(log.since(mark)), within=10, subject="it speaks")
    assert log.since(mark) == "a\rb\n"


def test_a_container_of_compose_is_found_by_its_labels(pods: Pods) -> None:
    labels = {"project": "shop", "service": "etcd", "container-number": "1"}
    options = tuple(f"--label=com.docker.compose.{name}={value}" for name, value in labels.items())
    pods.run("composed", "/usr/bin/sleep", "600", options=options)
    assert Container.of(f"{pods.client}://shop/etcd") == Container(pods.client, "composed")
    assert Reach.of(f"{pods.client}://shop/etcd").run("printf", "%s", "here") == "here"
