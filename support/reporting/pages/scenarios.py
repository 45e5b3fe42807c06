"""The page for QA: failures first, each with its evidence in reading order; then every scenario, searchable.

Only what is read first is on the page itself: a picture, the cluster's state, notable lines of logs, a statement with
its plan. Whole logs and histories are files beside it, so that the page stays small.
"""

import re
import shlex
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.reporting.allure_results import raw_results, started
from support.reporting.fault_record import NAME as RECORD
from support.reporting.fault_record import PICTURE, FaultRecord, fault_record_of
from support.reporting.journal import RunRecord
from support.reporting.log_events import clock_of, notable
from support.reporting.pages.wording import first_write
from support.reporting.past import KEY, PastRun
from support.reporting.scenario import Scenario, ScenarioResult, Verdict
from support.reporting.tally import in_order

ATTACHMENTS = "attachments"
"""The folder beside the pages."""
LONGEST_TEXT = 6000
"""Characters of an attachment that are on the page."""
MOST_LINES = 60
"""Lines of logs that are on the page."""
_BEFORE, _AFTER = 5.0, 5.0  # seconds around a fault and its consequences whose log lines are shown
_READ_FIRST = (
    *("Patroni's view", "the cluster's state", "ledger", "SQL and its plan"),
    *("HAProxy's view", "Citus' nodes", "Redis' view"),
)
"""The beginnings of the names of attachments that are shown, in the order of reading."""
_LOG = "log of "
_SPECIAL = re.compile(r"([()\[\]{}?*+|^$\\.])")
_NO_SLUG = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Attachment:
    """A file that a scenario has left."""

    name: str
    href: str
    """Relative to the page."""
    file: Path
    size: int

    @property
    def text(self) -> str:
        """The beginning of its text; empty for anything else."""
        if self.file.suffix in (".gz", ".png"):
            return ""
        text = self.file.read_text(encoding="utf-8", errors="replace")
        more = f"\n... {len(text) - LONGEST_TEXT:,} more characters in the file"
        return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + more


@dataclass(frozen=True)
class Step:
    """A step of a scenario, and how it ended, in Allure's words."""

    words: str
    status: str

    @property
    def style(self) -> str:
        return {"passed": "passed", "skipped": "skipped", "unknown": "skipped"}.get(self.status, "failed")

    @property
    def note(self) -> str:
        """How it ended, for readers to whom neither colours nor marks say it; empty if it passed."""
        return {"passed": "", "failed": "failed here", "skipped": "not run"}[self.style]


@dataclass(frozen=True)
class Picture:
    """The data of what happened around a fault, for the script that draws it."""

    anchor: str
    title: str
    fault: str
    scenario: str
    """The anchor of the scenario."""
    json: str
    png: str
    """Where the same is as a picture; empty if it is not."""
    record: FaultRecord


