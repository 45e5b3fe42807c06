"""The baseline: what the cluster is configured for, read once before anything is judged.

It decides how long scenarios wait (timing), what may be lost in a failover, which capabilities are there, and the known
limits: what the cluster does not promise because it is not configured for it. They are in every report, and no broken
promises.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import requests

from support.errors import AcceptError, RequirementMissing
from support.expectations import Expectations
from support.target import etcd
from support.target.accepted_loss import accepted_losses, loss_in_words
from support.target.cluster import Cluster
from support.target.component_hosts import dcs_beside_members
from support.target.copying import not_copyable, wal_not_expendable
from support.target.members import NO_ANSWER, heard_and_silent, settings
from support.target.overruled import ARCHIVING, WAL_KEPT, overruled
from support.target.patroni_configuration import PatroniConfiguration, configurations_by_group
from support.target.purposes import Purpose, purposes_by_leader
from support.target.reads import NOWHERE, Reads, reads_of
from support.target.redis import ERRORS, RedisFacts, facts_of
from support.target.replica_capabilities import DECIDED, OF_ANY, OF_SEVERAL, lacking_replicas
from support.target.standby_names import StandbyNames
from support.target.timing import DCS_ELECTION_ASSUMED, PROXY_ASSUMED, Span, Timing, proxy_detection
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
        "expendable_wal",
        *OF_WRITES,
        *("replication_slots", "data_checksums", "reads_apart"),
        *DECIDED,
    }
)
"""The capabilities that the baseline decides, by what is configured and declared."""
OF_EMBEDDED = Expectations(delayed_replicas=(), replication_slots=True, data_checksums=True, leader_serves_reads=False)
"""What the embedded cluster is configured for, so that a change of that is no design of anybody's, but a fault."""
_SLOT_LIMIT = "max_slot_wal_keep_size"
_WAL_LEVEL, _LOGICAL = "wal_level", "logical"
_ARCHIVE_MODE = "archive_mode"
_CHECKSUMS = "data_checksums"
_STANDBY_NAMES = "synchronous_standby_names"
_DELAY, _NO_DELAY = "recovery_min_apply_delay", "0"
_VERSION, _WITH_MESSAGES = "server_version_num", 140000
"""Logical messages, by which changes are followed, came with PostgreSQL 14."""
_SETTINGS = (_SLOT_LIMIT, _WAL_LEVEL, _ARCHIVE_MODE, _VERSION, _CHECKSUMS, _DELAY)
_NO_FAILSAFE = "there is no leader without the DCS"
_NO_SLOTS = "a replica that was away for longer than WAL is kept has to be built anew"
_NO_CHECKSUMS = "a page that its disk has damaged is read as if it were right"
_SLOTS_FILL = "a replication slot that nobody reads from keeps WAL until the disk of its server is full"


