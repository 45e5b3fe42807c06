"""HAProxy's statistics page, of a real HAProxy, and statuses that take long to bring about."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from booting import boots
from conftest import free_port
from patronis import Member, patroni

from support.errors import NotAvailable
from support.failover.checks import each_serves
from support.failover.member_health import serving_through_proxy
from support.target import haproxy
from support.target.cluster import Cluster
from support.target.leadership import routes
from support.target.members import heard_and_silent
from support.target.topology import Address, Login, MemberAddress, StatisticsPage, Topology
from support.waiting import NotYet, eventually

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="HAProxy is not installed")

CONFIGURATION = """
defaults
    mode tcp
    timeout connect 1s
    timeout client 5s
    timeout server 5s
listen write
    bind 127.0.0.1:{write}
    server m1 127.0.0.1:{page} check inter 50ms
    server m2 127.0.0.1:{nobody} check inter 50ms fall 1
    server m3 127.0.0.1:{page} disabled
listen read
    bind 127.0.0.1:{read}
    server m1 127.0.0.1:{page}
listen reserve
    bind 127.0.0.1:{reserve}
    server m1 127.0.0.1:{page}
    server m4 127.0.0.1:{page} backup
listen statistics
    bind 127.0.0.1:{page}
    mode http
    stats enable
    stats uri /
    stats auth owner:secret
