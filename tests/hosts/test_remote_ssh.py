"""Reaching into machines by ssh, with a real sshd: discovery, faults and their guards, cuts, refusals."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from remote_hosts import PORT, SCOPE, Machine, ssh_hosts

from support.errors import Inconclusive, NotAvailable, ProcessFailed
from support.faults.nemesis import Nemesis
from support.faults.network import PoorLinks
from support.hosts.interface import Running
from support.hosts.remote import Guards, HostRefused, HostUnreached, Reach, RemoteSite
from support.hosts.remote.processes import parsed_table
from support.hosts.remote.ways import heal_host
from support.target.discovery.user_addresses import open_links
from support.target.discovery.user_hosts import declared_access, find, look
from support.target.topology import Address, Login, MemberAddress, RedisAddress, Topology
from support.waiting import NotYet, eventually, pause, throughout

TOPOLOGY = Topology("app", Login("app", "secret"), Address("10.0.2.1", 5000), scope=SCOPE)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Machine]]:
    with ssh_hosts(tmp_path_factory.mktemp("ssh"), "a", "b") as found:
        yield found


@pytest.fixture
def site(machines: Mapping[str, Machine]) -> Iterator[RemoteSite]:
    found = RemoteSite({name: one.access() for name, one in machines.items()}, Guards(grace=4, longest=60, beat=1.0))
    yield found
    for fault in found.guards.active:
        found.guards.heal(fault)
    assert {name: one.left() for name, one in machines.items()} == {"a": [], "b": []}


@pytest.fixture
def sleeper(machines: Mapping[str, Machine], site: RemoteSite) -> Iterator[Running]:
    process = machines["a"].spawn("sleep", "654")
    yield eventually(lambda: _found(site, "sleep 654"), within=5, subject="it sleeps")
    process.kill()
    process.wait()


def _found(site: RemoteSite, title: str) -> Running:
    for one in site.machines["a"].table():
        if one.title == title:
            return one
    raise NotYet("it is not there")


def _state(site: RemoteSite, process: Running) -> str:
    return next((one.state for one in site.machines["a"].alive([process])), "gone")


def _await_state(site: RemoteSite, process: Running, wanted: str, within: float) -> None:
    def look() -> None:
        if (now := _state(site, process)) not in wanted:
            raise NotYet(f"it is {now}")

    eventually(look, within=within, subject=f"it is {wanted}")


def test_a_look_tells_what_the_host_is(machines: Mapping[str, Machine]) -> None:
    said = dict(line.split("\t") for line in Reach.of(machines["a"].url).run("look").splitlines() if "\t" in line)
    assert said["uid"] == "0"
    assert said["mark"] == SCOPE
    assert said["address"] == machines["a"].address
    assert said["line"].startswith(f"{_us(machines['a'])} ")
    assert parsed_table(Reach.of(machines["b"].url).run("table"))


def test_a_look_tells_where_our_commands_come_from(machines: Mapping[str, Machine]) -> None:
    found = look("a", declared_access("a", machines["a"].url), TOPOLOGY)
    assert (found.comes_from, found.access.addresses) == (_us(machines["a"]), (machines["a"].address,))
    assert found.marks == (SCOPE,)
    assert Reach.of(machines["a"].url).run("addresses").split() == [machines["a"].address]


def test_a_program_that_the_cluster_does_not_use_is_left_alone(machines: Mapping[str, Machine], tmp_path: Path) -> None:
    """A Redis is the cluster's where a setting names it, at that address or at one that is no other host's."""
    sleep, one = str(shutil.which("sleep")), machines["a"]
    shutil.copy(sleep, tmp_path / "redis-server")
    for machine in machines.values():
        machine.spawn(str(tmp_path / "redis-server"), "656")
    urls = {name: machine.url for name, machine in machines.items()}
    _await_program(one, "redis-server")
    _await_program(machines["b"], "redis-server")
    try:
        unnamed = find(urls, TOPOLOGY).looked["a"]
        assert "redis" not in unnamed.access.programs
        assert "redis: left alone, as no setting names it" in unnamed.remarks
        of_a = replace(TOPOLOGY, redis=RedisAddress(Address(one.address, 6379)))
        looked = find(urls, of_a).looked
        assert ["redis" in looked[name].access.programs for name in ("a", "b")] == [True, False]
        assert "redis: left alone, as the cluster's is on a" in looked["b"].remarks
        virtual = find(urls, replace(TOPOLOGY, redis=RedisAddress(Address("10.99.99.99", 6379)))).looked
        assert all("redis" in found.access.programs for found in virtual.values())
        without = look("a", declared_access("a", {"reach": one.url, "programs": {"redis": ""}}), of_a)
        assert "redis" not in without.access.programs
        of_user = look("a", declared_access("a", {"reach": one.url, "programs": {"redis": "systemd:r"}}), TOPOLOGY)
        assert of_user.access.programs["redis"].how == "systemd unit r.service"
        assert "systemd does not run there" in of_user.access.programs["redis"].unstarted
    finally:
        for machine in machines.values():
            machine.call("pkill", "-x", "redis-server")


def test_a_host_through_which_we_come_to_another_keeps_its_links(machines: Mapping[str, Machine]) -> None:
    """Here the address that a sees us come from is said to be b's."""
    declared = {"a": machines["a"].url, "b": {"reach": machines["b"].url, "address": _us(machines["a"])}}
    found = find(declared, TOPOLOGY).looked
    assert {name: one.access.isolated for name, one in found.items()} == {"a": True, "b": False}
    assert any("our own connection to a comes through them" in one for one in found["b"].remarks)


