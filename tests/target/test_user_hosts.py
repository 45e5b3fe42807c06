"""What [hosts] may say, and what a user's hosts allow, by what was found on them."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.cli.doctor_hosts import host_lines
from support.errors import UsageError
from support.hosts.interface import Running
from support.hosts.processes import first_of
from support.hosts.remote import HostAccess, ProgramAccess, Reach
from support.hosts.remote.processes import (
    first_process,
    instances,
    other_clusters,
    parsed_table,
    program_trees,
    runs_in,
    unit_of_servers,
)
from support.hosts.remote.reach import _sockets
from support.settings import Settings
from support.target.discovery.host_capabilities import (
    Looked,
    lacking,
    members_of_dcs,
    others_in_dcs,
    ways_to_others,
)
from support.target.discovery.host_links import HostLinks, _is_here, _why_shared
from support.target.discovery.host_programs import not_the_clusters
from support.target.discovery.user_hosts import (
    _obstacles,
    _ports,
    _unreached,
    _watched,
    _with_links,
    declared_access,
    find,
    look,
)
from support.target.discovery.user_units import by_process, why_not_started
from support.target.topology import Address, Login, MemberAddress, RedisAddress, StatisticsPage, Topology

STARTED = ProgramAccess("systemctl start it", how="systemd unit it.service")
WITH_UNKNOWN_ETCD = {"patroni": STARTED, "etcd": ProgramAccess()}


def access(address: str, *programs: str, **more: Any) -> HostAccess:
    return HostAccess(
        f"ssh://root@{address}", (address,), dict.fromkeys(programs, STARTED), "staging", cutter="nft", **more
    )


MEMBERS = {f"pg{number}": access(f"10.0.0.{number}", "patroni") for number in (1, 2, 3)}
OTHERS = {
    **{f"etcd{number}": access(f"10.0.1.{number}", "etcd") for number in (1, 2, 3)},
    "lb": access("10.0.2.1", "haproxy"),
    "cache": access("10.0.3.1", "redis"),
}
TOPOLOGY = Topology(
    "app",
    Login("app", "secret"),
    Address("10.0.2.1", 5000),
    members=tuple(MemberAddress(name, Address(one.addresses[0], 5432)) for name, one in MEMBERS.items()),
    dcs=tuple(Address(f"10.0.1.{number}", 2379) for number in (1, 2, 3)),
    scope="staging",
)


def lacks(
    hosts: Mapping[str, HostAccess], obstacles: Mapping[str, str] | None = None, topology: Topology = TOPOLOGY
) -> dict[str, str]:
    told = obstacles or {}
    looked = {
        name: Looked(name, one, (told[name],) if name in told else (), ("as found",), not_cut="" if one.cutter else "-")
        for name, one in hosts.items()
    }
    in_dcs = members_of_dcs(topology) if topology.dcs_access else 3
    return {name: why for name, why in lacking(looked, topology, in_dcs).items() if "did not boot" not in why}


def test_with_every_host_nothing_is_lacking() -> None:
    assert lacks({**MEMBERS, **OTHERS}) == {}


def test_what_nobody_could_start_again_is_not_crashed() -> None:
    """Such as a task of Swarm's, which it replaces."""
    hosts = {**MEMBERS, **OTHERS}
    for name, program in (("pg2", "patroni"), ("etcd1", "etcd"), ("lb", "haproxy"), ("cache", "redis")):
        hosts[name] = replace(
            hosts[name], programs={program: ProgramAccess(beside=True, unstarted="Swarm replaces it")}
        )
    told = lacks(hosts)
    assert told == {
        "crashes": "pg2: Swarm replaces it",
        "dcs_hosts": "etcd1: Swarm replaces it",
        "dcs_links": "etcd1: Swarm replaces it",
        "proxy_host": "lb: Swarm replaces it",
        "proxy_reload": "lb: Swarm replaces it",
        "cache_host": "cache: Swarm replaces it",
    }


def test_links_within_the_dcs_are_cut_by_one_of_their_two_hosts() -> None:
    unable = {name: replace(one, cutter="") for name, one in OTHERS.items() if name in ("etcd1", "etcd2")}
    assert "dcs_links" not in lacks({**MEMBERS, **OTHERS, "etcd1": unable["etcd1"]})
    assert "have no nft or iptables" in lacks({**MEMBERS, **OTHERS, **unable})["dcs_links"]
    assert "[hosts]" in lacks(MEMBERS)["dcs_links"]


def test_why_links_cannot_be_cut_is_told_whatever_else_was_found() -> None:
    hosts = {**MEMBERS, **OTHERS, "pg1": replace(MEMBERS["pg1"], cutter="")}
    looked = {name: Looked(name, one, remarks=("links are cut by nft",)) for name, one in hosts.items()}
    looked["pg1"] = Looked("pg1", hosts["pg1"], remarks=("found first", "found last"), not_cut="corosync runs there")
    told = lacking(looked, TOPOLOGY, 3)
    assert told["partitions"] == told["poor_links"] == "pg1: corosync runs there"
    looked["pg1"] = Looked("pg1", replace(hosts["pg1"], cutter="iptables"), remarks=("links are cut by iptables",))
    told = lacking(looked, TOPOLOGY, 3)
    assert "partitions" not in told
    assert told["poor_links"] == "pg1: dropping packets needs nft, which cannot be used there"
    looked["pg1"] = Looked("pg1", hosts["pg1"], not_cut="corosync runs there")
    looked["lb"] = Looked("lb", OTHERS["lb"], ("no mark",), not_cut="corosync runs there")
    assert lacking({"lb": looked.pop("lb"), **looked}, TOPOLOGY, 3)["poor_links"] == "lb: no mark"


def test_machines_with_an_address_in_common_are_two() -> None:
    """Each has a docker0, and the leader the cluster's virtual address."""
    bridged = {
        name: replace(one, addresses=(*one.addresses, "172.17.0.1")) for name, one in {**MEMBERS, **OTHERS}.items()
    }
    bridged["pg1"] = replace(bridged["pg1"], addresses=(*bridged["pg1"].addresses, "10.0.0.100"))
    assert lacks(bridged) == {}
    bridged["etcd1"] = replace(bridged["etcd1"], addresses=("10.0.0.1",))  # declared: one of pg1's
    assert "members' own machines" in lacks(bridged)["dcs_hosts"]


