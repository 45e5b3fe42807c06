"""The journal of a run: what was selected, what began, how each scenario ended. Every verdict and the exit status
come from it.

JSON lines, appended one by one: kill -9 loses nothing that was written, and several processes can write the journal of
one run. Readers ignore incomplete lines."""

import errno
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from support.reporting.scenario import Scenario, ScenarioResult, Verdict

PASSED, BROKEN, NOTHING_JUDGED, INTERRUPTED = 0, 1, 3, 130
"""Exit statuses; 2 is wrong usage, which ends before there is a journal."""

_SCENARIOS = TypeAdapter(tuple[Scenario, ...])
_RESULT = TypeAdapter(ScenarioResult)
_JUDGED = frozenset(Verdict) - {Verdict.INTERRUPTED, Verdict.NOT_REACHED}
_Event = Mapping[str, Any]


class Journal:
    """Writes the journal of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(
        self,
        selected: Sequence[Scenario],
        facts: Mapping[str, str] | None = None,
        required: Sequence[str] = (),
        at: float | None = None,
        known_limits: Sequence[str] = (),
        capabilities: Mapping[str, str] | None = None,
        lost: Sequence[str] = (),
        fail_on_flaky: bool = False,
    ) -> None:
        """The selected scenarios, facts about what is tested, and the capabilities that the target must have.

        `known_limits` says what the target is not configured to promise, a line each. For `capabilities` and `lost` see
        `RunRecord`. `at`, here and below, is in seconds since the epoch; the default is now.
        """
        self._write(
            "begin",
            at=_now(at),
            scenarios=_SCENARIOS.dump_python(tuple(selected), mode="json"),
            facts=dict(facts or {}),
            required=list(required),
            known_limits=list(known_limits),
            capabilities=dict(capabilities or {}),
            lost=list(lost),
            fail_on_flaky=fail_on_flaky,
        )

    def started(self, scenario: Scenario, at: float | None = None) -> None:
        self._write("started", key=scenario.key, at=_now(at))

    def record(self, result: ScenarioResult) -> None:
        """A verdict. A later one on the same scenario takes its place, unless the first is final."""
        self._write("result", **_RESULT.dump_python(result, mode="json"))

    def rerun(self, results: Sequence[ScenarioResult]) -> None:
        """These scenarios will run once more. Their next verdict counts, if they get one; the earlier one is kept.

        A broken scenario stays broken unless the rerun passes: inconclusive, skipped and error prove nothing.
        """
        self._write("rerun", keys=[result.scenario.key for result in results])

    def alone(self, results: Sequence[ScenarioResult]) -> None:
        """These scenarios will run once more, alone on the machine. Their next verdict counts, unless they are skipped;
        the earlier one is kept.

        Unlike rerun scenarios, they do not count as flaky: being slow alongside other clusters proves little.
        """
        self._write("alone", keys=[result.scenario.key for result in results])

    def to_be_judged_alone(self, results: Sequence[ScenarioResult]) -> None:
        """These were judged alongside other clusters, and will run once more, alone on the machine.

        Something that never came is not excused by the other clusters: it counts as a rerun, so that a scenario that
        passes then is flaky.
        """
        self.alone([one for one in results if not one.never_came])
        self.rerun([one for one in results if one.never_came])

    def left_out(self, keys: Sequence[str], why: str) -> None:
        """These did not run, because the cluster was no longer fit for them."""
        self._write("left out", keys=list(keys), why=why)

    def asked(self, options: str, selection: str = "") -> None:
        """The options of the command line that say what is tested, as a shell reads them; needed to repeat a
        scenario. `selection`: the words that select scenarios; empty if none did."""
        self._write("asked", options=options, selection=selection)

    def trouble(self, message: str, trace: str = "") -> None:
        """A failure that belongs to no scenario."""
        self._write("trouble", message=message, trace=trace)

    def end(self, interrupted: bool = False, at: float | None = None) -> None:
        """The run is over. `interrupted`: its user stopped it."""
        self._write("end", at=_now(at), interrupted=interrupted)

    def close(self) -> int:
        """All processes of the run have ended: write the end for those that could not do so, and count them."""
        events = [one["event"] for one in _events(self.path)]
        crashed = events.count("begin") - events.count("end")
        for _ in range(crashed):
            self.end()
        return crashed

    def _write(self, event: str, **facts: Any) -> None:
        append_line(self.path, json.dumps({"event": event, **facts}))


def append_line(path: Path, text: str) -> None:
    """Add a line to a file that several processes write, and whose readers ignore incomplete lines.

    The file is its owner's alone. Raises OSError, also if only a part could be written.
    """
    line = text.encode() + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line  # the previous line is incomplete, and must not corrupt this one
        if (written := os.write(descriptor, line)) < len(line):
            raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes could be written", str(path))
    finally:
        os.close(descriptor)


def _now(at: float | None) -> float:
    return time.time() if at is None else at


@dataclass(frozen=True)
class Trouble:
    """A failure of the run as a whole."""

    message: str
    trace: str = ""


@dataclass(frozen=True)
class RunRecord:
    """A run, as its journal records it."""

    selected: tuple[Scenario, ...] = ()
    results: tuple[ScenarioResult, ...] = ()
    """One for each scenario that ended, in the order in which they ended."""
    started: Mapping[str, float] = field(default_factory=dict)
    """When each scenario that began did so, by its key; seconds since the epoch."""
    facts: Mapping[str, str] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    known_limits: tuple[str, ...] = ()
    """What the target is not configured to promise, and what scenarios saw of limits that the configuration hides."""
    troubles: tuple[Trouble, ...] = ()
    interrupted: bool = False
    """Its user stopped it, or it was killed or crashed: its journal has no end."""
    began: float = 0.0
    earlier: Mapping[str, ScenarioResult] = field(default_factory=dict)
    """The earlier results of scenarios that ran once more, by key."""
    crowded: Mapping[str, ScenarioResult] = field(default_factory=dict)
    """The earlier results, alongside other clusters, of scenarios that ran once more alone, by key."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """The scenarios that have no verdict because the cluster was no longer fit for them, by key; and why."""
    capabilities: Mapping[str, str] = field(default_factory=dict)
    """Capability -> why the target lacks it; empty for those that it has."""
    lost: tuple[str, ...] = ()
    """The capabilities that the target had in its last run, and lacks now."""
    fail_on_flaky: bool = False
    """The user wants the run to fail if a scenario passes only on the rerun."""
    options: str = ""
    """The options with which `accept run` tests the same target again, as a shell reads them."""
    selection: str = ""
    """What `accept run` was asked to select: suites, files, tags, names; empty if nothing was recorded."""
    ended: float = 0.0
    """Seconds since the epoch; where the journal has no end, the time of its last entry."""

    @cached_property
    def without_verdict(self) -> tuple[Scenario, ...]:
        """The selected scenarios that have no result, whether or not they began."""
        return tuple(one for one in self.selected if one.key not in self.by_key)

    def verdict_on(self, key: str) -> Verdict:
        """How the scenario with that key ended, or why it did not."""
        if result := self.by_key.get(key):
            return result.verdict
        return Verdict.INTERRUPTED if key in self.started else Verdict.NOT_REACHED

    @cached_property
    def by_key(self) -> Mapping[str, ScenarioResult]:
        return {result.scenario.key: result for result in self.results}

    def of(self, *verdicts: Verdict) -> tuple[ScenarioResult, ...]:
        """The results with one of these verdicts."""
        return tuple(result for result in self.results if result.verdict in verdicts)

    @property
    def failing(self) -> tuple[ScenarioResult, ...]:
        return tuple(result for result in self.results if result.verdict.failed)

    @property
    def worth_rerunning(self) -> tuple[ScenarioResult, ...]:
        """The failures that a rerun may clear: all but wrong results."""
        return tuple(one for one in self.failing if not one.final)

    @property
    def flaky(self) -> tuple[ScenarioResult, ...]:
        """What failed at first and passed on the rerun."""
        return tuple(one for one in self.of(Verdict.PASSED) if one.scenario.key in self.earlier)

    def broke_twice(self, key: str) -> bool:
        """Whether that scenario ran once more, and found its promise broken both times."""
        before, now = self.earlier.get(key) or self.crowded.get(key), self.by_key.get(key)
        if before is None or now is None or now.began <= before.began:
            return False  # it ran once, or the second time proves less
        return before.verdict is Verdict.BROKEN and now.verdict is Verdict.BROKEN

    @property
    def disturbed(self) -> bool:
        """Whether any destructive scenario began, however it ended: it may have injected faults."""
        return any(
            "destructive" in one.tags
            and (one.key in self.started or one.key in self.by_key)
            and self.verdict_on(one.key) is not Verdict.SKIPPED
            for one in self.selected
        )

    @property
    def required_and_missing(self) -> tuple[ScenarioResult, ...]:
        """What was skipped although the user required a capability that it is tagged with."""
        return tuple(one for one in self.of(Verdict.SKIPPED) if self.required.intersection(one.scenario.tags))


def read(path: Path) -> RunRecord:
    """The journal as far as it was written; an empty record where there is none.

    A result with a verdict that this version does not know is left out and reported as a trouble: the run then fails.
    """
    replay = _Replay()
    for event in _events(path):
        replay.take(event)
    return replay.record()


class _Replay:
    """What a run came to, from the events in the order in which `Journal` wrote them.

    A run on several clusters begins and ends once on each. A field that earlier versions did not write may be missing.
    """

    def __init__(self) -> None:
        self._begins = list[_Event]()
        self._completed = 0
        self._results = dict[str, ScenarioResult]()
        self._started = dict[str, float]()
        self._earlier, self._crowded = dict[str, ScenarioResult](), dict[str, ScenarioResult]()
        self._left_out = dict[str, str]()
        self._troubles = list[Trouble]()
        self._options = self._selection = ""
        self._ended = 0.0

    def take(self, event: _Event) -> None:
        """The next event. A kind that only another version knows says nothing here."""
        match event["event"]:
            case "begin":
                self._begins.append(event)
            case "started":
                self._started[event["key"]] = event["at"]
            case "result":
                self._result(event)
            case "rerun":
                self._earlier.update(self._so_far(event))
            case "alone":
                self._crowded.update(self._so_far(event))
            case "left out":
                self._leave_out(event)
            case "asked":
                self._options, self._selection = event["options"], event.get("selection", "")
            case "trouble":
                self._troubles.append(Trouble(event["message"], event["trace"]))
            case "end":
                self._completed += not event["interrupted"]
        self._ended = max(self._ended, event.get("at", 0.0))

    def _result(self, event: _Event) -> None:
        """The last verdict on a scenario holds; but what is final is replaced only by what is final, too."""
        if event["verdict"] not in _JUDGED:
            self._troubles.append(Trouble(_unknown(event)))
            return
        result = _RESULT.validate_python(event)
        key = result.scenario.key
        known = self._results.pop(key, result)
        self._results[key] = known if known.final and not result.final else self._judged_again(result)
        self._left_out.pop(key, None)

    def _judged_again(self, result: ScenarioResult) -> ScenarioResult:
        """The result that counts: that of the rerun, or the earlier one if the rerun proves less."""
        key, again = result.scenario.key, "on the rerun"
        before = self._earlier.get(key)
        if before is None and result.verdict is Verdict.SKIPPED:
            before, again = self._crowded.get(key), "alone"
        if before is None or not before.verdict.failed or not _says_less(result.verdict, before.verdict):
            return result
        return replace(before, reason=f"{before.reason}\nand {again}: {result.verdict}: {result.seen}")

    def _so_far(self, event: _Event) -> dict[str, ScenarioResult]:
        """The results of the event's scenarios, which will run once more."""
        return {key: self._results[key] for key in event["keys"] if key in self._results}

    def _leave_out(self, event: _Event) -> None:
        """What was only to run once more has its verdict already."""
        self._left_out.update({key: event["why"] for key in event["keys"] if key not in self._results})

    def record(self) -> RunRecord:
        """The run, as far as the journal went. What a run has only once is that of its first begin."""
        first: _Event = self._begins[0] if self._begins else {"scenarios": (), "required": (), "at": 0.0}
        limits = [
            *(limit for one in self._begins for limit in one.get("known_limits", ())),
            *(limit for result in self._results.values() for limit in result.known_limits),
        ]
        return RunRecord(
            selected=_SCENARIOS.validate_python(first["scenarios"]),
            results=tuple(self._results.values()),
            started=self._started,
            facts={name: value for one in reversed(self._begins) for name, value in one["facts"].items()},
            required=frozenset(first["required"]),
            known_limits=tuple(dict.fromkeys(limits)),
            troubles=tuple(self._troubles),
            interrupted=len(self._begins) > self._completed,
            began=first["at"],
            earlier=self._earlier,
            crowded=self._crowded,
            left_out=self._left_out,
            capabilities=capabilities(one.get("capabilities", {}) for one in self._begins),
            lost=tuple(first.get("lost", ())),
            fail_on_flaky=any(one.get("fail_on_flaky", False) for one in self._begins),
            options=self._options,
            selection=self._selection,
            ended=self._ended,
        )


