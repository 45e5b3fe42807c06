"""The DCS of an embedded cluster: etcd, ZooKeeper, or Patroni's own Raft among the members."""

import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from support.embedded.plan import ETCD_CLIENTS, ETCD_PEERS, RAFT, ZOOKEEPER_ELECTION, Plan, PlannedHost, Role
from support.target.dcs import TO_INSTALL

SERVER_CERTIFICATE, SERVER_KEY = "server.crt", "server.key"
"""The files of a server's certificate, in its host's directory."""
PEER_CERTIFICATE, PEER_KEY = "peer.crt", "peer.key"
"""Those of the certificate that a member of etcd presents to the others."""
JARS = "/usr/share/java/zookeeper.jar"
"""Debian's package zookeeper; its manifest names all that it needs."""


def section(plan: Plan, host: PlannedHost, directory: Path) -> dict[str, Any]:
    """The section of the DCS in the Patroni configuration of a member that lives in `directory`.

    Source: https://patroni.readthedocs.io/en/latest/yaml_configuration.html
    """
    kind = plan.layout.shape.dcs
    if kind == "raft":
        members = [str(plan.advertised(one.name, RAFT)) for one in plan.layout.hosts(Role.MEMBER)]
        own = str(plan.advertised(host.name, RAFT))
        others = [one for one in members if one != own]
        return {"raft": {"data_dir": str(directory / "raft"), "self_addr": own, "partner_addrs": others}}
    nodes = [str(plan.advertised(one.name, ETCD_CLIENTS)) for one in plan.layout.hosts(Role.ETCD)]
    return {kind: {"hosts": nodes, **plan.dcs_options}}


def etcd(plan: Plan, host: PlannedHost, directory: Path) -> str:
    nodes, scheme = [one.name for one in plan.layout.hosts(Role.ETCD)], plan.web.scheme
    peers = {name: f"{scheme}://{plan.advertised(name, ETCD_PEERS)}" for name in nodes}
    return yaml.safe_dump(
        {
            **_tls_of_etcd(plan, directory),
            "name": host.name,
            "data-dir": str(directory / "data"),
            "listen-peer-urls": f"{scheme}://{plan.address(host.name, ETCD_PEERS)}",
            "initial-advertise-peer-urls": peers[host.name],
            "listen-client-urls": f"{scheme}://{plan.address(host.name, ETCD_CLIENTS)}",
            "advertise-client-urls": f"{scheme}://{plan.advertised(host.name, ETCD_CLIENTS)}",
            "initial-cluster": ",".join(f"{name}={url}" for name, url in peers.items()),
            "initial-cluster-token": plan.layout.shape.scope,
            # The usual election timeout (1 s), with half of the usual heartbeats: idle nodes do little else.
            "heartbeat-interval": 200,
            "election-timeout": 1000,
            "enable-v2": plan.layout.shape.dcs == "etcd",
            "enable-grpc-gateway": True,  # Patroni uses it; with a configuration file, it is off by default
            "auto-compaction-mode": "periodic",
            "auto-compaction-retention": "10m",
            "logger": "zap",
            "log-level": "warn",
        },
        sort_keys=False,
    )


def _tls_of_etcd(plan: Plan, directory: Path) -> dict[str, Any]:
    """TLS for clients and among the nodes, with certificates on both sides; a node has one for each.

    Source: https://etcd.io/docs/v3.4/op-guide/security/
    """
    if plan.services is None:
        return {}
    both_ways = {"client-cert-auth": True, "trusted-ca-file": str(plan.services.certificate)}
    to_clients = {"cert-file": str(directory / SERVER_CERTIFICATE), "key-file": str(directory / SERVER_KEY)}
    to_peers = {"cert-file": str(directory / PEER_CERTIFICATE), "key-file": str(directory / PEER_KEY)}
    return {
        "client-transport-security": {**to_clients, **both_ways},
        "peer-transport-security": {**to_peers, **both_ways},
    }


def run_etcd(plan: Plan, file: str) -> Sequence[str]:
    """The command that runs it with that configuration."""
    return [str(plan.programs.etcd), "--config-file", file]


def zookeeper(plan: Plan, host: PlannedHost, directory: Path) -> str:
    """ZooKeeper's configuration, at the ports that etcd would have. Its number in the ensemble is in a file of its own.

    Source: https://zookeeper.apache.org/doc/r3.8.0/zookeeperAdmin.html#sc_configuration
    """
    nodes = plan.layout.hosts(Role.ETCD)
    data = directory / "data"
    data.mkdir(exist_ok=True)
    (data / "myid").write_text(f"{1 + nodes.index(host)}\n", encoding="ascii")
    address = plan.address(host.name, ETCD_CLIENTS)
    servers = (
        f"server.{number}={plan.advertised(one.name, ETCD_PEERS)}:{ZOOKEEPER_ELECTION}"
        for number, one in enumerate(nodes, 1)
    )
    lines = (
        "tickTime=500",  # sessions last from 2 to 20 ticks; leases of Patroni must be possible
        "maxSessionTimeout=60000",
        "initLimit=20",
        "syncLimit=10",
        f"dataDir={data}",
        f"clientPortAddress={address.host}",
        f"clientPort={address.port}",
        *(servers if len(nodes) > 1 else ()),
    )
    return "\n".join((*lines, ""))


def run_zookeeper(plan: Plan, file: str) -> Sequence[str]:
    """The command that runs it with that configuration."""
    memory = ("-Xmx96m", "-XX:+UseSerialGC", "-Dzookeeper.admin.enableServer=false")
    return ["java", *memory, "-cp", JARS, "org.apache.zookeeper.server.quorum.QuorumPeerMain", file]


def missing(kind: str) -> str:
    """What has to be installed before a cluster with that DCS can be booted; empty if nothing has."""
    if kind == "zookeeper" and not (Path(JARS).exists() and shutil.which("java")):
        return f"--dcs {kind} needs ZooKeeper and Java: apt-get install zookeeper"
    driver = {"zookeeper": "kazoo", "raft": "pysyncobj"}.get(kind)
    if driver and find_spec(driver) is None:
        return f"--dcs {kind} needs {driver}: {TO_INSTALL}"
    return ""