def test_ports_of_the_cluster_come_first() -> None:
    listening = "\n".join(
        f"  0: 00000000:{port:04X} 00000000:0000 0A" for port in (22, 25, 111, 139, 445, 631, 2049, 5432, 8008, 15432)
    )
    assert _ports(listening, (15432, 8008))[:3] == (8008, 15432, 5432)
    assert 22 not in _ports(listening)


def test_the_hosts_of_another_dcs_than_etcd() -> None:
    section = {"zookeeper": {"hosts": ["10.0.1.1:2181", "10.0.1.2:2181"]}}
    topology = replace(TOPOLOGY, dcs=(), dcs_access=section)
    nodes = {f"zk{number}": access(f"10.0.1.{number}", "zookeeper") for number in (1, 2)}
    hosts = {**MEMBERS, **nodes, "lb": OTHERS["lb"], "cache": OTHERS["cache"]}
    assert lacks(hosts, topology=topology) == {}
    del hosts["zk2"]
    told = lacks(hosts, topology=topology)
    assert told["dcs_hosts"] == "zookeeper has 2 members, and [hosts] has 1 of their hosts"
    assert "partitions" in told
    told = lacks({**MEMBERS, **OTHERS}, topology=replace(topology, dcs_access={"consul": {"host": "10.0.1.1:8500"}}))
    assert told["dcs_hosts"] == "[hosts] has no host on which consul runs"
    assert "partitions" in told


@pytest.mark.parametrize(
    ("holders", "told"),
    [
        (["patroni 7"], "patroni 7 there has a watchdog open, .*; set Patroni's watchdog mode to off$"),
        (["systemd 1"], "systemd 1 there .*; set RuntimeWatchdogSec=0 in [^;]*$"),
        (["watchdog 9", "python3 8"], "watchdog 9 and python3 8 .*watchdog mode to off"),
        (["strange 5"], "strange 5 there .*; stop it$"),
    ],
)
def test_whoever_has_a_watchdog_open_is_told(holders: list[str], told: str) -> None:
    assert re.search(told, _watched(holders))


def test_a_server_is_known_by_each_of_its_names() -> None:
    """EDB's server has a different name from PostgreSQL's own."""
    table = [Running(7, 1, "S", "edb-postgres", "postgres: checkpointer"), Running(5, 1, "S", "patroni", "")]
    for name in ("postgres", "postmaster", "edb-postgres"):
        server = Running(6, 1, "S", name, "/opt/bin/server -D /data")
        assert [one.pid for one in first_of([*table, server], "postgres")] == [6, 7]


def test_links_that_our_own_commands_take_cannot_be_cut() -> None:
    """Links of a jump host, or of the suite's own host, if [hosts] names it as well."""
    looked = {name: Looked(name, one) for name, one in {**MEMBERS, **OTHERS}.items()}
    by_proxy = {name: replace(one, comes_from="10.0.2.1") for name, one in looked.items()}
    told = lacking({**by_proxy, "lb": replace(looked["lb"], comes_from="10.9.9.9")}, TOPOLOGY, 3)
    assert told["partitions"] == told["poor_links"]
    assert "from lb, so the links between the two cannot be cut" in told["partitions"]
    assert "dcs_links" not in told
    by_etcd = {**looked, "etcd2": replace(looked["etcd2"], comes_from="10.0.1.1")}
    told = lacking(by_etcd, TOPOLOGY, 3)
    assert all("come to etcd2 from etcd1" in told[one] for one in ("partitions", "poor_links", "dcs_links"))
    elsewhere = {name: replace(one, comes_from="10.9.9.9") for name, one in looked.items()}
    assert not {"partitions", "poor_links", "dcs_links"} & lacking(elsewhere, TOPOLOGY, 3).keys()


def test_the_links_of_a_jump_host_stay_when_it_crashes() -> None:
    """Through them goes what the suite does on the others, such as beats and undoing."""
    looked = {name: Looked(name, one, remarks=("as found",)) for name, one in {**MEMBERS, **OTHERS}.items()}
    assert ways_to_others(looked) == {}
    for name in ("pg1", "pg2"):
        looked[name] = replace(looked[name], comes_from="10.0.2.1")
    assert ways_to_others(looked) == {"lb": ["pg1", "pg2"]}
    kept = _with_links(looked["lb"], "our own connection to pg1 and pg2 comes through them")
    assert (looked["lb"].access.isolated, kept.access.isolated) == (True, False)
    assert kept.remarks[0].startswith("a crash leaves the links alone, as our own connection to pg1 and pg2")
    assert kept.remarks[1:] == ("as found",)


def test_what_needs_the_links_of_a_host_is_told_before_whether_they_are_cut() -> None:
    links = HostLinks("nft", "", "", "10.9.9.9", "", "")
    assert links.remarks == ("links are cut by nft",)
    assert replace(links, cutter="", not_cut="links cannot be cut: why").remarks == ("links cannot be cut: why",)
    storage, tunnel, cut = replace(links, storage="iSCSI", tunnel="our own connection comes through IPsec").remarks
    assert storage.startswith("a crash leaves the links alone, as storage is behind them (iSCSI):")
    assert tunnel.startswith("a crash leaves the links alone, as our own connection comes through IPsec:")
    assert cut == "links are cut by nft"


def test_every_host_of_etcd_has_to_be_known_to_be_there() -> None:
    """The settings may name one address of three, and [hosts] only that host."""
    one = {name: Looked(name, had) for name, had in {**MEMBERS, "etcd1": OTHERS["etcd1"]}.items()}
    alone = replace(TOPOLOGY, dcs=TOPOLOGY.dcs[:1])
    told = lacking(one, alone, 3)
    assert told["dcs_hosts"] == "etcd has 3 members, and [hosts] has 1 of their hosts"
    assert {"dcs_links", "partitions"} <= told.keys()
    told = lacking(one, alone, None)
    assert "etcd does not say how many members it has" in told["dcs_hosts"]
    assert {"dcs_links", "partitions"} <= told.keys()
    assert not {"dcs_hosts", "dcs_links", "partitions"} & lacking(one, alone, 1).keys()


