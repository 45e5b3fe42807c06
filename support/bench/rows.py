"""The rows of a bench that disturb nobody: how long reads, searches and the cache take, beside pgbench and the like."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from random import Random

import numpy

from support import sql
from support.application import samples
from support.application.entries import EntryStore
from support.application.search import Search
from support.bench import tools
from support.bench.figures import RATE, Sample
from support.bench.redis_line import RedisLine
from support.cluster.cluster import Cluster
from support.cluster.topology import RedisAddress
from support.errors import NotAvailable
from support.history import durations
from support.recent_sql import sent_since
from support.workloads.cache_clients import CacheClient, CacheClients
from support.workloads.cache_speed import Operations, interleaved_reads, medians, reads, throughput, writes
from support.workloads.reads import READ, read_repeatedly
from support.workloads.searches import SEARCH, search_repeatedly

_READS = 2000  # reads a run, of ours and of the other program's
_COMMANDS = 20_000  # to Redis: so many take half a second, and fewer say how fast a processor wakes up
_WARM_UP = 20  # that are not counted
_SEARCHES = 200
_SOUGHT = 20  # different vectors
_ENTRIES = 1000
_NEAREST = 10
_SECONDS = 2.0
_VALUE = "x" * 100


@dataclass(frozen=True)
class Site:
    """Where rows are measured. What they store is under the namespace, and removed afterwards."""

    cluster: Cluster
    namespace: str
    cache: str
    """The cache under test, as the setting names it."""


Samples = Generator[Sample, None, None]
"""Run after run, without end; closing it undoes what it set up."""


@dataclass(frozen=True)
class Row:
    """Something whose speed is measured, and what is the least that it could be."""

    name: str
    words: str
    unit: str
    floor: str
    measure: Callable[[Site], Samples] | None
    """None where that is done before there is a cluster."""
    needs: frozenset[str] = frozenset()
    """Capabilities."""
    peer: bool = False
    """Both measure the same: they must agree."""


def _beside(figure: float, floor: Callable[[], float]) -> Sample:
    try:
        return Sample(figure, floor())
    except NotAvailable as missing:
        return Sample(figure, None, str(missing))


def _queries(site: Site) -> Samples:
    endpoint, entry = site.cluster.write, samples.entry(Random(1), site.namespace, "query")
    EntryStore(endpoint).add(entry)
    with sql.session(endpoint) as session:
        statement = _sent_by(lambda: EntryStore(session).find(entry.namespace, entry.key))
        while True:
            figure = median_time(lambda: sql.rows(session, statement), _READS)
            yield _beside(figure, lambda: _pgbench(site, [statement], _READS))


def _reads_by_key(site: Site) -> Samples:
    endpoint, entry = site.cluster.write, samples.entry(Random(2), site.namespace, "read")
    EntryStore(endpoint).add(entry)
    statement = _sent_by(lambda: EntryStore(endpoint).find(entry.namespace, entry.key))
    while True:
        figure = durations(read_repeatedly(endpoint, entry, _READS), READ).percentile(50)
        yield _beside(figure, lambda: _pgbench(site, [statement], _READS))


def _searches(site: Site) -> Samples:
    endpoint, chance, namespace = site.cluster.write, Random(3), f"{site.namespace}-searched"
    entries = samples.entries(chance, namespace, _ENTRIES)
    EntryStore(endpoint).add_many(entries)
    sought = samples.vectors_near(chance, samples.embeddings(entries), _SOUGHT)
    with sql.session(endpoint) as session:
        search = Search(session)
        statements, settings = [search.statement(namespace, one, _NEAREST) for one in sought.tolist()], search.settings
    repeated = numpy.tile(sought, (_SEARCHES // _SOUGHT, 1))
    while True:
        found = search_repeatedly(endpoint, namespace, repeated, _NEAREST)
        figure = durations(found.history, SEARCH).percentile(50)
        yield _beside(figure, partial(_pgbench, site, statements, _SEARCHES, settings))


def _redis_alone(site: Site) -> Samples:
    server, key = _redis(site), f"{site.namespace}:value"
    with RedisLine(server) as line:
        line.ask("SET", key, _VALUE)
        while True:
            figure = median_time(lambda: line.ask("GET", key), _COMMANDS)
            yield _beside(figure, lambda: tools.redis_benchmark(server, ["GET", key], _COMMANDS).median)


def _cached_reads(site: Site) -> Samples:
    server, key = _redis(site), f"{site.namespace}:cached"
    with ExitStack() as cleanup, site.cluster.redis() as redis:
        redis.set(key, _VALUE)
        client = _cache_client(site, cleanup)
        while True:
            figure, _ = medians(interleaved_reads(client, site.cluster.write, site.namespace, _READS))
            yield _beside(figure, lambda: tools.redis_benchmark(server, ["GET", key], _COMMANDS).median)


def _cache_rate(operations: Callable[[CacheClient, str], Operations], command: str, site: Site) -> Samples:
    server, key = _redis(site), f"{site.namespace}:rate"
    asked = [command, key, *([_VALUE] if command == "SET" else [])]
    with ExitStack() as cleanup, site.cluster.redis() as redis:
        redis.set(key, _VALUE)
        client = _cache_client(site, cleanup)
        for number in range(1_000_000):  # a namespace for each run: what is stored again is no new answer
            figure = throughput(operations(client, f"{site.namespace}-{number}"), _SECONDS)
            yield _beside(figure, lambda: tools.redis_benchmark(server, asked, _COMMANDS).rate)


def median_time(perform: Callable[[], object], times: int) -> float:
    """The median in ms of so many times, one right after the other, after some that are not counted."""
    taken = []
    for _ in range(times + _WARM_UP):
        begun = time.perf_counter()
        perform()
        taken.append(time.perf_counter() - begun)
    return 1000 * float(numpy.median(taken[_WARM_UP:]))


def _pgbench(site: Site, statements: Sequence[str], times: int, settings: Sequence[str] = ()) -> float:
    return tools.pgbench(tools.find_pgbench(site.cluster), site.cluster.write, statements, times, settings)


def _sent_by(ask: Callable[[], object]) -> str:
    """The last statement that it sends, with its values in place."""
    begun = time.time()
    ask()
    return sent_since(begun)[-1].statement


def _cache_client(site: Site, cleanup: ExitStack) -> CacheClient:
    return CacheClients(site.cluster, site.cache, site.namespace, cleanup).open()


def _redis(site: Site) -> RedisAddress:
    server = site.cluster.topology.redis
    assert server is not None  # the row needs it
    return server


_ROWS, _CACHE = frozenset({"schema"}), frozenset({"redis", "schema"})
QUIET = (
    Row("postgres", "the query of PF-01, by the suite's client", "ms", "pgbench", _queries, _ROWS, peer=True),
    Row("PF-01", "an entry read by its key", "ms", "pgbench", _reads_by_key, _ROWS),
    Row("PF-02", "a vector search", "ms", "pgbench", _searches, _ROWS | {"vector"}),
    Row("redis", "GET, over a bare connection", "ms", "redis-benchmark", _redis_alone, frozenset({"redis"}), peer=True),
    Row("PF-05", "a cached read", "ms", "redis-benchmark GET", _cached_reads, _CACHE),
    Row(
        "PF-06 reads", "cached reads a second", RATE, "redis-benchmark GET", partial(_cache_rate, reads, "GET"), _CACHE
    ),
    Row(
        "PF-06 writes",
        "answers cached a second",
        RATE,
        "redis-benchmark SET",
        partial(_cache_rate, writes, "SET"),
        _CACHE,
    ),
)