def test_an_address_that_others_connect_to_and_that_would_stay_open_is_told(machines: Mapping[str, Machine]) -> None:
    """A floating one, which is nowhere on the host itself: through it, a leader would keep leading in a partition."""
    names = f"10.99.0.7 b.floating\n{machines['b'].address} b.own\n127.0.1.1 a.own\n"
    for one in machines.values():
        (one.folder / "etc/hosts").write_text(names)
    hosts = {name: one.access() for name, one in machines.items()}
    members = tuple(MemberAddress(name, Address(one.address, 5432)) for name, one in machines.items())

    def told(**advertised: tuple[str, ...]) -> str:
        topology = replace(TOPOLOGY, members=members, advertised=advertised)
        return open_links(hosts, topology).get("partitions", "")

    assert told(a=("a.own", "localhost", machines["a"].address), b=("b.own", "nowhere.invalid")) == ""
    assert told(b=("b.own", "b.floating")) == (
        "the others reach b at 10.99.0.7 (b.floating), which is none of its addresses: "
        f'[hosts.b] address = ["{machines["b"].address}", "10.99.0.7"]'
    )
    assert told(a=("10.99.0.8",)).startswith("the others reach a at 10.99.0.8, which is none of its addresses")
    hosts["b"] = replace(hosts["b"], addresses=(machines["b"].address, "10.99.0.7"))
    assert told(b=("b.own", "b.floating")) == ""
    for one in machines.values():
        (one.folder / "etc/hosts").unlink()


PROXIED = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 30m
    timeout server 30m
listen one
    bind 127.0.0.1:5999
    server one 127.0.0.1:5998
"""


def test_an_haproxy_that_was_reloaded_is_one_while_the_old_one_finishes(
    machines: Mapping[str, Machine], tmp_path: Path
) -> None:
    """As by confd in Patroni's docker-compose, at each change of leaders."""
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed here")
    one, pidfile = machines["a"], tmp_path / "haproxy.pid"
    (tmp_path / "haproxy.cfg").write_text(PROXIED)
    start = ("haproxy", "-f", str(tmp_path / "haproxy.cfg"), "-p", str(pidfile), "-D")
    server = "import socket, time; s = socket.create_server(('127.0.0.1', 5998)); c = s.accept(); time.sleep(600)"
    session = "import socket, time; c = socket.create_connection(('127.0.0.1', 5999)); time.sleep(600)"
    clients = [one.spawn(sys.executable, "-S", "-c", server)]
    try:
        eventually(lambda: _require(":5998" in one.call("ss", "-Htnl")), within=10, subject="the server listens")
        one.call(*start)
        clients.append(one.spawn(sys.executable, "-S", "-c", session))
        through = r"ESTAB.*:5998\s*$"  # one without a server is closed at once
        eventually(
            lambda: _require(re.search(through, one.call("ss", "-Htn"), re.MULTILINE) is not None),
            within=10,
            subject="a session is open through HAProxy",
        )
        one.call(*start, "-sf", pidfile.read_text().strip())
        there = [process for process in parsed_table(Reach.of(one.url).run("table")) if process.name == "haproxy"]
        assert len(there) == 2
        looked = look("a", declared_access("a", one.url), TOPOLOGY)
        assert "haproxy" in looked.access.programs
        assert not [told for told in looked.obstacles if "more than once" in told]
        haproxy = RemoteSite({"a": looked.access}).machines["a"].processes["haproxy"]
        assert str(haproxy.pid) == pidfile.read_text().strip(), "the present one"
        one.call(*start)
        (told,) = look("a", declared_access("a", one.url), TOPOLOGY).obstacles
        assert "haproxy runs there more than once" in told
    finally:
        one.call("pkill", "-KILL", "-x", "haproxy")
        for client in clients:
            client.kill()
            client.wait()