@pytest.mark.parametrize(
    ("hosts", "obstacles", "lacking_then", "told"),
    [
        ({"pg1": MEMBERS["pg1"], **OTHERS}, {}, {"hosts", "crashes", "partitions", "cache_host"}, "no pg2, pg3"),
        ({**MEMBERS, **OTHERS}, {"pg2": "no mark"}, {"hosts", "crashes", "partitions"}, "pg2: no mark"),
        (MEMBERS, {}, {"dcs_hosts", "proxy_host", "cache_host", "partitions"}, "[hosts]"),
        ({**MEMBERS, **OTHERS}, {"lb": "no mark"}, {"proxy_host"}, "lb: no mark"),
        (
            {**MEMBERS, **OTHERS, "pg2": access("10.0.0.2", "patroni", "etcd")},
            {},
            {"dcs_hosts", "partitions"},
            "members' own machines",
        ),
        (
            {**MEMBERS, **OTHERS, "cache": access("10.0.0.1", "redis")},
            {},
            {"cache_host"},
            "members' own machines (cache)",
        ),
        ({**MEMBERS, **OTHERS, "pg3": replace(MEMBERS["pg3"], cutter="")}, {}, {"partitions", "poor_links"}, "pg3: -"),
        (
            {**MEMBERS, **OTHERS, "pg3": replace(MEMBERS["pg3"], programs={"patroni": ProgramAccess()})},
            {},
            {"crashes"},
            "[hosts.pg3] programs",
        ),
        (
            {
                **MEMBERS,
                **OTHERS,
                "pg3": replace(MEMBERS["pg3"], programs={"patroni": STARTED, "etcd": ProgramAccess()}),
            },
            {},
            {"crashes"},
            'how etcd is started on pg3 is not known: [hosts.pg3] programs = { etcd = "systemd:UNIT" }',
        ),
        ({**MEMBERS, "etcd1": OTHERS["etcd1"]}, {}, {"dcs_hosts", "partitions"}, "1 of their hosts"),
    ],
)
def test_what_is_lacking_is_told_with_what_would_change_it(
    hosts: Mapping[str, HostAccess], obstacles: Mapping[str, str], lacking_then: set[str], told: str
) -> None:
    found = lacks(hosts, obstacles)
    assert lacking_then <= found.keys()
    assert any(told in why for why in found.values()), found


@pytest.mark.parametrize(
    ("shared", "lacking_then", "told"),
    [
        (
            {"etcd1": access("10.0.1.1", "etcd", "haproxy")},
            {"proxy_apart"},
            "HAProxy runs on etcd1, a machine of the DCS",
        ),
        ({"lb": access("10.0.1.2", "haproxy")}, {"proxy_apart"}, "HAProxy runs on lb, a machine of the DCS"),
        ({"lb": access("10.0.2.1", "haproxy", "redis")}, {"cache_host"}, "Redis runs on lb, a machine of the proxy"),
        ({"cache": access("10.0.1.3", "redis")}, {"cache_host"}, "Redis runs on cache, a machine of the DCS"),
    ],
)
def test_components_on_one_machine_do_not_fail_separately(
    shared: Mapping[str, HostAccess], lacking_then: set[str], told: str
) -> None:
    """A crash of a host of the DCS would cut the clients' sessions, and a cut to all but the proxy spare the DCS."""
    found = lacks({**MEMBERS, **OTHERS, **shared})
    assert found.keys() == lacking_then
    assert all(why.startswith(told) for why in found.values())


@pytest.mark.parametrize(
    ("on_members", "elsewhere", "in_dcs", "told"),
    [
        (3, 0, 3, "no quorum when all of them but pg1 are down (2 of 3 gone)"),
        (2, 1, 3, "(2 of 3 gone)"),
        (1, 2, 3, ""),
        (2, 3, 5, ""),
        (3, 2, 5, ""),
        (3, 1, 4, "(2 of 4 gone)"),
        (3, 0, None, "(2 of 3 gone)"),
        (0, 3, None, ""),
    ],
)
def test_crashes_of_members_must_leave_the_dcs_its_quorum(
    on_members: int, elsewhere: int, in_dcs: int | None, told: str
) -> None:
    """Else nobody could lead whatever Patroni does, and the leader that is left has to stop."""
    hosts = {f"etcd{number}": access(f"10.0.1.{number}", "etcd") for number in range(1, elsewhere + 1)}
    for number, (name, one) in enumerate(MEMBERS.items()):
        hosts[name] = replace(one, programs={**one.programs, "etcd": STARTED}) if number < on_members else one
    looked = {name: Looked(name, one) for name, one in hosts.items()}
    found = lacking(looked, TOPOLOGY, in_dcs)
    assert "crashes" not in found
    assert told in found.get("dcs_apart", "")
    assert bool(told) == ("dcs_apart" in found)


def test_the_dcs_on_the_machine_of_a_member_may_be_a_host_of_its_own() -> None:
    """Such as a second line for the same machine; containers on one machine crash one by one."""
    beside = {f"etcd{number}": access(f"10.0.0.{number}", "etcd") for number in (1, 2, 3)}
    assert "(2 of 3 gone)" in lacks({**MEMBERS, **beside})["dcs_apart"]
    pods = {name: replace(one, reach=f"docker://{name}") for name, one in {**MEMBERS, **beside}.items()}
    assert "dcs_apart" not in lacks(pods)


def test_of_each_group_all_members_but_one_may_crash() -> None:
    """Members of other groups, with their part of the DCS, are up meanwhile."""
    members = (*TOPOLOGY.members[:2], replace(TOPOLOGY.members[2], group=1))
    each = {name: replace(one, programs={**one.programs, "etcd": STARTED}) for name, one in MEMBERS.items()}
    assert "dcs_apart" in lacks(each)
    assert "dcs_apart" not in lacks(each, topology=replace(TOPOLOGY, members=members))