def _says_less(again: Verdict, before: Verdict) -> bool:
    """Whether the verdict of a rerun is too weak to replace the earlier failure."""
    return again is Verdict.SKIPPED or (before is Verdict.BROKEN and again not in (Verdict.PASSED, Verdict.BROKEN))


def capabilities(each: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The capabilities of several clusters together (see `RunRecord`): present if any cluster has them."""
    found: dict[str, str] = {}
    for one in each:
        for name, why in one.items():
            found[name] = why and found.get(name, why)
    return found


def _unknown(result: _Event) -> str:
    what = f"unknown verdict {result['verdict']!r} on {result['scenario']['name']!r}"
    return f"{what}: another version wrote this journal; run the scenario again"


def exit_status(record: RunRecord) -> int:
    """The exit status of the run. Never 0 unless a scenario passed.

    1    a promise is broken, a scenario was inconclusive, the suite failed, or what the user required is missing;
         a scenario is flaky, and the user asked for --fail-on-flaky
    130  none of that, but the run was stopped before its end (Ctrl-C, a kill)
    1    it ended, and yet a scenario has no verdict
    3    nothing was judged: no scenario selected, or the target lacks what each of them needs
    0    every scenario passed, or was skipped for a reason that the report states
    """
    if record.failing or record.required_and_missing or (record.fail_on_flaky and record.flaky):
        return BROKEN
    if record.interrupted:
        return INTERRUPTED
    if not record.of(Verdict.PASSED) and (record.troubles or not record.without_verdict):
        return NOTHING_JUDGED
    return BROKEN if record.without_verdict or record.troubles else PASSED


def _events(path: Path) -> Iterator[_Event]:
    if not path.exists():
        return
    for line in path.read_bytes().split(b"\n"):
        if (event := event_of(line)) is not None:
            yield event


def event_of(line: bytes) -> Mapping[str, Any] | None:
    """The event in a line of a journal; None if the line is incomplete."""
    try:
        event: Mapping[str, Any] = json.loads(line)
    except ValueError:
        return None
    return event
