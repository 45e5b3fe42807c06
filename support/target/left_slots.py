"""Replication slots that runs have left: found on the members, and dropped.

A slot is made by Patroni, for a scenario that has it in Patroni's configuration meanwhile. So it is left when it is
there, nobody reads it, and the configuration does not have it. Its name, `accept_<id>_...`, tells the run.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from support import sql
from support.example_app.profile import quoted
from support.target import slots
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER, NoAnswer, ask_in_parallel
from support.target.patroni_configuration import await_configuration
from support.target.temporary_configuration import configuration_now
from support.waiting import eventually

_NAME = re.compile("^accept_[0-9a-f]{12}_")
_SLOTS = f"SELECT slot_name FROM pg_replication_slots WHERE slot_name ~ '{_NAME.pattern}' AND NOT active"


@dataclass(frozen=True)
class LeftSlots:
    """What a search has found."""

    on: Mapping[str, list[str]]
    """Slot -> the members that have it."""
    silent: Mapping[str, str]
    """The members that did not answer -> why."""


def find(cluster: Cluster) -> LeftSlots:
    """The slots of all runs, except those that Patroni's configuration has: it would create them again.

    Raises NotYet or NotAvailable if there are any, and the configuration cannot be read.
    """
    asked = ask_in_parallel(cluster.members, lambda name: sql.rows(cluster.monitoring_of(name), _SLOTS))
    found, silent = defaultdict[str, list[str]](list), dict[str, str]()
    for member, answer in asked.items():
        if isinstance(answer, NoAnswer):
            silent[member] = answer.why
            continue
        for (name,) in answer:
            found[name].append(member)
    if found and "patroni" not in cluster.topology.lacks:
        maintained = configuration_now(cluster).get("slots") or {}
        return LeftSlots({name: on for name, on in found.items() if name not in maintained}, silent)
    return LeftSlots(dict(found), silent)


def drop(cluster: Cluster, slot: str) -> list[str]:
    """Wait until no member has it; returns those on which it was dropped here. Raises NotInTime, as `slots.drop` does.

    Its publication has the same name, and is dropped as well, where a superuser's login is known.

    It may have been taken out of the configuration just now. How soon Patroni reads that, its configuration says: the
    timing of a cluster is not known before a run has begun. Raises NotInTime if no member answers with it.
    """
    timing = cluster.topology.timing
    if "patroni" not in cluster.topology.lacks:
        timing = replace(timing, loop_wait=await_configuration(cluster).loop_wait)
    timed = Cluster(replace(cluster.topology, timing=timing), cluster.group)
    left = slots.drop(timed, timed.members, slot, 2 * timing.effect)

    def drop_publication() -> None:
        sql.execute(cluster.administration, f"DROP PUBLICATION IF EXISTS {quoted(slot)}")

    if cluster.topology.administrator is not None:
        subject = f"the publication {slot} is dropped"
        eventually(drop_publication, within=timing.visible, subject=subject, retry_on=NO_ANSWER)
    return left


def is_of_a_run(slot: str) -> bool:
    """Whether it is called as those of runs are: no other is touched."""
    return _NAME.match(slot) is not None