@pytest.mark.parametrize(
    ("others", "marks", "told"),
    [
        ([], ["staging"], ""),
        (["/service/billing"], ["staging"], "is also the DCS of /service/billing, where nobody could write"),
        (["/service/billing"], ["staging", "billing"], ""),
        (["/service/billing/0", "/service/billing/1"], ["staging", "billing"], ""),
        (["/service/16"], ["staging", "16"], ""),
        (["/service/billing", "/service/shop"], ["staging", "billing"], "on every host of etcd: shop"),
        (["/other/staging"], ["staging"], "on every host of etcd: /other/staging"),
        (["/other/staging"], ["staging", "/other/staging"], ""),
    ],
)
def test_a_dcs_that_others_need_is_left_alone_unless_their_names_are_on_its_hosts(
    others: list[str], marks: list[str], told: str
) -> None:
    looked = {name: Looked(name, one, marks=tuple(marks)) for name, one in {**MEMBERS, **OTHERS}.items()}
    found = lacking(looked, TOPOLOGY, 3, others)
    assert ("dcs_hosts" in found) == ("dcs_links" in found) == bool(told)
    assert told in found.get("dcs_hosts", "")
    assert "partitions" not in found
    looked["etcd2"] = replace(looked["etcd2"], marks=("staging",))
    assert ("dcs_hosts" in lacking(looked, TOPOLOGY, 3, others)) == bool(others), "each of them has to say so"


def test_of_another_dcs_it_is_not_known_who_else_uses_it() -> None:
    consul = replace(TOPOLOGY, dcs=(), dcs_access={"consul": {"host": "10.0.1.1:8500"}})
    assert others_in_dcs(consul) == ([], "that is known for etcd only, and the DCS is Consul")


def test_raft_has_no_quorum_of_its_own() -> None:
    raft = replace(TOPOLOGY, dcs=(), dcs_access={"raft": {"self_addr": "10.0.0.1:2222"}})
    assert "Raft has no quorum" in lacks({**MEMBERS, **OTHERS}, topology=raft)["dcs_apart"]
    kubernetes = replace(TOPOLOGY, dcs=(), dcs_access={"kubernetes": {}})
    assert "dcs_apart" not in lacks({**MEMBERS, **OTHERS}, topology=kubernetes)


def test_containers_of_two_components_on_one_machine_fail_separately() -> None:
    other = {name: replace(one, reach=f"docker://{name}", addresses=("10.0.0.9",)) for name, one in OTHERS.items()}
    assert lacks({**MEMBERS, **other}) == {}


def test_files_that_cannot_be_changed_are_lacking_alone() -> None:
    looked = {name: Looked(name, one) for name, one in {**MEMBERS, **OTHERS}.items()}
    looked["pg2"] = replace(looked["pg2"], fixed={"member_data": "/data is a mount point", "member_files": ""})
    assert lacking(looked, TOPOLOGY, 3)["member_data"] == "pg2: /data is a mount point"
    assert not {"member_files", "rebuildable"} & lacking(looked, TOPOLOGY, 3).keys()
    looked["pg3"] = replace(looked["pg3"], fixed={"member_data": "/main is a link", "rebuildable": "/main is a link"})
    assert lacking(looked, TOPOLOGY, 3)["member_data"] == "pg2: /data is a mount point; pg3: /main is a link"
    assert lacking(looked, TOPOLOGY, 3)["rebuildable"] == "pg3: /main is a link"


def test_a_proxy_without_a_master_process_cannot_be_reloaded() -> None:
    looked = {name: Looked(name, one) for name, one in {**MEMBERS, **OTHERS}.items()}
    assert "proxy_reload" not in lacking(looked, TOPOLOGY, 3)
    looked["lb"] = replace(looked["lb"], fixed={"proxy_reload": "HAProxy runs without a master process"})
    assert lacking(looked, TOPOLOGY, 3)["proxy_reload"] == "lb: HAProxy runs without a master process"
    del looked["lb"]
    assert "[hosts]" in lacking(looked, TOPOLOGY, 3)["proxy_reload"]


def test_what_a_container_runs_starts_with_it() -> None:
    programs = {"patroni": STARTED, "haproxy": ProgramAccess()}
    hosts = {name: replace(one, reach=f"docker://{name}", programs=programs) for name, one in MEMBERS.items()}
    assert "crashes" not in lacks({**hosts, **OTHERS})


@pytest.mark.parametrize(
    ("topology", "left_alone"),
    [
        (TOPOLOGY, {"zookeeper", "consul", "redis"}),
        (replace(TOPOLOGY, redis=RedisAddress(Address("10.0.3.1", 6379))), {"zookeeper", "consul"}),
        (
            replace(TOPOLOGY, dcs=(), dcs_access={"zookeeper": {"hosts": ["10.0.1.1:2181"]}}),
            {"etcd", "consul", "redis"},
        ),
        (
            replace(TOPOLOGY, write=Address("10.0.0.1", 5432), further_write=(Address("10.0.0.2", 5432),)),
            {"zookeeper", "consul", "redis", "haproxy"},
        ),
        (replace(TOPOLOGY, write=Address("10.0.0.1", 5000)), {"zookeeper", "consul", "redis"}),
        (
            replace(TOPOLOGY, write=Address("10.0.0.1", 5432), statistics=StatisticsPage("http://10.0.0.1:7000")),
            {"zookeeper", "consul", "redis"},
        ),
    ],
)
def test_programs_that_the_cluster_does_not_use_are_left_alone(topology: Topology, left_alone: set[str]) -> None:
    programs = ("patroni", "etcd", "zookeeper", "consul", "haproxy", "redis")
    assert set(not_the_clusters(programs, HostAccess("local:"), topology, {})) == left_alone


def test_what_the_user_says_of_a_program_decides() -> None:
    declared = declared_access("pg1", {"reach": "local:", "programs": {"etcd": "", "redis": "systemd:cache"}})
    assert set(not_the_clusters(("patroni", "etcd", "redis"), declared, TOPOLOGY, {"redis": "elsewhere"})) == {"etcd"}


