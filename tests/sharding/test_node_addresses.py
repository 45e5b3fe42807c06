"""Whether the address that Citus has for a group leads to its leader: DT-05, on real servers."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import free_port

from support import sql
from support.errors import Inconclusive
from support.sharding.membership import require_leads_to
from support.target.cluster import Cluster
from support.target.patroni import ClusterView, MemberView
from support.target.topology import Address, Login, MemberAddress, Topology
from support.waiting import NotYet

ONE, OTHER = Address("192.0.2.7", 5432), Address("192.0.2.8", 5432)
"""By which the members call one another."""
NAMED = "one leads at 192.0.2.7:5432"


def view(leader: Address = ONE, role: str = "leader") -> ClusterView:
    one = MemberView("one", role, "running", leader.host, leader.port, 1, None, {})
    return ClusterView((one, replace(one, name="other", role="replica", host=OTHER.host)), False, "group")


@pytest.fixture
def cluster(postgres: sql.Endpoint) -> Cluster:
    """Its member "one" is reached from here at another address than its own."""
    at = Address(postgres.host, postgres.port)
    login = Login(postgres.user, postgres.password)
    return Cluster(Topology(postgres.database, login, at, members=(MemberAddress("one", at),)))


def test_the_leaders_own_address_by_name_or_number(cluster: Cluster) -> None:
    require_leads_to(cluster, ONE, view())
    require_leads_to(cluster, Address("localhost", 7), view(Address("127.0.0.1", 7)))


def test_the_address_of_a_proxy(cluster: Cluster) -> None:
    """It is no member's, and leads to the leader."""
    require_leads_to(cluster, cluster.topology.write, view())


def test_the_address_of_another_member(cluster: Cluster) -> None:
    with pytest.raises(AssertionError, match=rf"192\.0\.2\.8:5432 is other, and {NAMED}"):
        require_leads_to(cluster, OTHER, view())


def test_an_address_that_leads_to_another_server(cluster: Cluster, citus: sql.Endpoint) -> None:
    with pytest.raises(AssertionError, match=f"{citus.port} leads elsewhere, and {NAMED}"):
        require_leads_to(cluster, Address(citus.host, citus.port), view())


def test_an_address_that_is_not_reached(cluster: Cluster) -> None:
    """From here; from the nodes it may be. An embedded cluster has no address that is no member's."""
    nobody = Address("127.0.0.1", free_port())
    with pytest.raises(Inconclusive, match=f"is not reached from here; {NAMED}"):
        require_leads_to(cluster, nobody, view())
    ours = Cluster(replace(cluster.topology, sandbox=Path("here")))
    with pytest.raises(AssertionError, match=f"is nobody, and {NAMED}"):
        require_leads_to(ours, nobody, view())


def test_a_group_without_a_leader(cluster: Cluster) -> None:
    with pytest.raises(NotYet, match="it has no leader"):
        require_leads_to(cluster, ONE, view(role="replica"))
