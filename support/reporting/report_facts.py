"""What the report says beside the scenarios: what was tested, by whom, the figures, and the run's own troubles."""

import json
import os
import platform
import time
from pathlib import Path
from typing import Any

from support.reporting.journal import RunRecord
from support.reporting.verdict import Measure, ScenarioResult, Verdict

CATEGORIES: tuple[dict[str, Any], ...] = (
    {
        "name": "Product failures: a promise is broken",
        "matchers": [{"labels": {"verdict": f"^{Verdict.BROKEN}$"}}],
        "expand": True,
    },
    {
        "name": "Inconclusive: no evidence either way",
        "matchers": [{"labels": {"verdict": f"^{Verdict.INCONCLUSIVE}$"}}],
        "expand": True,
    },
    {
        "name": "Infrastructure failures: the suite or its surroundings",
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
"""Why a scenario did not pass, the gravest first; a scenario is in the first one that it matches."""


TROUBLES = "run-globals.json"


def tested_from() -> str:
    """The machine that the scenarios run on, for a report that another one may write."""
    return f"{platform.node()}, {os.cpu_count()} cores, Python {platform.python_version()}"


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
        **{f"Known limit {number}": limit for number, limit in enumerate(record.known_limits, 1)},
        "Began": time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(record.began)),
    }
    return "".join(f"{_escaped(name)} = {_one_line(value)}\n" for name, value in facts.items())


def _escaped(name: str) -> str:
    """A name of a .properties file ends at the first blank or colon that is not escaped."""
    return "".join(f"\\{character}" if character in " :=#!\\" else character for character in name)


def _one_line(value: str) -> str:
    return " ".join(value.split()).replace("\\", "\\\\")


def _metric(end: ScenarioResult, measure: Measure) -> dict[str, Any]:
    """A figure for the report's page of metrics, which draws it over the runs."""
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


def _write(path: Path, facts: Any) -> None:
    path.write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
