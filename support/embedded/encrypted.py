"""The cluster for the scenarios about TLS: the embedded cluster itself, or a smaller one in the same sandbox.

The smaller one is for an embedded cluster whose PostgreSQL was built without OpenSSL. It has members under Patroni,
an etcd and a HAProxy of its own, but no tables; its PostgreSQL is another one, which was built with OpenSSL. It is
booted when it is first needed, and ends with the sandbox.
"""

from dataclasses import replace

from support.embedded import programs
from support.embedded.boot import boot
from support.embedded.plan import Credentials, Layout
from support.embedded.shape import ENCRYPTED
from support.errors import ClusterDidNotStart
from support.hosts import attach
from support.target.cluster import Cluster
from support.target.topology import Topology

FILE = "encrypted.json"
"""In the sandbox's directory: the topology of the smaller cluster, once it is up."""


def encrypted(topology: Topology) -> Topology:
    """The cluster on which the scenarios about TLS run: the given one, unless that has to be another.

    Boots the other one if it is not up. Raises ClusterDidNotStart, or UsageError if a program is missing.
    """
    if topology.tls_bindir is None or topology.sandbox is None:
        return topology
    file = topology.sandbox / FILE
    if not file.exists():
        found = programs.with_postgres(topology.tls_bindir)
        layout = Layout(members=ENCRYPTED.members, etcd=ENCRYPTED.etcd, shape=ENCRYPTED)
        sandbox = replace(attach(topology.sandbox), annex=True)
        if sandbox.hosts:
            raise ClusterDidNotStart("the cluster for the scenarios about TLS did not start when it was first needed")
        boot(sandbox, layout, found, lambda line: None, credentials=Credentials.of(topology)).save(file)
    return Topology.load(file)


def encrypted_cluster(cluster: Cluster) -> Cluster:
    """The cluster on which the scenarios about TLS run; see `encrypted`. If none has TLS, the given one lacks `tls`."""
    return Cluster(encrypted(cluster.topology)) if cluster.topology.tls_bindir else cluster
