"""What is said of the members' settings where a real PostgreSQL shows others, and where one gives no answer."""

import importlib
from collections.abc import Mapping
from types import SimpleNamespace

import pytest
from conftest import free_port

from support import sql
from support.errors import Inconclusive
from support.target import members
from support.target.cluster import Cluster
from support.target.timing import Timing
from support.target.topology import Address, Login, MemberAddress, Topology


def cluster_at(postgres: sql.Endpoint, **further: int) -> Cluster:
    """m1 is that PostgreSQL; further members are at these ports of the same host."""
    places = {"m1": postgres.port, **further}
    topology = Topology(
        postgres.database,
        Login(postgres.user, postgres.password),
        Address(postgres.host, postgres.port),
        members=tuple(MemberAddress(name, Address(postgres.host, port), None) for name, port in places.items()),
        timing=Timing(multiplier=0.01),
        lacks={"patroni": "the test has none"},
    )
    return Cluster(topology)


def judge(cluster: Cluster, wanted: Mapping[str, str]) -> None:
    table = SimpleNamespace(
        headings=["setting", "value"], rows=[SimpleNamespace(cells=list(row)) for row in wanted.items()]
    )
    context = SimpleNamespace(world=SimpleNamespace(cluster=cluster), table=table)
    importlib.import_module("steps.failover.replication_steps").step_settings(context)


def test_settings_as_wanted(postgres: sql.Endpoint) -> None:
    judge(cluster_at(postgres), {"fsync": "off"})


def test_silence_is_no_other_value(postgres: sql.Endpoint) -> None:
    with pytest.raises(Inconclusive, match=r"m2: no answer \(.*Connection refused"):
        judge(cluster_at(postgres, m2=free_port()), {"fsync": "off"})


def test_another_value_is_told_whoever_is_silent(postgres: sql.Endpoint) -> None:
    with pytest.raises(AssertionError, match="m1, fsync: expected on, observed off"):
        judge(cluster_at(postgres, m2=free_port()), {"fsync": "on"})


def test_no_setting_is_asked_for(postgres: sql.Endpoint) -> None:
    assert members.settings(cluster_at(postgres), ()) == {"m1": {}}