@dataclass(frozen=True)
class Story:
    """One scenario as the page tells it."""

    scenario: Scenario
    verdict: Verdict
    result: ScenarioResult | None
    earlier: ScenarioResult | None = None
    """How it ended at first, if it ran once more."""
    steps: tuple[Step, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    picture: Picture | None = None
    again: str = ""
    """The command that runs just this scenario again."""
    before: tuple[str, ...] = ()
    """Its verdicts in the runs before, the oldest first."""
    why_unfinished: str = ""
    lines: tuple[str, ...] = field(default=())
    """The lines of all logs that matter, in the order of time."""

    @property
    def anchor(self) -> str:
        return self.scenario.key[:KEY]

    @property
    def shown(self) -> list[Attachment]:
        """What is read first, in that order."""
        return [one for name in _READ_FIRST for one in self.attachments if one.name.startswith(name) and one.text]

    @property
    def example(self) -> tuple[str, str, str] | None:
        """The first write that its reason names, with the numbers of its client and of the write; None if none."""
        return first_write(self.result.reason) if self.result else None

    @property
    def search(self) -> str:
        scenario = self.scenario
        words = [scenario.title, scenario.feature, scenario.epic, self.verdict, *scenario.tags, scenario.sentence]
        return " ".join(words).lower()


def stories(record: RunRecord, results: Path, output: Path, past: Sequence[PastRun] = ()) -> list[Story]:
    """Every selected scenario in the order of the report. Copies the attachments to ATTACHMENTS in `output`."""
    folder = output / ATTACHMENTS
    shutil.rmtree(folder, ignore_errors=True)
    raw = _raw_results(results)
    return [_story(one, record, raw.get(one.key, [{}]), results, folder, past) for one in in_order(record.selected)]


def failed_first(told: Iterable[Story]) -> list[Story]:
    """The failures, worst first; of equals, those with a wrong result first."""
    order = (Verdict.BROKEN, Verdict.ERROR, Verdict.INCONCLUSIVE)
    failures = [one for one in told if one.verdict in order]
    return sorted(failures, key=lambda one: (order.index(one.verdict), not (one.result and one.result.final)))


def command(scenario: Scenario, options: str = "") -> str:
    """The line that runs just this scenario again, for a shell."""
    title = _SPECIAL.sub(r"\\\1", scenario.name)
    tags = [f"--tags @id.{scenario.ids[0]}"] if scenario.ids else []
    return " ".join(["./accept run", *filter(None, [options]), *tags, f"--name {shlex.quote(f'^{title}$')}"])


def _raw_results(results: Path) -> dict[str, list[dict[str, Any]]]:
    """Allure's results of each scenario, by key; the first try first."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in sorted((result for _, result in raw_results(results)), key=started):
        found[str(one.get("historyId"))].append(one)
    return found


def _story(
    scenario: Scenario,
    record: RunRecord,
    tries: Sequence[Mapping[str, Any]],
    results: Path,
    folder: Path,
    past: Sequence[PastRun],
) -> Story:
    result = record.by_key.get(scenario.key)
    *first, last = tries
    key = scenario.key[:KEY]
    attachments = (
        *_copied(last, results, folder / key),
        *(one for each in first for one in _copied(each, results, folder / f"{key}-at-first", "at first: ")),
    )
    picture = _picture(scenario, result, attachments)
    verdict = record.verdict_on(scenario.key)
    return Story(
        scenario=scenario,
        verdict=verdict,
        result=result,
        earlier=record.earlier.get(scenario.key),
        steps=tuple(Step(str(one.get("name")), str(one.get("status"))) for one in last.get("steps", [])),
        attachments=attachments,
        picture=picture,
        again=command(scenario, record.options),
        before=tuple(word for run in past if (word := run.scenarios.get(scenario.key[:KEY], ""))),
        why_unfinished=record.left_out.get(scenario.key, ""),
        lines=tuple(_lines(result, picture, attachments)) if verdict.failed else (),
    )


def _copied(raw: Mapping[str, Any], results: Path, folder: Path, before: str = "") -> Iterator[Attachment]:
    """The attachments of a result and of its steps, each copied under a name that people can read."""
    taken: set[str] = set()
    for one in _attached(raw):
        source = results / str(one.get("source"))
        if not source.is_file():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        name, suffix = str(one.get("name")), "".join(source.suffixes) or ".txt"
        stem = _NO_SLUG.sub("-", name.lower()).strip("-") or "attachment"
        number = next(count for count in range(1, 1000) if f"{stem}-{count}" not in taken)
        taken.add(f"{stem}-{number}")
        target = folder / f"{stem if number == 1 else f'{stem}-{number}'}{suffix}"
        shutil.copyfile(source, target)
        yield Attachment(f"{before}{name}", f"{ATTACHMENTS}/{folder.name}/{target.name}", target, target.stat().st_size)


def _attached(raw: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from raw.get("attachments", [])
    for step in raw.get("steps", []):
        yield from _attached(step)


def _picture(scenario: Scenario, result: ScenarioResult | None, attachments: Sequence[Attachment]) -> Picture | None:
    data = next((one for one in attachments if one.name == RECORD), None)
    record = fault_record_of(data.file.read_bytes()) if data else None
    if record is None or not record.periods:
        return None
    fault = result.incident.fault if result and result.incident else record.words or "no fault"
    return Picture(
        anchor=scenario.key[:KEY],
        title=scenario.title,
        fault=fault + (f" (prepared: {record.prepared})" if record.prepared else ""),
        scenario=scenario.key[:KEY],
        json=record.json.replace("<", "\\u003c"),
        png=next((one.href for one in attachments if one.name == PICTURE), ""),
        record=record,
    )


def _lines(result: ScenarioResult | None, picture: Picture | None, attachments: Sequence[Attachment]) -> Iterator[str]:
    """Notable lines of all logs: around the fault where there was one, else of the whole scenario."""
    if result is None:
        return
    since, until = result.began - 1, result.began + result.seconds + _AFTER
    if picture is not None and picture.record.words:
        record = picture.record
        since = record.zero - _BEFORE
        until = record.zero + (record.gap[1] if record.gap else record.ended) + _AFTER
    found: list[tuple[float, str, str]] = []
    for one in attachments:
        if one.name.startswith(_LOG):
            text = one.file.read_text(encoding="utf-8", errors="replace")
            host = one.name.removeprefix(_LOG)
            found += [(at, host, words) for at, words in notable(text.splitlines(), since, until, clock_of(text))]
    zero = picture.record.zero if picture is not None else result.began
    found.sort()
    left_out = len(found) - MOST_LINES
    yield from (f"{at - zero:8.2f} s  {host:<9} {words}" for at, host, words in found[:MOST_LINES])
    if left_out > 0:
        yield f"... {left_out} more in the logs below"
