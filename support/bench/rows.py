"""The rows of a bench: how each is measured, and the floor it is compared with.

Some rows leave the cluster alone (reads, searches, the cache); the others inject a fault and measure how long clients
cannot write.
"""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count, cycle
from random import Random

import numpy

from support import sql
from support.bench import tools
from support.bench.figures import RATE, Sample
from support.bench.tools import WARM_UP, RedisLine
from support.cache.clients import CacheClient, CacheClients
from support.cache.speed import Operations, interleaved_reads, medians, reads, throughput, writes
from support.cluster.workloads import READ, read_repeatedly, search_repeatedly
from support.engine.history import durations
from support.errors import ConnectFailed, NotAvailable
from support.example_app import samples
from support.example_app.entries import Entry, EntryStore
from support.example_app.search import SEARCH, Search
from support.faults.nemesis import Fault, Nemesis
from support.faults.patroni import Switchover
from support.faults.process import HostCrash, PostgresKilled
from support.faults.roles import host_of
from support.sql import sent_since
from support.target.cluster import Cluster
from support.target.health import await_all
from support.target.leadership import Lease, lease
from support.target.redis import primary_of
from support.target.topology import RedisAddress
from support.timeouts import RECOVERY
from support.waiting import eventually

_SLICES = 5
_READS = 1000  # per run, by the suite and by pgbench
_COMMANDS = 10_000  # to Redis: with fewer, the figure depends on how fast a processor wakes up
_SEARCHES = 200
_VECTORS = 20  # different vectors to search for
_ENTRIES = 1000
_NEAREST = 10
_SECONDS = 2.0
_VALUE = "x" * 100
_LIFETIME = 3600  # seconds after which Redis removes what a run leaves behind
_NOTHING = "SELECT 1"
_ATTEMPT_TIMEOUT = 2.0  # seconds until a login or a statement is abandoned and tried again
_PAUSE = 0.05  # seconds between two attempts


@dataclass(frozen=True)
class Site:
    """Where rows are measured. Everything they store is under the namespace, and is removed afterwards."""

    cluster: Cluster
    namespace: str
    cache: str
    """The cache repository under test, as the setting names it."""
    note_namespace: Callable[[str], None] = lambda namespace: None
    """Called before anything is stored in a namespace, so that it is removed even if the bench is killed."""

    def stored_in(self, name: str = "") -> str:
        """A namespace to store entries in: that of the site, or the one below it with that name."""
        namespace = f"{self.namespace}-{name}" if name else self.namespace
        self.note_namespace(namespace)
        return namespace


Samples = Generator[Sample, None, None]
"""An endless series of runs. Closing it undoes its set-up."""


@dataclass(frozen=True)
class Row:
    """One measured speed, and the least it could be on this machine."""

    name: str
    words: str
    unit: str
    floor: str
    measure: Callable[[Site], Samples] | None
    """None for a row that is measured before there is a cluster."""
    needs: frozenset[str] = frozenset()
    """Capabilities of the target."""
    peer: bool = False
    """Figure and floor measure the same thing, so they must agree."""
    only_by_name: bool = False
    """The row takes minutes, and is measured only if it is asked for by name."""
    embedded: bool = False
    """Only for embedded clusters: the processes of others are not visible."""


def beside(figure: float, floor: Callable[[], float]) -> Sample:
    """A figure with the floor measured right after it, or with the reason if the floor's tool is missing."""
    try:
        return Sample(figure, floor())
    except NotAvailable as missing:
        return Sample(figure, None, str(missing))


def alternately(ours: Callable[[], float], theirs: Callable[[], float]) -> Sample:
    """Measure both in turn, in slices with a connection each, so that other load on the machine affects both alike."""
    figures, floors = [], []
    for _ in range(_SLICES):
        slice = beside(ours(), theirs)
        if slice.floor is None:
            return slice
        figures.append(slice.figure)
        floors.append(slice.floor)
    return Sample(float(numpy.median(figures)), float(numpy.median(floors)))


def median_time(perform: Callable[[], object], times: int) -> float:
    """The median time in ms of that many calls in a row, after a warm-up."""
    taken = []
    for _ in range(times + WARM_UP):
        begun = time.perf_counter()
        perform()
        taken.append(time.perf_counter() - begun)
    return 1000 * float(numpy.median(taken[WARM_UP:]))


