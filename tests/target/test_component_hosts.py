"""Finding the host of a component by the known addresses of hosts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from conftest import free_port

from support import sql
from support.hosts.interface import SiteHost
from support.hosts.remote import HostAccess, HostUnreached, ProgramAccess, RemoteSite
from support.hosts.remote.containers import Container
from support.hosts.remote.rehearsal import Unkept
from support.target.cluster import Cluster
from support.target.component_hosts import _at, cache_host, dcs_beside_members, proxy_host, unknown
from support.target.topology import Address, Login, MemberAddress, RedisAddress, Topology


@dataclass(frozen=True)
class Named:
    """The parts of a host that are used here."""

    name: str
    addresses: tuple[str, ...]
    present: tuple[str, ...] = ()
    processes: Mapping[str, None] = field(default_factory=dict)

    def present_addresses(self) -> tuple[str, ...]:
        return self.present


def hosts(*each: Named) -> list[SiteHost]:
    return [cast(SiteHost, cast(Any, one)) for one in each]


THREE = hosts(*(Named(f"etcd{number}", (f"10.0.1.{number}",)) for number in (1, 2, 3)))


def test_a_host_is_known_by_its_address_its_name_or_what_its_name_resolves_to() -> None:
    assert _at(THREE, "10.0.1.2").name == "etcd2"
    assert _at(THREE, "etcd3").name == "etcd3"
    assert _at(hosts(Named("one", ("127.0.0.1",)), Named("other", ("10.0.0.1",))), "localhost").name == "one"


def test_published_at_one_address_it_is_known_by_what_it_tells_of_itself() -> None:
    """Container ports are published at the address of the engine's machine, which belongs to none of the hosts."""
    assert _at(THREE, "192.0.2.1", "10.0.1.3").name == "etcd3"


def test_an_address_that_has_moved_leads_to_the_host_that_has_it_now() -> None:
    """keepalived has moved it to another host since discovery."""
    shared = "10.0.2.100"
    both = hosts(Named("lb1", ("10.0.2.1", shared), ("10.0.2.1",)), Named("lb2", ("10.0.2.2",), ("10.0.2.2", shared)))
    assert _at(both, shared).name == "lb2"


def test_dcs_beside_members() -> None:
    at = Address("10.0.0.1", 5432)
    members = (MemberAddress("pg1", at),)
    beside = {
        "pg1": HostAccess("ssh://pg1", programs={name: ProgramAccess("", "", "") for name in ("patroni", "etcd")})
    }
    apart = {"pg1": HostAccess("ssh://pg1"), "dcs1": replace(beside["pg1"], reach="ssh://dcs1")}
    topology = Topology("app", Login("app", ""), at, members=members, dcs=(Address("10.0.0.1", 2379),))
    assert dcs_beside_members(replace(topology, hosts=beside))
    assert dcs_beside_members(replace(topology, hosts=beside, members=(), absent=members))
    assert not dcs_beside_members(replace(topology, hosts=apart))
    others = {
        name: replace(topology, dcs=(), dcs_access={name: {"hosts": "c:8500"}}) for name in ("consul", "zookeeper")
    }
    assert not any(dcs_beside_members(replace(one, hosts=beside)) for one in others.values()), "it is another etcd"
    programs = {name: ProgramAccess("", "", "") for name in others}
    all_beside = {"pg1": replace(beside["pg1"], programs=programs)}
    assert dcs_beside_members(replace(others["consul"], hosts=all_beside))
    assert not dcs_beside_members(replace(others["consul"], hosts={"c": all_beside["pg1"]}))
    assert not dcs_beside_members(replace(others["zookeeper"], hosts=all_beside))
    assert not dcs_beside_members(topology), "no fault of a host is injected where none was given"


def test_none_is_guessed() -> None:
    with pytest.raises(LookupError, match=r"none of etcd1, etcd2, etcd3 is at 192\.0\.2\.1 or nowhere\.invalid"):
        _at(THREE, "192.0.2.1", "nowhere.invalid", alone=True)
    with pytest.raises(LookupError, match=r"none of etcd1 is at 192\.0\.2\.1: .* \[hosts\]"):
        _at(THREE[:1], "192.0.2.1")  # there may be two more


def test_the_only_one_that_there_is_need_not_have_the_address() -> None:
    assert _at(THREE[:1], "192.0.2.1", alone=True).name == "etcd1"
    assert _at(THREE[:1], f"/{'a-folder' * 20}", alone=True).name == "etcd1"


@dataclass(frozen=True)
class Hosts:
    hosts: Mapping[str, Named | SiteHost]


@dataclass(frozen=True)
class Known:
    """The parts of a cluster that are used here. Nothing answers at its write endpoint."""

    topology: Topology
    site: Hosts
    write: sql.Endpoint
    redis_address: RedisAddress


def cluster(named: Sequence[Named], proxy: str, redis: str) -> Cluster:
    cache = RedisAddress(Address(redis, 6379))
    lacks = {"dcs_hosts": "there are none here"}
    topology = Topology("app", Login("app", ""), Address(proxy, 5000), redis=cache, lacks=lacks)
    nobody = sql.Endpoint("app", "127.0.0.1", free_port(), "app", "app", "")
    known = Known(topology, Hosts({one.name: one for one in named}), nobody, cache)
    return cast(Cluster, cast(Any, known))


PROXIES = [Named(f"lb{number}", (f"10.0.2.{number}",), processes={"haproxy": None}) for number in (1, 2)]
CACHES = [Named(f"cache{number}", (f"10.0.3.{number}",), processes={"redis": None}) for number in (1, 2)]


