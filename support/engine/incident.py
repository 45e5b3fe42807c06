"""What a fault cost the clients of the cluster, in figures. The report calls this an incident."""

from collections.abc import Collection, Sequence

from support.engine.checks.availability import longest_gap
from support.engine.fault_record import at_epoch
from support.engine.history import History, Outcome, WriterSample
from support.engine.ledger import APPEND, LOST_REACH_BACK
from support.engine.time_spent import takeovers
from support.faults.nemesis import InjectedFault, without_preparations
from support.reporting.scenario import Incident, Measure

_OF_LOSS = {"acknowledged": "acknowledged writes", "lost": "lost writes", "unanswered": "unknown writes"}
"""The names of the figures behind an incident; one such figure for each ledger of a scenario."""


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
    since, target = faults[0].begun, faults[0].target_member
    gap = longest_gap(history, APPEND, since) if history is not None and _acknowledged(history, since) else None
    hit = next((one for one in groups if target in one), groups[0] if groups else ())
    changes = [at for at in takeovers(one for one in samples if one.member in hit) if at > since]
    counts = {name: [one.value for one in measures if one.name.startswith(of)] for name, of in _OF_LOSS.items()}
    reach = [one.value for one in measures if one.name.startswith(LOST_REACH_BACK)]
    healing = [one.healing for one in faults if one.healing is not None]
    limits = [one.limit for one in measures if one.name.endswith("were interrupted for") and one.limit is not None]
    return Incident(
        kind=faults[0].kind,
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


def _refused(history: History | None, since: float) -> int | None:
    """Writes that ended with an error since then; None if no client wrote."""
    if history is None or not history.of(action=APPEND):
        return None
    return sum(one.begun >= since for one in history.of(action=APPEND, outcome=Outcome.FAIL))


def _acknowledged(history: History, before: float) -> bool:
    return any(one.ended <= before for one in history.of(action=APPEND, outcome=Outcome.OK))