def _query_alone(site: Site) -> Samples:
    statement = _read_statement(site, "query")

    def ours() -> float:
        with sql.session(site.cluster.write) as session:
            return median_time(lambda: sql.rows(session, statement), _READS)

    while True:
        yield alternately(ours, lambda: _pgbench(site, [statement]))


def _reads_by_key(site: Site) -> Samples:
    endpoint, entry = site.cluster.write, samples.entry(Random(2), site.stored_in(), site.cluster.profile, "read")
    EntryStore(endpoint, site.cluster.profile).add(entry)
    while True:
        figure = durations(read_repeatedly(endpoint, site.cluster.profile, entry, _READS), READ).percentile(50)
        yield beside(figure, lambda: _pgbench(site, [_NOTHING]))


def _search_alone(site: Site) -> Samples:
    namespace = site.stored_in("alone")
    vectors = _store_entries(site, namespace).tolist()

    def ours() -> float:
        with sql.session(site.cluster.write) as session:
            search = Search(session, site.cluster.profile)
            chosen = cycle([search.statement(namespace, one, _NEAREST) for one in vectors])
            return median_time(lambda: sql.rows(session, next(chosen)), _SEARCHES)

    with sql.session(site.cluster.write) as session:
        search = Search(session, site.cluster.profile)
        statements = [search.statement(namespace, one, _NEAREST) for one in vectors]
    while True:
        yield alternately(ours, lambda: _pgbench(site, statements, _SEARCHES, search.settings))


