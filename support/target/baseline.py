"""The baseline: what the cluster is configured for, read once before anything is judged.

It decides how long scenarios wait (timing), what may be lost in a failover, which capabilities are there, and the known
limits: what the cluster does not promise because it is not configured for it. They are in every report, and no broken
promises; `known_limits` has their words.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

import requests

from support.errors import AcceptError, RequirementMissing
from support.expectations import Expectations
from support.target import etcd
from support.target.accepted_loss import accepted_losses
from support.target.baseline_facts import Baseline
from support.target.cluster import Cluster
from support.target.component_hosts import dcs_beside_members
from support.target.copying import not_copyable, read_lag_too_large, wal_not_expendable
from support.target.known_limits import by_whom, in_groups, known_limits, modes_off
from support.target.members import NO_ANSWER, heard_and_silent, settings
from support.target.overruled import ARCHIVING, WAL_KEPT, overruled
from support.target.patroni_configuration import configurations_by_group
from support.target.purposes import Purpose, purposes_by_leader
from support.target.reads import reads_of
from support.target.redis import ERRORS, facts_of
from support.target.replica_capabilities import DECIDED, OF_ANY, OF_SEVERAL, lacking_replicas
from support.target.standby_names import StandbyNames
from support.target.timing import DCS_ELECTION_ASSUMED, PROXY_ASSUMED, Timing, proxy_detection
from support.target.topology import Topology
from support.target.write_capabilities import DECIDED as OF_WRITES
from support.target.write_capabilities import lacking_writes

_NEEDED_FOR: Mapping[str, tuple[str, ...]] = {
    "patroni": (
        *("members", "synchronous", "synchronous_standbys", "failsafe", "login_failover", "clock_jumps"),
        *("delayed_replicas", "replication_slots"),
    ),
    "haproxy": ("leader_serves_reads", "read_lag"),
    "statistics": ("proxy_lists_members",),
    "dcs": ("dcs_spare",),
    "citus": ("workers", "distributed_snapshots"),
    "cache_state": ("redis_mode", "redis_eviction"),
}
"""Capability -> the keys of [expect] that are about it."""
_MODES = frozenset(
    {
        *("synchronous", "failsafe", "spare_dcs", "rewind", "bounded_slots", "logical", "archiving", "copyable"),
        *("expendable_wal", "small_read_lag"),
        *OF_WRITES,
        *("replication_slots", "data_checksums", "reads_apart", "autovacuum"),
        *DECIDED,
    }
)
"""The capabilities that the baseline decides, by what is configured and declared."""
OF_EMBEDDED = Expectations(
    delayed_replicas=(), replication_slots=True, data_checksums=True, leader_serves_reads=False, autovacuum=True
)
"""What the embedded cluster is configured for, so that a change of that is no design of anybody's, but a fault."""
_SLOT_LIMIT = "max_slot_wal_keep_size"
_WAL_LEVEL, _LOGICAL = "wal_level", "logical"
_ARCHIVE_MODE = "archive_mode"
_CHECKSUMS = "data_checksums"
_AUTOVACUUM = "autovacuum"
_STANDBY_NAMES = "synchronous_standby_names"
_DELAY, _NO_DELAY = "recovery_min_apply_delay", "0"
_VERSION, _WITH_MESSAGES = "server_version_num", 140000
"""Logical messages, by which changes are followed, came with PostgreSQL 14."""
_SETTINGS = (_SLOT_LIMIT, _WAL_LEVEL, _ARCHIVE_MODE, _VERSION, _CHECKSUMS, _AUTOVACUUM, _DELAY)


def apply_baseline(
    topology: Topology, expected: Expectations, multiplier: float = 1.0
) -> tuple[Topology, tuple[str, ...]]:
    """Read the baseline; returns the topology that knows it, and the known limits, a line each.

    A component that does not answer is left out: the scenarios will say so.
    Raises RequirementMissing where [expect] declares something about a part that the target does not have.
    """
    require_declared_parts(topology, expected)
    if topology.embedded:  # whatever of it a shape does not have needs no expectation
        expected = expected.unless_declared(OF_EMBEDDED)
    cluster = Cluster(topology)
    baseline = _read(cluster, expected)
    timing = _timing(cluster, baseline, expected, multiplier)
    lacks = {name: why for name, why in topology.lacks.items() if name not in _MODES | _judged(topology, expected)}
    lacks |= dict(_modes_not_promised(topology, baseline, expected))
    known = replace(
        topology,
        lacks=lacks,
        expectations=expected,
        timing=timing,
        accepted_loss=accepted_losses(topology.groups, baseline.groups, expected),
        delays=baseline.delays,
    )
    return known, known_limits(baseline, expected, timing)


