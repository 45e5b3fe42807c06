"""Sabotages of Redis, and of the application's cache."""

from support.example_app.cache.interface import opener
from support.faults.roles import cache_host
from support.sabotage.damages import Damage, by_redis, nothing
from support.sabotage.programs import rewritten
from support.sabotage.sabotage import Sabotage, expecting, notices
from support.settings import Settings
from support.target.cluster import Cluster
from support.waiting import NotYet

BROKEN = "support.sabotage.broken_caches"


def _replica(cluster: Cluster) -> Damage:
    """Of a server that is not there."""

    def follow(host: str, port: str) -> None:
        with cluster.redis() as client:
            client.execute_command("REPLICAOF", host, port)

    def seen() -> None:
        with cluster.redis() as client:
            if (role := client.execute_command("ROLE")[0]) not in (b"slave", "slave"):
                raise NotYet(f"Redis is a {role}")

    return Damage("Redis is a replica", lambda: follow("127.0.0.1", "9"), seen, lambda: follow("NO", "ONE"))


def broken(cache: str, words: str, says: dict[str, str]) -> Sabotage:
    """The application has a cache with one part put wrong: one of `broken_caches`."""
    name = f"{BROKEN}:{cache}"

    def making(cluster: Cluster) -> Damage:
        def seen() -> None:
            if opener(name) is opener(Settings.model_fields["accept_cache_repository"].default):
                raise NotYet(f"{name} is the usual cache")

        return Damage(f"the cache under test is {cache}", lambda: None, seen, lambda: None, leaves_its_sign=True)

    return Sabotage(
        f"cache-{cache.replace('_', '-')}",
        words,
        notices(says),
        making,
        needs=frozenset({"redis"}),
        variables={"ACCEPT_CACHE_REPOSITORY": name},
    )


SABOTAGES = (
    Sabotage(
        "redis-is-a-replica",
        "Redis follows another server, and takes no writes",
        notices({"RC-01": "the role that Redis reports"}),
        _replica,
    ),
    Sabotage(
        "redis-refuses-writes",
        "Redis is a primary, and refuses writes for want of replicas",
        notices({"RC-01": "why Redis refused a write"}),
        by_redis(min_replicas_to_write="1"),
    ),
    Sabotage(
        "redis-in-cluster-mode",
        "Redis is one shard of a cluster of its own kind",
        notices({"RC-02 mode": "the mode that Redis reports"}),
        rewritten(cache_host, "redis.conf", {'save ""': 'cluster-enabled yes\nsave ""'}),
    ),
    Sabotage(
        "redis-without-eviction",
        "Redis refuses what is new when it is full",
        notices({"RC-03 is set to evict": "noeviction", "RC-03 memory pressure": "writes that Redis refused"}),
        by_redis(maxmemory_policy="noeviction"),
    ),
    Sabotage(
        "redis-evicts-otherwise-than-declared",
        "Redis evicts by LRU, and LFU was declared",
        notices({"RC-03 is set to evict": "allkeys-lfu"}),
        nothing,
        variables=expecting(redis_eviction="allkeys-lfu"),
    ),
    Sabotage(
        "redis-without-limit",
        "Redis takes memory until the machine has none",
        notices({"RC-03 is set to evict": "the memory limit"}),
        by_redis(maxmemory="0"),
    ),
    broken("caches_as_text", "types are lost in the cache", {"CO-01": "not what they were"}),
    broken(
        "never_expires",
        "cached entries have no end",
        {
            "CO-02 without an expiry": "never expires",
            "OU-02": "lost write was served for .* s after another member led",
        },
    ),
    broken(
        "expires_early",
        "cached entries end a fifth too soon",
        {"CO-02 time to live": "expired .* s after it was cached, not after 1.5 s"},
    ),
    broken(
        "expires_late",
        "cached entries end a fifth too late, whatever was promised",
        {
            "CO-02 time to live": "still served .* s after it was cached .time to live: 1.5 s",
            "CD-02 staleness bound": "served a stale value",
        },
    ),
    broken(
        "forgets_to_invalidate",
        "changes and deletions stay out of the cache",
        {
            "CD-01": "not what they were",
            "CD-02 one client updates": "served a stale value",
            "CO-03": "reads served .* instead of None",
        },
    ),
    broken(
        "remembers_in_process",
        "each process keeps what it has read",
        {
            "CD-01": "not what they were",
            "CO-03": "reads served .* instead of None",
            "ST-01": "not a hit with the new value",
        },
    ),
    broken(
        "fills_late",
        "what was loaded is cached, whatever came meanwhile",
        {"CD-02 one client updates": "served a stale value"},
    ),
    broken("writes_before_commit", "what is not committed is cached", {"CD-04": "served what was rolled back"}),
    broken("every_caller_loads", "nobody waits for the load of another", {"CD-03": "loads of the entry"}),
    broken(
        "invalidates_where_it_should_write_through",
        "a read after a write is a miss",
        {"ST-01": "not a hit with the new value"},
    ),
    broken(
        "never_caches",
        "everything comes from the database",
        {"ST-01": "not a hit with the new value", "ST-02": "the two reads"},
    ),
    broken(
        "one_by_one",
        "many entries cost many round trips",
        {"CO-04 one round trip": "round trips to Redis for 100 entries"},
    ),
    broken(
        "joins_with_colons",
        "keys are joined so that different ones are alike",
        {"CO-04 namespaces and keys": "not what they were"},
    ),
    broken(
        "forgets_the_table",
        "the same question to two tables is one",
        {"CO-04 different namespaces": "not what they were"},
    ),
    broken("forgets_types", "1 and the text 1 are one parameter", {"CO-04 different namespaces": "not what they were"}),
    broken(
        "slow",
        "each cached read takes 6 ms",
        {"PF-05": "95th percentile .*limit: 5 ms", "PF-06 serves": "cache operations a second"},
    ),
    broken("falls_over_with_redis", "an outage of Redis reaches who reads", {"OU-01 is killed": "ended in an error"}),
    broken(
        "waits_for_redis",
        "every operation waits for a Redis that is silent",
        {"OU-01 freezes": "took too long|ended in an error"},
    ),
    broken(
        "forgets_what_an_outage_swallowed",
        "what was to be dropped in an outage is served",
        {"OU-01 freezes": "served a stale value"},
    ),
)