def _searches(site: Site) -> Samples:
    namespace = site.stored_in("searched")
    vectors = numpy.tile(_store_entries(site, namespace), (_SEARCHES // _VECTORS, 1))
    while True:
        found = search_repeatedly(site.cluster.write, site.cluster.profile, namespace, vectors, _NEAREST)
        figure = durations(found.history, SEARCH).percentile(50)
        yield beside(figure, lambda: _pgbench(site, [_NOTHING]))


def _get_alone(site: Site) -> Samples:
    server, key = _redis(site), f"{site.namespace}:value"

    def ours() -> float:
        with RedisLine(server) as line:
            line.ask("SET", key, _VALUE, "EX", str(_LIFETIME))
            return median_time(lambda: line.ask("GET", key), _COMMANDS)

    while True:
        yield alternately(ours, lambda: tools.redis_benchmark(server, ["GET", key], _COMMANDS).median)


def _cached_reads(site: Site) -> Samples:
    server, key = _redis(site), f"{site.namespace}:cached"
    with ExitStack() as cleanup, site.cluster.redis() as redis:
        redis.set(key, _VALUE, ex=_LIFETIME)
        client = _cache_client(site, cleanup)
        while True:
            figure, _ = medians(
                interleaved_reads(client, site.cluster.write, site.cluster.profile, site.stored_in(), _READS)
            )
            yield beside(figure, lambda: tools.redis_benchmark(server, ["GET", key], _COMMANDS).median)


def _cache_rate(operations: Callable[[CacheClient, str], Operations], command: str, site: Site) -> Samples:
    server, key = _redis(site), f"{site.namespace}:rate"
    words = [command, key, *([_VALUE, "EX", str(_LIFETIME)] if command == "SET" else [])]
    with ExitStack() as cleanup, site.cluster.redis() as redis:
        redis.set(key, _VALUE, ex=_LIFETIME)
        client = _cache_client(site, cleanup)
        for number in count():  # a namespace for each run: storing an answer again would not be new
            figure = throughput(operations(client, site.stored_in(str(number))), _SECONDS)
            yield beside(figure, lambda: tools.redis_benchmark(server, words, _COMMANDS).rate)


def _pgbench(site: Site, statements: Sequence[str], times: int | None = None, settings: Sequence[str] = ()) -> float:
    return tools.pgbench(tools.find_pgbench(site.cluster), site.cluster.write, statements, times or _READS, settings)


def _read_statement(site: Site, key: str) -> str:
    """The statement that reads an entry by its key. Stores that entry."""
    entry, begun = samples.entry(Random(1), site.stored_in(), site.cluster.profile, key), time.time()
    EntryStore(site.cluster.write, site.cluster.profile).add(entry)
    EntryStore(site.cluster.write, site.cluster.profile).find(entry.namespace, entry.key)
    return sent_since(begun)[-1].statement


def _store_entries(site: Site, namespace: str) -> samples.Vectors:
    """Store entries, and return vectors close to theirs to search for."""
    random = Random(3)
    entries = samples.entries(random, namespace, _ENTRIES, site.cluster.profile)
    EntryStore(site.cluster.write, site.cluster.profile).add_many(entries)
    return samples.vectors_near(random, samples.embeddings(entries), _VECTORS)


def _cache_client(site: Site, cleanup: ExitStack) -> CacheClient:
    return CacheClients(site.cluster, site.cache, site.namespace, cleanup).open()


def _redis(site: Site) -> RedisAddress:
    server = site.cluster.topology.redis
    assert server is not None  # the row needs it
    return primary_of(server)


def _write_gap(fault: Callable[[Cluster], Fault], floor: Callable[[Lease], float], site: Site) -> Samples:
    """Seconds from the start of the fault to the next acknowledged write. Each run begins on a healthy cluster."""
    for number in count():
        await_all(site.cluster, RECOVERY)
        terms = lease(site.cluster)
        with Nemesis() as nemesis:
            injected_fault = nemesis.inject(fault(site.cluster))
            figure = _await_write(site, str(number)) - injected_fault.begun
        await_all(site.cluster, RECOVERY)
        yield Sample(figure, floor(terms))


def _await_write(site: Site, key: str) -> float:
    """When the next write was acknowledged, on the monotonic clock."""
    attempts, namespace = count(), site.stored_in("gap")

    def write() -> float:
        # If the answer to an attempt is lost, the entry may still be stored: each attempt has a key of its own.
        entry = Entry(namespace, f"{key}-{next(attempts)}", "written")
        with sql.session(
            site.cluster.write, connect_timeout=_ATTEMPT_TIMEOUT, statement_timeout=_ATTEMPT_TIMEOUT
        ) as session:
            EntryStore(session, site.cluster.profile).add(entry)
        return time.monotonic()

    refused = (ConnectFailed, sql.Error)
    return eventually(write, within=RECOVERY, subject="writes are accepted again", retry_on=refused, pause=_PAUSE)


def _crash_leader_host(cluster: Cluster) -> Fault:
    return HostCrash(host_of(cluster, "the leader"))


def _kill_leader_postgres(cluster: Cluster) -> Fault:
    return PostgresKilled(host_of(cluster, "the leader"))


_SCHEMA, _CACHE = frozenset({"schema"}), frozenset({"redis", "one_redis", "schema"})
"""A Redis Cluster would send the bare commands from one node to another."""
_FAILOVER = frozenset({"patroni", "haproxy", "hosts", "replicas", "schema"})
_CRASH = _FAILOVER | {"crashes", "writes_after_loss"}
_SELECT_1 = "pgbench, SELECT 1"
_GET = "redis-benchmark GET"
_cache_reads, _cache_writes = partial(_cache_rate, reads, "GET"), partial(_cache_rate, writes, "SET")
_host_crash = partial(_write_gap, _crash_leader_host, lambda terms: terms.least_left)
_postgres_kill = partial(_write_gap, _kill_leader_postgres, lambda terms: terms.renewed_every)
_switchover = partial(_write_gap, Switchover, lambda terms: terms.renewed_every)

QUIET = (
    Row(
        "PF-01 alone", "the query of PF-01 without the suite's code", "ms", "pgbench", _query_alone, _SCHEMA, peer=True
    ),
    Row("PF-01", "reading an entry by its key", "ms", _SELECT_1, _reads_by_key, _SCHEMA),
    Row("PF-02 alone", "the query of PF-02 alone", "ms", "pgbench", _search_alone, _SCHEMA | {"vector"}, peer=True),
    Row("PF-02", "a vector search", "ms", _SELECT_1, _searches, _SCHEMA | {"vector"}),
    Row("GET alone", "GET over a bare connection", "ms", "redis-benchmark", _get_alone, _CACHE - _SCHEMA, peer=True),
    Row("PF-05", "a cached read", "ms", _GET, _cached_reads, _CACHE),
    Row("PF-06 reads", "cached reads per second", RATE, _GET, _cache_reads, _CACHE),
    Row("PF-06 writes", "answers cached per second", RATE, "redis-benchmark SET", _cache_writes, _CACHE),
)
"""Rows that leave the cluster alone."""
DISRUPTIVE = (
    Row("FO-01", "without writes after a crash of the leader's host", "s", "ttl - loop_wait", _host_crash, _CRASH),
    Row("FO-04", "without writes after a crash of PostgreSQL alone", "s", "loop_wait", _postgres_kill, _FAILOVER),
    Row("switchover", "without writes during a switchover", "s", "loop_wait", _switchover, _FAILOVER),
)
"""Rows that inject a fault."""
