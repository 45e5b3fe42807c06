"""Why scenarios were skipped: each thing that the target lacks once, with what cannot be tested without it.

A scenario can lack several things. Listed by their combinations, a cluster that the suite knows little about has forty
reasons of five lines; listed one by one they are a dozen, and say what to do first.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from support.reporting.journal import RunRecord
from support.reporting.scenario import ScenarioResult, Verdict
from support.vocabulary import counted


@dataclass(frozen=True)
class Skip:
    """A scenario that cannot be judged on this target."""

    promises: Sequence[str]
    """Their ids."""
    lacks: Mapping[str, str]
    """Capability -> why the target lacks it. One that is named "" stands for a reason of another kind."""
    required: frozenset[str] = frozenset()
    """The capabilities of the scenario that the user requires."""


@dataclass(frozen=True)
class Obstacle:
    """One thing that the target lacks, and the scenarios that were skipped for it."""

    why: str
    scenarios: int
    alone: int
    """How many of those lack nothing else."""
    promises: tuple[str, ...]
    """The ids of the promises of all those scenarios."""
    promises_alone: tuple[str, ...]
    """The ids of the promises of the scenarios that lack nothing else."""
    required: bool
    """The user requires it."""

    @property
    def extent(self) -> str:
        """What it keeps from being tested."""
        if self.alone == self.scenarios:
            return ", ".join(self.promises)
        what = counted(self.scenarios, "scenario")
        if not self.alone:
            return f"{what}, {'each of which' if self.scenarios > 1 else 'which'} lacks something else as well"
        return f"{what}, {self.alone} of them for this reason alone ({', '.join(self.promises_alone)})"


def obstacles(skips: Iterable[Skip]) -> list[Obstacle]:
    """What stands in the way of these scenarios; first what stands in the way of most."""
    by_why: dict[str, list[Skip]] = defaultdict(list)
    names: dict[str, dict[str, None]] = defaultdict(dict)
    for skip in skips:
        for name, why in skip.lacks.items():
            names[why].setdefault(name)
        for why in dict.fromkeys(skip.lacks.values()):
            by_why[why].append(skip)
    found = [_obstacle(why, [*names[why]], those) for why, those in by_why.items()]
    return sorted(found, key=lambda one: (-one.scenarios, one.why))


def of_run(record: RunRecord) -> list[Obstacle]:
    """What stood in the way of the scenarios that a run skipped."""
    return obstacles(
        Skip(
            result.scenario.ids or (result.scenario.name,),
            _lacks(record, result),
            record.required.intersection(result.scenario.tags),
        )
        for result in record.of(Verdict.SKIPPED)
    )


def _lacks(record: RunRecord, result: ScenarioResult) -> Mapping[str, str]:
    lacks = {name: why for name, why in record.capabilities.items() if why and name in result.scenario.tags}
    return lacks or {"": result.reason_in_a_line}


def _obstacle(why: str, names: Sequence[str], those: Sequence[Skip]) -> Obstacle:
    alone = [skip for skip in those if len({*skip.lacks.values()}) == 1]
    return Obstacle(
        why if "" in names else f"no {', '.join(names)}: {why}",
        len(those),
        len(alone),
        _promises(those),
        _promises(alone),
        any(skip.required if "" in names else skip.required.intersection(names) for skip in those),
    )


def _promises(skips: Iterable[Skip]) -> tuple[str, ...]:
    return tuple(sorted({id for skip in skips for id in skip.promises}))