"""


@pytest.fixture(scope="module")
@boots
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StatisticsPage]:
    """The statistics page of a HAProxy with servers in every position."""
    ports = {name: free_port() for name in ("write", "read", "reserve", "page", "nobody")}
    file: Path = tmp_path_factory.mktemp("haproxy") / "haproxy.cfg"
    file.write_text(CONFIGURATION.format(**ports))
    proxy = subprocess.Popen(["haproxy", "-db", "-f", file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = StatisticsPage(f"http://127.0.0.1:{ports['page']}", Login("owner", "secret"))
    try:
        eventually(lambda: _require_checked(found), within=30, subject="HAProxy has checked", retry_on=(OSError,))
        yield found
    finally:
        proxy.kill()
        proxy.wait()


def _require_checked(page: StatisticsPage) -> None:
    if {row.status for row in haproxy.servers(page) if row.server == "m2"} != {"DOWN"}:
        raise NotYet("m2 is not down")


def test_positions(page: StatisticsPage) -> None:
    assert haproxy.positions(page, ["m1", "m2", "m3"]) == {
        "m1": {"write": "up", "read": "no check"},
        "m2": {"write": "down"},
        "m3": {"write": "maint"},
    }


def test_what_a_check_came_to(page: StatisticsPage) -> None:
    checks = {row.server: row.check for row in haproxy.servers(page) if row.proxy == "write"}
    assert checks == {"m1": "L4OK", "m2": "L4CON", "m3": ""}


def test_a_server_that_is_no_member_is_told_where_it_is_up(page: StatisticsPage) -> None:
    assert haproxy.positions(page, ["pg1", "pg2"]) == {"m1": {"write": "up"}}


@contextmanager
def behind(page: StatisticsPage, **tags: bool) -> Iterator[Cluster]:
    """A leader pg1 and a replica pg2, with these tags."""
    members = [
        Member("pg1", "leader", own="127.0.0.1:1", api="127.0.0.1:1", beside=None),
        Member("pg2", "replica", own="127.0.0.1:2", api="127.0.0.1:2", beside=None, tags=tags),
    ]
    with ExitStack() as opened:
        rests = {one.name: opened.enter_context(patroni(one, members)) for one in members}
        yield Cluster(
            Topology(
                database="d",
                application=Login("jo", "x"),
                write=Address("127.0.0.1", 1),
                members=tuple(
                    MemberAddress(name, Address("127.0.0.1", 1), Address("127.0.0.1", port))
                    for name, port in rests.items()
                ),
                statistics=page,
            )
        )


def test_a_replica_in_reserve_is_left_out_of_reads_on_purpose(page: StatisticsPage) -> None:
    kept = replace(page, read_backends=("reserve",), servers={"m1": "pg1", "m4": "pg2"})
    assert haproxy.positions(kept, ["pg1", "pg2"])["pg2"] == {"read": "backup"}
    with behind(kept) as cluster:
        assert serving_through_proxy(cluster)[0] == []
        unknown = Cluster(replace(cluster.topology, lacks={"pools": "whose servers these are is not known"}))
        with pytest.raises(NotYet, match="whose servers"):
            routes(unknown)


@pytest.mark.parametrize("which", [{}, {"m1": "pg1"}])
def test_a_member_is_left_out_of_reads_on_purpose_if_no_server_can_be_it(
    page: StatisticsPage, which: dict[str, str]
) -> None:
    """A member that never leads: an unknown server may be this member unless it is known to be another one."""
    with behind(replace(page, read_backends=("read",), servers=which), nofailover=True) as cluster:
        serving, held, strange = serving_through_proxy(cluster)
    assert (serving, [*held], strange) == (([], ["pg1"], set()) if which else (["pg2"], [], {"m1"}))
    assert each_serves(["pg2"], serving, held, strange).holds is (None if which else True)
    assert each_serves(["pg1"], serving, held, strange).holds is None


def test_names_of_servers_can_be_mapped(page: StatisticsPage) -> None:
    mapped = replace(page, servers={"m1": "pg1", "m2": "pg2"})
    assert haproxy.positions(mapped, ["pg1", "pg2"]) == {
        "pg1": {"write": "up", "read": "no check"},
        "pg2": {"write": "down"},
    }


def test_a_server_of_no_known_name_is_taken_for_a_member_in_its_position(page: StatisticsPage) -> None:
    expected = {"pg1": {"write": "up", "read": "no check"}, "pg2": {"write": "down"}}
    assert haproxy.positions(page, ["pg1", "pg2"], expected) == expected


def test_a_backend_that_is_not_there(page: StatisticsPage) -> None:
    with pytest.raises(NotYet, match="shows no servers of primary"):
        haproxy.positions(replace(page, write_backends=("primary",)), ["m1"])


def test_several_backends_behind_one_endpoint(page: StatisticsPage) -> None:
    both = replace(page, read_backends=("write", "read"))
    assert haproxy.positions(both, ["m1"])["m1"]["read"] == "up in write, no check in read"


def test_receptions(page: StatisticsPage) -> None:
    received, silent = heard_and_silent(haproxy.receptions(page, haproxy.VISITORS))
    answers = {visitor: row["answer"] for visitor, row in received.items()}
    assert answers.pop("the user, right password") == "served"
    assert set(answers.values()) == {"refused"}
    assert (len(answers), silent) == (3, {})


def test_a_visitor_without_an_answer_is_neither_served_nor_refused(page: StatisticsPage) -> None:
    nowhere = replace(page, url=f"http://127.0.0.1:{free_port()}")
    received, silent = heard_and_silent(haproxy.receptions(nowhere, haproxy.VISITORS))
    assert (received, silent.keys()) == ({}, haproxy.VISITORS.keys())


def test_a_page_that_is_not_served_is_no_answer(page: StatisticsPage) -> None:
    with pytest.raises(NotYet, match="answered 401"):
        haproxy.servers(replace(page, login=Login("owner", "wrong")))
    with pytest.raises(requests.ConnectionError):
        haproxy.servers(replace(page, url=f"http://127.0.0.1:{free_port()}"))


def test_without_credentials_there_is_nothing_to_try(page: StatisticsPage) -> None:
    with pytest.raises(NotAvailable, match="HAPROXY_STATS_USER"):
        haproxy.receptions(replace(page, login=None), haproxy.VISITORS)


@pytest.mark.parametrize(
    ("status", "position"),
    [
        ("UP", "up"),
        ("UP 1/3", "up"),
        ("DOWN", "down"),
        ("DOWN 1/2", "down"),
        ("MAINT (via write/m1)", "maint (via write/m1)"),
        ("DRAIN", "drain"),
        ("no check", "no check"),
    ],
)
def test_the_position_of_a_status(status: str, position: str) -> None:
    assert haproxy.ServerRow("write", "m1", status, "", 0).position == position