def _await_program(machine: Machine, name: str) -> None:
    def look() -> None:
        if name not in {one.name for one in parsed_table(Reach.of(machine.url).run("table"))}:
            raise NotYet("it does not run yet")

    eventually(look, within=5, subject=f"{name} runs")


@pytest.mark.parametrize(
    ("arguments", "configuration", "serves"),
    [
        (["agent", "-server", "-config-dir=FOLDER"], "", True),
        (["agent", "-config-dir=FOLDER"], "# server = true\nretry_join = []\n", False),
        (["agent", "-config-dir", "FOLDER"], "datacenter = 'one'\nserver = true\n", True),
        (["agent", "--config-file=FOLDER/consul.hcl"], '{"datacenter": "one", "server": true}', True),
        (["agent", "-config-file=FOLDER/consul.hcl"], '{"server": false, "verify_server_hostname": true}', False),
        (["agent", "-config-file=FOLDER/absent.hcl"], "", True),
    ],
)
def test_of_consul_only_servers_are_the_dcs(
    machines: Mapping[str, Machine], tmp_path: Path, arguments: list[str], configuration: str, serves: bool
) -> None:
    """Each member has a client agent as well. Where its configuration cannot be read, it may be a server."""
    topology = replace(TOPOLOGY, dcs_access={"consul": {"host": "127.0.0.1:8500"}})
    (tmp_path / "consul.hcl").write_text(configuration)
    program = tmp_path / "consul"
    program.write_text("#!/bin/sh\nsleep 657\n")
    program.chmod(0o755)
    started = machines["a"].spawn(str(program), *(one.replace("FOLDER", str(tmp_path)) for one in arguments))
    try:
        _await_program(machines["a"], "consul")
        assert ("consul" in look("a", declared_access("a", machines["a"].url), topology).access.programs) == serves
    finally:
        machines["a"].call("pkill", "-x", "consul")
        started.wait()


_LOOKS = """
import sys
from support.hosts.remote.reach import Reach, _sockets
Reach.of(sys.argv[1]).run("left")
print(_sockets())
"""


def test_no_connection_outlives_the_suite(machines: Mapping[str, Machine]) -> None:
    """ssh keeps master connections in separate processes, which would stay for a minute."""
    looked = subprocess.run(
        [sys.executable, "-c", _LOOKS, machines["a"].url], capture_output=True, text=True, check=True, timeout=60
    )
    folder = looked.stdout.strip()
    assert not Path(folder).exists()
    eventually(lambda: _require(folder not in _titles()), within=5, subject="ssh has ended")


def _titles() -> str:
    """Of every process here."""
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def test_arguments_arrive_as_they_are(machines: Mapping[str, Machine]) -> None:
    odd = ["a b", "it's", '"$HOME"', "`id`", "new\nline", "*", "", "ä€", "\\"]
    said = Reach.of(machines["a"].url).run("printf", "<%s>", *odd)
    assert said == "".join(f"<{one}>" for one in odd)


def test_a_process_that_is_another_by_now_is_left_alone(site: RemoteSite, sleeper: Running) -> None:
    site.machines["a"].kill([Running(sleeper.pid, sleeper.started + 1, "S", "sleep", "")])
    assert _state(site, sleeper) in "SR"
    site.machines["a"].kill([sleeper])
    _await_state(site, sleeper, "gone", within=3)


