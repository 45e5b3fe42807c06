"""What is read at a glance: what was lost, how long nobody could write, how fast it is, what is new; and how far all of
that can be trusted."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from support.hosts.processors import busy_machine
from support.reporting.journal import RunRecord
from support.reporting.pages import costs, trends
from support.reporting.pages.grid import KEPT, PromiseState
from support.reporting.past import Figure, PastRun
from support.reporting.trust import Proof, Trust
from support.vocabulary import counted

UNCLEAR = ("inconclusive", "error")
"""Words on promises that ran and could not be judged."""


@dataclass(frozen=True)
class Fact:
    """What is read at a glance."""

    words: str
    value: str
    note: str
    style: str = ""


def glance(
    states: Sequence[PromiseState], run: PastRun, past: Sequence[PastRun], since: Mapping[str, trends.Since]
) -> list[Fact]:
    """The answers to the first questions, in figures; the worst thing that can happen first."""
    return [_loss(run), _downtime(run), _speed(states, run, past), _news(past, since)]


def _loss(run: PastRun) -> Fact:
    words = "Acknowledged writes lost"
    checked = [one for one in run.incidents if one.lost is not None]
    if not checked:
        return Fact(words, "not checked", "no ledger was read back after a fault", "none")
    lost = sum(one.lost or 0 for one in checked)
    number = sum(one.acknowledged or 0 for one in checked)
    of = counted(len(run.incidents), "fault")
    extent = f"after {len(checked)} of {of}" if len(checked) < len(run.incidents) else f"after {of}"
    where = costs.lost_where(costs.costs(checked))
    note = f"{where}; checked {extent}" if where else f"of {number:,} checked, {extent}"
    return Fact(words, f"{lost:,}", note, "broken" if lost else "kept")


def _downtime(run: PastRun) -> Fact:
    words = "Longest time without writes"
    over = [one for one in run.incidents if one.exceeded]
    most = max(over, key=lambda one: (one.without_writes or 0) / (one.limit or 1), default=None)
    worst = costs.worst_unplanned(run.incidents) or most
    if worst is None:
        return Fact(words, "not tried", "no unplanned fault while clients were writing", "none")
    measured = [one for one in run.incidents if one.without_writes is not None and not one.planned]
    notes = [
        f"when {worst.kind}",
        f"limit: {worst.limit:g} s" if worst.limit is not None else "its scenario sets no limit",
    ]
    if most is not None and not worst.exceeded:
        notes.append(f"over its limit when {most.kind}: {costs.stopped_for(most)} (limit: {most.limit:g} s)")
    if measured:
        notes.append(f"the longest of {counted(len(measured), 'unplanned fault')} with clients writing")
    style = "broken" if worst.exceeded else "kept" if worst.limit is not None and not over else ""
    return Fact(words, costs.stopped_for(worst), "; ".join(notes), style)


def _speed(states: Sequence[PromiseState], run: PastRun, past: Sequence[PastRun]) -> Fact:
    words = "Figures within their limits"
    limited = [one for one in run.figures if one.measure.limit is not None]
    unclear = [one for one in limited if not_judged(one, states)]
    judged, slow = len(limited) - len(unclear), trends.slower(run, past)
    within = sum(one.measure.within for one in limited)
    notes = []
    if unclear:
        notes.append(f"{len(unclear)} not judged ({', '.join(dict.fromkeys(one.promise for one in unclear))})")
    if (known := trends.comparable(run, past)) < trends.TELLING:
        notes.append(f"slower than before? not known yet: needs {trends.TELLING} runs that measured them, has {known}")
    else:
        ids = list(dict.fromkeys(one.promise for one, _ in slow))
        notes.append(f"newly slow: {_few(ids) or 'nothing'}")
    if not judged:
        return Fact(words, "none judged" if limited else "none measured", "; ".join(notes), "none")
    style = "broken" if within < judged else "error" if slow else "kept"
    return Fact(words, f"{within} of {judged}", "; ".join(notes), style)


def not_judged(figure: Figure, states: Sequence[PromiseState]) -> bool:
    """Whether a figure exceeds its limit, and its scenario could not tell whether the cluster is to blame."""
    if figure.measure.within:
        return False
    return any(one.promise.id == figure.promise and one.word in UNCLEAR for one in states)


def _news(past: Sequence[PastRun], since: Mapping[str, trends.Since]) -> Fact:
    if not past:
        return Fact("Newly broken", "unknown", "there is no earlier run of this target", "none")
    new = [id for id, one in since.items() if one.newly]
    first = [id for id, one in since.items() if one.first_judged]
    old = len(since) - len(new) - len(first)
    notes = [f"compared with {counted(len(past), 'earlier run')}"]
    notes += [f"broken, and first judged in this run: {_few(first)}"] if first else []
    notes += [f"broken before, too: {old}"] if old else []
    style = "broken" if new else "none" if first else "kept"
    return Fact("Newly broken", _few(new) or "nothing", "; ".join(notes), style)


def _few(ids: Sequence[str]) -> str:
    """One or two ids, or how many there are."""
    return ", ".join(ids) if len(ids) <= 2 else counted(len(ids), "promise")


def confidence(
    record: RunRecord,
    states: Sequence[PromiseState],
    trust: Trust,
    at: float,
    sabotages: Mapping[str, Sequence[str]],
) -> Iterator[str]:
    """How far the verdicts can be trusted, in sentences: those that are broken, those that are kept, and the speed.

    `at`: when `accept prove` wrote what it found; `sabotages`: see `site.Knowledge`.
    """
    yield from _in_broken(record, states)
    if kept := {one.promise.id for one in states if one.word == KEPT}:
        yield _in_kept(kept, trust, at, sabotages)
    if missed := [one.sabotage for one in _broken_on_purpose(trust) if not one.noticed]:
        yield f"Not noticed by every scenario that should have: {', '.join(missed)}."
    if busy := [one for one in states if one.word in UNCLEAR and busy_machine(one.why)]:
        told = ", ".join(one.promise.id for one in busy)
        yield f"No verdict on the speed of {told}: other programs kept the machine busy. Run it on a quiet machine."
    if record.flaky:
        yield f"{counted(len(record.flaky), 'scenario')} passed only when run again (below)."
    elif record.earlier:
        yield "No scenario was flaky: what failed was run again, and failed again."


def _in_broken(record: RunRecord, states: Sequence[PromiseState]) -> Iterator[str]:
    """Wrong results, and limits that were exceeded, which are less certain if it was once."""
    broken = [one for one in states if one.word == "broken"]
    wrong = [one.promise.id for one in broken if one.wrong]
    twice = [one.promise.id for one in broken if not one.wrong and one.twice(record)]
    once = [one.promise.id for one in broken if one.promise.id not in (*wrong, *twice)]
    if wrong:
        yield f"Broken promises: yes. {', '.join(wrong)}: a result was wrong, and no rerun can change that."
    if twice:
        yield f"Broken promises: yes. {', '.join(twice)} failed twice, the second time in a rerun."
    if once:
        again = "it" if len(once) == 1 else "them"
        yield (
            f"Broken promises: probably. {', '.join(once)} failed once, without a wrong result, which may be noise; "
            f"run {again} again to be sure."
        )


def _broken_on_purpose(trust: Trust) -> list[Proof]:
    """The sabotages that took effect."""
    return [one for one in trust.proofs if one.tried and not one.failed]


def _in_kept(kept: Collection[str], trust: Trust, at: float, sabotages: Mapping[str, Sequence[str]]) -> str:
    """Whether what is kept was seen to be able to fail: how many of these promises, and in how many ways."""
    ways = len({words for those in sabotages.values() for words in those})
    proofs = _broken_on_purpose(trust)
    if not proofs:
        known = f", by breaking one in {counted(ways, 'way')}" if ways else ""
        return (
            "Kept promises: not proved here. Whether these scenarios notice a broken cluster was not tried on this "
            f"target; ./accept prove tries it{known}."
        )
    noticed, tried, alarms = sum(one.noticed for one in proofs), len(proofs), len(trust.alarms)
    seen = sum(id in trust.seen_to_fail for id in kept)
    sound = noticed == tried and not alarms
    verdict = "yes" if sound and 2 * seen > len(kept) else "in part" if sound and seen else "with caution"
    rest = f" The other {len(kept) - seen} were not tried; ./accept prove tries more." if seen < len(kept) else ""
    share = f"{seen} of the {counted(len(kept), 'promise')} kept {'was' if seen == 1 else 'were'}"
    in_ways = f"{tried} of {ways} known ways" if tried < ways else counted(tried, "way")
    return (
        f"Kept promises: {verdict}. On {trends.day(at)} a cluster was broken on purpose in {in_ways}. The scenarios "
        f"noticed {noticed} of {tried}, with {counted(alarms, 'false alarm')} in "
        f"{counted(len(trust.healthy), 'healthy run')}, and {share if seen < len(kept) else 'every promise kept was'} "
        f"seen to fail.{rest}"
    )