def test_without_hosts_the_reason_names_the_table() -> None:
    assert "[hosts]" in find({}, TOPOLOGY).lacks["hosts"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (7, "ssh://root@10.0.0.1"),
        ({"reech": "ssh://a"}, "the key reach"),
        ({"reach": "ssh://a", "adress": "1"}, "did you mean address"),
        ({"reach": "ssh://a", "programs": {"postgres": "x"}}, "patroni, etcd, zookeeper, consul, haproxy, redis"),
        ({"reach": "ssh://a", "address": 5432.1}, "an IP address"),
        ({"reach": "ssh://a", "address": ["pg1.example.org"]}, "an IP address"),
        ("root@10.0.0.1", "not a way to reach a host"),
        ("ssh://", "not a way to reach a host"),
        ("ssh://root:secret@a", "~/.ssh/config"),
        ("ssh://-oProxyCommand=x", "~/.ssh/config"),
        ("ssh://a/b", "~/.ssh/config"),
        ("docker://a/b/c/d", "names no container"),
        ("docker://a;b", "names no container"),
        ("tsh ssh 'root {}", "cannot be read"),
        ("sshpass -p secret ssh 'root {}", "cannot be read"),
        ("sshpass -p secret ssh root@a", "'sshpass ...' is not a way to reach a host"),
        ("ssh://root:secret@a:x", "ssh://root:...@a:x"),
    ],
)
def test_a_wrong_entry_is_told(said: object, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        declared_access("pg1", said)
    assert told in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_password_in_a_command_is_in_no_message() -> None:
    """As of sshpass; or of what starts a program."""
    programs = {
        "patroni": "env TOKEN=secret supervisorctl -p secret start patroni",
        "redis": "TOKEN=secret start redis",
    }
    declared = declared_access("pg1", {"reach": "false -p secret {}", "programs": programs})
    looked = look("pg1", declared, TOPOLOGY)
    told = "\n".join(host_lines(TOPOLOGY, {"pg1": looked}))
    assert "host pg1 (false ... {}): nothing is done to it" in told
    assert "false ... {} gave no answer" in told
    assert {one.shown for one in declared.programs.values()} == {"started by env ...", "started by start ..."}
    assert "secret" not in told


@pytest.mark.parametrize(
    ("words", "argv"),
    [
        ("local:", ["sh", "-s"]),
        ("podman://pg1", ["podman", "exec", "-i", "--user=0", "pg1", "sh", "-s"]),
        ("tsh ssh root@pg1 {}", ["tsh", "ssh", "root@pg1", "sh", "-s"]),
        ("sh -c 'exec {}'", ["sh", "-c", "exec sh -s"]),
        (
            "kubectl -n db exec -i pg-0 -c pg -- {}",
            ["kubectl", "-n", "db", "exec", "-i", "pg-0", "-c", "pg", "--", "sh", "-s"],
        ),
    ],
)
def test_a_way_to_a_host_becomes_a_command_line(words: str, argv: list[str]) -> None:
    assert list(Reach.of(words).argv) == argv


def test_a_container_that_docker_does_not_know_may_be_that_of_a_swarm_task() -> None:
    told = _unreached("docker inspect pg1: Error response from daemon: No such container: pg1")
    assert "docker ps --all lists them" in told
    assert "a Swarm task has a name of its own, such as SERVICE.1.ID" in told


def test_sockets_of_ssh_have_short_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deep = tmp_path / ("a workspace of a pipeline" * 4)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    folder = _sockets.__wrapped__()
    assert len(f"{folder}/{'c' * 40}.{'x' * 16}") <= 107


def test_hosts_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCEPT_HOSTS", "pg1=ssh://root@10.0.0.1, lb=docker://lb")
    assert Settings.load().accept_hosts == {"pg1": "ssh://root@10.0.0.1", "lb": "docker://lb"}


TABLE = """\
1\t5\tS\t0\tsystemd\tinit.scope\t/sbin/init
10\t50\tS\t1\tpatroni\tpatroni.service\t/usr/bin/python3 /usr/bin/patroni /etc/patroni/pg.yml
20\t60\tS\t1\tpostgres\tpatroni.service\t/usr/lib/postgresql/16/bin/postgres -D /data --cluster_name=staging --port=5432
21\t61\tS\t20\tpostgres\tpatroni.service\tpostgres: staging: startup recovering
22\t62\tZ\t20\tpostgres\tpatroni.service\t
30\t70\tS\t1\tpostgres\tpostgresql@15-main.service\t/usr/lib/postgresql/15/bin/postgres -D /other --cluster_name=15/main
31\t71\tS\t30\tpostgres\tpostgresql@15-main.service\tpostgres: 15/main: walwriter
40\t80\tS\t1\tbash\tuser@0.service\tvim /etc/patroni/notes about patroni
41\t80\tS\t1\tpython3\tcron.service\tpython3 /opt/patronictl.py list
50\t90\tS\t1\tetcd\tetcd.service\tetcd --name one
60\t95\tS\t1\tjava\tzookeeper.service\tjava -cp zookeeper.jar org.apache.zookeeper.server.quorum.QuorumPeerMain zoo.cfg
61\t95\tS\t1\tjava\tkafka.service\tjava -cp kafka.jar kafka.Kafka server.properties
62\t95\tS\t1\tconsul\tconsul.service\tconsul agent -server
63\t96\tS\t1\tconsul\tpatroni-proxy.service\tconsul connect proxy -sidecar-for app
"""


def test_programs_are_recognised_and_others_servers_are_not_touched() -> None:
    found = program_trees(parsed_table(TABLE), "staging")
    expected = {"patroni": [10, 20, 21], "etcd": [50], "zookeeper": [60], "consul": [62]}
    assert {name: [one.pid for one in tree] for name, tree in found.items()} == expected
    assert isinstance(found["etcd"][0], Running)
    assert found["patroni"][0].service == "patroni.service"


TWO_CLUSTERS = """\
1\t5\tS\t0\tsystemd\tinit.scope\t/sbin/init
700\t50\tS\t1\tpatroni\tpatroni@14-billing.service\tpython3 /usr/bin/patroni /etc/patroni/14-billing.yml
710\t60\tS\t1\tpostgres\tpatroni@14-billing.service\t/usr/bin/postgres -D /b --cluster_name=billing --port=5433
800\t70\tS\t1\tpatroni\tpatroni@16-app.service\tpython3 /usr/bin/patroni /etc/patroni/16-app.yml
801\t71\tS\t800\tpatroni\tpatroni@16-app.service\tpython3 /usr/bin/patroni /etc/patroni/16-app.yml
810\t80\tS\t1\tpostgres\tpatroni@16-app.service\t/usr/bin/postgres -D /a --cluster_name=staging --port=5432
900\t90\tS\t1\tredis-server\tredis-server@sessions.service\t/usr/bin/redis-server 0.0.0.0:6379
901\t91\tS\t1\tredis-server\tredis-server@cache.service\t/usr/bin/redis-server 0.0.0.0:6380
902\t92\tS\t1\tredis-server\tredis-sentinel.service\t/usr/bin/redis-server *:26379 [sentinel]
903\t93\tS\t1\thaproxy\thaproxy.service\t/usr/sbin/haproxy -Ws -f haproxy.cfg
904\t94\tS\t903\thaproxy\thaproxy.service\t/usr/sbin/haproxy -Ws -f haproxy.cfg
905\t95\tS\t1\thaproxy\thaproxy.service\t/usr/sbin/haproxy -sf 904
"""


def _pids(table: str, units: Mapping[str, str]) -> dict[str, list[int]]:
    found = program_trees(parsed_table(table), "staging", units)
    return {name: [one.pid for one in tree] for name, tree in found.items()}


def test_another_cluster_on_the_same_machine_is_not_touched() -> None:
    units = {"patroni": unit_of_servers(parsed_table(TWO_CLUSTERS), "staging"), "redis": "redis-server@cache.service"}
    assert units["patroni"] == "patroni@16-app.service"
    expected = {"patroni": [800, 801, 810], "redis": [901], "haproxy": [903, 904, 905]}
    assert _pids(TWO_CLUSTERS, units) == expected
    down = "".join(line for line in TWO_CLUSTERS.splitlines(keepends=True) if not line.startswith(("80", "81", "901")))
    assert _pids(down, units) == {"haproxy": [903, 904, 905]}, "nor taken for it while it is down"
    by_hand = f"{down}999\t99\tS\t1\tpatroni\tsession-3.scope\tpython3 /usr/bin/patroni /etc/patroni/16-app.yml\n"
    assert _pids(by_hand, units)["patroni"] == [999]


def test_links_that_another_cluster_has_as_well_are_left_alone_unless_the_mark_names_it() -> None:
    """Its member is on the same machine: what is cut is cut for both, and B would fail over without its permission."""
    table = parsed_table(TWO_CLUSTERS)
    own = program_trees(table, "staging", {"patroni": "patroni@16-app.service"})["patroni"]
    assert other_clusters(table, own, "staging") == (["billing"], [])
    assert other_clusters(table, (), "staging") == (["billing"], []), "the user says that none there is the cluster's"
    assert other_clusters([one for one in table if one.pid >= 800], own, "staging") == ([], [])
    down = [one for one in table if one.pid != 710]
    scopes, silent = other_clusters(down, own, "staging")
    assert (scopes, [one.pid for one in silent]) == ([], [700])
    assert "add a line to /etc/accept-breakable: billing" in _why_shared(["billing"], [], ["staging"])
    assert _why_shared(["billing"], [], ["staging", "billing"]) == ""
    assert "14-billing.yml', which runs there, too" in _why_shared(scopes, silent, ["staging", "billing"])


def test_a_program_that_runs_more_than_once_is_not_guessed() -> None:
    trees = program_trees(parsed_table(TWO_CLUSTERS), "staging")
    found = {name: [one.pid for one in instances(name, tree)] for name, tree in trees.items()}
    assert found == {"patroni": [700, 800], "redis": [900, 901], "haproxy": [905]}
    supervised = TWO_CLUSTERS.replace("patroni@14-billing.service", "supervisor.service").replace(
        "patroni@16-app.service", "supervisor.service"
    )
    assert unit_of_servers(parsed_table(supervised), "staging") == ""
    tree = program_trees(parsed_table(supervised), "staging")["patroni"]
    assert [one.pid for one in instances("patroni", tree)] == [700, 800]
    one_scope = TWO_CLUSTERS.replace("--cluster_name=billing", "--cluster_name=staging")
    assert unit_of_servers(parsed_table(one_scope), "staging") == "", (
        "two members of a cluster, such as of two Citus groups"
    )


COMPOSE = "haproxy -f /etc/haproxy/haproxy.cfg -p /var/run/haproxy.pid -D"


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ({8: COMPOSE, 9: f"{COMPOSE} -sf 8"}, [9]),
        ({8: COMPOSE, 9: f"{COMPOSE} -sf 8", 10: f"{COMPOSE} -sf 9"}, [10]),
        ({8: COMPOSE, 10: f"{COMPOSE} -sf 9"}, [10]),  # 9 had no sessions left
        ({8: COMPOSE, 9: f"{COMPOSE} -x /run/haproxy.sock -st 7 8"}, [9]),
        ({8: "haproxy -f /etc/other.cfg -D", 9: f"{COMPOSE} -sf 7"}, [8, 9]),
        ({8: COMPOSE, 9: COMPOSE}, [8, 9]),
        ({8: f"{COMPOSE} -sf 9", 9: "haproxy -f /etc/other.cfg -D"}, [8, 9]),  # the id was given out again
    ],
)
def test_an_haproxy_that_finishes_after_a_reload_is_no_other(commands: dict[int, str], expected: list[int]) -> None:
    """Patroni's docker-compose reloads it at each change of leaders, and clients may stay for half an hour."""
    tree = [Running(pid, 10 * pid, "S", "haproxy", command, 1) for pid, command in commands.items()]
    assert [one.pid for one in instances("haproxy", tree)] == expected
    first = first_process("haproxy", tree)
    assert first is not None
    assert first.pid == expected[0]


