"""Crashes of programs that a real systemd has started: they stay down until they are healed, and then come back."""

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from remote_hosts import SCOPE, Machine, ssh_hosts

from support.errors import Inconclusive
from support.faults.nemesis import Nemesis
from support.faults.process import HostCrash
from support.hosts.remote import Guards, HostRefused, ProgramAccess, Reach, RemoteSite
from support.hosts.remote.processes import parsed_table
from support.target.discovery.user_addresses import open_links
from support.target.discovery.user_hosts import declared_access, look
from support.target.discovery.user_units import by_words
from support.target.topology import Address, Login, MemberAddress, Topology
from support.waiting import NotYet, eventually, throughout

TOPOLOGY = Topology("app", Login("app", "secret"), Address("10.0.2.1", 5000), scope=SCOPE)
_CLIENTS = 2379
_UNIT = """
[Service]
Type=notify
Restart=on-failure
ExecStart={etcd} --name {name} --data-dir /run/etcd --logger zap --log-outputs /run/etcd.log \
--initial-cluster {all} --initial-advertise-peer-urls http://{address}:2380 --listen-peer-urls http://{address}:2380 \
--advertise-client-urls http://{address}:2379 --listen-client-urls http://{address}:2379
"""
"""As the packages have it: it has started when a leader is elected, which no node can do alone."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Machine]]:
    etcd = shutil.which("etcd")
    if etcd is None:
        pytest.skip("etcd is not installed here")
    with ssh_hosts(tmp_path_factory.mktemp("systemd"), "etcd1", "etcd2", "etcd3", systemd=True) as found:
        every = ",".join(f"{name}=http://{one.address}:2380" for name, one in found.items())
        for name, one in found.items():
            one.add_unit("etcd.service", _UNIT.format(etcd=etcd, name=name, all=every, address=one.address))
            one.call("systemctl", "start", "--no-block", "etcd")
        _await_healthy(found)
        yield found


@pytest.fixture
def site(nodes: Mapping[str, Machine]) -> Iterator[RemoteSite]:
    looked = {name: look(name, declared_access(name, one.url), TOPOLOGY) for name, one in nodes.items()}
    assert {name: one.obstacles for name, one in looked.items()} == dict.fromkeys(nodes, ())
    yield RemoteSite({name: one.access for name, one in looked.items()}, Guards())
    assert {name: one.left() for name, one in nodes.items()} == {name: [] for name in nodes}


def _await_healthy(nodes: Mapping[str, Machine]) -> None:
    def ask() -> None:
        for one in nodes.values():
            asked = f'exec 3<>/dev/tcp/{one.address}/{_CLIENTS}; printf "GET /health HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3'
            said = subprocess.run(["timeout", "3", "bash", "-c", asked], capture_output=True, text=True, check=False)
            if '"health":"true"' not in said.stdout:
                raise NotYet(f"{one.name}: {said.stdout or said.stderr}")

    eventually(ask, within=30, subject="every node of etcd is healthy")


@pytest.mark.parametrize("crashed", [2, 3])
def test_nodes_that_start_only_together_come_back(nodes: Mapping[str, Machine], site: RemoteSite, crashed: int) -> None:
    """A majority, or all: each unit has started when there is a quorum, and not before."""
    hosts = list(site.machines.values())[:crashed]
    assert all("nft" in host.access.cutter for host in hosts)
    with Nemesis() as nemesis:
        nemesis.inject(HostCrash(*hosts))
        begun = time.monotonic()
    assert time.monotonic() - begun < 40  # where a start waits for the others, it never ends
    _await_healthy(nodes)


def test_what_came_back_early_keeps_no_other_host_down(nodes: Mapping[str, Machine], site: RemoteSite) -> None:
    nemesis = Nemesis()
    nemesis.inject(HostCrash(*site.machines.values()))
    nodes["etcd1"].call("systemctl", "start", "--no-block", "etcd")
    eventually(lambda: _require(site.machines["etcd1"].powered), within=5, subject="somebody starts it")
    with pytest.raises(Inconclusive, match="etcd on etcd1 was started by somebody else"):
        nemesis.heal()
    _await_healthy(nodes)


def test_a_crash_lasts_whatever_the_units_own_files_say_of_restarts(
    nodes: Mapping[str, Machine], site: RemoteSite
) -> None:
    """As `systemctl edit` writes them."""
    always = "[Service]\nRestart=always\nRestartSec=100ms\n"
    nodes["etcd1"].add_unit("etcd.service.d/override.conf", always)
    host = site.machines["etcd1"]
    with Nemesis() as nemesis:
        nemesis.inject(HostCrash(host))
        throughout(lambda: _require(not host.powered), seconds=2)
    _await_healthy(nodes)
    assert nodes["etcd1"].call("systemctl", "show", "-p", "Restart", "etcd").strip() == "Restart=always"


def test_what_is_bound_to_a_program_comes_back_with_it(nodes: Mapping[str, Machine], site: RemoteSite) -> None:
    """systemd stops a pooler, or a manager of a virtual address, whose unit has BindsTo= of Patroni's."""
    machine, sleep = nodes["etcd1"], shutil.which("sleep")

    def active(*units: str) -> list[str]:
        return [machine.call("systemctl", "show", "-p", "ActiveState", "--value", one).strip() for one in units]

    units = {"pooler": "etcd", "address": "pooler", "idle": "etcd"}
    for name, to in units.items():
        bound = f"[Unit]\nBindsTo={to}.service\nAfter={to}.service\n"
        machine.add_unit(f"{name}.service", f"{bound}[Service]\nExecStart={sleep} 704\n")
    try:
        machine.call("systemctl", "start", "pooler", "address")
        assert active(*units) == ["active", "active", "inactive"]
        with Nemesis() as nemesis:
            nemesis.inject(HostCrash(site.machines["etcd1"]))
            eventually(
                lambda: _require(active("pooler", "address") == ["inactive"] * 2), within=10, subject="they are stopped"
            )
        _await_healthy(nodes)
        eventually(
            lambda: _require(active(*units) == ["active", "active", "inactive"]), within=20, subject="they are back"
        )
    finally:
        machine.call("systemctl", "stop", *units)
        for name in units:
            (machine.folder / f"etc/systemd/system/{name}.service").unlink()
        machine.call("systemctl", "daemon-reload")


