"""Whether the leader serves reads, told by HAProxy's backup servers: the answer is the same whoever leads."""

from contextlib import ExitStack

import pytest
from http_servers import Handler, serving_with
from patronis import Member, patroni

from support.target.cluster import Cluster
from support.target.reads import Reads, reads_of
from support.target.topology import Address, Login, MemberAddress, StatisticsPage, Topology

HEAD = "# pxname,svname,scur,stot,status,bck,type\n"
BOTH = {"pg1": "up backup", "pg2": "up", "pg3": "up"}


def page(servers: dict[str, str]) -> str:
    """Server of the backend for reads -> "up" or "down", and "backup" if it is one. As HAProxy writes it."""
    lines = [f"read,{name},0,0,{how.split()[0].upper()},{int('backup' in how)},2" for name, how in servers.items()]
    return HEAD + "\n".join(["write,pg1,0,0,UP,0,2", *lines]) + "\n"


def reads(
    leader: str, servers: dict[str, str], names: dict[str, str] | None = None, **tags: dict[str, object]
) -> tuple[Reads, bool]:
    """What is told of that page with that leader. `names` are the members of servers that are not called like them."""

    class Page(Handler):
        def do_GET(self) -> None:
            self.answer(200, page(servers).encode())

    known = ("pg1", "pg2", "pg3")
    roles = {name: "leader" if name == leader else "replica" for name in known}
    members = [
        Member(name, role, f"{name}:5432", f"{name}:8008", None, tags=tags.get(name, {}))
        for name, role in roles.items()
    ]
    with ExitStack() as opened:
        at = opened.enter_context(serving_with(Page))
        nowhere = Address("127.0.0.1", 1)
        rests = [Address("127.0.0.1", opened.enter_context(patroni(one, members))) for one in members]
        topology = Topology(
            "app",
            Login("app", ""),
            nowhere,
            read=nowhere,
            members=tuple(MemberAddress(name, nowhere, rest) for name, rest in zip(known, rests, strict=True)),
            statistics=StatisticsPage(
                f"http://{at}", write_backends=("write",), read_backends=("read",), servers=names or {}
            ),
        )
        return reads_of(Cluster(topology))


@pytest.mark.parametrize("leader", ["pg1", "pg2", "pg3"])
def test_a_failover_does_not_change_whether_the_leader_serves_reads(leader: str) -> None:
    """As in Pigsty: every member passes the check (/read-only), and the first one of the inventory is a backup."""
    found, leads = reads(leader, BOTH)
    assert leads
    assert found.positions == {"pg1": "backup", "pg2": "up", "pg3": "up"}


@pytest.mark.parametrize("leader", ["pg1", "pg2"])
def test_so_it_is_with_one_replica(leader: str) -> None:
    assert reads(leader, {"pg1": "up backup", "pg2": "up"})[1]


@pytest.mark.parametrize(
    ("leader", "servers"),
    [
        ("pg1", {"pg1": "down", "pg2": "up", "pg3": "up"}),
        ("pg1", {"pg1": "down backup", "pg2": "up", "pg3": "up"}),
        ("pg2", {"pg1": "up backup", "pg2": "down", "pg3": "up"}),
        ("pg1", {"pg1": "up", "pg2": "down", "pg3": "down"}),
    ],
)
def test_a_leader_that_fails_the_check_serves_no_reads(leader: str, servers: dict[str, str]) -> None:
    """And where reads go to the leader alone, that is a fault."""
    assert not reads(leader, servers)[1]


def test_a_leader_in_reserve_serves_no_reads_where_no_other_could() -> None:
    """Those that are no backup servers never lead: whoever does is in reserve."""
    servers = {"pg1": "up backup", "pg2": "up backup", "pg3": "up"}
    assert not reads("pg1", servers, pg3={"nofailover": True})[1]
    assert reads("pg1", servers)[1]


def test_a_second_server_of_each_member_is_no_design_of_reads() -> None:
    """The replicas serve reads, and the leader only while there are none: whichever of them it is."""
    of_leader = {"l1": "up backup", "l2": "down backup", "l3": "down backup"}  # checked by /primary
    servers = {"r1": "down", **of_leader, "r2": "up", "r3": "up"}  # the others are checked by /replica
    names = {f"{kind}{number}": f"pg{number}" for kind in "rl" for number in (1, 2, 3)}
    assert not reads("pg1", servers, names)[1]