def test_a_master_process_of_haproxy_and_its_workers_are_one() -> None:
    """In a container, where no unit tells that they belong together; the master runs itself anew at each reload."""
    master = Running(1, 10, "S", "haproxy", "haproxy -W -db -f haproxy.cfg -sf 8 -x sockpair@5", 0)
    former = Running(8, 80, "S", "haproxy", "haproxy -W -db -f haproxy.cfg", 1)
    workers = [former, replace(master, pid=12, started=120, parent=1)]
    assert [one.pid for one in instances("haproxy", [master, *workers])] == [1]
    assert first_process("haproxy", [master, *workers]) == master
    elsewhere = Running(30, 300, "S", "haproxy", f"{COMPOSE} -sf 1", 0, "container:/docker/0a")
    assert [one.pid for one in instances("haproxy", [master, *workers, elsewhere])] == [1, 30], "ids of its own"


def test_a_run_that_is_at_work_is_not_to_be_healed() -> None:
    facts = {"mark": ["staging"], "busy": ["0a1b2c3d"]}
    busy, left = _obstacles("pg1", Reach.of("true {}"), facts, ["0a1b2c3d", "4e5f6a7b"], {}, TOPOLOGY)[:2]
    assert busy.startswith("another run is at work there (0a1b2c3d)")
    assert "heal" not in busy
    assert left == "an earlier run left 4e5f6a7b there: ./accept heal"


