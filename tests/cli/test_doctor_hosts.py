"""What `accept doctor` says of the hosts, and of limits that the cluster's own timing makes longer."""

import re
import tomllib
from dataclasses import replace

import pytest

from support.cli.behave_process import Planned, dry_run
from support.cli.doctor import Diagnosis, show
from support.cli.doctor_hosts import host_lines, waiting_for_hosts
from support.hosts.remote import HostAccess, ProgramAccess, Reach
from support.settings import Settings
from support.target.discovery.host_capabilities import Looked, lacking
from support.target.timing import Timing
from support.target.topology import Address, Login, MemberAddress, Topology

UNIT = ProgramAccess("systemctl start patroni", how="systemd unit patroni.service")
ABLE = Looked(
    "pg1",
    HostAccess("ssh://root@10.0.0.1", ("10.0.0.1",), {"patroni": UNIT}, "staging", cutter="nft"),
    (),
    ("patroni: systemd unit patroni.service", "links are cut by nft"),
    {"member_data": "it is a mount point"},
)
UNMARKED = Looked(
    "pg2", HostAccess("ssh://root@10.0.0.2"), ("/etc/accept-breakable does not say staging; there: echo staging",)
)
TOPOLOGY = Topology(
    "app",
    Login("app", "secret"),
    Address("lb", 5000),
    members=tuple(MemberAddress(f"pg{number}", Address(f"10.0.0.{number}", 5432)) for number in (1, 2, 3)),
    scope="staging",
)


@pytest.fixture(scope="module")
def planned() -> tuple[Planned, ...]:
    return dry_run(["features/failover"]).scenarios


def test_each_host_is_told_with_what_is_possible_and_what_to_do() -> None:
    assert list(host_lines(TOPOLOGY, {"pg1": ABLE, "pg2": UNMARKED})) == [
        "host pg1 (ssh://root@10.0.0.1): can be broken: patroni killed and frozen; "
        "crashed and started again: patroni; links cut by nft",
        "  patroni: systemd unit patroni.service",
        "  links are cut by nft",
        "  the data is left where it is: it is a mount point",
        "host pg2 (ssh://root@10.0.0.2): nothing is done to it",
        "  /etc/accept-breakable does not say staging; there: echo staging",
        "no host in [hosts] for pg3:",
        '  pg3 = "ssh://root@10.0.0.3"',
    ]


def test_without_hosts_the_lines_to_write_are_told() -> None:
    told = list(host_lines(TOPOLOGY, {}))
    assert "accept init --hosts ssh://root@ADDRESS" in told[0]
    assert told[1] == '  pg1 = "ssh://root@10.0.0.1"'


def test_the_lines_can_be_pasted_whatever_members_are_called() -> None:
    places = {"pg1.example.org": "fd00::1", "pg 2": "db2.example.org", "pg3": "10.0.0.3"}
    members = tuple(MemberAddress(name, Address(host, 5432)) for name, host in places.items())
    _, *lines = host_lines(replace(TOPOLOGY, members=members), {})
    hosts = Settings.load(tomllib.loads("\n".join(["[hosts]", *lines]))).accept_hosts
    assert hosts == {
        "pg1.example.org": "ssh://root@[fd00::1]",
        "pg 2": "ssh://root@db2.example.org",
        "pg3": "ssh://root@10.0.0.3",
    }
    assert "fd00::1" in Reach.of(hosts["pg1.example.org"]).argv


def test_a_table_that_is_named_can_be_pasted_as_well() -> None:
    def looked(name: str, **programs: ProgramAccess) -> Looked:
        return Looked(name, HostAccess(f"ssh://root@{name}", (name,), programs, "staging", cutter="nft"))

    member, etcd = "pg1.example.org", "etcd1.example.org"
    topology = replace(TOPOLOGY, members=(MemberAddress(member, Address(member, 5432)),), dcs=(Address(etcd, 2379),))
    found = {member: looked(member, patroni=ProgramAccess()), etcd: looked(etcd, etcd=ProgramAccess())}
    lacks = lacking(found, topology, 1)
    for name, capability in ((member, "crashes"), (etcd, "dcs_hosts")):
        (table,) = re.findall(r"\[hosts\..*?\](?= programs)", lacks[capability])
        assert tomllib.loads(table) == {"hosts": {name: {}}}


def test_what_a_way_into_the_hosts_would_open(planned: tuple[Planned, ...]) -> None:
    none = {"hosts": "no [hosts]", "crashes": "no [hosts]", "destructive": "not permitted"}
    ids = {id for one in waiting_for_hosts(none, planned) for id in one.ids}
    assert "FO-01" in ids
    assert "PH-01" not in ids
    assert "FO-01" not in {id for one in waiting_for_hosts({**none, "haproxy": "-"}, planned) for id in one.ids}
    assert waiting_for_hosts({"destructive": "not permitted"}, planned) == []


def test_limits_that_cannot_hold_are_told_with_the_line_that_sets_others(
    planned: tuple[Planned, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    slow = Timing(ttl=30, loop_wait=10, proxy=12)
    show(Diagnosis("yours", {"hosts": "no [hosts]"}, (), slow), planned)
    said = capsys.readouterr().out
    assert "failover: 57 s (ttl 30 + loop_wait 10 + election 5 + proxy 12) for " in said
    assert "FO-01.leader" in said
    assert "access to the hosts would make" in said
    show(Diagnosis("yours", {}, (), Timing()), planned)
    said = capsys.readouterr().out
    assert "limits:" not in said
    assert "would open" not in said
