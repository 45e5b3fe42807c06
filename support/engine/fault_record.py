"""What happened around a fault, as data: which members accepted writes or were silent, and what clients achieved.

The report's pages draw it (support/reporting/fault_record.py).
"""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from typing import Literal

from support.engine.checks.availability import Gap, longest_gap
from support.engine.history import History, Operation, Outcome, WriterSample
from support.faults.nemesis import InjectedFault, without_preparations
from support.reporting.fault_record import Event, FaultRecord, FaultSpan, MemberState, Rates, thinned

SLICE = 0.5
"""Seconds per bin in which operations are counted."""
_LATE = 0.5  # seconds; a slower answer is dated by its end
_MOST_EVENTS = 250
_WORDS: dict[bool | None, Literal["writes", "reads", "silent"]] = {True: "writes", False: "reads", None: "silent"}


def record_of(
    promise: str,
    samples: Sequence[WriterSample],
    history: History | None,
    injected_faults: Sequence[InjectedFault],
    events: Iterable[tuple[float, str, str]] = (),
    groups: Iterable[Collection[str]] = (),
    reads: History | None = None,
) -> FaultRecord:
    """What was seen of the members, what clients did, and which faults there were.

    `events` are notable log lines: when each was written (seconds since the epoch), on which host, and its text.
    `groups` lists the members of each group, which share one leader. `reads` is what clients did that only read.
    """
    zero = zero_of(samples, injected_faults)
    epoch = at_epoch(zero)
    operations, lookups = list(history or ()), list(reads or ())
    gap = gap_of(operations, injected_faults)
    states = states_of(samples)
    return FaultRecord(
        promise=promise,
        zero=epoch,
        ended=_rounded(
            max([*(one.ended for one in states), *(one.ended for one in (*operations, *lookups))], default=zero) - zero
        ),
        periods=tuple(
            replace(one, begun=_rounded(one.begun - zero), ended=_rounded(one.ended - zero)) for one in states
        ),
        faults=tuple(_span(one, zero) for one in injected_faults),
        rates=_rates(operations, zero) if operations else None,
        gap=(_rounded(gap.begun - zero), _rounded(gap.ended - zero)) if gap else None,
        events=thinned((Event(_rounded(at - epoch), host, words) for at, host, words in events), _MOST_EVENTS),
        groups=tuple(tuple(one) for one in groups),
        reads=_rates(lookups, zero) if lookups else None,
    )


def states_of(samples: Iterable[WriterSample]) -> list[MemberState]:
    """Merges consecutive samples that found a member in the same state; times are on the monotonic clock.

    Each state lasts until the next one begins. A slow answer counts from the end of its sample: a frozen member answers
    when it thaws.
    """
    found = []
    by_time = sorted(samples, key=lambda sample: (sample.member, sample.begun))
    for member, looks in groupby(by_time, key=lambda sample: sample.member):
        runs = [list(run) for _, run in groupby(looks, key=lambda sample: sample.writable)]
        ends = [_known_from(after[0]) for _, after in pairwise(runs)] + [runs[-1][-1].ended]
        found += [
            MemberState(member, _WORDS[run[0].writable], _known_from(run[0]), end)
            for run, end in zip(runs, ends, strict=True)
        ]
    return found


def _known_from(look: WriterSample) -> float:
    late = look.writable is not None and look.ended - look.begun > _LATE
    return look.ended if late else look.begun


def at_epoch(moment: float) -> float:
    """A moment of the monotonic clock, in seconds since the epoch."""
    return time.time() - time.monotonic() + moment


def zero_of(samples: Sequence[WriterSample], injected_faults: Sequence[InjectedFault]) -> float:
    """When the first fault began, or the first sample if there was none; on the monotonic clock."""
    begun = [one.begun for one in without_preparations(injected_faults)] or [one.begun for one in samples]
    return min(begun, default=time.monotonic())


def gap_of(operations: Sequence[Operation], injected_faults: Sequence[InjectedFault]) -> Gap | None:
    """The longest time without any acknowledged operation, from the first fault on."""
    faults = without_preparations(injected_faults)
    return longest_gap(History(operations), None, faults[0].begun) if faults else None


def _span(fault: InjectedFault, zero: float) -> FaultSpan:
    healing = None if fault.healing is None else _rounded(fault.healing - zero)
    healed = None if fault.healed is None else _rounded(fault.healed - zero)
    in_effect = None if fault.took_effect is None else _rounded(fault.took_effect - zero)
    return FaultSpan(fault.words, _rounded(fault.begun - zero), in_effect, healing, healed, fault.preparation)


def _rates(operations: Iterable[Operation], zero: float) -> Rates:
    counts: dict[Outcome, Counter[float]] = {outcome: Counter() for outcome in Outcome}
    for one in operations:
        counts[one.outcome][(one.ended - zero) // SLICE * SLICE] += 1
    ordered = {outcome: tuple(sorted(found.items())) for outcome, found in counts.items()}
    return Rates(SLICE, ordered[Outcome.OK], ordered[Outcome.FAIL], ordered[Outcome.UNKNOWN])


def _rounded(seconds: float) -> float:
    return round(seconds, 3)
