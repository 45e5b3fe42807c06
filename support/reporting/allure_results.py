"""Allure's results, reconciled with the journal: one result for each selected scenario, and it says what we know.

What Allure lost (an error before the first step, a feature that never began, a kill) is added; what it wrongly shows as
passed (an error in a hook or in a clean-up) is corrected; what was not selected is removed. Steps, attachments and
times are Allure's own. Beside the results, Allure reads what was tested, the figures, and the troubles of the run."""

import json
import platform
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from support.files import replace_file
from support.reporting.evidence import Redactor
from support.reporting.journal import RunRecord
from support.reporting.scenario import SEVERITIES, Measure, Scenario, ScenarioResult, Verdict
from support.reporting.tally import known_limits

STATUSES = {
    Verdict.PASSED: "passed",
    Verdict.BROKEN: "failed",
    Verdict.INCONCLUSIVE: "failed",
    Verdict.ERROR: "broken",
    Verdict.SKIPPED: "skipped",
    Verdict.INTERRUPTED: "unknown",
    Verdict.NOT_REACHED: "unknown",
}

CATEGORIES: tuple[dict[str, Any], ...] = (
    {
        "name": "Broken: a promise does not hold",
        "matchers": [{"labels": {"verdict": f"^{Verdict.BROKEN}$"}}],
        "expand": True,
    },
    {
        "name": "Inconclusive: no evidence either way",
        "matchers": [{"labels": {"verdict": f"^{Verdict.INCONCLUSIVE}$"}}],
        "expand": True,
    },
    {
        "name": "Errors: the suite or its environment failed",
        "matchers": [{"labels": {"verdict": f"^{Verdict.ERROR}$"}}],
    },
    {
        "name": "Skipped: the target lacks what the scenario needs",
        "matchers": [{"labels": {"verdict": f"^{Verdict.SKIPPED}$"}}],
    },
    {
        "name": "Interrupted or not reached: the run was stopped",
        "matchers": [{"statuses": ["unknown"]}],
    },
)
"""Why a scenario did not pass, worst first; a scenario is in the first one that it matches."""
TROUBLES = "run-globals.json"
_OWN_WORDS = ("uuid", "historyId", "testCaseId", "status", "stage", "source", "type", "labels", "format", "state")
"""Fields whose values Allure and our pages compare with fixed words, or use as keys."""

Result = dict[str, Any]


def settle(results: Path, record: RunRecord, redactor: Redactor) -> None:
    """Make Allure's results agree with the journal. Settling twice changes nothing more."""
    results.mkdir(parents=True, exist_ok=True)
    found = _by_key(raw_results(results), kept=record.earlier.keys())
    for scenario in record.selected:
        *before, (path, result) = found.pop(scenario.key, [(results / f"{uuid.uuid4()}-result.json", {})])
        _write(path, _settled(result, scenario, record.by_key.get(scenario.key), record))
        for path, result in before:
            _write(path, _settled(result, scenario, record.earlier[scenario.key], record))
    for path, _ in chain.from_iterable(found.values()):
        path.unlink()
    write_facts(results, record)
    _mask(results, redactor)


def raw_results(results: Path) -> Iterator[tuple[Path, Result]]:
    """Allure's results in a folder, each with its file, as they are now. Files left
    incomplete by a kill or a full disk are skipped: the journal has the verdict."""
    for path in results.glob("*-result.json"):
        with suppress(ValueError):
            result = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(result, dict):
                yield path, result


def started(result: Result) -> int:
    """When it began, in milliseconds since the epoch; 0 if not known."""
    return int(result.get("start") or 0)


def _by_key(raw: Iterable[tuple[Path, Result]], kept: Collection[str]) -> dict[str, list[tuple[Path, Result]]]:
    """The newest result of each scenario, by its key; older ones are removed.

    For the keys in `kept` the oldest comes before the newest: Allure shows it as an earlier try.
    """
    found: dict[str, list[tuple[Path, Result]]] = {}
    for path, result in sorted(raw, key=lambda one: started(one[1])):
        known = found.setdefault(str(result.get("historyId")), [])
        if len(known) > (str(result.get("historyId")) in kept):
            known.pop()[0].unlink()
        known.append((path, result))
    return found


def _settled(result: Result, scenario: Scenario, ended: ScenarioResult | None, record: RunRecord) -> Result:
    began = record.started.get(scenario.key)
    start = result.get("start") or (int(began * 1000) if began else None)
    seconds = ended.seconds if ended else 0.0
    stop = start + int(seconds * 1000) if start else None
    settled = {
        **result,
        "uuid": result.get("uuid") or str(uuid.uuid4()),
        "name": scenario.name,
        "fullName": f"{scenario.path}: {scenario.name}",
        "historyId": scenario.key,
        "testCaseId": scenario.key,
        "titlePath": [scenario.epic, scenario.feature],
        "status": STATUSES[record.verdict_on(scenario.key) if ended is None else ended.verdict],
        "statusDetails": _details(result, ended, began is not None),
        "description": _description(scenario, ended),
        "labels": _labels(scenario, ended, record.verdict_on(scenario.key)),
        "links": result.get("links", []),
        "parameters": [{"name": name, "value": value} for name, value in scenario.row],
        "start": start,
        "stop": max(stop or 0, result.get("stop") or 0) or None,
    }
    return {name: value for name, value in settled.items() if value is not None}