def test_what_is_suspended_stays_so_until_it_is_resumed(site: RemoteSite, sleeper: Running) -> None:
    host = site.machines["a"]
    host.suspend([sleeper])
    throughout(lambda: _require(_state(site, sleeper) == "T"), seconds=6)  # longer than the guard's grace: it is beaten
    host.resume([sleeper])
    _await_state(site, sleeper, "S", within=2)
    host.resume([sleeper])


def test_what_was_suspended_in_several_steps_is_resumed_at_once(
    machines: Mapping[str, Machine], site: RemoteSite, sleeper: Running
) -> None:
    """As a server is: first what begins processes, then all the others."""
    host, process = site.machines["a"], machines["a"].spawn("sleep", "653")
    another = eventually(lambda: _found(site, "sleep 653"), within=5, subject="it sleeps")
    host.suspend([sleeper])
    host.suspend([another])
    host.resume([sleeper, another])
    _await_state(site, sleeper, "S", within=2)
    _await_state(site, another, "S", within=2)
    assert machines["a"].left() == []
    process.kill()
    process.wait()


def test_a_guard_that_was_quicker_is_no_evidence(site: RemoteSite, sleeper: Running) -> None:
    host = site.machines["a"]
    impatient = RemoteSite({"a": host.access}, Guards(grace=60, longest=2, beat=0.5))
    impatient.machines["a"].suspend([sleeper])
    _await_state(site, sleeper, "S", within=6)
    with pytest.raises(Inconclusive, match="guard"):
        impatient.machines["a"].resume([sleeper])


_RUNNER = """
import sys, time
from support.hosts.remote import Guards, HostAccess, RemoteSite
from support.hosts.interface import Running
url, pid, started, address = sys.argv[1:]
access = HostAccess(url, scope="staging", cutter="nft")
other = HostAccess(url.replace(".11:", ".12:"), (address,), scope="staging", cutter="nft", ports=(2222,))
site = RemoteSite({"a": access, "b": other}, Guards(grace=4, beat=1.0))
site.machines["a"].suspend([Running(int(pid), int(started), "S", "", "")])
site.network.cut_all([("a", "b"), ("b", "a")])
print("done", flush=True)
time.sleep(60)
"""


def test_a_runner_that_is_killed_leaves_nothing(
    machines: Mapping[str, Machine], site: RemoteSite, sleeper: Running
) -> None:
    one, other = machines["a"], machines["b"]
    words = [sys.executable, "-c", _RUNNER, one.url, str(sleeper.pid), str(sleeper.started), other.address]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == b"done\n"
        assert _state(site, sleeper) == "T"
        assert len(one.left()) == 2
        assert "accept_" in one.call("nft", "list", "tables")
        os.kill(runner.pid, signal.SIGKILL)
    _await_state(site, sleeper, "S", within=10)
    eventually(
        lambda: _require("accept_" not in one.call("nft", "list", "tables")), within=5, subject="the cut is undone"
    )
    Reach.of(one.url).run("heal", *one.left())


@pytest.fixture(params=["nft", "iptables"])
def cutting(request: pytest.FixtureRequest, machines: Mapping[str, Machine]) -> Iterator[RemoteSite]:
    """The same machines, whose links are cut by one of the tools."""
    if shutil.which(request.param, path="/usr/sbin:/sbin:/usr/bin") is None:
        pytest.skip(f"{request.param} is not installed here")
    found = {name: replace(one.access(), cutter=request.param) for name, one in machines.items()}
    site = RemoteSite(found, Guards(grace=4, beat=1.0))
    yield site
    for fault in site.guards.active:
        site.guards.heal(fault)


def test_a_cut_drops_both_ways_whatever_the_users_own_rules_accept(
    machines: Mapping[str, Machine], cutting: RemoteSite
) -> None:
    accept = "ct state established,related accept; accept;"
    rules = f"table ip user {{ chain i {{ type filter hook input priority 0; {accept} }}; }}"
    enter = ["nsenter", f"--target={machines['a'].init}", "--net", "nft", "-f", "-"]
    subprocess.run(enter, input=f"flush ruleset\n{rules}".encode(), check=True)
    both = [("a", "b"), ("b", "a")]
    cutting.network.prepare(both)
    cutting.network.cut_all(both)
    eventually(lambda: cutting.network.require_cut(both), within=10, subject="it is cut")
    assert _reaches(machines["b"], machines["a"]) is False
    cutting.network.reconnect_all(both)
    cutting.network.reconnect_all(both)
    assert _reaches(machines["b"], machines["a"]) is True
    left = machines["a"].call("nft", "list", "ruleset")
    assert "accept_" not in left
    assert "ct state established,related accept" in left


