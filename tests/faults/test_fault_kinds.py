"""What faults say of what they hit: by name, and without names, so that faults of one kind can be compared."""

from types import SimpleNamespace
from typing import cast

import pytest

from support.failover.power_failure import PowerFailure
from support.failover.switchover import DYING, HalfwaySwitchover
from support.faults.clock import ClockJumps, OwnClock
from support.faults.hanging_start import HangingStart
from support.faults.naming import Roles
from support.faults.nemesis import Fault
from support.faults.network import OneWayCut, Partition, PoorLinks
from support.faults.patroni import Switchover
from support.faults.process import Freeze, HostCrash, Kill, PatroniFrozen, PostgresKilled, Restart
from support.faults.replay import ReplayStuck
from support.hosts import Host
from support.hosts.interface import Site, SiteHost, SiteProgram
from support.target.cluster import Cluster

ROLES = Roles([(("pg1", "pg2", "pg10"), "pg1"), (("w1", "w1b"), "w1"), (("w2", "w2b"), "w2")])
DOTTED = Roles([(("db1.example.org", "db2.example.org", "db3.example.org"), "db1.example.org")])
LEADING = cast(Cluster, SimpleNamespace(leader=lambda: "pg1"))
CLOCK = cast(OwnClock, SimpleNamespace(member="pg1"))
EVERYONE = ("etcd1", "etcd2", "etcd3", "pg1", "pg2", "pg10")
SITE = cast(Site, SimpleNamespace(hosts=EVERYONE))
_, LEADER_DIES = DYING


def host(name: str) -> SiteHost:
    return cast(SiteHost, SimpleNamespace(name=name))


def hosts(*names: str) -> list[SiteHost]:
    return [host(name) for name in names]


def program(name: str, where: str) -> SiteProgram:
    return cast(SiteProgram, SimpleNamespace(name=name, host=where, pid=1))


def power_failure(*names: str) -> PowerFailure:
    machines = cast(list[Host], hosts(*names))
    return PowerFailure(machines, machines)


