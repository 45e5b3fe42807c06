"""Allure's results, reconciled with the journal: one result for each selected scenario, and it says what we know.

What Allure lost (an error before the first step, a feature that never began, a kill) is added; what it shows green by
mistake (an error in a hook or in a clean-up) is put right; what was not selected is taken out. Steps, attachments and
times are Allure's own.
"""

import json
import os
import uuid
from collections.abc import Collection, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from support.reporting.journal import RunRecord
from support.reporting.redaction import Redactor
from support.reporting.report_facts import write_facts
from support.reporting.scenario import SEVERITIES, Scenario
from support.reporting.verdict import ScenarioResult, Verdict

STATUSES = {
    Verdict.PASSED: "passed",
    Verdict.BROKEN: "failed",
    Verdict.INCONCLUSIVE: "failed",
    Verdict.ERROR: "broken",
    Verdict.SKIPPED: "skipped",
    Verdict.INTERRUPTED: "unknown",
    Verdict.NOT_REACHED: "unknown",
}

OUTPUT = ("*-result.json", "*-container.json", "*-globals.json", "*-attachment*", "*.tmp")
"""What runs write among the results, as name patterns."""

Result = dict[str, Any]


def clear(results: Path) -> None:
    """Remove what earlier runs left; call it before behave starts."""
    for pattern in OUTPUT:
        for left in results.glob(pattern):
            left.unlink(missing_ok=True)


def settle(results: Path, record: RunRecord, redactor: Redactor) -> None:
    """Make Allure's results say what the journal says. Settling twice changes nothing more."""
    results.mkdir(parents=True, exist_ok=True)
    found = _by_key(results.glob("*-result.json"), kept=record.earlier.keys())
    for scenario in record.selected:
        *before, (path, result) = found.pop(scenario.key, [(results / f"{uuid.uuid4()}-result.json", {})])
        _write(path, _settled(result, scenario, record.by_key.get(scenario.key), record))
        for path, result in before:
            _write(path, _settled(result, scenario, record.earlier[scenario.key], record))
    for path, _ in chain.from_iterable(found.values()):
        path.unlink()
    write_facts(results, record)
    _mask(results, redactor)


def _by_key(paths: Iterable[Path], kept: Collection[str]) -> dict[str, list[tuple[Path, Result]]]:
    """The newest result of each scenario, by its key; older ones are removed.

    Of the keys in `kept` the oldest is there as well, before the newest: Allure takes it for an earlier try.
    """
    found: dict[str, list[tuple[Path, Result]]] = {}
    results = [(path, json.loads(path.read_text(encoding="utf-8"))) for path in paths]
    for path, result in sorted(results, key=lambda one: int(one[1].get("start", 0))):
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
        "labels": _labels(scenario, ended.verdict if ended else record.verdict_on(scenario.key)),
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
    """What is promised, why, and the figures with the limits in force; Markdown."""
    promised = f"**{scenario.promise}**: {scenario.sentence}" if scenario.sentence else ""
    measured = [f"- measured {measure}" for measure in ended.measures] if ended else []
    return "\n\n".join(filter(None, (promised, scenario.prose, "\n".join(measured))))


def _labels(scenario: Scenario, verdict: Verdict) -> list[dict[str, str]]:
    plain = [tag for tag in scenario.tags if not tag.startswith(("id.", "allure.")) and tag not in SEVERITIES]
    labels = [
        ("epic", scenario.epic),
        ("feature", scenario.feature),
        ("severity", scenario.severity),
        ("parentSuite", scenario.epic),
        ("suite", scenario.feature),
        ("verdict", verdict),
        ("framework", "behave"),
        ("language", "gherkin"),
        *(("promise", one) for one in scenario.ids),
        *(("tag", tag) for tag in (*scenario.ids, *plain)),
    ]
    return [{"name": name, "value": value} for name, value in labels]


def _write(path: Path, facts: Result) -> None:
    written = path.with_suffix(".tmp")
    written.write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
    os.replace(written, path)


def _mask(results: Path, redactor: Redactor) -> None:
    for path in results.iterdir():
        if path.is_file():
            content = path.read_bytes()
            masked = redactor.mask_bytes(content)
            if masked != content:
                path.write_bytes(masked)
