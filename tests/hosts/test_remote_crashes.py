"""Crashes on machines reached by ssh: everything is killed at once, stays down, and comes back, whatever happens."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from remote_hosts import PORT, SCOPE, Machine, ip, ssh_hosts

from support.errors import Inconclusive, NotAvailable, ProcessFailed
from support.faults.nemesis import Nemesis
from support.faults.process import HostCrash, Kill, Restart
from support.hosts.remote import Guards, HostRefused, ProgramAccess, Reach, RemoteHost, RemoteSite
from support.target.discovery.user_hosts import declared_access, look
from support.target.topology import Address, Login, Topology
from support.waiting import NotYet, eventually


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("crash")
    with ssh_hosts(folder, "one") as found:
        shutil.copy(str(shutil.which("sleep")), folder / "etcd")  # a program is known by its name
        yield found["one"]


def started_by(machine: Machine, command: str = "") -> ProgramAccess:
    etcd = machine.folder.parent / "etcd"
    alive = "for p in $(pgrep -x etcd); do grep -q 'State:.[^Z]' /proc/$p/status && exit 0; done"
    return ProgramAccess(command or f"{alive}; setsid {etcd} 600 </dev/null >/dev/null 2>&1 &")


def host_of(machine: Machine, program: ProgramAccess, guards: Guards | None = None) -> RemoteHost:
    access = replace(machine.access(), programs={"etcd": program})
    return RemoteSite({"one": access}, guards or Guards(grace=4, beat=1.0)).machines["one"]


@pytest.fixture
def host(machine: Machine) -> Iterator[RemoteHost]:
    found = host_of(machine, started_by(machine))
    found.processes["etcd"].start()
    eventually(lambda: _require(found.powered), within=5, subject="it runs")
    yield found
    found.power_on()
    assert machine.left() == []
    found.kill(found.running())


def _require(true: object) -> None:
    if not true:
        raise NotYet("not so")


def test_a_crash_is_silent_and_stays_until_it_is_healed(machine: Machine, host: RemoteHost) -> None:
    before = host.processes["etcd"].pid
    with Nemesis() as nemesis:
        nemesis.inject(HostCrash(host))
        rules = machine.call("nft", "list", "ruleset")
        assert "counter packets" in rules
        assert f"dport {PORT} accept" in rules
        assert host.powered is False
    assert machine.call("nft", "list", "tables") == ""
    assert host.processes["etcd"].pid not in (None, before)


def test_a_crash_does_not_cut_off_the_hosts_storage(machine: Machine, host: RemoteHost) -> None:
    access = replace(host.access, behind_network="iSCSI")
    crashed = RemoteSite({"one": access}, Guards(grace=4, beat=1.0)).machines["one"]
    with Nemesis() as nemesis:
        nemesis.inject(HostCrash(crashed))
        assert machine.call("nft", "list", "tables") == ""
        assert crashed.powered is False
    eventually(lambda: _require(crashed.powered), within=5, subject="it runs")


def test_storage_behind_the_network_is_found(machine: Machine, host: RemoteHost) -> None:
    for file in ("iscsi_session/session1/state", "nvme/nvme0/transport"):
        assert not Path("/sys/class", file).exists(), "this machine has such storage itself"
    topology = Topology("app", Login("app", "secret"), Address("10.0.2.1", 5000), scope=SCOPE)
    declared = declared_access("one", machine.url)
    before = look("one", declared, topology)
    assert before.access.behind_network == ""
    assert before.access.cutter == "nft"
    machine.call("mount", "-t", "tmpfs", "tmpfs", "/sys/class")
    machine.call("mount", "-t", "tmpfs", "10.0.0.9:/export", "/mnt")
    try:
        machine.call(
            "sh", "-c", "cd /sys/class && mkdir -p iscsi_session/session1 nvme/nvme0 && echo tcp > nvme/nvme0/transport"
        )
        found = look("one", declared, topology)
        assert found.access.behind_network == "NVMe over TCP, iSCSI"
        assert (found.access.cutter, found.not_cut) == ("nft", "")
        assert "links are cut by nft" in found.remarks
        assert any("a crash leaves the links alone" in one for one in found.remarks)
        assert "10.0.0.9:/export" in Reach.of(machine.url).run("behind_network", "/mnt").splitlines()
        assert "tmpfs" not in Reach.of(machine.url).run("behind_network", "/run")
    finally:
        machine.call("umount", "/sys/class")
        machine.call("umount", "/mnt")


@pytest.fixture
def tunnelled(machine: Machine) -> Iterator[str]:
    """The way to the machine through a tunnel that ends there."""
    us, inside = f"{machine.address.rpartition('.')[0]}.1", f"10.97.{machine.address.split('.')[2]}"
    ours, known = f"{machine.cable[:12]}t", machine.folder.parent / "known"
    vxlan = ("type", "vxlan", "id", "4", "dstport", "4789")
    ip("link", "add", ours, *vxlan, "remote", machine.address, "local", us)
    try:
        ip("addr", "add", f"{inside}.1/24", "dev", ours)
        ip("link", "set", ours, "up")
        machine.call("ip", "link", "add", "tunnel0", *vxlan, "remote", us, "local", machine.address)
        machine.call("ip", "addr", "add", f"{inside}.11/24", "dev", "tunnel0")
        machine.call("ip", "link", "set", "tunnel0", "up")
        with known.open("a") as more:
            more.write(f"[{inside}.11]:{PORT} {(machine.folder.parent / 'host_key.pub').read_text()}")
        yield f"ssh://root@{inside}.11:{PORT}"
    finally:
        ip("link", "del", ours)
        machine.call("ip", "link", "del", "tunnel0")


def test_a_crash_does_not_cut_the_tunnel_through_which_we_come(
    machine: Machine, host: RemoteHost, tunnelled: str
) -> None:
    """What carries our packets are others, which an isolation would drop: nobody could undo it but the guard."""
    topology = Topology("app", Login("app", "secret"), Address("10.0.2.1", 5000), scope=SCOPE)
    assert look("one", declared_access("one", machine.url), topology).access.isolated
    found = look("one", declared_access("one", tunnelled), topology)
    assert (found.access.cutter, found.access.isolated) == ("nft", False)
    assert any("our own connection comes through the tunnel tunnel0" in one for one in found.remarks)
    access = replace(found.access, programs=host.access.programs)
    crashed = RemoteSite({"one": access}, Guards(grace=4, beat=1.0)).machines["one"]
    with Nemesis() as nemesis:
        nemesis.inject(HostCrash(crashed))
        assert crashed.powered is False
        assert machine.call("nft", "list", "tables") == ""
    eventually(lambda: _require(crashed.powered), within=5, subject="it runs")


def test_links_of_a_machine_that_others_may_reset_are_not_cut(machine: Machine, host: RemoteHost) -> None:
    corosync = machine.folder.parent / "corosync"
    shutil.copy(str(shutil.which("sleep")), corosync)
    machine.spawn(str(corosync), "600")
    topology = Topology("app", Login("app", "secret"), Address("10.0.2.1", 5000), scope=SCOPE)

    def refused() -> None:
        found = look("one", declared_access("one", machine.url), topology)
        _require(found.access.cutter == "" and "links cannot be cut: corosync there" in found.not_cut)

    try:
        eventually(refused, within=10, subject="it is found")
    finally:
        machine.call("sh", "-c", "for p in $(pgrep -x corosync); do kill -9 $p; done; :")


@pytest.mark.parametrize("cutter", ["nft", "iptables"])
def test_a_crash_whose_isolation_somebody_else_has_ended_is_no_evidence(
    machine: Machine, host: RemoteHost, cutter: str
) -> None:
    """As after a firewall reload: peers then learn at once that nobody is there."""
    if shutil.which(cutter, path="/usr/sbin:/sbin:/usr/bin") is None:
        pytest.skip(f"{cutter} is not installed here")
    site = RemoteSite({"one": replace(host.access, cutter=cutter)}, Guards(grace=4, beat=1.0))
    crashed = site.machines["one"]
    crashed.power_off()
    if cutter == "nft":
        machine.call("nft", "flush", "ruleset")
    else:
        machine.call("iptables", "-t", "raw", "-F")
    with pytest.raises(Inconclusive, match="somebody else had ended it"):
        crashed.power_on()
    assert crashed.powered
    machine.call("nft", "flush", "ruleset")  # iptables leaves empty tables behind


@pytest.mark.parametrize("cutter", ["nft", "iptables"])
@pytest.mark.parametrize("version", [4, 6])
def test_its_own_line_stays_when_neighbours_have_forgotten_each_other(
    machine: Machine, host: RemoteHost, version: int, cutter: str
) -> None:
    """As they do after some seconds. IPv6 asks for neighbours by packets of its own."""
    if shutil.which(cutter, path="/usr/sbin:/sbin:/usr/bin") is None:
        pytest.skip(f"{cutter} is not installed here")
    reach = machine.url if version == 4 else f"ssh://root@[{machine.join_ipv6()}]:{PORT}"
    site = RemoteSite({"one": replace(host.access, reach=reach, cutter=cutter)}, Guards(grace=4, beat=1.0))
    crashed = site.machines["one"]
    crashed.power_off()
    machine.forget_neighbours()
    assert crashed.powered is False
    crashed.power_on()
    assert crashed.powered
    machine.call("nft", "flush", "ruleset")  # iptables leaves empty tables behind


@pytest.mark.parametrize("cutter", ["nft", "iptables"])
def test_a_line_of_which_only_the_address_is_known_stays(machine: Machine, host: RemoteHost, cutter: str) -> None:
    """It need not be ssh, nor ssh on its usual port."""
    if shutil.which(cutter, path="/usr/sbin:/sbin:/usr/bin") is None:
        pytest.skip(f"{cutter} is not installed here")
    us = f"{machine.address.rpartition('.')[0]}.1"
    site = RemoteSite({"one": replace(host.access, line=us, cutter=cutter)}, Guards(grace=4, beat=1.0))
    crashed = site.machines["one"]
    crashed.power_off()
    assert crashed.powered is False
    crashed.power_on()
    machine.call("nft", "flush", "ruleset")


def test_a_command_of_the_users_own_is_not_in_the_evidence(machine: Machine, host: RemoteHost) -> None:
    """It may contain a password. What was done is told by the rest."""
    etcd = replace(started_by(machine), start=f": secret; {started_by(machine).start}")
    site = RemoteSite({"one": replace(host.access, programs={"etcd": etcd})}, Guards(grace=4, beat=1.0))
    before = host.processes["etcd"].pid
    site.machines["one"].power_off()
    site.machines["one"].power_on()
    host.kill(host.running())
    site.machines["one"].processes["etcd"].start()
    sent = "\n".join(map(str, site.sent))
    assert f" {before}:" in sent
    assert "the command that starts it" in sent
    assert "secret" not in sent


def test_a_program_is_killed_and_started_again(host: RemoteHost) -> None:
    program = host.processes["etcd"]
    with Nemesis() as nemesis:
        nemesis.inject(Kill(program))
        assert program.pid is None
    assert program.pid is not None
    with Nemesis() as nemesis:
        nemesis.inject(Restart(program))


def test_descendants_die_with_their_program(machine: Machine, host: RemoteHost) -> None:
    host.kill(host.running())
    (machine.folder / "family").mkdir()
    etcd = shutil.copy(str(shutil.which("dash")), machine.folder / "family/etcd")
    family = machine.spawn(str(etcd), "-c", "sleep 601 & setsid sleep 602 & wait")
    eventually(lambda: _require(len(host.running()) == 3), within=5, subject="a family runs")
    host.power_off()
    assert host.running() == []
    host.power_on()
    family.kill()  # nsenter, which stopped when its child did
    family.wait()


def test_who_comes_back_by_himself_is_no_evidence(machine: Machine, host: RemoteHost) -> None:
    host.power_off()
    stubborn = machine.spawn(str(machine.folder.parent / "etcd"), "603")
    eventually(lambda: _require(host.powered), within=5, subject="somebody started it")
    with pytest.raises(Inconclusive, match="by somebody else"):
        host.power_on()
    assert machine.left() == []
    stubborn.kill()
    stubborn.wait()


def test_a_killed_program_that_comes_back_by_itself_is_no_evidence(machine: Machine, host: RemoteHost) -> None:
    """As that of a supervisor which nobody has told to leave it down."""
    nemesis = Nemesis()
    nemesis.inject(Kill(host.processes["etcd"]))
    stubborn = machine.spawn(str(machine.folder.parent / "etcd"), "604")
    eventually(lambda: _require(host.powered), within=5, subject="somebody started it")
    with pytest.raises(Inconclusive, match="etcd on one was started by somebody else"):
        nemesis.heal()
    assert machine.left() == []
    stubborn.kill()
    stubborn.wait()


def test_a_guard_brings_it_back_if_the_suite_does_not(machine: Machine, host: RemoteHost) -> None:
    impatient = host_of(machine, started_by(machine), Guards(grace=60, longest=2, beat=0.5))
    impatient.power_off()
    eventually(lambda: _require(host.powered), within=8, subject="its guard started it")
    with pytest.raises(Inconclusive, match="guard"):
        impatient.power_on()


def test_what_cannot_be_started_again_is_not_killed(machine: Machine, host: RemoteHost) -> None:
    before = host.processes["etcd"].pid
    with pytest.raises(NotAvailable, match=r"\[hosts.one\] programs"):
        host_of(machine, ProgramAccess()).power_off()
    assert host.processes["etcd"].pid == before


def test_what_cannot_be_kept_down_is_not_killed(machine: Machine, host: RemoteHost) -> None:
    before = host.processes["etcd"].pid
    with pytest.raises(HostRefused, match="kept down"):
        host_of(machine, replace(started_by(machine), hold="exit 3")).power_off()
    assert host.processes["etcd"].pid == before
    assert machine.left() == []
    assert "accept" not in machine.call("nft", "list", "tables")


def test_an_undo_that_fails_is_told_and_kept_for_another_try(machine: Machine, host: RemoteHost) -> None:
    flag = machine.folder / "broken"
    flag.write_text("")
    program = started_by(machine, f"test ! -e {flag} && {{ {started_by(machine).start} }}")
    failing = host_of(machine, program)
    failing.power_off()
    with pytest.raises(ProcessFailed, match="accept heal"):
        failing.power_on()
    assert len(machine.left()) == 1
    flag.unlink()
    assert "failed" not in Reach.of(machine.url).run("heal", *machine.left())
    eventually(lambda: _require(host.powered), within=5, subject="it runs again")


def test_the_script_runs_under_every_shell(machine: Machine, tmp_path: Path) -> None:
    tables = []
    for shell in ("dash", "bash", "busybox sh"):
        if shutil.which(shell.split()[0]) is None:
            continue
        way = Reach.of(f"env {shell} -c {{}}" if " " not in shell else "busybox sh -c {}")
        tables.append(way.run("printf", "%s-%s", "a b", "c"))
    assert tables
    assert set(tables) == {"a b-c"}