def test_of_a_component_whose_host_cannot_be_told_that_is_known_before_any_scenario() -> None:
    assert unknown(cluster([*PROXIES, *CACHES], "10.0.2.2", "10.0.3.1")) == {}
    lacks = unknown(cluster([*PROXIES, *CACHES], "10.0.2.3", "10.0.3.3"))
    assert lacks.keys() == {"proxy_host", "proxy_reload", "cache_host"}
    assert lacks["proxy_host"].startswith("none of lb1, lb2 is at 10.0.2.3: the right host may be missing from [hosts]")
    assert lacks["cache_host"].startswith("none of cache1, cache2 is at 10.0.3.3: ")


def test_a_capability_that_is_lacking_anyway_keeps_its_reason() -> None:
    one = cast(Any, cluster([*PROXIES, *CACHES], "10.0.2.3", "10.0.3.3"))
    topology = replace(one.topology, lacks={**one.topology.lacks, "proxy_host": "it runs on the members' own machines"})
    assert unknown(replace(one, topology=topology)).keys() == {"cache_host"}


def test_a_fault_of_redis_hits_the_host_of_the_server_that_is_meant() -> None:
    """Not of any server that takes writes, of which a Redis Cluster has several."""
    both = cluster([*PROXIES, *CACHES], "10.0.2.2", "10.0.3.1")
    assert [cache_host(both, one).name for one in (None, RedisAddress(Address("10.0.3.2", 6379)))] == [
        "cache1",
        "cache2",
    ]


@pytest.fixture
def masqueraded(postgres: sql.Endpoint) -> Iterator[sql.Endpoint]:
    """A PostgreSQL to whose sessions its own address and the client's are what two settings say.

    Both are 127.0.0.1 in truth: a machine that runs tests may have no second address.
    """
    sql.execute(postgres, "CREATE SCHEMA masqueraded")
    for which in ("client", "server"):
        body = f"SELECT current_setting('seen.{which}')::inet"
        sql.execute(
            postgres, f"CREATE FUNCTION masqueraded.inet_{which}_addr() RETURNS inet LANGUAGE sql AS $${body}$$"
        )
    yield postgres
    sql.execute(postgres, "DROP SCHEMA masqueraded CASCADE")


def seeing(postgres: sql.Endpoint, client: str, server: str = "10.0.0.1") -> sql.Endpoint:
    settings = {"search_path": "masqueraded,pg_catalog", "seen.client": client, "seen.server": server}
    return replace(postgres, options={"options": " ".join(f"-c {name}={value}" for name, value in settings.items())})


MEMBERS = tuple(MemberAddress(f"pg{number}", Address(f"10.0.0.{number}", 5432)) for number in (1, 2))
POOLER = Named("pooler", ("10.0.4.1",))


def proxied(named: Sequence[Named], write: sql.Endpoint) -> Cluster:
    """Clients reach it by an address that none of its hosts has, such as that of a load balancer."""
    one = cast(Any, cluster([*named, *CACHES], "192.0.2.1", "10.0.3.1"))
    return cast(Cluster, replace(one, topology=replace(one.topology, members=MEMBERS), write=write))


@pytest.mark.parametrize(
    "client",
    [
        pytest.param("10.0.0.1", id="a pooler on the leader's own host"),
        pytest.param("10.0.0.2", id="a pooler on another member's"),
        pytest.param("10.9.0.1", id="an address of a member's that only [hosts] has"),
        pytest.param("172.17.0.1", id="the gateway of a bridge on the member"),
    ],
)
def test_the_only_proxy_is_found_although_the_leader_sees_another_address(
    masqueraded: sql.Endpoint, client: str
) -> None:
    member = Named("pg1", ("10.0.0.1", "10.9.0.1"))
    known = proxied([PROXIES[0], member, POOLER], seeing(masqueraded, client))
    assert proxy_host(known).name == "lb1"
    assert unknown(known) == {}


def test_the_only_proxy_is_not_meant_where_the_leader_sees_another_known_host(masqueraded: sql.Endpoint) -> None:
    assert "proxy_host" in unknown(proxied([PROXIES[0], POOLER], seeing(masqueraded, "10.0.4.1")))


def test_of_several_proxies_it_is_the_one_that_the_leader_sees(masqueraded: sql.Endpoint) -> None:
    assert proxy_host(proxied(PROXIES, seeing(masqueraded, "10.0.2.2"))).name == "lb2"
    assert unknown(proxied(PROXIES, seeing(masqueraded, "10.0.2.2"))) == {}


def test_a_members_own_address_is_no_proxys(masqueraded: sql.Endpoint) -> None:
    """What could not be told is only which of them has the address that clients know."""
    for client in ("10.0.0.1", "10.0.0.2"):
        why = unknown(proxied(PROXIES, seeing(masqueraded, client)))["proxy_host"]
        assert why.startswith("none of lb1, lb2 is at 192.0.2.1: ")


def test_that_no_node_of_a_redis_cluster_answers_is_no_error_here() -> None:
    one = cast(Any, cluster([*PROXIES, *CACHES], "10.0.2.2", "10.0.3.1"))
    silent = RedisAddress(Address("127.0.0.1", free_port()), mode="cluster")
    assert unknown(replace(one, redis_address=silent)) == {}


def test_that_the_engine_of_a_container_does_not_answer_is_no_error_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(Container, "mark", ":")
    access = HostAccess("docker://lb1", programs={"haproxy": ProgramAccess()})
    site = RemoteSite({"lb1": access}, Unkept())
    assert site.hosts["lb1"].present_addresses() == ()
    with pytest.raises(HostUnreached):
        site.hosts["lb1"].addresses  # noqa: B018
    one = cast(Any, cluster(CACHES, "10.0.2.2", "10.0.3.1"))
    assert unknown(replace(one, site=Hosts({**one.site.hosts, **site.hosts}))) == {}
