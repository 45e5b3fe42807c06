"""The rows of a bench that disturb the cluster: for how long its clients cannot write."""

import time
from collections.abc import Callable
from functools import partial
from itertools import count

from support import sql
from support.bench.figures import Sample
from support.bench.row import Row, Samples, Site
from support.embedded.readiness import await_all
from support.errors import ConnectFailed
from support.example_app.entries import Entry, EntryStore
from support.faults.nemesis import Fault, Nemesis
from support.faults.patroni import Switchover
from support.faults.process import HostCrash, PostgresKilled
from support.faults.roles import host_of
from support.target.cluster import Cluster
from support.target.leadership import Lease, lease
from support.timeouts import RECOVERY
from support.waiting import eventually

_ANSWERS_WITHIN = 2.0  # seconds until a login or a statement is given up, and tried again
_LOOKS = 0.05  # seconds between two of them


def _gap(fault: Callable[[Cluster], Fault], floor: Callable[[Lease], float], site: Site) -> Samples:
    """Seconds from the beginning of the fault until a client's write is acknowledged; each time on a well cluster."""
    for number in count():
        await_all(site.cluster, RECOVERY)
        terms = lease(site.cluster)
        with Nemesis() as nemesis:
            injected_fault = nemesis.inject(fault(site.cluster))
            figure = _await_write(site, str(number)) - injected_fault.begun
        await_all(site.cluster, RECOVERY)
        yield Sample(figure, floor(terms))


def _await_write(site: Site, key: str) -> float:
    """When a write was acknowledged, on the monotonic clock."""
    attempts = count()

    def write() -> float:
        # An attempt whose answer was lost may have been stored: each has a key of its own.
        entry = Entry(f"{site.namespace}-gap", f"{key}-{next(attempts)}", "written")
        with sql.session(
            site.cluster.write, connect_timeout=_ANSWERS_WITHIN, statement_timeout=_ANSWERS_WITHIN
        ) as session:
            EntryStore(session, site.cluster.profile).add(entry)
        return time.monotonic()

    refused = (ConnectFailed, sql.Error)
    return eventually(write, within=RECOVERY, subject="writes are accepted again", retry_on=refused, pause=_LOOKS)


def _leaders_host(cluster: Cluster) -> Fault:
    return HostCrash(host_of(cluster, "the leader"))


def _leaders_postgres(cluster: Cluster) -> Fault:
    return PostgresKilled(host_of(cluster, "the leader"))


def _lock(terms: Lease) -> float:
    return terms.least_left


def _loop(terms: Lease) -> float:
    return terms.renewed_every


_NEEDS = frozenset({"patroni", "haproxy", "hosts", "replicas", "schema"})
DISTURBING = (
    Row(
        "FO-01",
        "the leader's host crashes: no writes for",
        "s",
        "ttl - loop_wait",
        partial(_gap, _leaders_host, _lock),
        _NEEDS,
    ),
    Row(
        "FO-04",
        "PostgreSQL alone dies: no writes for",
        "s",
        "loop_wait",
        partial(_gap, _leaders_postgres, _loop),
        _NEEDS,
    ),
    Row(
        "switchover", "the leader hands over: no writes for", "s", "loop_wait", partial(_gap, Switchover, _loop), _NEEDS
    ),
)
