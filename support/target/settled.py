"""What is settled about a cluster before anything is judged: its timing, what it claims, and what it does not."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from support.errors import AcceptError, RequirementMissing
from support.expectations import Expectations
from support.target import known_limits
from support.target.cluster import Cluster
from support.target.configured import Configured, of_each_group
from support.target.timing import PROXY_ASSUMED, Timing, proxy_detection
from support.target.topology import Topology

_NEEDED_FOR: Mapping[str, tuple[str, ...]] = {
    "patroni": ("members", "synchronous", "synchronous_standbys", "failsafe"),
    "dcs": ("dcs_spare",),
    "citus": ("workers",),
    "redis": ("redis_mode", "redis_eviction"),
}
"""Capability -> what is declared about it."""


_MODES = frozenset({"synchronous", "failsafe", "spare_dcs"})
"""Capabilities that are settled here, by what is configured and declared."""


def settle(topology: Topology, expected: Expectations, multiplier: float = 1.0) -> tuple[Topology, tuple[str, ...]]:
    """Read what the cluster is configured for; the same topology, knowing that, and the known limits, a line each.

    What does not answer is left out: the scenarios will say that.
    Raises RequirementMissing where something is declared about a part that the target has not.
    """
    require_parts(topology, expected)
    cluster = Cluster(topology)
    groups = of_each_group(cluster)
    timing = _timing(cluster, groups, expected, multiplier)
    facts = known_limits.look(cluster, groups)
    lacks = {name: why for name, why in topology.lacks.items() if name not in _MODES | _declared(expected)}
    lacks |= dict(_unclaimed(topology, facts, expected))
    settled = replace(
        topology,
        lacks=lacks,
        expectations=expected,
        timing=timing,
        accepted_loss=known_limits.accepted_loss(groups, expected),
    )
    return settled, known_limits.limits_of(facts, expected, timing)


def require_parts(topology: Topology, expected: Expectations) -> None:
    """Raises RequirementMissing where something is declared about a part that the target has not."""
    for part, keys in _NEEDED_FOR.items():
        declared = [key for key in keys if getattr(expected, key)]
        if declared and part in topology.lacks:
            raise RequirementMissing(f"[expect] {declared[0]} declares what is not there: {topology.lacks[part]}")


def _declared(expected: Expectations) -> frozenset[str]:
    """What is declared to be there is judged, and found broken where it is not."""
    return frozenset({"replicas"} if (expected.member_count or 0) > 1 else ())


def _unclaimed(topology: Topology, facts: known_limits.Facts, expected: Expectations) -> Iterator[tuple[str, str]]:
    """Capabilities that the cluster is not configured for, and is not declared to have; each with the reason."""
    if "patroni" in topology.lacks:
        yield "synchronous", f"not known without Patroni: {topology.lacks['patroni']}"
        yield "failsafe", f"not known without Patroni: {topology.lacks['patroni']}"
    careless = [group for group, one in facts.groups.items() if not one.synchronous]
    if careless and not expected.wants_synchronous:
        loss = known_limits.accepted_loss(facts.groups, expected)
        said = "as [expect] declares" if expected.synchronous is False else "and [expect] does not say otherwise"
        yield "synchronous", f"Patroni's synchronous_mode is off{_in(careless)}, {said}: {loss.why}"
    risky = [group for group, one in facts.groups.items() if not one.failsafe]
    if risky and not expected.failsafe:
        said = "as [expect] declares" if expected.failsafe is False else "and [expect] does not say otherwise"
        yield "failsafe", f"Patroni's failsafe_mode is off{_in(risky)}, {said}: without the DCS nobody leads"
    if facts.voters is not None and facts.voters < 3 and not expected.dcs_spare:
        yield "spare_dcs", f"etcd has {facts.voters} voting member{'s' if facts.voters > 1 else ''}, none to spare"


def _in(groups: list[int]) -> str:
    workers = [f"worker group {group}" for group in groups if group]
    return f" in {' and '.join(workers)}" if workers and 0 not in groups else ""


def _timing(cluster: Cluster, groups: Mapping[int, Configured], expected: Expectations, multiplier: float) -> Timing:
    """The slowest group's. Without Patroni what scenarios state holds."""
    if not groups:
        return Timing(multiplier=multiplier)
    proxy, told = _proxy(cluster, expected)
    return Timing(
        ttl=max(one.ttl for one in groups.values()),
        loop_wait=max(one.loop_wait for one in groups.values()),
        silence=max(one.replication_timeout for one in groups.values()),
        proxy=proxy,
        proxy_told=told,
        multiplier=multiplier,
    )


def _proxy(cluster: Cluster, expected: Expectations) -> tuple[float, str]:
    if expected.proxy_detection is not None:
        return expected.proxy_detection, "proxy ([expect] proxy_detection)"
    if cluster.topology.embedded:
        with suppress(AcceptError, OSError):
            for host in cluster.sandbox.hosts.values():
                file = host.directory / "haproxy.cfg"
                if file.exists() and (found := proxy_detection(file.read_text())) is not None:
                    return found, "proxy"
    return PROXY_ASSUMED, "proxy (assumed; [expect] proxy_detection)"
