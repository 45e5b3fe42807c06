"""Capabilities that depend on what the replicas are for, and on where the read endpoint leads.

They are decided for every leader that there can be: a failover must not change which scenarios can run.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from support.target.haproxy import RESERVE
from support.target.patroni_configuration import PatroniConfiguration
from support.target.purposes import Purpose, candidates, direct_ends
from support.target.reads import Reads

OF_SEVERAL = ("several_candidates", "spare_standby", "spare_replica", "spare_direct_replica")
"""The capabilities that no cluster has with fewer than two replicas."""
OF_ANY = ("streaming_replicas", "prompt_replicas", "serving_replicas")
"""The capabilities that no cluster has without a replica."""
DECIDED = frozenset({*OF_SEVERAL, *OF_ANY, "prompt_reads"})

Purposes = Mapping[str, Purpose]
"""Member -> its purpose."""


@dataclass(frozen=True)
class _Shortage:
    """The replicas that can do something, with the leader with which they are fewest."""

    able: tuple[str, ...]
    others: tuple[str, ...]

    def told(self, can: str, cannot: str) -> str:
        able = f"only {' and '.join(self.able)}" if self.able else "no replica"
        return f"{able} {can}, and not {', '.join(self.others)} ({cannot})"


def lacking_replicas(
    possible: Mapping[int, Sequence[Purposes]], configured: PatroniConfiguration | None, reads: Reads
) -> Iterator[tuple[str, str]]:
    """The capabilities that the cluster is not meant to have, each with the reason.

    `possible` is group -> the purposes of its members with each leader that there can be; `configured` is the
    configuration of the coordinator's group, or of the only one.
    """
    ours = [one for one in possible.get(0, ()) if len(one) > 1]
    if few := _fewest(ours, candidates, 2):
        yield (
            "several_candidates",
            few.told("may lead and streams from the leader", "nofailover, failover_priority, nostream, replicatefrom"),
        )
    if few := _fewest(ours, _possible_standbys, 2):
        yield (
            "spare_standby",
            few.told("may be a synchronous standby", "nosync, sync_priority, nostream, replicatefrom"),
        )
    if configured and (busy := next(filter(None, (_all_waited_for(one, configured) for one in ours)), "")):
        yield "spare_replica", busy
    if configured and (needed := next(filter(None, (_all_needed(one, configured) for one in ours)), "")):
        yield "spare_direct_replica", needed
    everywhere = [[one for one in group if len(one) > 1] for group in possible.values()]
    if any(everywhere) and all(not group or _fewest(group, _streaming, 1) for group in everywhere):
        yield "streaming_replicas", "no replica is meant to stream (nostream)"
    if few := _fewest(ours, _prompt, 1):
        yield "prompt_replicas", f"no replica is meant to show at once what is committed: {', '.join(few.others)}"
    nobody = "no replica is meant to serve reads and to show at once what is committed"
    if unserved := _fewest(ours, lambda known: _serving(known, reads), 1):
        yield "serving_replicas", f"{nobody}: {', '.join(unserved.others)}"
    late = {name: one for known in ours for name, one in known.items() if not one.shows_at_once}
    if shown := [name for name in late if name in reads.up]:
        yield (
            "prompt_reads",
            f"the read endpoint leads to {' and '.join(shown)}, whose readers see late what is committed "
            "(recovery_min_apply_delay, nostream)",
        )
    elif unserved and not reads.up:
        yield "prompt_reads", f"the read endpoint leads nowhere, and {nobody}: {', '.join(unserved.others)}"


def _fewest(possible: Sequence[Purposes], able: Callable[[Purposes], Collection[str]], least: int) -> _Shortage | None:
    """Where fewer than `least` replicas are able with some leader, although there are so many."""
    for known in possible:
        replicas = [name for name, one in known.items() if not one.leads]
        found = [name for name in replicas if name in able(known)]
        if len(replicas) >= least > len(found):
            return _Shortage(tuple(found), tuple(name for name in replicas if name not in found))
    return None


def _possible_standbys(known: Purposes) -> list[str]:
    return [name for name, one in known.items() if one.may_be_synchronous]


def _streaming(known: Purposes) -> list[str]:
    return [name for name, one in known.items() if one.source]


def _prompt(known: Purposes) -> list[str]:
    return [name for name, one in known.items() if one.shows_at_once and not one.leads]


def _serving(known: Purposes, reads: Reads) -> list[str]:
    """A member that never leads may be missing from the proxy, or be a backup server there."""
    positions = {name for name, position in reads.positions.items() if position != RESERVE}
    return [
        name
        for name, one in known.items()
        if one.serves_at_once and (one.may_lead or not reads.listed or name in positions)
    ]


def _all_waited_for(known: Purposes, configured: PatroniConfiguration) -> str:
    """Why there is no replica that streams and that no commit waits for; empty if there is one."""
    replicas = [name for name, one in known.items() if not one.leads]
    if len(replicas) < 2:
        return ""
    streaming, waited_for = _streaming(known), _waited_for(known, configured)
    if len(streaming) > waited_for:
        return ""
    return f"of the replicas, {' and '.join(streaming) or 'none'} can stream, and {_asked(waited_for, configured)}"


def _all_needed(known: Purposes, configured: PatroniConfiguration) -> str:
    """Why commits may wait for each replica that streams from the leader and from which no other member does; empty if
    there is always one for which they do not."""
    if sum(not one.leads for one in known.values()) < 2:
        return ""
    ends, waited_for = direct_ends(known), _waited_for(known, configured)
    if len(ends) > min(waited_for, sum(known[name].may_be_synchronous for name in ends)):
        return ""
    leaders = {name for name, one in known.items() if one.leads}
    chains = [f"{name} streams from {one.source}" for name, one in known.items() if one.source not in {"", *leaders}]
    told = f" ({'; '.join(chains)})" if chains else ""
    return (
        f"of the replicas, {' and '.join(ends) or 'none'} can stream from the leader with no other member streaming "
        f"from it{told}, and {_asked(waited_for, configured)}"
    )


def _waited_for(known: Purposes, configured: PatroniConfiguration) -> int:
    """For how many standbys a commit waits."""
    return min(configured.standbys, len(_possible_standbys(known))) if configured.synchronous else 0


def _asked(waited_for: int, configured: PatroniConfiguration) -> str:
    return f"commits wait for {waited_for} of them (synchronous_node_count is {configured.standbys})"
