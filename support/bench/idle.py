"""The row *idle cost*: the processor time of a cluster that nobody uses.

Clusters that run side by side share the processors, so what each costs while it waits (for a lock to expire, say) makes
all of them slower.
"""

import os
from dataclasses import replace

from support.bench.figures import Sample
from support.bench.rows import Row, Samples, Site
from support.hosts.processors import Reading, read, trees, usage
from support.target.health import await_all
from support.timeouts import RECOVERY
from support.waiting import pause

_SETTLES = 2.0  # seconds after the last question to the cluster
_OBSERVED = 30.0  # seconds: the kernel counts processor time in ticks
_DCS = "etcd"
"""The name of its program."""


def idle_cost(before: Reading, after: Reading) -> Sample:
    """Processor time used between the two, in % of one core. The floor is the part of etcd.

    Whatever else runs, etcd stores the leases that Patroni renews, and its nodes send heartbeats.
    """
    return Sample(100 * usage(before, after).ours, 100 * usage(_part(before), _part(after)).ours)


def _part(reading: Reading) -> Reading:
    return replace(reading, ours={pid: reading.ours[pid] for pid in trees((), {_DCS})(reading.ours)})


def _costs(site: Site) -> Samples:
    while True:
        await_all(site.cluster, RECOVERY)
        pause(_SETTLES)
        before = _read()
        pause(_OBSERVED)
        yield idle_cost(before, _read())


def _read() -> Reading:
    """All processes in the sandbox, which this process is in, without it."""
    return read(lambda table: table.keys() - {os.getpid()})


IDLE = Row("idle cost", "an idle cluster's processor time, of one core", "%", "etcd", _costs, embedded=True)
