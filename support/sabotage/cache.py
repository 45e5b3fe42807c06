"""Sabotages of Redis, and of the application's cache."""

from support.example_app.cache.interface import opener
from support.sabotage.damage import Damage, by_redis, nothing
from support.sabotage.own_hosts import cache_host
from support.sabotage.programs import rewritten
from support.sabotage.sabotage import Sabotage, expecting, notices
from support.settings import Settings
from support.target.cluster import Cluster
from support.waiting import NotYet

BROKEN = "support.sabotage.broken_caches"


def _replica(cluster: Cluster) -> Damage:
    """Redis follows a server that does not exist."""

    def follow(host: str, port: str) -> None:
        with cluster.redis() as client:
            client.execute_command("REPLICAOF", host, port)

    def check() -> None:
        with cluster.redis() as client:
            if (role := client.execute_command("ROLE")[0]) not in (b"slave", "slave"):
                raise NotYet(f"Redis is a {role}")

    return Damage("Redis is a replica", lambda: follow("127.0.0.1", "9"), check, lambda: follow("NO", "ONE"))


def broken(cache: str, description: str, patterns: dict[str, str], where: str = "") -> Sabotage:
    """The application uses one of `broken_caches`; on a target with the capability `where`, if that is given."""
    name = f"{BROKEN}:{cache}"

    def make(cluster: Cluster) -> Damage:
        def check() -> None:
            if opener(name) is opener(Settings.model_fields["accept_cache_repository"].default):
                raise NotYet(f"{name} is the default cache")

        return Damage(f"the cache under test is {cache}", lambda: None, check, lambda: None, passes_when_undone=True)

    return Sabotage(
        f"cache-{cache.replace('_', '-')}" + (f"-on-{where.replace('_', '-')}" if where else ""),
        description,
        notices(patterns),
        make,
        needs=frozenset({"redis", where} - {""}),
        variables={"ACCEPT_CACHE_REPOSITORY": name},
    )


SABOTAGES = (
    Sabotage(
        "redis-is-a-replica",
        "Redis is a replica of another server and accepts no writes",
        notices({"RC-01": "the role that Redis reports"}),
        _replica,
    ),
    Sabotage(
        "redis-refuses-writes",
        "Redis is a primary that refuses writes because it has no replicas",
        notices({"RC-01": "why Redis refused a write"}),
        by_redis(min_replicas_to_write="1"),
    ),
    Sabotage(
        "redis-in-cluster-mode",
        "Redis runs in cluster mode",
        notices({"RC-02 mode": "the mode that Redis reports"}),
        rewritten(cache_host, "redis.conf", {'save ""': 'cluster-enabled yes\nsave ""'}),
    ),
    Sabotage(
        "redis-without-eviction",
        "Redis refuses writes when its memory is full",
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
        "Redis has no memory limit",
        notices({"RC-03 is set to evict": "the memory limit"}),
        by_redis(maxmemory="0"),
    ),
    broken("caches_as_text", "types are lost in the cache", {"CO-01": "not what they were"}),
    broken(
        "never_expires",
        "cached entries never expire",
        {
            "CO-02 without an expiry": "never expires",
            "OU-02": "lost write was served for .* s after the old leader stopped",
        },
    ),
    broken(
        "expires_early",
        "cached entries expire 20 % too early",
        {"CO-02 time to live": "expired .* s after it was cached, not after 1.5 s"},
    ),
    broken(
        "expires_late",
        "cached entries expire 20 % too late",
        {
            "CO-02 time to live": "still served .* s after it was cached .time to live: 1.5 s",
            "CD-02 staleness bound": "served a stale value",
        },
    ),
    broken(
        "forgets_to_invalidate",
        "changes and deletions do not reach the cache",
        {
            "CD-01": "not what they were",
            "CD-02 one client updates": "served a stale value",
            "CO-03": "reads served .* instead of None",
        },
    ),
    broken(
        "remembers_in_process",
        "each process keeps its own copy of what it has read",
        {
            "CD-01": "not what they were",
            "CO-03": "reads served .* instead of None",
            "ST-01": "not a hit with the new value",
        },
    ),
    broken(
        "fills_late",
        "a loaded value is cached even if it was replaced meanwhile",
        {"CD-02 one client": "served a stale value"},
    ),
    broken("writes_before_commit", "uncommitted values are cached", {"CD-04": "served what was rolled back"}),
    broken(
        "every_caller_loads",
        "every caller loads a missing entry itself",
        {"CD-03": "loads of the entry", "CD-05": "at most of one"},
    ),
    broken(
        "invalidates_where_it_should_write_through",
        "a read after a write is a miss",
        {"ST-01": "not a hit with the new value"},
    ),
    broken(
        "never_caches",
        "nothing is served from the cache",
        {"ST-01": "not a hit with the new value", "ST-02": "the two reads"},
    ),
    broken(
        "one_by_one",
        "many entries cost many round trips",
        {
            "CO-04 one round trip": "round trips to Redis for 100 entries",
            "CO-04 Storing many": "round trips to Redis to store many entries",
        },
    ),
    broken(
        "joins_with_colons",
        "different keys get the same name in Redis",
        {"CO-04 namespaces and keys": "not what they were"},
    ),
    broken(
        "forgets_the_table",
        "the same query on two tables shares one key",
        {"CO-04 different namespaces": "not what they were"},
    ),
    broken(
        "forgets_types",
        "the number 1 and the text 1 count as the same parameter",
        {"CO-04 different namespaces": "not what they were"},
    ),
    broken(
        "slow",
        "each cached read takes 6 ms more",
        {"PF-05": "95th percentile .*limit: 5 ms", "PF-06 serves": "cache operations a second"},
    ),
    broken(
        "greets_the_database",
        "each cached read pays a round trip to the database as well",
        {"PF-05": "the median cached read took .* the median database read"},
    ),
    broken(
        "falls_over_with_redis",
        "reads fail while Redis is down, or refuses to store or to delete",
        {
            "OU-01 is killed": "ended in an error",
            "OU-01 is restarted empty": "ended in an error",
            "OU-01 is full": "ended in an error",
            "OU-01 refuses every write": "ended in an error",
        },
    ),
    broken(
        "falls_over_with_redis",
        "reads fail while another server takes over from Redis",
        {"OU-01 fails over": "ended in an error"},
        where="redis_failover",
    ),
    broken(
        "waits_for_redis",
        "every operation waits for a Redis that does not answer",
        {"OU-01 freezes": "took too long|ended in an error"},
    ),
    broken(
        "forgets_what_an_outage_swallowed",
        "entries that changed during an outage are served as they were before it",
        {"OU-01 freezes": "served a stale value"},
    ),
    broken(
        "forgets_what_redis_refused",
        "entries whose invalidation Redis refused are served as they were before",
        {"OU-01 refuses every write": "served a stale value"},
    ),
)