def _judged(topology: Topology, expected: Expectations) -> frozenset[str]:
    """The capabilities that are broken if they are not there, by the declared number of members.

    They are about the coordinator's group, or the only one: members known to be in a worker group do not count.
    """
    elsewhere = {one.name for one in (*topology.members, *topology.absent) if one.group}
    declared = expected.members
    ours = len({*declared} - elsewhere) if isinstance(declared, tuple) else (declared or 0) - len(elsewhere)
    needs = {"replicas": 2, "several_replicas": 3}
    return frozenset(name for name, least in needs.items() if ours >= least)


def require_declared_parts(topology: Topology, expected: Expectations) -> None:
    """Raises RequirementMissing where [expect] declares something about a part that the target does not have."""
    for part, keys in _NEEDED_FOR.items():
        declared = [key for key in keys if getattr(expected, key)]
        if declared and part in topology.lacks:
            raise RequirementMissing(
                f"[expect] {declared[0]} declares something that does not exist: {topology.lacks[part]}"
            )


def _read(cluster: Cluster, expected: Expectations) -> Baseline:
    """Never raises."""
    groups, voters, redis = configurations_by_group(cluster), None, None
    try:
        voters = etcd.quorum(cluster.topology).voters if cluster.topology.dcs else None
    except (AcceptError, requests.RequestException, *NO_ANSWER):
        pass
    try:
        if cluster.topology.redis is not None:
            with cluster.redis() as client:
                redis = facts_of(client)
    except (AcceptError, AssertionError, OSError, *ERRORS):
        pass
    members = {group.group: len(group.members) for group in cluster.groups if group.group in groups}
    by_group = {
        group.group: heard_and_silent(settings(group, (*_SETTINGS, _STANDBY_NAMES)))[0] for group in cluster.groups
    }
    shown = {name: row for rows in by_group.values() for name, row in rows.items()}
    delays = {name: row[_DELAY] for name, row in shown.items() if row.get(_DELAY, _NO_DELAY) != _NO_DELAY}
    if expected.delayed_replicas is not None:  # a delay that was not declared is no design, but a fault
        delays = {name: delay for name, delay in delays.items() if name in expected.delayed_replicas}
    shared = _shared_settings(shown.values())
    level, version = shared.get(_WAL_LEVEL, _LOGICAL), int(shared.get(_VERSION, _WITH_MESSAGES))
    reads, leader_serves_reads = reads_of(cluster)
    known = _purposes(Cluster(replace(cluster.topology, delays=delays)))
    not_logical = f"wal_level is {level} on every member: there is no logical replication"
    too_old = f"PostgreSQL {version // 10_000} has no logical messages (14 or newer has)"
    return Baseline(
        groups,
        members,
        voters,
        redis,
        unbounded_slots=shared.get(_SLOT_LIMIT) == "-1",
        not_logical=not_logical if level != _LOGICAL else too_old if version < _WITH_MESSAGES else "",
        archives_nothing=shared.get(_ARCHIVE_MODE) == "off",
        archiving_overruled=overruled(cluster, ARCHIVING),
        no_checksums=shared.get(_CHECKSUMS) == "off",
        no_autovacuum=shared.get(_AUTOVACUUM) == "off",
        leader_serves_reads=leader_serves_reads,
        delays=delays,
        purposes={group: by_leader[0] for group, by_leader in known.items()},
        with_other_leaders={group: by_leader[1:] for group, by_leader in known.items()},
        reads=reads,
        not_copyable=not_copyable(cluster),
        wal_not_expendable=wal_not_expendable(cluster) or overruled(cluster, WAL_KEPT),
        own_standbys={
            group: names
            for group, one in groups.items()
            if not one.synchronous and (names := _own_standbys(by_group.get(group, {}).values()))
        },
    )


def _own_standbys(shown: Iterable[Mapping[str, str]]) -> StandbyNames:
    """What any one member of a group shows: a replica already has the value that it will use as the leader."""
    return StandbyNames.parse(next((row[_STANDBY_NAMES] for row in shown if row.get(_STANDBY_NAMES)), ""))


def _shared_settings(shown: Collection[Mapping[str, str]]) -> dict[str, str]:
    """Setting -> its value, where that is the same on every member that answered.

    If members differ, that is not a configuration but a mistake on one of them.
    """
    values = {name: {row[name] for row in shown if name in row} for name in _SETTINGS if name != _DELAY}
    return {name: found.pop() for name, found in values.items() if len(found) == 1}


def _purposes(cluster: Cluster) -> dict[int, tuple[Mapping[str, Purpose], ...]]:
    """Group -> what its members are for, with each leader that there can be, the present one first."""
    found = dict[int, tuple[Mapping[str, Purpose], ...]]()
    for group in cluster.groups if "patroni" not in cluster.topology.lacks else ():
        with suppress(AcceptError, *NO_ANSWER):
            if group.has_patroni:
                found[group.group] = purposes_by_leader(group)
    return found


