"""Sabotages of hosts and of the network: a member down, frozen, cut off, promoted by hand, or far away."""

import time

from support import sql
from support.faults.nemesis import Fault
from support.faults.network import Partition, PoorLinks
from support.faults.process import Freeze, HostCrash
from support.faults.roles import member_by_role
from support.hosts import SUITE
from support.sabotage.damage import Damage, by_shared_configuration, together
from support.sabotage.own_hosts import cache_host, host_of, proxy_host
from support.sabotage.programs import process_of
from support.sabotage.sabotage import Sabotage, expecting, notices
from support.target.cluster import Cluster
from support.waiting import NotYet

PARTITIONS = frozenset({"partitions"})
FAR = 0.012
"""Seconds of latency each way."""


def _down(cluster: Cluster) -> Fault:
    return HostCrash(host_of(cluster, "a replica"))


def _frozen(cluster: Cluster) -> Fault:
    return Freeze(host_of(cluster, "a replica"))


def _patroni_frozen(cluster: Cluster) -> Damage:
    """Its PostgreSQL runs on."""
    patroni = process_of(host_of(cluster, "a replica").processes["patroni"])

    def check() -> None:
        if patroni.status() != "stopped":
            raise NotYet(f"it is {patroni.status()}")

    return Damage("the Patroni of a replica is frozen", patroni.suspend, check, patroni.resume)


def _stream_cut(cluster: Cluster) -> Damage:
    replica, leader = member_by_role(cluster, "a replica"), cluster.leader()
    cut = Partition(cluster.sandbox, [replica], [leader])
    question = "SELECT count(*) FROM pg_stat_replication WHERE application_name = %s"

    def check() -> None:
        if sql.value(cluster.administration_of(leader), question, [replica]):
            raise NotYet(f"{leader} has a stream to {replica}")

    return Damage(str(cut), cut.inject, check, cut.heal)


def _second_primary(cluster: Cluster) -> Damage:
    """A replica is promoted while its Patroni is frozen. Thawed, Patroni makes it a replica again."""
    replica = member_by_role(cluster, "a replica")
    there, frozen = cluster.administration_of(replica), _patroni_frozen(cluster)

    def promote() -> None:
        frozen.inject()
        sql.execute(there, "SELECT pg_promote(false)")

    def check() -> None:
        if sql.value(there, "SELECT pg_is_in_recovery()"):
            raise NotYet(f"{replica} is in recovery")

    return Damage(f"{replica} is promoted behind its Patroni's back", promote, check, frozen.heal)


def _far_members(cluster: Cluster) -> Fault:
    return PoorLinks(cluster.site, (proxy_host(cluster).name, *cluster.members), latency=0.055)


def members_apart(cluster: Cluster) -> Fault:
    """Every packet between its members takes 0.15 s."""
    return PoorLinks(cluster.site, cluster.members, latency=0.15)


def _far_cache(cluster: Cluster) -> Damage:
    """Only the suite is slowed down, which is the application here."""
    network, cache = cluster.sandbox.network, cache_host(cluster).name

    def shape(latency: float) -> None:
        network.shape(SUITE, cache, latency=latency)
        network.shape(cache, SUITE, latency=latency)

    def check() -> None:
        with cluster.redis() as client:
            client.ping()
            begun = time.monotonic()
            client.ping()
        if (took := time.monotonic() - begun) < 2 * FAR:
            raise NotYet(f"a round trip takes {took * 1000:.1f} ms")

    return Damage("the cache is far away", lambda: shape(FAR), check, lambda: shape(0))


SABOTAGES = (
    Sabotage(
        "replica-down",
        "the host of a replica is down",
        notices({"PH-03": "every member is in the state that its role requires|DCS knows", "PH-04": "no answer"}),
        _down,
    ),
    Sabotage(
        "replica-frozen",
        "the host of a replica is frozen",
        notices({"PH-01": "every health check", "PH-04": "no answer", "RL-02": "can be asked for markers"}),
        _frozen,
    ),
    Sabotage(
        "patroni-frozen",
        "the Patroni of a replica is frozen while its PostgreSQL runs on",
        notices({"PH-01": "every health check", "PH-04": "no answer|heartbeat"}),
        _patroni_frozen,
    ),
    Sabotage(
        "stream-cut",
        "a replica is cut off from the leader",
        notices({"PH-03": "every member is in the state that its role requires", "RL-01": "streams to every replica"}),
        _stream_cut,
        PARTITIONS,
    ),
    Sabotage(
        "second-primary",
        "two members accept writes",
        notices({"PH-02 leader key": "SQL on every member"}),
        _second_primary,
    ),
    Sabotage(
        "members-far-away",
        "110 ms are added to every answer of the database",
        notices({"PF-01": "95th percentile .*limit: 100 ms", "PF-02": "95th percentile .*limit: 50 ms"}),
        _far_members,
        PARTITIONS,
    ),
    Sabotage(
        "cache-far-away",
        "24 ms are added to every answer of Redis",
        notices(
            {
                "PF-05 cached read": "95th percentile .*limit: 5 ms",
                "PF-06 serves": "cache operations a second",
                "PF-06 accepts": "cache operations a second",
            }
        ),
        _far_cache,
        PARTITIONS,
    ),
    Sabotage(
        "asynchronous-and-behind",
        "commits wait for no standby, and every packet to a standby takes 0.15 s",
        notices({"FO-02": "acknowledged writes lost"}),
        together(by_shared_configuration({"synchronous_mode": False}), members_apart),
        PARTITIONS,
        expecting(synchronous=True),
    ),
    Sabotage(
        "asynchronous-beyond-what-is-accepted",
        "commits wait for no standby, standbys are 0.15 s behind, and the loss of 1 byte is accepted",
        notices({"FO-02": r"acknowledged writes lost.* bytes \(\[expect\] accepted_loss accepts 1 bytes"}),
        together(by_shared_configuration({"synchronous_mode": False}), members_apart),
        PARTITIONS,
        expecting(accepted_loss=1),
    ),
)
