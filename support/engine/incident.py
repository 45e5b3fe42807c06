"""What a fault cost the clients of the cluster, in figures. The report calls this an incident."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from support.engine.checks.availability import longest_gap
from support.engine.fault_record import at_epoch
from support.engine.history import History, Outcome, WriterSample
from support.engine.ledger import APPEND, LOST_REACH_BACK
from support.engine.time_spent import takeovers
from support.faults.nemesis import InjectedFault, without_preparations
from support.reporting.scenario import Incident, Measure
from support.vocabulary import joined

_OF_LOSS = {"acknowledged": "acknowledged writes", "lost": "lost writes", "unanswered": "unknown writes"}
"""The names of the figures behind an incident; one such figure for each ledger of a scenario."""
_SEVERAL = {
    "etcd": "{} members of etcd",  # how many decides on the quorum
    "a replica": "replicas",
    "the leader of a worker group": "leaders of worker groups",
    "a replica of a worker group": "replicas of worker groups",
}


def incident_of(
    samples: Sequence[WriterSample],
    history: History | None,
    injected_faults: Sequence[InjectedFault],
    measures: Sequence[Measure],
    *,
    groups: Sequence[Collection[str]],
    redundant_at: float | None,
    planned: bool,
) -> Incident | None:
    """The cost, in figures, of the faults that took effect; None if none did. Preparations do not count.

    `groups`: the members of each group, which share one leader; in a sharded cluster, the coordinator's group first.

    `redundant_at`: when every member was seen to be healthy again, with all faults healed; monotonic clock. The figures
    about lost writes are the scenario's own measurements.
    """
    faults = [one for one in without_preparations(injected_faults) if one.took_effect is not None]
    if not faults:
        return None
    since, words = faults[0].begun, faults[0].words
    gap = longest_gap(history, APPEND, since) if history is not None and _acknowledged(history, since) else None
    hit = next((one for one in groups if any(_names(words, member) for member in one)), groups[0] if groups else ())
    changes = [at for at in takeovers(one for one in samples if one.member in hit) if at > since]
    counts = {name: [one.value for one in measures if one.name.startswith(of)] for name, of in _OF_LOSS.items()}
    reach = [one.value for one in measures if one.name.startswith(LOST_REACH_BACK)]
    healing = [one.healing for one in faults if one.healing is not None]
    limits = [one.limit for one in measures if one.name.endswith("were interrupted for") and one.limit is not None]
    return Incident(
        kind=kind_of(words, _roles(samples, groups, since)),
        fault="; then ".join(one.words for one in faults),
        at=at_epoch(since),
        without_writes=gap.seconds if gap else None,
        new_leader_after=changes[0] - since if changes else None,
        redundant_after=redundant_at - since if redundant_at is not None else None,
        redundant_after_repair=redundant_at - max(healing) if redundant_at is not None and healing else None,
        refused=_refused(history, since),
        lost_reach_back=max(reach, default=None),
        limit=max(limits, default=None),
        until_healed=gap is not None and any(gap.begun < at < gap.ended for at in healing),
        planned=planned,
        **{name: int(sum(found)) if found else None for name, found in counts.items()},
    )


def kind_of(words: str, roles: Mapping[str, str]) -> str:
    """A fault in words without names of members and hosts: "the host pg1 crashes" -> "the host of the leader crashes".

    `roles`: member -> its role, such as "the leader".
    """
    for member, role in sorted(roles.items(), key=lambda one: len(one[0]), reverse=True):
        name = _whole(member)
        words = re.sub(rf"\bhost {name}", f"host of {role}", words)
        words = re.sub(name, role, words)
    words = re.sub(r"\b(etcd)\d+\b", r"\1", words)
    words = re.sub(r"\b([\w-]+) on \1\b", r"\1", words)  # a program on a host of its own is named like it
    words = re.sub(r"\bhost etcd\b", "host of one member of etcd", words)
    words = re.sub(r"\betcd (cut off from|to) etcd\b", r"one member of etcd \1 another", words)
    words = re.sub(r"(?<=cut off from )(?:[\w-]+(?: [\w-]+)?, )+[\w -]+", _each_once, words)
    words = re.sub(r"\bhosts (.+)(?= crash at once)", lambda listed: f"hosts of {_counted(listed[1])}", words)
    return re.sub(r"(?<=everywhere; )(.+)(?= lose what)", lambda listed: _counted(listed[1]), words)


def _refused(history: History | None, since: float) -> int | None:
    """Writes that ended with an error since then; None if no client wrote."""
    if history is None or not history.of(action=APPEND):
        return None
    return sum(one.begun >= since for one in history.of(action=APPEND, outcome=Outcome.FAIL))


def _names(words: str, member: str) -> bool:
    return re.search(_whole(member), words) is not None


def _whole(name: str) -> str:
    """A pattern that matches the whole name only: db1 matches neither in db1-replica nor in db1.example.org."""
    return rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)"


def _roles(samples: Sequence[WriterSample], groups: Sequence[Collection[str]], moment: float) -> dict[str, str]:
    """The role of each sampled member before that moment."""
    found = {one.member: "a replica" for one in samples}
    for number, members in enumerate(groups):
        leader, of = _leader_at(samples, members, moment), " of a worker group" if number else ""
        found |= {one: f"{'the leader' if one == leader else 'a replica'}{of}" for one in members}
    return found


def _each_once(listed: re.Match[str]) -> str:
    """A list of parts in a fixed order, without duplicates."""
    parts = listed[0].split(", ")
    once = {"replicas" if part == "a replica" and parts.count(part) > 1 else part for part in parts}
    return ", ".join(sorted(once))


def _counted(listed: str) -> str:
    """A list of parts in their order, without duplicates: of those of etcd their number, of others that there are
    several."""
    counts = Counter(re.split(", | and ", listed))
    return joined(_SEVERAL.get(part, part).format(count) if count > 1 else part for part, count in counts.items())


def _leader_at(samples: Iterable[WriterSample], members: Collection[str], moment: float) -> str:
    """The member that was last seen to accept writes before that moment; empty if none was."""
    writing = [one for one in samples if one.writable and one.ended <= moment and one.member in members]
    return max(writing, key=lambda one: one.ended).member if writing else ""


def _acknowledged(history: History, before: float) -> bool:
    return any(one.ended <= before for one in history.of(action=APPEND, outcome=Outcome.OK))
