"""Every promise of the list with what this run says about it, by capability."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from support.reporting import obstacles
from support.reporting.journal import RunRecord
from support.reporting.pages.wording import cut, observations
from support.reporting.promises import Promise
from support.reporting.scenario import EPICS, Scenario, ScenarioResult, Verdict
from support.reporting.tally import WORST_FIRST, tally, why_unfinished
from support.vocabulary import counted

NOT_RUN = "not run"
NOT_CHOSEN = "it was not selected for this run"
NOT_BEGUN = "the run could not begin"
KEPT = "kept"
WORDS: Mapping[Verdict, str] = {
    Verdict.PASSED: KEPT,
    Verdict.BROKEN: "broken",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.ERROR: "error",
    Verdict.SKIPPED: "skipped",
    Verdict.INTERRUPTED: "interrupted",
    Verdict.NOT_REACHED: "not reached",
}
"""A verdict on a promise, in a word."""
STYLES: Mapping[str, str] = {NOT_RUN: "none", "not reached": "unreached"}
"""Word -> its style in the pages, if that is another one."""
MEANINGS: Mapping[str, str] = {
    KEPT: "every scenario saw it hold",
    "broken": "it was seen to fail",
    "inconclusive": "there was no evidence either way",
    "error": "the suite or its environment failed",
    "skipped": "this target lacks what its scenarios need",
    "interrupted": "the run was stopped before its scenarios ended",
    "not reached": "the run ended before its turn",
    NOT_RUN: "this run has no result for it",
}


@dataclass(frozen=True)
class PromiseState:
    """What a run says about one promise."""

    promise: Promise
    word: str
    """One of MEANINGS."""
    scenarios: tuple[Scenario, ...] = ()
    """The scenarios of the promise that this run selected."""
    results: tuple[ScenarioResult, ...] = ()
    """The results that are the reason for the word."""
    why: str = ""
    """Why it is not kept; empty if it is."""
    passed: int = 0
    """How many of its scenarios saw it hold."""

    @property
    def style(self) -> str:
        return STYLES.get(self.word, self.word)

    @property
    def seen(self) -> list[str]:
        """Why it is not kept, in short: an entry for each thing that was seen."""
        return observations([one.seen for one in self.results]) or ([cut(self.why)] if self.why else [])

    @property
    def wrong(self) -> bool:
        """Whether a result was wrong, which no rerun can change."""
        return any(one.final for one in self.results)

    @property
    def never_came(self) -> bool:
        """Whether something that was waited for never came, and nothing worse was seen."""
        return not self.wrong and any(one.never_came for one in self.results)

    @property
    def in_part(self) -> str:
        """How many of its scenarios passed, if it was tested in part only."""
        if self.word != WORDS[Verdict.SKIPPED] or not self.passed:
            return ""
        return f"in part: {self.passed} of {len(self.scenarios)} scenarios passed"

    @property
    def label(self) -> str:
        """Its short name, and that it failed by a limit only if it did."""
        late = self.word == "broken" and not self.wrong and not self.never_came
        return f"{self.promise.name}: over a limit" if late and self.promise.name else self.promise.name

    def twice(self, record: RunRecord) -> bool:
        """Whether a scenario found it broken when it ran once more as well."""
        return any(record.broke_twice(one.scenario.key) for one in self.results)

    @property
    def other_limits(self) -> list[str]:
        """The limits that it failed by, where they are not what its scenarios state, each with the reason."""
        those = ((one, words) for one in self.results for words in one.other_limits)
        return list(dict.fromkeys(words for one, words in those if _limits(words.split(":")[0], one.reason)))

    @property
    def judged(self) -> bool:
        return self.word in (KEPT, "broken")


def states(record: RunRecord, listed: Mapping[str, Promise]) -> tuple[PromiseState, ...]:
    """Each promise, in the order of the list; those that only the scenarios know come last."""
    verdicts = {id: verdict for suite in tally(record) for id, verdict in suite.promises.items()}
    selected: dict[str, list[Scenario]] = defaultdict(list)
    for scenario in record.selected:
        selected[scenario.promise].append(scenario)
    unknown = {id: _unlisted(id, those[0]) for id, those in selected.items() if id not in listed}
    left = f"the run was limited to {record.selection}" if record.selection else NOT_CHOSEN
    if not record.selected:
        left = NOT_BEGUN
    return tuple(
        _state(promise, verdicts[promise.id], selected[promise.id], record)
        if promise.id in verdicts
        else PromiseState(promise, NOT_RUN, why=left)
        for promise in (*listed.values(), *unknown.values())
    )


def by_capability(those: Iterable[PromiseState]) -> list[tuple[str, list[PromiseState]]]:
    """The promises of each capability, under its name in the report."""
    found: dict[str, list[PromiseState]] = defaultdict(list)
    for one in those:
        found[one.promise.capability].append(one)
    order = [*EPICS, *(name for name in found if name not in EPICS)]
    return [(EPICS.get(name, name.capitalize()), found[name]) for name in order if name in found]


def counts_by_word(those: Sequence[PromiseState]) -> dict[str, int]:
    """Word -> how many promises it fits; only those that there are, in the order of MEANINGS."""
    counts = {word: sum(one.word == word for one in those) for word in MEANINGS}
    return {word: count for word, count in counts.items() if count}


def totals(those: Sequence[PromiseState]) -> str:
    """All promises of the list in one line: the only one that counts them."""
    every = counted(len(those), "promise")
    return f"{every}: {', '.join(f'{count} {word}' for word, count in counts_by_word(those).items())}."


def extent(those: Sequence[PromiseState]) -> list[tuple[str, int, int]]:
    """For each capability of which not all promises were run: its name, how many were, and how many it has."""
    counts = [(name, sum(one.word != NOT_RUN for one in states), len(states)) for name, states in by_capability(those)]
    return [(name, run, every) for name, run, every in counts if run < every]


def not_tested(those: Sequence[PromiseState], record: RunRecord) -> list[tuple[str, str, list[PromiseState], bool]]:
    """The promises that this run did not judge, by verdict and reason, and whether the user requires what is missing.

    A skipped promise is listed under each capability that the target lacks for it.
    """
    skipped = {one.promise.id: one for one in those if one.word == WORDS[Verdict.SKIPPED]}
    groups: dict[tuple[str, str], list[PromiseState]] = defaultdict(list)
    required = set[tuple[str, str]]()
    for obstacle in obstacles.of_run(record):
        if found := [skipped[id] for id in obstacle.promises if id in skipped]:
            key = WORDS[Verdict.SKIPPED], obstacle.why
            groups[key] = found
            required |= {key} if obstacle.required else set()
    for one in those:
        if one.word not in (KEPT, "broken", "inconclusive", "error", WORDS[Verdict.SKIPPED]):
            groups[one.word, one.why].append(one)
    order = list(MEANINGS)
    return [
        (*key, found, key in required) for key, found in sorted(groups.items(), key=lambda one: order.index(one[0][0]))
    ]


def _state(promise: Promise, verdict: Verdict, scenarios: Sequence[Scenario], record: RunRecord) -> PromiseState:
    results = tuple(_reasons(promise.id, verdict, scenarios, record))
    why = "; ".join(dict.fromkeys(one.reason_in_a_line for one in results))
    if verdict in (Verdict.INTERRUPTED, Verdict.NOT_REACHED):
        why = next((why_unfinished(record, one) for one in scenarios if record.verdict_on(one.key) is verdict), "")
    passed = sum(record.verdict_on(one.key) is Verdict.PASSED for one in scenarios)
    told = "" if verdict is Verdict.PASSED else why
    return PromiseState(promise, WORDS[verdict], tuple(scenarios), results, told, passed)


def _reasons(id: str, verdict: Verdict, scenarios: Sequence[Scenario], record: RunRecord) -> Iterator[ScenarioResult]:
    """The results with that verdict, and those of other scenarios that found the promise broken on the way."""
    keys = {one.key for one in scenarios}
    for one in sorted(record.results, key=lambda result: WORST_FIRST.index(result.verdict)):
        if (one.scenario.key in keys and one.verdict is verdict) or (
            verdict is Verdict.BROKEN and id in one.also_broken
        ):
            yield one


def _limits(figure: str, reason: str) -> bool:
    """Whether that is the limit that a message names."""
    return re.search(rf"limit: {re.escape(figure)}(?![\d.]*\d)", reason) is not None


def _unlisted(id: str, scenario: Scenario) -> Promise:
    return Promise(id, scenario.suite, scenario.sentence or scenario.name, scenario.severity)