@dataclass(frozen=True)
class Baseline:
    """What was read of the cluster. A component that did not answer is missing from it."""

    groups: Mapping[int, PatroniConfiguration] = field(default_factory=dict)
    """Group -> its Patroni's configuration; 0 is the coordinator's group, or the only one."""
    members: Mapping[int, int] = field(default_factory=dict)
    """Group -> its number of members."""
    voters: int | None = None
    """The number of voting members of etcd."""
    redis: RedisFacts | None = None
    unbounded_slots: bool = False
    """Replication slots may keep any amount of WAL on every member that answered."""
    not_logical: str = ""
    """Why there is no logical replication whose messages could be followed."""
    archives_nothing: bool = False
    """archive_mode is off on every member that answered."""
    archiving_overruled: str = ""
    """Why a test cannot change what archives WAL; empty if it can, or if that is not known."""
    no_checksums: bool = False
    """data_checksums is off on every member that answered."""
    leader_serves_reads: bool = False
    """The read endpoint leads to the leader as well as to replicas."""
    delays: Mapping[str, str] = field(default_factory=dict)
    """Member -> its recovery_min_apply_delay, if it has one."""
    purposes: Mapping[int, Mapping[str, Purpose]] = field(default_factory=dict)
    """Group -> member -> what it is for; of the groups where a Patroni answered."""
    with_other_leaders: Mapping[int, tuple[Mapping[str, Purpose], ...]] = field(default_factory=dict)
    """Group -> the same with each other leader that there can be."""
    reads: Reads = NOWHERE
    not_copyable: str = ""
    """Why a test should not copy a member; empty if that costs little, or if the cost is not known."""
    wal_not_expendable: str = ""
    """Why a test should not remove WAL before every consumer has read it, or cannot; empty if it may, or not known."""
    own_standbys: Mapping[int, StandbyNames] = field(default_factory=dict)
    """Group -> the standbys for which its PostgreSQL itself makes commits wait, with Patroni's synchronous mode off."""


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
    asynchronous = [group for group, one in baseline.groups.items() if not one.synchronous]
    if asynchronous and not expected.wants_synchronous:
        losses = accepted_losses(asynchronous, baseline.groups, expected)
        why = "; ".join(dict.fromkeys(one.why for one in losses.values()))
        said = _by_whom(expected.synchronous)
        yield "synchronous", f"Patroni's synchronous_mode is off{_in(asynchronous)}, {said}: {why}"
    barred = [
        group
        for group, members in baseline.purposes.items()
        if group in baseline.groups and len(members) > 1 and not any(one.may_be_synchronous for one in members.values())
    ]
    if barred and not asynchronous and not expected.wants_synchronous and not topology.embedded:
        yield "synchronous", f"no replica{_in(barred)} may be a synchronous standby, by their tags"
    without_failsafe = [group for group, one in baseline.groups.items() if not one.failsafe]
    if without_failsafe and not expected.failsafe:
        said = _by_whom(expected.failsafe)
        yield "failsafe", f"Patroni's failsafe_mode is off{_in(without_failsafe)}, {said}: {_NO_FAILSAFE}"
    slotless = [group for group, one in baseline.groups.items() if not one.slots]
    if slotless and not expected.replication_slots:
        said = _by_whom(expected.replication_slots)
        yield "replication_slots", f"Patroni's use_slots is off{_in(slotless)}, {said}: {_NO_SLOTS}"
    if baseline.no_checksums and not expected.data_checksums:
        said = _by_whom(expected.data_checksums)
        yield "data_checksums", f"data_checksums is off on every member, {said}: {_NO_CHECKSUMS}"
    if baseline.unbounded_slots and not expected.bounded_slots:
        said = _by_whom(expected.bounded_slots)
        yield "bounded_slots", f"max_slot_wal_keep_size is -1 on every member, {said}: {_SLOTS_FILL}"
    if expected.leader_serves_reads or (baseline.leader_serves_reads and expected.leader_serves_reads is None):
        yield "reads_apart", f"the read endpoint leads to the leader, too, {_by_whom(expected.leader_serves_reads)}"
    if baseline.not_logical:
        yield "logical", baseline.not_logical
    if baseline.not_copyable:
        yield "copyable", baseline.not_copyable
    if baseline.wal_not_expendable:
        yield "expendable_wal", baseline.wal_not_expendable
    if baseline.archives_nothing:
        yield "archiving", "archive_mode is off on every member: nothing is archived that could fail"
    elif baseline.archiving_overruled:
        yield "archiving", baseline.archiving_overruled
    yield from _of_replicas(topology, baseline, expected)
    untold = [group for group, one in baseline.groups.items() if one.rewind is None]
    if untold and "member_files" in topology.lacks:
        yield (
            "rewind",
            f"use_pg_rewind is not in the configuration that Patroni's members share{_in(untold)}, and their own files "
            "cannot be read from here (`patronictl edit-config` puts it where it can be judged)",
        )
    if baseline.voters is not None and baseline.voters < 3 and not expected.dcs_spare:
        yield (
            "spare_dcs",
            f"etcd has {baseline.voters} voting member{'s' if baseline.voters > 1 else ''}, none to spare",
        )


def _by_whom(declared: bool | None) -> str:
    """Whether [expect] also declares what the cluster is configured for."""
    return "and [expect] does not say otherwise" if declared is None else "as [expect] declares"


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


def _in(groups: list[int]) -> str:
    workers = [f"worker group {group}" for group in groups if group]
    return f" in {' and '.join(workers)}" if workers and 0 not in groups else ""


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


def known_limits(baseline: Baseline, expected: Expectations, timing: Timing) -> tuple[str, ...]:
    """One line for each limit: what can happen, why, and which setting would change it."""
    return (
        *_of_groups(baseline, expected),
        *_of_members(baseline),
        *_of_standbys(baseline, expected),
        *_of_recovery(baseline, expected, timing),
        *_of_the_rest(baseline, expected),
    )


def _of_groups(baseline: Baseline, expected: Expectations) -> Iterator[str]:
    """The limits of the groups; a limit of all groups appears once, without their names."""
    having: dict[str, list[int]] = {}
    for group, one in sorted(baseline.groups.items()):
        own = baseline.own_standbys.get(group)
        for words in _of_group(one, baseline.members.get(group, 0), expected, own):
            having.setdefault(words, []).append(group)
    for words, groups in having.items():
        names = [f"worker group {group}" if group else "the coordinator's group" for group in groups]
        yield words if len(groups) == len(baseline.groups) else f"{' and '.join(names)}: {words}"


def _of_group(
    one: PatroniConfiguration, members: int, expected: Expectations, own: StandbyNames | None
) -> Iterator[str]:
    if members == 1 and expected.member_count is None:
        yield "there is a single member: no other can take over when it is lost (a second one could)"
    if not one.synchronous and members > 1 and not expected.wants_synchronous:
        yield _asynchronous(one, expected, own)
    if one.synchronous and not one.strict:
        yield (
            "while there is no standby, acknowledged writes exist on the leader alone, and are lost with it "
            "(Patroni's synchronous_mode_strict is off; if it were on, writes would wait instead)"
        )
    if own and members > 1:
        yield (
            f"while there is no standby, nothing can be written (PostgreSQL's own synchronous_standby_names is {own})"
        )
    if one.synchronous and one.strict:
        yield "while there is no standby, nothing can be written (Patroni's synchronous_mode_strict is on)"
    if not one.failsafe and not expected.failsafe:
        yield (
            f"when the DCS is unreachable, the leader stops taking writes within {one.ttl:g} s (ttl), until the DCS is "
            "back (Patroni's failsafe_mode is off)"
        )


