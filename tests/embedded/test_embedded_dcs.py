"""The DCS of an embedded cluster, and TLS for everything beside PostgreSQL: configuration files, before any boot."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cli.boot import shape_of
from support.embedded import dcs
from support.embedded.certificates import Authority
from support.embedded.plan import Credentials, Layout, Plan, Role, lacks
from support.embedded.programs import Programs, find
from support.embedded.services import patroni_configuration, service_of
from support.embedded.shape import OWN, SECURED, Shape
from support.settings import Settings
from support.target.dcs import configuration


@pytest.fixture(scope="module")
def programs() -> Programs:
    return find(None, lambda line: None)


def plan_of(shape: Shape, programs: Programs, authority: Authority | None = None) -> Plan:
    layout = Layout(shape=shape)
    addresses = {host.name: f"127.77.0.{host.number}" for host in layout.hosts()}
    return Plan(layout, programs, addresses, Credentials.fresh(shape), services=authority)


def patroni_of(plan: Plan, directory: Path) -> dict[str, Any]:
    return patroni_configuration(plan, plan.layout.hosts(Role.MEMBER)[0], directory)


@pytest.mark.parametrize("kind", ["etcd3", "etcd", "zookeeper"])
def test_patroni_and_the_suite_know_the_same_nodes(kind: Any, programs: Programs, tmp_path: Path) -> None:
    plan = plan_of(replace(OWN, dcs=kind), programs)
    nodes = [f"127.77.0.{number}:2379" for number in (11, 12, 13)]
    assert patroni_of(plan, tmp_path)[kind] == {"hosts": nodes}
    read = configuration(plan.topology(tmp_path, "namespaces"))
    assert (read[kind], read["namespace"], read["scope"]) == ({"hosts": nodes}, "/service", "accept")


def test_with_raft_the_members_are_the_dcs(programs: Programs, tmp_path: Path) -> None:
    plan = plan_of(replace(OWN, dcs="raft"), programs)
    assert plan.layout.hosts(Role.ETCD) == ()
    own, others = "127.77.0.21:2222", ["127.77.0.22:2222", "127.77.0.23:2222"]
    raft = {"data_dir": str(tmp_path / "raft"), "self_addr": own, "partner_addrs": others}
    assert patroni_of(plan, tmp_path)["raft"] == raft
    topology = plan.topology(tmp_path, "namespaces")
    assert configuration(topology)["raft"] == {"partner_addrs": [own, *others]}
    assert {"dcs", "dcs_hosts"} <= topology.lacks.keys()
    assert "dcs_keys" not in topology.lacks


def test_zookeepers_of_an_ensemble_know_one_another(programs: Programs, tmp_path: Path) -> None:
    plan = plan_of(replace(OWN, dcs="zookeeper"), programs)
    second = plan.layout.hosts(Role.ETCD)[1]
    lines = service_of(plan, Role.ETCD).contents(plan, second, tmp_path).splitlines()
    assert {"clientPortAddress=127.77.0.12", "clientPort=2379", "server.2=127.77.0.12:2380:3888"} <= set(lines)
    assert (tmp_path / "data" / "myid").read_text() == "2\n"
    assert "only its members report" in lacks(plan.layout, "namespaces", "", "")["dcs"]


def test_a_secured_cluster_is_reached_by_tls_only(programs: Programs, tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    authority.issue_client()
    plan = plan_of(SECURED, programs, authority)
    patroni, client = patroni_of(plan, tmp_path), {"cert": f"{tmp_path}/client.crt", "key": f"{tmp_path}/client.key"}
    expected = {"protocol": "https", "cacert": f"{tmp_path}/authority.pem", **client}
    assert {name: patroni["etcd3"][name] for name in expected} == expected
    assert patroni["restapi"]["verify_client"] == "optional"
    assert patroni["namespace"] == "/team/secured"
    node = plan.layout.hosts(Role.ETCD)[0]
    etcd = yaml.safe_load(service_of(plan, Role.ETCD).contents(plan, node, tmp_path))
    assert etcd["client-transport-security"]["client-cert-auth"] is True
    shown = [etcd[f"{to}-transport-security"]["cert-file"] for to in ("client", "peer")]
    assert shown == [f"{tmp_path}/server.crt", f"{tmp_path}/peer.crt"]
    assert all(etcd[url].startswith("https://") for url in ("listen-client-urls", "listen-peer-urls"))
    proxy = plan.layout.hosts(Role.HAPROXY)[0]
    haproxy = service_of(plan, Role.HAPROXY).contents(plan, proxy, tmp_path)
    assert f"check-ssl verify required ca-file {authority.certificate}" in haproxy
    topology = plan.topology(tmp_path, "namespaces")
    assert (topology.patroni_access.scheme, topology.dcs_namespace) == ("https", "/team/secured")
    assert "peer_certificates" not in topology.lacks
    assert topology.statistics is not None
    assert topology.statistics.url.startswith("https://")


def test_the_options_say_which_dcs_it_is() -> None:
    assert shape_of(Settings.load({"accept_embedded_dcs": "zookeeper"})).dcs == "zookeeper"
    assert shape_of(Settings.load({})).dcs == "etcd3"
    assert shape_of(Settings.load({"accept_like": "secured"})).secured


def test_what_has_to_be_installed_first_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dcs.missing("etcd3") == ""
    monkeypatch.setattr(dcs, "JARS", "/no/such")
    assert dcs.missing("zookeeper") == "--dcs zookeeper needs ZooKeeper and Java: apt-get install zookeeper"
    monkeypatch.setattr(dcs, "find_spec", lambda name: None)
    assert f"--dcs raft needs pysyncobj: {sys.executable} -m pip install" in dcs.missing("raft")