def test_what_a_file_after_ours_would_restart_is_not_killed(nodes: Mapping[str, Machine], site: RemoteSite) -> None:
    host = site.machines["etcd2"]
    before = host.processes["etcd"].pid
    nodes["etcd2"].add_unit("etcd.service.d/zzzzz.conf", "[Service]\nRestart=always\n")
    with pytest.raises(
        HostRefused, match=r"cannot be kept down: Restart= of etcd.service .* systemctl cat etcd.service"
    ):
        host.power_off()
    assert host.processes["etcd"].pid == before


def test_an_address_of_etcd_that_would_stay_open_is_told(nodes: Mapping[str, Machine], site: RemoteSite) -> None:
    hosts = {name: one.access for name, one in site.machines.items()}
    dcs = tuple(Address(one.address, _CLIENTS) for one in nodes.values())
    member = MemberAddress("etcd1", Address(nodes["etcd1"].address, 5432))
    topology = replace(TOPOLOGY, dcs=dcs, members=(member,))
    assert open_links(hosts, topology) == {}
    hosts["etcd2"] = replace(hosts["etcd2"], addresses=("10.99.0.7",))
    told = open_links(hosts, topology)
    assert told.keys() == {"partitions", "dcs_links"}
    at = nodes["etcd2"].address
    assert told["dcs_links"].startswith(f"etcd's member etcd2 is reached at {at}, which is no address of its host: ")


@pytest.fixture
def another(nodes: Mapping[str, Machine]) -> Iterator[Machine]:
    """A node on which somebody else's etcd runs, too: what is called so."""
    machine = nodes["etcd3"]
    program = machine.folder / "etcd"
    shutil.copy(str(shutil.which("sleep")), program)
    machine.add_unit("etcd-of-others.service", f"[Service]\nExecStart={program} 700\n")
    machine.call("systemctl", "start", "etcd-of-others")
    yield machine
    machine.call("systemctl", "stop", "etcd-of-others")