def _of_members(baseline: Baseline) -> Iterator[str]:
    """What single members do not do, by their tags and settings."""
    members = {name: one for group in baseline.purposes.values() for name, one in group.items()}
    for name, one in sorted(members.items(), key=lambda named: named[0]):
        if one.archive:
            yield f"{name} streams from nobody (nostream): it shows what is committed once the archive has it"
        elif one.behind_archive:
            yield f"{name} shows what is committed once the archive has it: {one.behind_archive} is upstream (nostream)"
        elif one.delay:
            yield (
                f"{name} shows what is committed {one.delay} late (recovery_min_apply_delay): it is judged by what it "
                "has received"
            )


def _of_standbys(baseline: Baseline, expected: Expectations) -> Iterator[str]:
    """The groups where fewer replicas may be synchronous standbys than commits should wait for."""
    for group, one in sorted(baseline.groups.items()):
        replicas = {name: purpose for name, purpose in baseline.purposes.get(group, {}).items() if not purpose.leads}
        barred = [name for name, purpose in replicas.items() if not purpose.may_be_synchronous]
        able, wanted = len(replicas) - len(barred), min(one.standbys, len(replicas))
        if one.synchronous and able < wanted and not expected.synchronous_standbys:
            yield (
                f"commits wait for at most {able} standby{'' if able == 1 else 's'} of the {wanted} that Patroni's "
                f"configuration asks for: {', '.join(barred)} may not be one (nosync, sync_priority, nostream, "
                "replicatefrom)"
            )


def _asynchronous(one: PatroniConfiguration, expected: Expectations, own: StandbyNames | None) -> str:
    kind = "replication that Patroni regards as asynchronous" if own else "asynchronous replication"
    if expected.accepted_loss is not None:
        return (
            f"acknowledged writes of up to {expected.accepted_loss:,} bytes can be lost in a failover ({kind}; "
            "[expect] accepted_loss); Patroni's synchronous_mode would prevent it"
        )
    said = "maximum_lag_on_failover" if one.maximum_lag_set else "maximum_lag_on_failover, which is not set"
    return (
        f"{loss_in_words(one.maximum_lag, one.loop_wait)} ({kind}; {said}, loop_wait); Patroni's "
        "synchronous_mode would prevent it"
    )


def _of_recovery(baseline: Baseline, expected: Expectations, timing: Timing) -> Iterator[str]:
    declared = expected.recovery_time
    if not baseline.groups or declared is None:
        return
    if (needed := timing.total(Span.FAILOVER)) > declared:
        yield (
            f"a failover can take {needed:g} s ({timing.sum(Span.FAILOVER)}), and {declared:g} s were "
            "declared ([expect] recovery_time; Patroni's ttl and loop_wait, HAProxy's inter and fall)"
        )
    if (needed := timing.total(Span.HANGING_START)) > declared:
        yield (
            f"when PostgreSQL dies on the leader and takes long to start, it can take {needed:g} s until another "
            f"member takes over ({timing.sum(Span.HANGING_START)}), and {declared:g} s were declared ([expect] "
            "recovery_time; Patroni's primary_start_timeout)"
        )


def _of_the_rest(baseline: Baseline, expected: Expectations) -> Iterator[str]:
    if any(not one.slots for one in baseline.groups.values()) and not expected.replication_slots:
        yield f"{_NO_SLOTS} (Patroni's use_slots is off; slots would keep it for the replica)"
    if baseline.no_checksums and not expected.data_checksums:
        yield f"{_NO_CHECKSUMS} (data_checksums is off; pg_checksums switches it on)"
    if baseline.leader_serves_reads and expected.leader_serves_reads is None:
        yield "the leader serves reads, too ([expect] leader_serves_reads = false would make that a fault)"
    if baseline.voters is not None and baseline.voters < 3 and not expected.dcs_spare:
        lost = "when it is lost" if baseline.voters == 1 else "when one of them is lost"
        yield (
            f"etcd has {baseline.voters} member{'s' if baseline.voters > 1 else ''}: {lost}, there is no quorum and no "
            "failover (of 3 members, one could be lost)"
        )
    if baseline.unbounded_slots and not expected.bounded_slots:
        yield f"{_SLOTS_FILL} (max_slot_wal_keep_size is -1; a size would limit it)"
    # Not declared, it breaks RC-03, which expects eviction by default.
    if baseline.redis is not None and baseline.redis.eviction == expected.redis_eviction == "noeviction":
        yield "when Redis' memory is full, the cache accepts nothing new (maxmemory-policy is noeviction)"