def test_a_cut_of_one_way_is_told_from_one_of_both(machines: Mapping[str, Machine], cutting: RemoteSite) -> None:
    """What b sends arrives, and a's answers do not."""
    one_way = [("a", "b")]
    cutting.network.prepare(one_way)
    cutting.network.cut_all(one_way)
    asking = machines["b"].spawn(
        "sh", "-c", f"while :; do timeout 1 bash -c '</dev/tcp/{machines['a'].address}/9'; done"
    )
    try:
        eventually(
            lambda: cutting.network.require_cut(one_way, open_pairs=[("b", "a")]), within=10, subject="one way is cut"
        )
    finally:
        asking.kill()
        cutting.network.reconnect_all(one_way)
    both = [("a", "b"), ("b", "a")]
    cutting.network.prepare(both)
    cutting.network.cut_all(both)
    cutting.network._cuts[frozenset(one_way)] = cutting.network._cuts[frozenset(both)]
    with pytest.raises(NotYet, match="arrives"):
        cutting.network.require_cut(one_way, open_pairs=[("b", "a")])
    cutting.network._cuts.pop(frozenset(one_way))
    cutting.network.reconnect_all(both)


def test_a_cut_that_a_reload_of_the_firewall_has_ended_is_no_evidence(
    machines: Mapping[str, Machine], cutting: RemoteSite
) -> None:
    both = [("a", "b"), ("b", "a")]
    cutting.network.cut_all(both)
    cutting.network.reconnect_all(both)
    for _ in range(2):  # also when the same links are cut once more
        cutting.network.cut_all(both)
        (cut_host,) = (machines[fault.host] for fault in cutting.guards.active)
        if cutting.machines["a"].access.cutter == "nft":
            cut_host.call("nft", "flush", "ruleset")
        else:
            cut_host.call("iptables", "-t", "raw", "-F")
        with pytest.raises(Inconclusive, match="somebody else had ended it"):
            cutting.network.reconnect_all(both)
    assert {name: one.left() for name, one in machines.items()} == {"a": [], "b": []}


@pytest.mark.parametrize("wrong", ["gone", "failing"])
def test_a_cut_that_cannot_be_seen_to_be_gone_is_not_called_undone(
    machines: Mapping[str, Machine], cutting: RemoteSite, wrong: str
) -> None:
    """The tool is not on the PATH, or another program keeps it from working."""
    host, tool = machines["a"], cutting.machines["a"].access.cutter
    programs = {path for name in (tool, "ip6tables") if (path := shutil.which(name, path="/usr/sbin:/sbin:/usr/bin"))}
    fault = cutting.machines["a"].cut([f"in:{machines['b'].address}"])
    undo = Path("/run/accept", fault.id, "undo")
    if wrong == "gone":
        host.call("sed", "-i", "s|^export PATH=.*|export PATH=/nowhere|", str(undo))
    else:
        for path in programs:
            host.call("mount", "--bind", "/bin/false", os.path.realpath(path))
    with pytest.raises(ProcessFailed, match="could not be undone"):
        cutting.machines["a"].heal(fault)
    assert host.left() == [fault.id]
    if wrong == "gone":
        host.call("sed", "-i", "s|^export PATH=.*|export PATH=/usr/sbin:/usr/bin:/sbin:/bin|", str(undo))
    else:
        for path in programs:
            host.call("umount", os.path.realpath(path))
    assert "accept_" in host.call("nft", "list", "ruleset")
    with suppress(Inconclusive):  # nor could it be seen to have lasted
        cutting.machines["a"].heal(fault)
    assert host.left() == []
    assert "accept_" not in host.call("nft", "list", "ruleset")


def test_packets_are_lost_as_many_as_they_should_until_it_is_healed(
    machines: Mapping[str, Machine], site: RemoteSite
) -> None:
    with Nemesis(effect_within=30.0) as nemesis:
        nemesis.inject(PoorLinks(site, ["a", "b"], loss=0.2))
        assert "numgen random mod 1000 < 200" in machines["a"].call("nft", "list", "ruleset")
        assert "numgen random mod 1000 < 200" in machines["b"].call("nft", "list", "ruleset")
    for machine in machines.values():
        assert "accept_" not in machine.call("nft", "list", "tables")


