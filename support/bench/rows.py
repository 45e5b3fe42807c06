"""The rows of a bench that disturb nobody: how long reads, searches and the cache take, beside pgbench and the like."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from random import Random

import numpy

from support import sql
from support.bench import tools
from support.bench.figures import RATE
from support.bench.redis_line import RedisLine
from support.bench.row import Row, Samples, Site, alternately, beside, median_time
from support.cache.clients import CacheClient, CacheClients
from support.cache.speed import Operations, interleaved_reads, medians, reads, throughput, writes
from support.cluster.workloads import READ, read_repeatedly, search_repeatedly
from support.engine.history import durations
from support.example_app import samples
from support.example_app.entries import EntryStore
from support.example_app.search import SEARCH, Search
from support.sql import sent_since
from support.target.topology import RedisAddress

_READS = 1000  # in one go, of ours and of the other program's
_COMMANDS = 10_000  # to Redis: fewer take so short that they say how fast a processor wakes up
_SEARCHES = 200
_SOUGHT = 20  # different vectors
_ENTRIES = 1000
_NEAREST = 10
_SECONDS = 2.0
_VALUE = "x" * 100
_NOTHING = "SELECT 1"


def _query_alone(site: Site) -> Samples:
    statement = _read_of(site, "query")

    def ours() -> float:
        with sql.session(site.cluster.write) as session:
            return median_time(lambda: sql.rows(session, statement), _READS)

    while True:
        yield alternately(ours, lambda: _pgbench(site, [statement]))


def _reads_by_key(site: Site) -> Samples:
    endpoint, entry = site.cluster.write, samples.entry(Random(2), site.namespace, site.cluster.profile, "read")
    EntryStore(endpoint, site.cluster.profile).add(entry)
    while True:
        figure = durations(read_repeatedly(endpoint, site.cluster.profile, entry, _READS), READ).percentile(50)
        yield beside(figure, lambda: _pgbench(site, [_NOTHING]))


def _search_alone(site: Site) -> Samples:
    namespace = f"{site.namespace}-alone"
    sought = _searched(site, namespace).tolist()

    def ours() -> float:
        with sql.session(site.cluster.write) as session:
            search = Search(session, site.cluster.profile)
            chosen = cycle([search.statement(namespace, one, _NEAREST) for one in sought])
            return median_time(lambda: sql.rows(session, next(chosen)), _SEARCHES)

    with sql.session(site.cluster.write) as session:
        search = Search(session, site.cluster.profile)
        statements = [search.statement(namespace, one, _NEAREST) for one in sought]
    while True:
        yield alternately(ours, lambda: _pgbench(site, statements, _SEARCHES, search.settings))


def _searches(site: Site) -> Samples:
    namespace = f"{site.namespace}-searched"
    sought = numpy.tile(_searched(site, namespace), (_SEARCHES // _SOUGHT, 1))
    while True:
        found = search_repeatedly(site.cluster.write, site.cluster.profile, namespace, sought, _NEAREST)
        figure = durations(found.history, SEARCH).percentile(50)
        yield beside(figure, lambda: _pgbench(site, [_NOTHING]))


def _get_alone(site: Site) -> Samples:
    server, key = _redis(site), f"{site.namespace}:value"

    def ours() -> float:
        with RedisLine(server) as line:
            line.ask("SET", key, _VALUE)
            return median_time(lambda: line.ask("GET", key), _COMMANDS)

    while True:
        yield alternately(ours, lambda: tools.redis_benchmark(server, ["GET", key], _COMMANDS).median)


def _cached_reads(site: Site) -> Samples:
    server, key = _redis(site), f"{site.namespace}:cached"
    with ExitStack() as cleanup, site.cluster.redis() as redis:
        redis.set(key, _VALUE)
        client = _cache_client(site, cleanup)
        while True:
            figure, _ = medians(
                interleaved_reads(client, site.cluster.write, site.cluster.profile, site.namespace, _READS)
            )
            yield beside(figure, lambda: tools.redis_benchmark(server, ["GET", key], _COMMANDS).median)


def _cache_rate(operations: Callable[[CacheClient, str], Operations], command: str, site: Site) -> Samples:
    server, key = _redis(site), f"{site.namespace}:rate"
    asked = [command, key, *([_VALUE] if command == "SET" else [])]
    with ExitStack() as cleanup, site.cluster.redis() as redis:
        redis.set(key, _VALUE)
        client = _cache_client(site, cleanup)
        for number in range(1_000_000):  # a namespace for each run: what is stored again is no new answer
            figure = throughput(operations(client, f"{site.namespace}-{number}"), _SECONDS)
            yield beside(figure, lambda: tools.redis_benchmark(server, asked, _COMMANDS).rate)


def _pgbench(site: Site, statements: Sequence[str], times: int | None = None, settings: Sequence[str] = ()) -> float:
    return tools.pgbench(tools.find_pgbench(site.cluster), site.cluster.write, statements, times or _READS, settings)


def _read_of(site: Site, key: str) -> str:
    """The statement by which an entry, which is stored here, is read."""
    entry, begun = samples.entry(Random(1), site.namespace, site.cluster.profile, key), time.time()
    EntryStore(site.cluster.write, site.cluster.profile).add(entry)
    EntryStore(site.cluster.write, site.cluster.profile).find(entry.namespace, entry.key)
    return sent_since(begun)[-1].statement


def _searched(site: Site, namespace: str) -> samples.Vectors:
    """Vectors to search for near entries that are stored here."""
    chance = Random(3)
    entries = samples.entries(chance, namespace, _ENTRIES, site.cluster.profile)
    EntryStore(site.cluster.write, site.cluster.profile).add_many(entries)
    return samples.vectors_near(chance, samples.embeddings(entries), _SOUGHT)


def _cache_client(site: Site, cleanup: ExitStack) -> CacheClient:
    return CacheClients(site.cluster, site.cache, site.namespace, cleanup).open()


def _redis(site: Site) -> RedisAddress:
    server = site.cluster.topology.redis
    assert server is not None  # the row needs it
    return server


_ROWS, _CACHE = frozenset({"schema"}), frozenset({"redis", "schema"})
_NONE = "pgbench, SELECT 1"
QUIET = (
    Row("PF-01 alone", "its query, without the suite's own work", "ms", "pgbench", _query_alone, _ROWS, peer=True),
    Row("PF-01", "an entry read by its key", "ms", _NONE, _reads_by_key, _ROWS),
    Row("PF-02 alone", "its query likewise", "ms", "pgbench", _search_alone, _ROWS | {"vector"}, peer=True),
    Row("PF-02", "a vector search", "ms", _NONE, _searches, _ROWS | {"vector"}),
    Row("GET alone", "over a bare connection", "ms", "redis-benchmark", _get_alone, frozenset({"redis"}), peer=True),
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