@pytest.mark.parametrize(
    ("fault", "words", "kind"),
    [
        (HostCrash(host("pg1")), "the host pg1 crashes", "the host of the leader crashes"),
        (HostCrash(host("w1b")), "the host w1b crashes", "the host of a replica of a worker group crashes"),
        (HostCrash(host("etcd1")), "the host etcd1 crashes", "the host of one member of etcd crashes"),
        (HostCrash(host("haproxy")), "the host haproxy crashes", "the host haproxy crashes"),
        (HostCrash(host("pg1-witness")), "the host pg1-witness crashes", "the host pg1-witness crashes"),
        (Freeze(host("pg2")), "the host pg2 freezes", "the host of a replica freezes"),
        (
            HostCrash(*hosts("pg2", "pg10")),
            "the hosts pg2 and pg10 crash at once",
            "the hosts of replicas crash at once",
        ),
        (
            HostCrash(*hosts("pg1", "pg2")),
            "the hosts pg1 and pg2 crash at once",
            "the hosts of the leader and a replica crash at once",
        ),
        (
            HostCrash(*hosts("etcd1", "etcd2")),
            "the hosts etcd1 and etcd2 crash at once",
            "the hosts of 2 members of etcd crash at once",
        ),
        (
            HostCrash(*hosts("etcd1", "etcd2", "pg1", "pg2", "pg10", "w1", "w2", "redis", "haproxy")),
            "the hosts etcd1, etcd2, pg1, pg2, pg10, w1, w2, redis and haproxy crash at once",
            "the hosts of 2 members of etcd, the leader, replicas, leaders of worker groups, redis and haproxy crash "
            "at once",
        ),
        (
            power_failure(*EVERYONE),
            "the power fails everywhere; etcd1, etcd2, etcd3, pg1, pg2 and pg10 lose what was not synced",
            "the power fails everywhere; 3 members of etcd, the leader and replicas lose what was not synced",
        ),
        (
            Partition(SITE, ["pg1"], ["etcd1", "etcd2", "etcd3", "pg2", "haproxy", "pg10", "redis"]),
            "pg1 cut off from etcd1, etcd2, etcd3, pg2, haproxy, pg10, redis",
            "the leader cut off from etcd, haproxy, redis, replicas",
        ),
        (
            Partition(SITE, ["pg1"], ["etcd1", "etcd2", "pg2", "w1", "w1b", "w2", "w2b"]),
            "pg1 cut off from etcd1, etcd2, pg2, w1, w1b, w2, w2b",
            "the leader cut off from a replica, etcd, leaders of worker groups, replicas of worker groups",
        ),
        (Partition(SITE, ["pg2"], ["pg1"]), "pg2 cut off from pg1", "a replica cut off from the leader"),
        (Partition(SITE, ["etcd1"], ["etcd3"]), "etcd1 cut off from etcd3", "one member of etcd cut off from another"),
        (
            OneWayCut(SITE, "etcd2", "etcd3"),
            "nothing gets from etcd2 to etcd3",
            "nothing gets from one member of etcd to another",
        ),
        (
            OneWayCut(SITE, "pg1", "haproxy"),
            "nothing gets from pg1 to haproxy",
            "nothing gets from the leader to haproxy",
        ),
        (PoorLinks(SITE, EVERYONE, loss=0.1), "packet loss of 10% everywhere", "packet loss of 10% everywhere"),
        (
            ClockJumps(CLOCK, "two hours back"),
            "the clock of the Patroni of pg1 jumps two hours back",
            "the clock of the Patroni of the leader jumps two hours back",
        ),
        (Switchover(LEADING, "pg2"), "pg1 hands over to pg2", "the leader hands over to a replica"),
        (Switchover(LEADING), "pg1 hands over to any other member", "the leader hands over to any other member"),
        (
            HalfwaySwitchover(LEADING, "pg2", LEADER_DIES),
            "Patroni on the leader dies while pg1 hands over to pg2",
            "Patroni on the leader dies while the leader hands over to a replica",
        ),
        (Kill(program("haproxy", "haproxy")), "haproxy on haproxy is killed", "haproxy is killed"),
        (Kill(program("etcd", "etcd2")), "etcd on etcd2 is killed", "etcd is killed"),
        (Kill(program("patroni", "pg1")), "patroni on pg1 is killed", "patroni on the leader is killed"),
        (
            Restart(program("haproxy", "haproxy")),
            "haproxy on haproxy is killed and started again",
            "haproxy is killed and started again",
        ),
        (
            PostgresKilled(host("w1")),
            "PostgreSQL on w1 is killed",
            "PostgreSQL on the leader of a worker group is killed",
        ),
        (
            HangingStart(host("pg1")),
            "PostgreSQL on pg1 is killed, and does not finish starting",
            "PostgreSQL on the leader is killed, and does not finish starting",
        ),
        (PatroniFrozen(host("pg1")), "the Patroni of pg1 is suspended", "the Patroni of the leader is suspended"),
        (
            ReplayStuck(LEADING, "pg2", 16 * 2**20),
            "pg2 replays nothing, and gets 16 MB behind",
            "a replica replays nothing, and gets 16 MB behind",
        ),
    ],
    ids=str,
)
def test_a_fault_says_what_it_hits_by_name_and_without_names(fault: Fault, words: str, kind: str) -> None:
    assert (str(fault), fault.told(ROLES)) == (words, kind)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (HostCrash(host("db1.example.org")), "the host of the leader crashes"),
        (HostCrash(host("db1")), "the host db1 crashes"),
        (HostCrash(host("etcd1.example.org")), "the host of one member of etcd crashes"),
        (
            Partition(SITE, ["db1.example.org"], ["db2.example.org", "db3.example.org", "proxy.example.org"]),
            "the leader cut off from proxy.example.org, replicas",
        ),
    ],
    ids=str,
)
def test_names_of_machines_may_have_dots(fault: Fault, kind: str) -> None:
    assert fault.told(DOTTED) == kind


def test_who_does_not_lead_is_a_replica_where_nobody_leads() -> None:
    assert HostCrash(host("pg1")).told(Roles([(("pg1", "pg2"), "")])) == "the host of a replica crashes"
