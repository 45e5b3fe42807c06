"""Several runs as one: of other jobs or machines, also of jobs that failed.

If a scenario ran more than once, the worst verdict counts (a wrong result is worse than an exceeded limit), with
the steps, attachments and figures of that run; where the runs disagree, its reason names the verdicts of the others.
Whatever further promises any of them saw broken are broken, and its reason names the run that saw it.
So a scenario passes when it passed in every run that could judge it, and no repeated job, and no job with another
target, can hide what one of them found. A run whose target lacks what a scenario needs does not count for it, unless
the capability was required there.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from support.reporting.allure_results import raw_results
from support.reporting.journal import Journal, RunRecord, Trouble, capabilities, read
from support.reporting.scenario import ScenarioResult, Verdict
from support.reporting.tally import WORST_FIRST
from support.vocabulary import counted
from support.waiting import describe

JOURNAL = "journal.jsonl"
"""Name of the journal in the folder of results."""
SUPERSEDED = "superseded"
"""Name of a file in the folder of results: a later run has begun, and so far has left no results of its own.

If that run is killed, those in the folder would be taken for its results. No dot: artifacts leave hidden files out.
"""
LEFT_NONE = "its last run left no results, so nothing was judged; those there are of an earlier run"
"""What is said of such a folder."""


@dataclass(frozen=True)
class Part:
    """One of the runs."""

    name: str
    """Used in reasons and troubles."""
    results: Path
    """Its Allure results, with its journal."""
    record: RunRecord


def part_in(folder: Path, name: str) -> Part:
    """The run whose results are in `allure-results` in a folder, or in that folder itself.

    Never raises: a run that is missing, left no results or cannot be read is a run with a trouble.
    """
    inner = folder / "allure-results"
    results = inner if inner.is_dir() else folder
    return Part(name, results, _read(results))


def is_superseded(results: Path) -> bool:
    """Whether the results in that folder are of an earlier run: the last one has left none, however it ended."""
    return (results / SUPERSEDED).exists()


def merged(parts: Sequence[Part]) -> RunRecord:
    """One record of all parts. A part that has no journal, or was stopped, is a trouble: it was not judged."""
    records = [part.record for part in parts]
    selected = {one.key: one for record in records for one in record.selected}
    chosen = _chosen(parts)
    return RunRecord(
        selected=tuple(selected.values()),
        results=tuple(_result(key, part, parts) for key, part in chosen.items() if key in part.record.by_key),
        started={key: part.record.started[key] for key, part in chosen.items() if key in part.record.started},
        facts=_facts(parts),
        required=frozenset(one for record in records if record.required_and_missing for one in record.required),
        known_limits=tuple(dict.fromkeys(one for record in records for one in record.known_limits)),
        troubles=tuple(trouble for part in parts for trouble in _troubles(part)),
        interrupted=any(record.interrupted for record in records),
        began=min((record.began for record in records if record.began), default=0.0),
        left_out={key: part.record.left_out[key] for key, part in chosen.items() if key in part.record.left_out},
        lost=tuple(sorted({name for record in records for name in record.lost})),
        capabilities=capabilities(record.capabilities for record in records),
        fail_on_flaky=any(record.fail_on_flaky for record in records),
        earlier={key: part.record.earlier[key] for key, part in chosen.items() if key in part.record.earlier},
        crowded={key: part.record.crowded[key] for key, part in chosen.items() if key in part.record.crowded},
        options=options.pop() if len(options := {record.options for record in records}) == 1 else "",
        selection="; ".join(dict.fromkeys(record.selection for record in records if record.selection)),
        ended=max((record.ended for record in records), default=0.0),
    )


def write(record: RunRecord, path: Path) -> None:
    """Write a journal from which `read` returns this record."""
    journal = Journal(path)
    journal.begin(
        record.selected,
        record.facts,
        sorted(record.required),
        record.began,
        record.known_limits,
        record.capabilities,
        record.lost,
        record.fail_on_flaky,
    )
    for scenario in record.selected:
        if at := record.started.get(scenario.key):
            journal.started(scenario, at)
    for result in record.crowded.values():
        journal.record(result)
    journal.alone(list(record.crowded.values()))
    for result in record.earlier.values():
        journal.record(result)
    journal.rerun(list(record.earlier.values()))
    for result in record.results:
        journal.record(result)
    for key, why in record.left_out.items():
        journal.left_out([key], why)
    for trouble in record.troubles:
        journal.trouble(trouble.message, trouble.trace)
    if record.options or record.selection:
        journal.asked(record.options, record.selection)
    journal.end(record.interrupted, record.ended)


def collect(parts: Sequence[Part], results: Path) -> None:
    """Copy what Allure needs: the result that counts of each scenario, and all attachments."""
    results.mkdir(parents=True)
    chosen = _chosen(parts)
    for part in parts:
        for pattern in ("*-container.json", "*-attachment*"):
            for path in part.results.glob(pattern):
                shutil.copy(path, results)
        for path, result in raw_results(part.results):
            if chosen.get(str(result.get("historyId"))) is part:
                shutil.copy(path, results)


def _read(results: Path) -> RunRecord:
    journal = results / JOURNAL
    try:
        if is_superseded(results):
            return RunRecord(troubles=(Trouble(LEFT_NONE),))
        record = read(journal)
    except (OSError, ValueError, TypeError, KeyError) as error:
        return RunRecord(troubles=(Trouble(f"its journal cannot be read, so nothing was judged: {describe(error)}"),))
    if record.selected or record.troubles:
        return record
    why = "it has no journal" if not journal.exists() else "its journal names no scenario"
    return RunRecord(troubles=(Trouble(f"{why}, so nothing was judged"),))


def _chosen(parts: Sequence[Part]) -> Mapping[str, Part]:
    """The part that counts for each scenario, by key: the one with the worst verdict, of equals the last.

    One that saw further promises broken comes before one that did not, so that their evidence is in the report.
    """
    of: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        for scenario in part.record.selected:
            of[scenario.key].append(part)
    return {key: min(reversed(those), key=lambda one: _gravity(one, key)) for key, those in of.items()}


def _gravity(part: Part, key: str) -> tuple[bool, int, bool, bool, bool]:
    """Smaller is graver. Passing at once is better than passing on the rerun."""
    verdict = part.record.verdict_on(key)
    lacking = verdict is Verdict.SKIPPED and part.record.by_key[key] not in part.record.required_and_missing
    result = part.record.by_key.get(key)
    final, further = (result.final, bool(result.also_broken)) if result else (False, False)
    return lacking, WORST_FIRST.index(verdict), not final, not further, key not in part.record.earlier


def _result(key: str, part: Part, parts: Iterable[Part]) -> ScenarioResult:
    """The result that counts, with all that other parts saw meanwhile.

    Its reason names the parts with another verdict, and those that saw further promises broken.
    """
    result = part.record.by_key[key]
    others = {other.name: other.record.verdict_on(key) for other in parts if _selected(other, key)}
    told = [f"{word} in {name}" for name, word in others.items() if word != result.verdict]
    broken, limits = result.also_broken, result.known_limits
    for other in parts:
        if (seen := other.record.by_key.get(key)) is None:
            continue
        if further := [id for id in seen.also_broken if id not in broken]:
            told.append(f"{', '.join(further)} also broken in {other.name}")
        broken = tuple(dict.fromkeys((*broken, *seen.also_broken)))
        limits = tuple(dict.fromkeys((*limits, *seen.known_limits)))
    reason = f"{result.reason} (in {part.name}; {', '.join(told)})" if told else result.reason
    return replace(result, reason=reason, also_broken=broken, known_limits=limits)


def _selected(part: Part, key: str) -> bool:
    return any(one.key == key for one in part.record.selected)


def _facts(parts: Sequence[Part]) -> dict[str, str]:
    """A fact that is the same in all parts appears once, another with the part behind each value."""
    values: dict[str, dict[str, str]] = defaultdict(dict)
    for part in parts:
        for name, value in part.record.facts.items():
            values[name][part.name] = value
    facts = {"Runs": ", ".join(part.name for part in parts)}
    for name, by_part in values.items():
        same = len(set(by_part.values())) == 1
        facts[name] = next(iter(by_part.values())) if same else "; ".join(f"{v} ({p})" for p, v in by_part.items())
    return facts


def _troubles(part: Part) -> Iterator[Trouble]:
    for one in part.record.troubles:
        yield replace(one, message=f"{part.name}: {one.message}")
    if part.record.interrupted:
        missing, all_of_it = len(part.record.without_verdict), len(part.record.selected)
        yield Trouble(f"{part.name}: it was stopped; {missing} of {counted(all_of_it, 'scenario')} without a verdict")