def test_a_loss_that_does_not_happen_is_no_evidence(machines: Mapping[str, Machine], site: RemoteSite) -> None:
    fault = PoorLinks(site, ["a", "b"], loss=0.2)
    fault.inject()
    for name, injected in site.network._losses.items():
        machines[name].call("nft", "flush", "table", "inet", f"accept_{injected.id}")
        rule = f"ip saddr {machines['b' if name == 'a' else 'a'].address} counter"
        machines[name].call("nft", "add", "rule", "inet", f"accept_{injected.id}", "input", *rule.split())
    with pytest.raises(NotYet, match="none of"):
        fault.require_in_effect()
    fault.heal()


def test_links_are_not_slowed_down(site: RemoteSite) -> None:
    with pytest.raises(NotAvailable, match="slow down"):
        PoorLinks(site, ["a", "b"], latency=0.1).inject()


def test_a_link_that_was_never_there_is_no_evidence(machines: Mapping[str, Machine]) -> None:
    nowhere = machines["b"].access()
    nowhere = type(nowhere)(nowhere.reach, ("10.99.0.99",), scope=SCOPE, cutter="", ports=(PORT,))
    site = RemoteSite({"a": machines["a"].access(), "b": nowhere}, Guards(grace=4))
    both = [("a", "b"), ("b", "a")]
    site.network.prepare(both)
    site.network.cut_all(both)
    with pytest.raises(Inconclusive, match="before"):
        site.network.require_cut(both)
    site.network.reconnect_all(both)


def test_the_suites_own_line_is_never_cut(machines: Mapping[str, Machine]) -> None:
    us = type(machines["b"].access())("local:", (_us(machines["a"]),), scope=SCOPE)
    site = RemoteSite({"a": machines["a"].access(), "us": us}, Guards(grace=4))
    with pytest.raises(HostRefused, match="own connection"):
        site.network.cut_all([("a", "us"), ("us", "a")])
    assert machines["a"].left() == []
    assert "accept_" not in machines["a"].call("nft", "list", "tables")


@pytest.mark.parametrize("marks", [(), ("another",), (f"{SCOPE}-2",)])
def test_a_host_without_its_own_mark_is_left_alone(
    machines: Mapping[str, Machine], site: RemoteSite, sleeper: Running, marks: tuple[str, ...]
) -> None:
    machines["a"].mark(*marks)
    try:
        for attempt in (site.machines["a"].suspend, site.machines["a"].kill):
            with pytest.raises(HostRefused, match="not marked"):
                attempt([sleeper])
    finally:
        machines["a"].mark(SCOPE)
    assert _state(site, sleeper) in "SR"


def test_a_host_that_another_run_has_put_a_fault_on_is_left_alone(site: RemoteSite, sleeper: Running) -> None:
    site.machines["a"].suspend([sleeper])
    another = RemoteSite({"a": site.machines["a"].access}, Guards())
    with pytest.raises(HostRefused, match="another run"):
        another.machines["a"].suspend([sleeper])
    site.machines["a"].resume([sleeper])


def test_an_unknown_host_key_is_told_and_not_accepted(machines: Mapping[str, Machine]) -> None:
    known = machines["a"].folder.parent / "known"
    kept, way = known.read_text(), Reach.of(machines["a"].url)
    known.write_text("")
    anew = tuple("-oControlPath=none" if one.startswith("-oControlPath") else one for one in way.argv)
    try:
        with pytest.raises(HostUnreached, match="Host key verification failed"):
            replace(way, argv=anew).run("left")
        assert known.read_text() == ""
    finally:
        known.write_text(kept)


def _us(machine: Machine) -> str:
    """The address of the test, as seen there."""
    return f"{machine.address.rpartition('.')[0]}.1"


def _reaches(source: Machine, target: Machine) -> bool:
    said = source.call("sh", "-c", f"timeout 1 bash -c '</dev/tcp/{target.address}/{PORT}' 2>/dev/null; echo $?")
    return said.strip() == "0"


def _require(true: bool) -> None:
    if not true:
        raise NotYet("not so")