@pytest.mark.parametrize(("line", "unit"), [("none", False), ("", True)])
def test_in_a_container_there_are_no_units_to_tell_programs_apart(line: str, unit: bool) -> None:
    two = [Running(pid, pid, "S", "redis-server", "redis-server *:6379", 0) for pid in (7, 8)]
    reach = replace(Reach.of("true {}"), line=line)
    (told,) = [
        one
        for one in _obstacles("pg1", reach, {"mark": ["staging"]}, (), {"redis": two}, TOPOLOGY)
        if "more than once" in one
    ]
    assert ("systemctl" in told) == unit
    assert told.endswith("""programs = { redis = "" }""")


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (MEMBERS["pg2"], ""),
        (replace(MEMBERS["pg2"], reach=MEMBERS["pg1"].reach), "pg1 and pg2 are on one machine"),
        (replace(MEMBERS["pg2"], addresses=MEMBERS["pg1"].addresses), "pg1 and pg2 are on one machine"),
    ],
)
def test_members_that_share_a_machine_are_not_broken_as_if_they_did_not(second: HostAccess, told: str) -> None:
    found = lacks({**MEMBERS, **OTHERS, "pg2": second})
    assert (found.get("hosts", "") == "") is (told == "")
    assert told in found.get("crashes", "")


def test_containers_with_the_network_of_their_machine_are_apart() -> None:
    hosts = {name: replace(one, reach=f"docker://{name}", addresses=("10.0.0.9",)) for name, one in MEMBERS.items()}
    assert "hosts" not in lacks({**hosts, **OTHERS})


def test_of_several_servers_none_is_taken_if_none_is_of_the_cluster() -> None:
    found = program_trees(parsed_table(TABLE), "another")
    assert [one.pid for one in found["patroni"]] == [10]


def test_a_postgresql_that_is_older_than_its_patroni_is_not_taken_for_it() -> None:
    """Patroni was restarted, and its PostgreSQL went on."""
    restarted = TABLE.replace("10\t50\tS", "10\t500\tS")
    tree = program_trees(parsed_table(restarted), "staging")["patroni"]
    assert [one.pid for one in tree] == [20, 21, 10]
    found = first_process("patroni", tree)
    assert found is not None
    assert found.pid == 10
    assert first_process("patroni", tree[:2]) is None


@pytest.mark.parametrize(
    ("command", "recognised"),
    [
        ("/usr/bin/python3 /usr/bin/patroni /etc/patroni/15-main.yml", True),
        ("python3 -m patroni patroni.yml", True),
        ("python3 patroni.py postgres0.yml", True),
        ("/opt/accept/.venv/bin/python -P support/embedded/patroni_start.py pg1/patroni.yml", True),
        ("python3 /usr/bin/patronictl list", False),
        ("python3 patroni_exporter.py --port 9", False),
        ("/opt/patroni/bin/python3 backup.py", False),
    ],
)
def test_how_patroni_is_started(command: str, recognised: bool) -> None:
    started = [Running(1, 1, "S", "python3", command)]
    assert (first_process("patroni", started) is not None) == recognised


@pytest.mark.parametrize("unit", ["supervisor.service", "supervisord.service", "cron.service", "monit.service"])
def test_what_a_supervisor_has_started_is_not_started_by_its_unit(unit: str) -> None:
    first = Running(1, 1, "S", "patroni", "patroni", service=unit)
    assert not by_process(first, systemd=True).start
    assert by_process(replace(first, service="patroni.service"), systemd=True).start
    assert not by_process(replace(first, service="patroni.service"), systemd=False).start


