"""What a cluster does not promise, because it is not configured for it: told in every report, and no broken promise."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import requests

from support.errors import AcceptError
from support.expectations import AcceptedLoss, Expectations
from support.target import dcs
from support.target.cluster import Cluster
from support.target.configured import Configured
from support.target.members import SILENCE
from support.target.redis import RedisFacts, facts_of
from support.target.timing import Span, Timing


@dataclass(frozen=True)
class Facts:
    """What was read of the cluster before anything was judged. What gave no answer is not in it."""

    groups: Mapping[int, Configured] = field(default_factory=dict)
    """Group -> its Patroni's configuration; 0 is the coordinator's group, or the only one."""
    members: Mapping[int, int] = field(default_factory=dict)
    """Group -> how many members it has."""
    voters: int | None = None
    """How many members of etcd vote."""
    redis: RedisFacts | None = None


def look(cluster: Cluster, groups: Mapping[int, Configured]) -> Facts:
    """The facts now; `groups` are the configurations that were read. Never raises."""
    voters, redis = None, None
    try:
        voters = dcs.quorum(cluster.topology).voters if cluster.topology.dcs else None
    except (AcceptError, requests.RequestException, *SILENCE):
        pass
    try:
        if cluster.topology.redis is not None:
            with cluster.redis() as client:
                redis = facts_of(client)
    except (AcceptError, AssertionError, OSError):
        pass
    members = {group.group: len(group.members) for group in cluster.groups if group.group in groups}
    return Facts(groups, members, voters, redis)


def accepted_loss(groups: Mapping[int, Configured], expected: Expectations) -> AcceptedLoss:
    """What is declared, or else what the least careful group is configured for."""
    if expected.wants_synchronous:
        return AcceptedLoss()
    if expected.accepted_loss is not None:
        why = f"[expect] accepted_loss accepts {expected.accepted_loss:,} bytes"
        return AcceptedLoss(expected.accepted_loss, 0.0, why)
    careless = [one for one in groups.values() if not one.synchronous]
    if not careless:
        return AcceptedLoss()
    lag, recent = max(one.maximum_lag for one in careless), max(one.loop_wait for one in careless)
    return AcceptedLoss(lag, recent, f"known limit: {_loss(lag, recent)} (asynchronous replication)")


def limits_of(facts: Facts, expected: Expectations, timing: Timing) -> tuple[str, ...]:
    """Each limit in one line: what can happen, why, and which setting would change it."""
    return (*_of_groups(facts, expected), *_of_recovery(facts, expected, timing), *_of_the_rest(facts, expected))


def _of_groups(facts: Facts, expected: Expectations) -> Iterator[str]:
    """Those of the groups; one that all groups have is told once, without their names."""
    having: dict[str, list[int]] = {}
    for group, one in sorted(facts.groups.items()):
        for words in _of_group(one, facts.members.get(group, 0), expected):
            having.setdefault(words, []).append(group)
    for words, groups in having.items():
        names = [f"worker group {group}" if group else "the coordinator's group" for group in groups]
        yield words if len(groups) == len(facts.groups) else f"{' and '.join(names)}: {words}"


def _of_group(one: Configured, members: int, expected: Expectations) -> Iterator[str]:
    if members == 1 and expected.member_count is None:
        yield "there is a single member: when it is lost nobody takes over (a second one would)"
    if not one.synchronous and members > 1 and not expected.wants_synchronous:
        yield _asynchronous(one, expected)
    if one.synchronous and not one.strict:
        yield (
            "while no standby is there, writes are acknowledged that the leader alone has, and that are lost with it "
            "(Patroni's synchronous_mode_strict is off; on, writes wait instead)"
        )
    if one.synchronous and one.strict:
        yield "while no standby is there, nothing is written (Patroni's synchronous_mode_strict is on)"
    if not one.failsafe and not expected.failsafe:
        yield (
            f"when the DCS is out of reach, the leader stops to take writes within {one.ttl:g} s (ttl), until it is "
            "back (Patroni's failsafe_mode is off)"
        )


def _asynchronous(one: Configured, expected: Expectations) -> str:
    if expected.accepted_loss is not None:
        return (
            f"acknowledged writes of up to {expected.accepted_loss:,} bytes can be lost in a failover (asynchronous "
            "replication; [expect] accepted_loss); with Patroni's synchronous_mode none would be"
        )
    said = "maximum_lag_on_failover" if one.maximum_lag_set else "maximum_lag_on_failover, which is not set"
    return (
        f"{_loss(one.maximum_lag, one.loop_wait)} (asynchronous replication; {said}, loop_wait); with Patroni's "
        "synchronous_mode none would be"
    )


def _loss(lag: int, recent: float) -> str:
    return (
        f"acknowledged writes of up to {lag:,} bytes, and those of the last {recent:g} s before, can be lost in a "
        "failover"
    )


def _of_recovery(facts: Facts, expected: Expectations, timing: Timing) -> Iterator[str]:
    needs = timing.parts(Span.FAILOVER)
    if facts.groups and expected.recovery_time is not None and sum(needs.values()) > expected.recovery_time:
        sums = " + ".join(f"{name} {seconds:g}" for name, seconds in needs.items())
        yield (
            f"a failover can take {sum(needs.values()):g} s ({sums}), and {expected.recovery_time:g} s were declared "
            "([expect] recovery_time; Patroni's ttl and loop_wait, HAProxy's inter and fall)"
        )


def _of_the_rest(facts: Facts, expected: Expectations) -> Iterator[str]:
    if facts.voters is not None and facts.voters < 3 and not expected.dcs_spare:
        lost = "when it is lost" if facts.voters == 1 else "when one of them is lost"
        yield (
            f"etcd has {facts.voters} member{'s' if facts.voters > 1 else ''}: {lost} there is no quorum, and no "
            "failover (with 3 members one could be lost)"
        )
    if facts.redis is not None and facts.redis.eviction == "noeviction":
        yield "when Redis' memory is full the cache takes nothing new (maxmemory-policy is noeviction)"