def test_a_program_of_somebody_else_is_not_touched(nodes: Mapping[str, Machine], another: Machine) -> None:
    (told,) = look("etcd3", declared_access("etcd3", another.url), TOPOLOGY).obstacles
    assert "etcd runs there more than once" in told
    assert f" and '{another.folder}"[:50] in told, "its own command, which may be too long to be shown whole"
    declared = declared_access("etcd3", {"reach": another.url, "programs": {"etcd": "systemd:etcd"}})
    looked = look("etcd3", declared, TOPOLOGY)
    assert looked.obstacles == ()
    host = RemoteSite({"etcd3": looked.access}, Guards()).machines["etcd3"]
    with Nemesis() as nemesis:
        nemesis.inject(HostCrash(host))
        assert another.call("systemctl", "show", "-p", "NRestarts", "-p", "ActiveState", "etcd-of-others").split() == [
            "NRestarts=0",
            "ActiveState=active",
        ]
    _await_healthy(nodes)


@pytest.mark.parametrize("command", ["{etcd} 700", "/bin/sh -c '{etcd} 700 & wait'"])
def test_a_unit_that_starts_a_program_again_is_told_from_one_that_does_not(
    nodes: Mapping[str, Machine], another: Machine, command: str
) -> None:
    """An agent that has started it goes on when it is killed, and to start its unit does nothing."""
    etcd = another.folder / "etcd"
    agent = another.folder / "agent"
    shutil.copy(str(shutil.which("dash")), agent)
    another.add_unit("etcd-of-others.service", f"[Service]\nExecStart={command.format(etcd=etcd)}\n")
    another.add_unit("agent.service", f"[Service]\nExecStart={agent} -c '{etcd} 702 & wait'\n")
    another.call("systemctl", "restart", "etcd-of-others", "agent")

    def of(unit: str) -> ProgramAccess:
        declared = declared_access("etcd3", {"reach": another.url, "programs": {"etcd": f"systemd:{unit}"}})
        return look("etcd3", declared, TOPOLOGY).access.programs["etcd"]

    try:
        assert of("etcd-of-others").start
        assert of("agent").start == ""
        assert "goes on without it, as its main process is" in of("agent").unstarted
        assert "systemd there has no unit etcd@main.service" in of("etcd@main").unstarted
    finally:
        another.call("systemctl", "stop", "agent")


def test_a_unit_that_does_not_exist_keeps_nothing_down(nodes: Mapping[str, Machine], site: RemoteSite) -> None:
    """systemd says Restart=no of it, too."""
    access = replace(site.machines["etcd1"].access, programs={"etcd": by_words("systemd:etcd@main")})
    host = RemoteSite({"etcd1": access}, Guards()).machines["etcd1"]
    before = host.processes["etcd"].pid
    with pytest.raises(HostRefused, match=r"systemd has no unit etcd@main.service \(LoadState=not-found\)"):
        host.power_off()
    assert host.processes["etcd"].pid == before


def test_a_unit_of_a_user_is_not_one_of_the_machines(nodes: Mapping[str, Machine]) -> None:
    """Both can have the same name."""
    machine, etcd = nodes["etcd3"], nodes["etcd3"].folder / "etcd"
    shutil.copy(str(shutil.which("sleep")), etcd)
    machine.add_unit("user-etcd.service", f"[Service]\nSlice=user.slice\nExecStart={etcd} 703\n")
    machine.call("systemctl", "start", "user-etcd")
    try:
        table = parsed_table(Reach.of(machine.url).run("table"))
        assert [one.service for one in table if one.title == f"{etcd} 703"] == [""]
    finally:
        machine.call("systemctl", "stop", "user-etcd")


def test_what_a_guard_has_started_outlives_it(nodes: Mapping[str, Machine], site: RemoteSite) -> None:
    """Its unit of systemd ends with it."""
    reach = site.machines["etcd1"].reach
    guards = Guards(grace=2, beat=60)
    guards.inject("etcd1", reach, "outside", ":", "setsid sleep 701 </dev/null >/dev/null 2>&1 &")
    sleeps = "pgrep -f 'slee[p] 701' >/dev/null && ! systemctl list-units | grep -q accept-guard && echo so; :"
    eventually(lambda: _require("so" in nodes["etcd1"].call("sh", "-c", sleeps)), within=15, subject="it goes on alone")
    nodes["etcd1"].call("sh", "-c", "kill $(pgrep -f 'slee[p] 701')")
    reach.run("heal", *nodes["etcd1"].left())


def _require(true: bool) -> None:
    if not true:
        raise NotYet("not so")