UNITS = """\
1\t5\tS\t0\tsystemd\tinit.scope\t/sbin/init
9\t40\tS\t1\tamazon-ssm-agent\tit.service\t/usr/bin/amazon-ssm-agent
10\t50\tS\t9\tsudo\tit.service\tsudo -u postgres /opt/start-patroni
11\t51\tS\t10\tsh\tit.service\tsh /opt/start-patroni
12\t52\tS\t11\tpatroni\tit.service\tpython3 /usr/bin/patroni /etc/patroni/pg.yml
13\t53\tS\t1\tpostgres\tit.service\t/usr/bin/postgres -D /data --cluster_name=staging
"""


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ({"MainPID": "12"}, ""),
        ({"MainPID": "13"}, ""),
        ({"MainPID": "11"}, ""),
        ({"MainPID": "10"}, ""),
        ({"MainPID": "9"}, "its main process is 9 (amazon-ssm-agent)"),
        ({"MainPID": "4711"}, "its main process is 4711, and"),
        ({"MainPID": "12", "LoadState": "not-found"}, "has no unit it.service that can be started (not-found)"),
        ({"MainPID": "12", "LoadState": "masked"}, "(masked)"),
        ({"MainPID": "0", "Type": "forking", "RemainAfterExit": "no"}, ""),
        ({"MainPID": "0", "Type": "forking", "RemainAfterExit": "no", "Id": "other.service"}, "no main process"),
        ({"MainPID": "0", "Type": "forking", "RemainAfterExit": "yes"}, "no main process"),
        ({"MainPID": "0", "Type": "oneshot", "RemainAfterExit": "no"}, "no main process"),
    ],
)
def test_a_unit_that_would_not_start_a_program_again_is_told(properties: Mapping[str, str], told: str) -> None:
    """It goes on without the program, such as that of an agent that has started it; or it is another, or none."""
    table = parsed_table(UNITS)
    tree = program_trees(table, "staging")["patroni"]
    given = {"LoadState": "loaded", "Id": "it.service", **properties}
    why = why_not_started("it.service", given, tree[0], tree, table)
    assert told in why if told else why == ""


@pytest.mark.parametrize(("name", "starts"), [("conmon", True), ("docker", True), ("python3", False)])
def test_a_unit_that_runs_a_container_starts_what_is_in_it(name: str, starts: bool) -> None:
    """The client of the engine ends with the container; only podman's conmon is above it."""
    main = Running(20, 60, "S", name, name, 1, "it.service")
    first = Running(
        30, 70, "S", "patroni", "patroni pg.yml", 20 if name == "conmon" else 25, "container:/machine.slice"
    )
    given = {"LoadState": "loaded", "Id": "it.service", "MainPID": "20"}
    assert (why_not_started("it.service", given, first, [first], [main, first]) == "") == starts


def test_addresses_are_as_a_firewall_lists_them() -> None:
    said = {"reach": "ssh://a", "address": ["10.0.0.1", "FE80::00A1"]}
    assert declared_access("pg1", said).addresses == ("10.0.0.1", "fe80::a1")


def test_while_the_clusters_postgresql_is_down_another_one_is_not_taken_for_it() -> None:
    """Debian makes and starts a database of its own; a crash of the member must neither hit it nor wait for it."""
    down = "\n".join(line for line in TABLE.splitlines() if line.split("\t")[0] not in ("10", "20", "21", "22"))
    assert "patroni" not in program_trees(parsed_table(down), "staging")
    unnamed = down.replace(" --cluster_name=15/main", "")
    assert "patroni" not in program_trees(parsed_table(unnamed), "staging")
    of_patroni = unnamed.replace("postgresql@15-main.service", "patroni.service")
    assert [one.pid for one in program_trees(parsed_table(of_patroni), "staging")["patroni"]] == [30, 31]


IN_CONTAINERS = """\
800\t70\tS\t1\tpatroni\tpatroni.service\tpython3 /usr/bin/patroni /etc/patroni/patroni.yml
810\t80\tS\t1\tpostgres\tpatroni.service\t/usr/bin/postgres -D /a --cluster_name=staging --port=5432
900\t90\tS\t1\tredis-server\tredis-server.service\t/usr/bin/redis-server 0.0.0.0:6379
910\t91\tS\t7\tredis-server\tcontainer:/system.slice/docker-0a.scope\tredis-server *:6379
920\t92\tS\t8\tpostgres\tcontainer:/system.slice/docker-0b.scope\tpostgres
921\t92\tS\t920\tpostgres\tcontainer:/system.slice/docker-0b.scope\tpostgres: walwriter
"""


def test_what_runs_in_a_container_on_a_members_machine_is_not_taken_for_the_clusters() -> None:
    """Neither beside the cluster's own, nor when that is down."""
    units = {"patroni": unit_of_servers(parsed_table(IN_CONTAINERS), "staging"), "redis": "redis-server.service"}
    assert _pids(IN_CONTAINERS, units) == {"patroni": [800, 810], "redis": [900]}
    down = "\n".join(line for line in IN_CONTAINERS.splitlines() if line.split("\t")[0] not in ("800", "810", "900"))
    assert _pids(down, units) == {}
    assert "patroni" not in _pids(down, {}), "whoever has started it"
    with_patroni = f"{down}\n919\t91\tS\t8\tpatroni\tcontainer:/system.slice/docker-0b.scope\tpatroni patroni.yml\n"
    assert _pids(with_patroni, {})["patroni"] == [919, 920, 921], "a member is a container, seen from its machine"
    assert _pids(with_patroni, units) == {}


def test_a_unit_that_starts_a_container_is_not_that_in_which_the_program_runs() -> None:
    table = parsed_table(f"{IN_CONTAINERS}7\t90\tS\t1\tdocker\tcache.service\tdocker run --name cache redis\n")
    assert runs_in("redis-server.service", "redis", table)
    assert not runs_in("cache.service", "redis", table)


@pytest.mark.parametrize(
    ("words", "line", "here"),
    [
        ("local:", "", True),
        ("ssh://root@10.0.0.1", "10.0.0.1 50000 10.0.0.1 22", True),
        ("ssh://root@localhost", "::1 50000 ::1 22", True),
        ("ssh://root@localhost", "127.0.0.1 50000 127.0.0.1 22", True),
        ("ssh://root@10.0.0.1", "::ffff:10.0.0.1 50000 ::ffff:10.0.0.1 22", True),
        ("ssh://root@10.0.0.1", "10.0.0.9 50000 10.0.0.1 22", False),
        ("tsh ssh root@pg1 {}", "", False),
    ],
)
def test_links_of_the_suites_own_machine_are_not_cut(words: str, line: str, here: bool) -> None:
    """Its clients come from there: they would be cut off, and the cluster would be blamed."""
    facts = {"line": [line], "address": ["10.0.0.1", "fd00::1"]}
    assert _is_here(Reach.of(words), facts) is here
