"""What the cluster does not promise because it is not configured for it, in words: the known limits of every report.

A mode that is off is judged here once. It is a known limit, and the reason why a capability is lacking.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from support.expectations import Expectations
from support.target.accepted_loss import loss_in_words
from support.target.baseline_facts import Baseline
from support.target.patroni_configuration import PatroniConfiguration
from support.target.standby_names import StandbyNames
from support.target.timing import Span, Timing
from support.vocabulary import counted


@dataclass(frozen=True)
class Mode:
    """Something that a cluster can be configured to do without."""

    capability: str
    is_off: bool
    declared: bool
    """Whether [expect] says that the cluster has it: if it is off then, a promise is broken."""
    why: str
    """Why the capability is lacking if it is off."""
    limit: str = ""
    """What can happen in the whole cluster then, and which setting would change it; empty if that is no known limit."""
    of_groups: Mapping[int, str] = field(default_factory=dict)
    """Group -> what can happen in it, if that depends on the group."""


def modes_off(baseline: Baseline, expected: Expectations) -> list[Mode]:
    """The modes that the cluster does without, and that [expect] does not declare."""
    return [one for one in _modes(baseline, expected) if one.is_off and not one.declared]


def _modes(baseline: Baseline, expected: Expectations) -> Iterator[Mode]:
    yield _failsafe(baseline, expected.failsafe)
    slotless = [group for group, one in baseline.groups.items() if not one.slots]
    yield _by_setting(
        "replication_slots",
        bool(slotless),
        expected.replication_slots,
        setting="Patroni's use_slots is off",
        where=in_groups(slotless),
        consequence="a replica that was away for longer than WAL is kept has to be built anew",
        remedy="slots would keep it for the replica",
    )
    yield _by_setting(
        "data_checksums",
        baseline.no_checksums,
        expected.data_checksums,
        setting="data_checksums is off",
        where=" on every member",
        consequence="a page that its disk has damaged is read as if it were right",
        remedy="pg_checksums switches it on",
    )
    yield _by_setting(
        "autovacuum",
        baseline.no_autovacuum,
        expected.autovacuum,
        setting="autovacuum is off",
        where=" on every member",
        consequence="dead rows stay, and queries become slower, until somebody runs VACUUM",
        remedy="it would do so by itself",
    )
    yield _reads_apart(baseline, expected.leader_serves_reads)
    if baseline.voters is not None:
        yield _spare_dcs(baseline.voters, expected.dcs_spare)
    if baseline.redis is not None:
        yield _evicting(baseline.redis.eviction, expected.redis_eviction)
    yield _by_setting(
        "bounded_slots",
        baseline.unbounded_slots,
        expected.bounded_slots,
        setting="max_slot_wal_keep_size is -1",
        where=" on every member",
        consequence="a replication slot that nobody reads from keeps WAL until the disk of its server is full",
        remedy="a size would limit it",
    )


def _by_setting(
    capability: str, is_off: bool, declared: bool | None, *, setting: str, where: str, consequence: str, remedy: str
) -> Mode:
    """A mode that depends on one setting."""
    why = f"{setting}{where}, {by_whom(declared)}: {consequence}"
    return Mode(capability, is_off, bool(declared), why, f"{consequence} ({setting}; {remedy})")


def _failsafe(baseline: Baseline, declared: bool | None) -> Mode:
    without = {group: one.ttl for group, one in baseline.groups.items() if not one.failsafe}
    off = "Patroni's failsafe_mode is off"
    why = f"{off}{in_groups(without)}, {by_whom(declared)}: there is no leader without the DCS"
    stops = "when the DCS is unreachable, the leader stops taking writes within"
    limits = {group: f"{stops} {ttl:g} s (ttl), until the DCS is back ({off})" for group, ttl in without.items()}
    return Mode("failsafe", bool(without), bool(declared), why, of_groups=limits)


def _reads_apart(baseline: Baseline, declared: bool | None) -> Mode:
    """`declared`: the opposite, that the leader serves reads, too. What is declared so is no limit."""
    is_off, why = baseline.leader_serves_reads or bool(declared), "the read endpoint leads to the leader, too"
    limit = "the leader serves reads, too ([expect] leader_serves_reads = false would make that a fault)"
    return Mode("reads_apart", is_off, declared is False, f"{why}, {by_whom(declared)}", "" if declared else limit)


def _spare_dcs(voters: int, declared: int | None) -> Mode:
    why = f"etcd has {counted(voters, 'voting member')}, none to spare"
    lost = "when it is lost" if voters == 1 else "when one of them is lost"
    then = f"{lost}, there is no quorum and no failover (of 3 members, one could be lost)"
    return Mode("spare_dcs", voters < 3, bool(declared), why, f"etcd has {counted(voters, 'member')}: {then}")


def _evicting(policy: str, declared: str | None) -> Mode:
    """Not declared, noeviction breaks RC-03, which expects eviction by default."""
    limit = "when Redis' memory is full, the cache accepts nothing new (maxmemory-policy is noeviction)"
    why = "Redis refuses writes when its memory is full, as [expect] redis_eviction declares (noeviction)"
    return Mode("small_cache", policy == "noeviction", declared != "noeviction", why, limit)


def by_whom(declared: bool | None) -> str:
    """Whether [expect] also declares what the cluster is configured for."""
    return "and [expect] does not say otherwise" if declared is None else "as [expect] declares"


def in_groups(groups: Collection[int]) -> str:
    """The worker groups that something is about; empty if it is about the coordinator's group, too."""
    workers = [f"worker group {group}" for group in groups if group]
    return f" in {' and '.join(workers)}" if workers and 0 not in groups else ""


def known_limits(baseline: Baseline, expected: Expectations, timing: Timing) -> tuple[str, ...]:
    """One line for each limit: what can happen, why, and which setting would change it."""
    off = modes_off(baseline, expected)
    return (
        *_of_groups(baseline, expected, off),
        *_of_members(baseline),
        *_of_standbys(baseline, expected),
        *_of_recovery(baseline, expected, timing),
        *(one.limit for one in off if one.limit),
    )


def _of_groups(baseline: Baseline, expected: Expectations, off: Collection[Mode]) -> Iterator[str]:
    """The limits of the groups; a limit of all groups appears once, without their names."""
    having: dict[str, list[int]] = {}
    for group, one in sorted(baseline.groups.items()):
        own = baseline.own_standbys.get(group)
        of_modes = [mode.of_groups[group] for mode in off if group in mode.of_groups]
        for words in (*_of_group(one, baseline.members.get(group, 0), expected, own), *of_modes):
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
                f"commits wait for at most {counted(able, 'standby')} of the {wanted} that Patroni's "
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