def test_a_full_run_refuses_before_anything_is_done(tmp_path: Path) -> None:
    with ssh_hosts(tmp_path, "full", room="nr_inodes=40,size=64k,") as machines:
        machine = machines["full"]
        machine.call("sh", "-c", "dd if=/dev/zero of=/run/ballast bs=1k 2>/dev/null; :")
        process = machine.spawn("sleep", "655")
        site = RemoteSite({"full": machine.access()}, Guards(grace=4))
        victims = eventually(
            lambda: [one for one in site.machines["full"].table() if one.title == "sleep 655"] or _require(False),
            within=5,
            subject="it sleeps",
        )
        assert victims
        with pytest.raises(HostRefused, match="full"):
            site.machines["full"].suspend(victims)
        assert [one.state for one in site.machines["full"].alive(victims)] == ["S"]
        process.kill()
        process.wait()


def test_a_banner_and_a_host_that_dies(tmp_path: Path) -> None:
    banner = tmp_path / "banner"
    banner.write_text("*** accept: begin of the banner ***\n")
    with ssh_hosts(tmp_path, "dying", more=f"Banner {banner}") as machines:
        machine = machines["dying"]
        assert Reach.of(machine.url).run("printf", "%s", "clean") == "clean"
        machine.die()
        begun = time.monotonic()
        with pytest.raises(HostUnreached):
            Reach.of(machine.url).run("left")
        assert time.monotonic() - begun < 12
        pause(0)


def test_a_login_without_rights_is_told_with_what_would_allow_it(tmp_path: Path) -> None:
    """Neither root nor the user of its programs; sudo wants a password, or does not know the user."""
    shutil.copy(str(shutil.which("sleep")), tmp_path / "etcd")
    with ssh_hosts(tmp_path, "plain", user="deploy", more="SetEnv PATH=/etc/programs:/usr/bin:/bin") as machines:
        declared = declared_access("plain", machines["plain"].url)
        sudo = machines["plain"].folder / "etc/programs/sudo"
        sudo.parent.mkdir()
        machines["plain"].spawn(str(tmp_path / "etcd"), "657")
        _await_program(machines["plain"], "etcd")
        for refusal in ("sudo: a password is required", "sudo: deploy is not in the sudoers file"):
            sudo.write_text(f"#!/bin/sh\necho '{refusal}' >&2\nexit 1\n")
            sudo.chmod(0o755)
            (told,) = look("plain", declared, TOPOLOGY).obstacles
            assert f"sudo -n sh is refused ({refusal}): allow it for that user, or log in as root" in told


def test_the_user_of_the_programs_needs_no_sudo(tmp_path: Path) -> None:
    """Such as postgres. It cannot cut links, which doctor says."""
    more = "SetEnv PATH=/etc/programs:/usr/bin:/bin"
    with ssh_hosts(tmp_path, "own", user="deploy", more=more) as machines:
        sudo = machines["own"].folder / "etc/programs/sudo"
        sudo.parent.mkdir()
        sudo.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
        sudo.chmod(0o755)
        shutil.copy(str(shutil.which("sleep")), sudo.with_name("etcd"))
        as_deploy = ("setpriv", "--reuid=1001", "--regid=1001", "--clear-groups")
        process = machines["own"].spawn(*as_deploy, "/etc/programs/etcd", "658")
        _await_program(machines["own"], "etcd")
        found = look("own", declared_access("own", machines["own"].url), TOPOLOGY)
        assert (found.obstacles, found.access.cutter) == ((), "")
        assert found.comes_from == _us(machines["own"])
        host = RemoteSite({"own": found.access}, Guards(grace=4, beat=1.0)).machines["own"]
        try:
            host.freeze()
            assert [one.state for one in host.running()] == ["T"]
            host.thaw()
            eventually(lambda: _require([one.state for one in host.running()] == ["S"]), within=5, subject="it goes on")
            assert machines["own"].left() == []
            host.kill(host.running())
            eventually(lambda: _require(not host.powered), within=5, subject="it is killed")
        finally:
            process.kill()  # nsenter, which stopped when its child did
            process.wait()
            shutil.rmtree("/tmp/accept-1001", ignore_errors=True)