def _details(result: Result, ended: ScenarioResult | None, began: bool) -> dict[str, str]:
    if ended is None:
        return {"message": "it did not end: the run was stopped" if began else "it did not begin: the run was stopped"}
    if ended.verdict is Verdict.PASSED:
        return {}
    known = result.get("statusDetails") or {}
    trace = "" if ended.verdict is Verdict.SKIPPED else ended.trace or known.get("trace") or ""
    return {"message": ended.reason, **({"trace": trace} if trace else {})}


def _description(scenario: Scenario, ended: ScenarioResult | None) -> str:
    """What is promised, why, and the figures with their limits; Markdown."""
    promised = f"**{scenario.promise}**: {scenario.sentence}" if scenario.sentence else ""
    measured = [f"- measured {measure}" for measure in ended.measures] if ended else []
    return "\n\n".join(filter(None, (promised, scenario.prose, "\n".join(measured))))


def _labels(scenario: Scenario, ended: ScenarioResult | None, otherwise: Verdict) -> list[dict[str, str]]:
    """`otherwise`: the verdict of a scenario that has not ended. Promises that it saw broken are its promises, too."""
    promises = dict.fromkeys((*scenario.ids, *(ended.also_broken if ended else ())))
    plain = [tag for tag in scenario.tags if not tag.startswith(("id.", "allure.")) and tag not in SEVERITIES]
    labels = [
        ("epic", scenario.epic),
        ("feature", scenario.feature),
        ("severity", scenario.severity),
        ("parentSuite", scenario.epic),
        ("suite", scenario.feature),
        ("verdict", ended.verdict if ended else otherwise),
        ("framework", "behave"),
        ("language", "gherkin"),
        *(("promise", one) for one in promises),
        *(("tag", tag) for tag in (*scenario.ids, *plain)),
    ]
    return [{"name": name, "value": value} for name, value in labels]


def _write(path: Path, facts: Any) -> None:
    replace_file(path, json.dumps(facts, ensure_ascii=False))


def _mask(results: Path, redactor: Redactor) -> None:
    for path in results.iterdir():
        if path.is_file():
            content = path.read_bytes()
            masked = _masked(path, content, redactor)
            if masked != content:
                path.write_bytes(masked)


def _masked(path: Path, content: bytes, redactor: Redactor) -> bytes:
    """JSON stays valid and keeps Allure's own words, even if a password is a number, or "pass"."""
    if path.suffix == ".json":
        with suppress(ValueError):
            return redactor.mask_json(content.decode(), but=_OWN_WORDS).encode()
    return redactor.mask_bytes(content)


def write_facts(results: Path, record: RunRecord) -> None:
    """Write the files that Allure reads beside the results."""
    (results / "environment.properties").write_text(_properties(record), encoding="utf-8")
    _write(results / "executor.json", {"name": platform.node(), "type": "local", "buildOrder": int(record.began)})
    _write(results / "performance.json", [_metric(end, one) for end in record.results for one in end.measures])
    (results / TROUBLES).unlink(missing_ok=True)
    if record.troubles:
        at = int(record.began * 1000)
        errors = [{"message": one.message, "trace": one.trace, "timestamp": at} for one in record.troubles]
        _write(results / TROUBLES, {"attachments": [], "errors": errors})


def _properties(record: RunRecord) -> str:
    facts = {
        **record.facts,
        **{f"Known limit {number}": limit for number, limit in enumerate(known_limits(record), 1)},
        "Began": time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(record.began)),
    }
    return "".join(f"{_escaped(name)} = {_one_line(value)}\n" for name, value in facts.items())


def _escaped(name: str) -> str:
    """A name in a .properties file ends at the first blank or colon that is not escaped."""
    return "".join(f"\\{character}" if character in " :=#!\\" else character for character in name)


def _one_line(value: str) -> str:
    return " ".join(value.split()).replace("\\", "\\\\")


def _metric(end: ScenarioResult, measure: Measure) -> dict[str, Any]:
    """A figure for the page of metrics, which plots it run by run."""
    limit = f", limit {measure.allowed}" if measure.allowed else ""
    began = int(end.began * 1000)
    return {
        "id": f"{end.scenario.key}/{measure.name}",
        "key": f"{end.scenario.promise}/{measure.name}",
        "title": f"{end.scenario.promise} {measure.name}{limit}",
        "unit": measure.unit,
        "group": end.scenario.suite,
        "groupTitle": end.scenario.epic,
        "value": measure.value,
        "start": began,
        "stop": began + int(end.seconds * 1000),
    }