def _modes_not_promised(topology: Topology, baseline: Baseline, expected: Expectations) -> Iterator[tuple[str, str]]:
    """Capabilities that the cluster is neither configured for nor declared to have; each with the reason."""
    if "patroni" in topology.lacks:
        yield "synchronous", f"not known without Patroni: {topology.lacks['patroni']}"
        yield "failsafe", f"not known without Patroni: {topology.lacks['patroni']}"
        yield "rewind", f"not known without Patroni: {topology.lacks['patroni']}"
    if why := _why_not_synchronous(topology, baseline, expected):
        yield "synchronous", why
    yield from ((one.capability, one.why) for one in modes_off(baseline, expected))
    if baseline.not_logical:
        yield "logical", baseline.not_logical
    if baseline.not_copyable:
        yield "copyable", baseline.not_copyable
    if baseline.wal_not_expendable:
        yield "expendable_wal", baseline.wal_not_expendable
    if too_large := read_lag_too_large(baseline.groups.get(0), expected):
        yield "small_read_lag", too_large
    if baseline.archives_nothing:
        yield "archiving", "archive_mode is off on every member: nothing is archived that could fail"
    elif baseline.archiving_overruled:
        yield "archiving", baseline.archiving_overruled
    yield from _of_replicas(topology, baseline, expected)
    untold = [group for group, one in baseline.groups.items() if one.rewind is None]
    if untold and "member_files" in topology.lacks:
        yield (
            "rewind",
            f"use_pg_rewind is not in the configuration that Patroni's members share{in_groups(untold)}, and their own "
            "files cannot be read from here (`patronictl edit-config` puts it where it can be judged)",
        )


def _why_not_synchronous(topology: Topology, baseline: Baseline, expected: Expectations) -> str:
    """Why commits need not wait for a standby, by the configuration; empty if they do, or if [expect] declares it."""
    if expected.wants_synchronous:
        return ""
    if asynchronous := [group for group, one in baseline.groups.items() if not one.synchronous]:
        losses = accepted_losses(asynchronous, baseline.groups, expected)
        why = "; ".join(dict.fromkeys(one.why for one in losses.values()))
        return f"Patroni's synchronous_mode is off{in_groups(asynchronous)}, {by_whom(expected.synchronous)}: {why}"
    barred = [
        group
        for group, members in baseline.purposes.items()
        if group in baseline.groups and len(members) > 1 and not any(one.may_be_synchronous for one in members.values())
    ]
    if barred and not topology.embedded:
        return f"no replica{in_groups(barred)} may be a synchronous standby, by their tags"
    return ""


def _of_replicas(topology: Topology, baseline: Baseline, expected: Expectations) -> Iterator[tuple[str, str]]:
    """What the replicas are not for. In the embedded cluster each is for everything: whatever its tags say, nobody
    meant them."""
    for few, names in (("replicas", (*OF_ANY, *OF_SEVERAL)), ("several_replicas", OF_SEVERAL)):
        if few in topology.lacks and few not in _judged(topology, expected):
            yield from dict.fromkeys(names, topology.lacks[few]).items()
    if not topology.embedded:
        possible = {
            group: (now, *baseline.with_other_leaders.get(group, ())) for group, now in baseline.purposes.items()
        }
        yield from lacking_replicas(possible, baseline.groups.get(0), baseline.reads)
        yield from lacking_writes(baseline.groups, baseline.own_standbys, baseline.members, possible)


def _timing(cluster: Cluster, baseline: Baseline, expected: Expectations, multiplier: float) -> Timing:
    """The timing of the slowest group. Without Patroni, the times that the scenarios state apply."""
    groups = baseline.groups.values()
    if not groups:
        return Timing(multiplier=multiplier)
    proxy, told = _proxy_detection(cluster, expected)
    return Timing(
        ttl=max(one.ttl for one in groups),
        loop_wait=max(one.loop_wait for one in groups),
        retry_timeout=max(one.retry_timeout for one in groups),
        start_timeout=max(one.start_timeout for one in groups),
        silence=max(one.replication_timeout for one in groups),
        proxy=proxy,
        proxy_told=told,
        dcs_election=DCS_ELECTION_ASSUMED if dcs_beside_members(cluster.topology) else 0.0,
        multiplier=multiplier,
    )


def _proxy_detection(cluster: Cluster, expected: Expectations) -> tuple[float, str]:
    """The seconds within which HAProxy notices a change, and how a report calls them."""
    if expected.proxy_detection is not None:
        return expected.proxy_detection, "proxy ([expect] proxy_detection)"
    if cluster.topology.embedded:
        with suppress(AcceptError, OSError):
            for host in cluster.sandbox.hosts.values():
                file = host.directory / "haproxy.cfg"
                if file.exists() and (found := proxy_detection(file.read_text())) is not None:
                    return found, "proxy"
    return PROXY_ASSUMED, "proxy (assumed; [expect] proxy_detection)"