def test_what_was_done_by_sudo_is_not_called_undone_without_it(tmp_path: Path) -> None:
    """It fails for a while, as where sudoers are read from a server that a cut has made unreachable."""
    more = "SetEnv PATH=/etc/programs:/usr/bin:/bin"
    with ssh_hosts(tmp_path, "by-sudo", user="deploy", more=more) as machines:
        machine = machines["by-sudo"]
        programs = machine.folder / "etc/programs"
        programs.mkdir()
        shutil.copy(str(shutil.which("setpriv")), programs / "become")
        (programs / "become").chmod(0o4755)
        (programs / "sudo").write_text(
            "#!/bin/sh\n[ ! -e /etc/programs/down ] || { echo 'sudo: no valid sudoers sources' >&2; exit 1; }\n"
            'shift\nexec /etc/programs/become --reuid=0 --regid=0 --clear-groups "$@"\n'
        )
        (programs / "sudo").chmod(0o755)
        if Reach.of(machine.url).run("id", "-u").strip() != "0":
            pytest.skip("programs with the setuid bit do not run as root here")
        shutil.copy(str(shutil.which("sleep")), programs / "etcd")
        process, down = machine.spawn("/etc/programs/etcd", "659"), programs / "down"
        _await_program(machine, "etcd")
        declared = declared_access("by-sudo", machine.url)
        host = RemoteSite({"by-sudo": look("by-sudo", declared, TOPOLOGY).access}, Guards(beat=1.0)).machines["by-sudo"]
        try:
            host.freeze()
            down.touch()
            with pytest.raises(HostUnreached, match="no valid sudoers sources"):
                heal_host(declared, lambda line: None)
            with ThreadPoolExecutor() as other:
                thawing = other.submit(host.thaw)
                pause(3)
                down.unlink()
                thawing.result(timeout=60)
            assert machine.left() == []
            eventually(lambda: _require([one.state for one in host.running()] == ["S"]), within=5, subject="it goes on")
            down.touch()
            with pytest.raises(HostUnreached, match="no valid sudoers sources"):
                host.freeze()
        finally:
            down.unlink(missing_ok=True)
            process.kill()
            process.wait()


def test_a_run_whose_own_line_breaks_errs_and_its_guard_heals(
    machines: Mapping[str, Machine], sleeper: Running
) -> None:
    """Somebody else cuts it, in the middle of a fault."""
    host = RemoteSite({"a": machines["a"].access()}, Guards(grace=4, beat=1.0)).machines["a"]
    host.suspend([sleeper])
    drop = f"ip saddr {_us(machines['a'])} drop;"
    rules = f"table ip others {{ chain i {{ type filter hook input priority 0; {drop} }}; }}"
    enter = ["nsenter", f"--target={machines['a'].init}", "--net", "nft"]
    subprocess.run([*enter, "-f", "-"], input=rules.encode(), check=True)
    look_past_ssh = f"cut -d' ' -f3 /proc/{sleeper.pid}/stat"
    try:
        begun = time.monotonic()
        with pytest.raises(HostUnreached):
            host.alive([sleeper])
        assert time.monotonic() - begun < 25
        eventually(
            lambda: _require(machines["a"].call("sh", "-c", look_past_ssh).strip() == "S"),
            within=15,
            subject="its guard let it go on",
        )
    finally:
        subprocess.run([*enter, "delete", "table", "ip", "others"], check=True)
    with pytest.raises(Inconclusive, match="guard"):
        host.resume([sleeper])


def test_a_host_that_dies_in_the_middle_of_a_fault_is_no_evidence(tmp_path: Path) -> None:
    """Its /run is gone with it; what there was to heal, too, and nobody can say so."""
    with ssh_hosts(tmp_path, "dying") as machines:
        machine = machines["dying"]
        host = RemoteSite({"dying": machine.access()}, Guards(grace=4, beat=1.0)).machines["dying"]
        process = machine.spawn("sleep", "656")
        eventually(lambda: _require(bool(_of(host.table()))), within=5, subject="it sleeps")
        victims = _of(host.table())
        host.suspend(victims)
        machine.die()
        process.kill()  # nsenter, which stopped when its child did
        process.wait()
        with pytest.raises(ProcessFailed, match=r"its guard on the host undoes it .* if the host is up"):
            host.resume(victims)


def _of(table: Sequence[Running]) -> list[Running]:
    return [one for one in table if one.title == "sleep 656"][:1]
