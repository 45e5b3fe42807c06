"""Earlier runs, in short: what the report compares a run with.

Kept as one JSON line for each run, beside Allure's history: the verdicts on promises and scenarios, the figures with
their limits, and what the faults cost. A run of several jobs is one run once they are merged. `run_of` makes the same
out of any journal, so that runs of other machines can be compared as well.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from support.files import locked, replace_file
from support.places import WRITES_IN
from support.reporting.journal import RunRecord, exit_status
from support.reporting.scenario import Incident, Measure, Verdict
from support.reporting.tally import tally

ALLURE_HISTORY = WRITES_IN / ".accept" / "history.jsonl"
"""The history that Allure keeps."""
PAST = "history-runs.jsonl"
"""Name of the file, beside Allure's history."""
RUN = "run.json"
"""Name of the file in the report that holds the run itself, for `accept compare`."""
KEPT = 50
"""How many runs are kept, beside those that were the last to judge a promise on their target."""
SHOWN = 20
"""How many earlier runs the report shows, and to how many earlier figures it compares one."""
KEY = 12
"""Characters of a scenario's key that tell it from others."""

_HISTORY_LINES = 5
_JUDGED = (str(Verdict.PASSED), str(Verdict.BROKEN))


@dataclass(frozen=True)
class Figure:
    """A figure that a scenario measured."""

    promise: str
    scenario: str
    """Its title."""
    measure: Measure

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies it in another run. The unit belongs to it: a figure in another unit is another figure."""
        return self.scenario, self.measure.name, self.measure.unit


@dataclass(frozen=True)
class PastRun:
    """A run that is over."""

    began: float
    """Seconds since the epoch."""
    ended: float
    target: str
    status: int
    """Its exit status."""
    promises: Mapping[str, str]
    """Id of each promise that was selected -> the verdict."""
    scenarios: Mapping[str, str]
    """The first KEY characters of each scenario's key -> its verdict."""
    figures: tuple[Figure, ...] = ()
    incidents: tuple[Incident, ...] = ()
    flaky: tuple[str, ...] = ()
    """Titles of the scenarios that passed only on the rerun."""
    wrong: tuple[str, ...] = ()
    """Ids of the promises for which a wrong result was seen: not an exceeded time limit, and not a matter of chance."""
    facts: Mapping[str, str] = field(default_factory=dict)

    def verdict(self, promise: str) -> str:
        """The verdict on a promise; empty if it was not selected."""
        return self.promises.get(promise, "")


_ADAPTER = TypeAdapter(PastRun)


def run_of(record: RunRecord) -> PastRun:
    """The run of a record, in short."""
    promises = {id: str(verdict) for suite in tally(record) for id, verdict in suite.promises.items()}
    wrong = [id for one in record.failing if one.final for id in (*one.scenario.ids, *one.also_broken)]
    return PastRun(
        began=record.began,
        ended=record.ended,
        target=record.facts.get("Target", ""),
        status=exit_status(record),
        promises=promises,
        scenarios={one.key[:KEY]: str(record.verdict_on(one.key)) for one in record.selected},
        figures=tuple(figures_of(record)),
        incidents=tuple(one.incident for one in record.results if one.incident is not None),
        flaky=tuple(one.scenario.title for one in record.flaky),
        wrong=tuple(dict.fromkeys(wrong)),
        facts=dict(record.facts),
    )


def figures_of(record: RunRecord) -> Iterator[Figure]:
    """Every figure of a run, in the order in which the scenarios ended."""
    for result in record.results:
        for measure in result.measures:
            yield Figure(result.scenario.promise, result.scenario.name, measure)


def read(path: Path) -> tuple[PastRun, ...]:
    """The runs in a file, the oldest first; lines of another version are left out. Empty if there is no such file."""
    if not path.exists():
        return ()
    lines = path.read_text(encoding="utf-8").split("\n")  # titles may contain other line separators
    return tuple(sorted(_parsed(lines), key=lambda one: one.began))


def before(run: PastRun, known: Iterable[PastRun]) -> tuple[PastRun, ...]:
    """The runs before this one on the same target, the oldest first."""
    return tuple(one for one in known if one.target == run.target and one.began < run.began)


def add(path: Path, run: PastRun) -> None:
    """Add a run to the file, unless it is there already; the oldest ones make room. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock")):
        others = [one for one in read(path) if (one.began, one.target) != (run.began, run.target)]
        write(path, _kept([*others, run]))


def _kept(runs: Sequence[PastRun]) -> list[PastRun]:
    """The last ones, and of those before each that was the last to judge a promise: short runs push no long one out."""
    kept, seen = list[PastRun](), set[tuple[str, str]]()
    for number, one in enumerate(reversed(runs)):
        judged = {(one.target, id) for id, verdict in one.promises.items() if verdict in _JUDGED}
        if number < KEPT or judged - seen:
            kept.append(one)
        seen |= judged
    return kept[::-1]


def write(path: Path, runs: Sequence[PastRun]) -> None:
    """Write the file anew. Raises OSError."""
    replace_file(path, b"".join(_ADAPTER.dump_json(one) + b"\n" for one in runs))


def _parsed(lines: Iterable[str]) -> Iterator[PastRun]:
    for line in lines:
        try:
            yield _ADAPTER.validate_json(line)
        except ValidationError:
            continue


def durations(history: Path) -> Mapping[tuple[str, str], float]:
    """How many seconds each scenario took in the last run that has it, by path and title, as Allure's history tells.

    Only the order of the work depends on it, so that what cannot be read is left out.
    """
    found = dict[tuple[str, str], float]()
    with suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
        for line in history.read_text(encoding="utf-8").rstrip("\n").split("\n")[-_HISTORY_LINES:]:
            for result in json.loads(line)["testResults"].values():
                path, _, name = result["fullName"].partition(": ")
                if result["status"] == "passed":
                    found[path, name] = result["duration"] / 1000
    return found
