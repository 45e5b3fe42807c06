"""What a cluster does without by its configuration: a known limit and a lacking capability, or neither if declared."""

from dataclasses import replace

import pytest

from support.expectations import Expectations
from support.target.baseline import _modes_not_promised
from support.target.baseline_facts import Baseline
from support.target.known_limits import known_limits, modes_off
from support.target.patroni_configuration import PatroniConfiguration
from support.target.redis import RedisFacts
from support.target.timing import Timing
from support.target.topology import Address, Login, Topology

CAREFUL = PatroniConfiguration(synchronous=True, failsafe=True)
EVERY_MODE = Baseline({0: CAREFUL, 1: CAREFUL}, {0: 3, 1: 2}, voters=3)
TOPOLOGY = Topology("db", Login("app", ""), Address("h", 1))
UNDECLARED = Expectations()
REDIS = RedisFacts("Redis", (7, 0, 0), "standalone", "master", "allkeys-lru", 2**28, 0, 0)


def limits(baseline: Baseline, expected: Expectations = UNDECLARED) -> tuple[str, ...]:
    return known_limits(baseline, expected, Timing())


def lacks(baseline: Baseline, expected: Expectations = UNDECLARED) -> dict[str, str]:
    return dict(_modes_not_promised(TOPOLOGY, baseline, expected))


@pytest.mark.parametrize("declared", [None, "allkeys-lru"])
def test_a_cache_that_evicts_nothing_breaks_its_promise_unless_that_is_declared(declared: str | None) -> None:
    full = replace(EVERY_MODE, redis=replace(REDIS, eviction="noeviction"))
    assert modes_off(full, Expectations(redis_eviction=declared)) == []
    by_design = Expectations(redis_eviction="noeviction")
    assert lacks(full, by_design)["small_cache"].endswith("as [expect] redis_eviction declares (noeviction)")
    assert modes_off(replace(EVERY_MODE, redis=REDIS), by_design) == []


def test_on_a_cluster_with_every_mode_none_is_off() -> None:
    assert modes_off(EVERY_MODE, UNDECLARED) == []


@pytest.mark.parametrize(
    ("baseline", "declared", "capability", "why", "limit"),
    [
        (
            replace(EVERY_MODE, groups={0: CAREFUL, 1: replace(CAREFUL, failsafe=False, ttl=20)}),
            Expectations(failsafe=True),
            "failsafe",
            "Patroni's failsafe_mode is off in worker group 1, and [expect] does not say otherwise: "
            "there is no leader without the DCS",
            "worker group 1: when the DCS is unreachable, the leader stops taking writes within 20 s (ttl), until the "
            "DCS is back (Patroni's failsafe_mode is off)",
        ),
        (
            replace(EVERY_MODE, groups={0: CAREFUL, 1: replace(CAREFUL, slots=False)}),
            Expectations(replication_slots=True),
            "replication_slots",
            "Patroni's use_slots is off in worker group 1, and [expect] does not say otherwise: "
            "a replica that was away for longer than WAL is kept has to be built anew",
            "a replica that was away for longer than WAL is kept has to be built anew "
            "(Patroni's use_slots is off; slots would keep it for the replica)",
        ),
        (
            replace(EVERY_MODE, no_checksums=True),
            Expectations(data_checksums=True),
            "data_checksums",
            "data_checksums is off on every member, and [expect] does not say otherwise: "
            "a page that its disk has damaged is read as if it were right",
            "a page that its disk has damaged is read as if it were right "
            "(data_checksums is off; pg_checksums switches it on)",
        ),
        (
            replace(EVERY_MODE, no_autovacuum=True),
            Expectations(autovacuum=True),
            "autovacuum",
            "autovacuum is off on every member, and [expect] does not say otherwise: "
            "dead rows stay, and queries become slower, until somebody runs VACUUM",
            "dead rows stay, and queries become slower, until somebody runs VACUUM "
            "(autovacuum is off; it would do so by itself)",
        ),
        (
            replace(EVERY_MODE, leader_serves_reads=True),
            Expectations(leader_serves_reads=False),
            "reads_apart",
            "the read endpoint leads to the leader, too, and [expect] does not say otherwise",
            "the leader serves reads, too ([expect] leader_serves_reads = false would make that a fault)",
        ),
        (
            replace(EVERY_MODE, voters=1),
            Expectations(dcs_spare=1),
            "spare_dcs",
            "etcd has 1 voting member, none to spare",
            "etcd has 1 member: when it is lost, there is no quorum and no failover (of 3 members, one could be lost)",
        ),
        (
            replace(EVERY_MODE, voters=2),
            Expectations(dcs_spare=1),
            "spare_dcs",
            "etcd has 2 voting members, none to spare",
            "etcd has 2 members: when one of them is lost, there is no quorum and no failover "
            "(of 3 members, one could be lost)",
        ),
        (
            replace(EVERY_MODE, unbounded_slots=True),
            Expectations(bounded_slots=True),
            "bounded_slots",
            "max_slot_wal_keep_size is -1 on every member, and [expect] does not say otherwise: "
            "a replication slot that nobody reads from keeps WAL until the disk of its server is full",
            "a replication slot that nobody reads from keeps WAL until the disk of its server is full "
            "(max_slot_wal_keep_size is -1; a size would limit it)",
        ),
    ],
)
def test_a_mode_that_is_off_is_a_known_limit_and_a_lacking_capability_unless_it_is_declared(
    baseline: Baseline, declared: Expectations, capability: str, why: str, limit: str
) -> None:
    """If it is declared, a scenario judges it, and nothing excuses that it is off."""
    assert lacks(baseline)[capability] == why
    assert [one for one in limits(baseline) if one not in limits(EVERY_MODE)] == [limit]
    assert capability not in lacks(baseline, declared)
    assert limits(baseline, declared) == limits(EVERY_MODE)


@pytest.mark.parametrize("serves", [True, False])
def test_a_leader_that_is_meant_to_serve_reads_is_no_known_limit(serves: bool) -> None:
    baseline, declared = replace(EVERY_MODE, leader_serves_reads=serves), Expectations(leader_serves_reads=True)
    why = "the read endpoint leads to the leader, too, as [expect] declares"
    assert lacks(baseline, declared)["reads_apart"] == why
    assert limits(baseline, declared) == limits(EVERY_MODE)
