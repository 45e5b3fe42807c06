"""A cluster is one group of members; a sharded one has several."""

import pytest

from support.errors import NotAvailable
from support.faults.roles import member_by_role
from support.target.cluster import Cluster
from support.target.discovery.user_cluster import workers_lacking
from support.target.topology import Address, Login, MemberAddress, Topology


def member(name: str, group: int) -> MemberAddress:
    return MemberAddress(name, Address(f"host of {name}", 5432), None, group)


@pytest.fixture
def cluster() -> Cluster:
    members = (member("a1", 0), member("a2", 0), member("b1", 1), member("b2", 1), member("c1", 2))
    return Cluster(
        Topology("db", Login("app", "secret"), Address("proxy", 5000), read=Address("proxy", 5001), members=members)
    )


def test_each_group_has_members_of_its_own(cluster: Cluster) -> None:
    assert {group.group: group.members for group in cluster.groups} == {0: ("a1", "a2"), 1: ("b1", "b2"), 2: ("c1",)}
    assert cluster.groups[0] is cluster
    assert cluster.everyone == cluster.of_group(2).everyone == ("a1", "a2", "b1", "b2", "c1")


def test_where_nothing_is_sharded_there_is_one_group() -> None:
    assert [one.group for one in Cluster(Topology("db", Login("app", "secret"), Address("db", 5432))).groups] == [0]


@pytest.mark.parametrize(
    ("workers", "sizes", "words"),
    [
        (2, {1: 2, 2: 3}, {}),
        (1, {1: 2}, {"several_workers": "Citus has one worker group: shards cannot be moved"}),
        (
            2,
            {1: 2},
            {"worker_replicas": "every worker group (known: 2 of group 1); if there is one, name the REST APIs"},
        ),
        (2, {1: 2, 2: 1}, {"worker_replicas": "(known: 2 of group 1, 1 of group 2)"}),
        (
            0,
            {},
            {"workers": "no worker group", "several_workers": "no worker group: shards", "worker_replicas": "none"},
        ),
    ],
)
def test_what_worker_groups_are_too_few_for(workers: int, sizes: dict[int, int], words: dict[str, str]) -> None:
    lacks = workers_lacking(workers, sizes)
    assert lacks.keys() == words.keys()
    assert all(said in lacks[name] for name, said in words.items()), lacks


def test_a_member_leads_to_its_group(cluster: Cluster) -> None:
    assert cluster.group_with("b2").group == 1
    assert cluster.group_with("haproxy") is cluster
    assert cluster.address_of("c1").postgres.host == "host of c1"


def test_a_group_that_is_not_there_is_named(cluster: Cluster) -> None:
    with pytest.raises(LookupError, match="no group 7; there are 0, 1, 2"):
        cluster.of_group(7)


def test_worker_groups_are_counted_whatever_their_numbers_are() -> None:
    members = (member("a1", 0), member("c1", 9), member("b1", 4), member("b2", 4))
    cluster = Cluster(Topology("db", Login("app", "secret"), Address("proxy", 5000), members=members))
    assert [cluster.worker_group(number).group for number in (1, 2)] == [4, 9]
    assert cluster.of_group(9).worker_group(1).members == ("b1", "b2")
    for number in (0, 3):
        with pytest.raises(LookupError, match=rf"no worker group {number} \(worker groups by Citus' numbers: 4, 9\)"):
            cluster.worker_group(number)
    with pytest.raises(LookupError, match="no worker group 9"):
        member_by_role(cluster, "the leader of worker group 9")


def test_no_endpoint_reads_from_workers(cluster: Cluster) -> None:
    assert cluster.read.host == "proxy"
    with pytest.raises(NotAvailable, match="worker group 1"):
        _ = cluster.of_group(1).read


def test_logins_may_find_the_tables_of_another_schema_first(cluster: Cluster) -> None:
    ours = cluster.with_tables_of("ours")
    assert ours.write.options["options"] == ours.of_member("b1").options["options"] == "-c search_path=ours,public"
    assert "options" not in cluster.write.options


def test_a_target_without_a_redis_is_told_apart_from_one_that_does_not_answer(cluster: Cluster) -> None:
    for ask in (lambda: cluster.redis_address, cluster.redis):
        with pytest.raises(NotAvailable, match=r"the target has no Redis \(REDIS_HOST\)"):
            ask()
