"""Renders settled results into single pages: the tree for QA, the dashboard for management."""

import fcntl
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.errors import ProcessFailed
from support.reporting.journal import RunRecord
from support.reporting.pages import with_head, without_third_parties
from support.reporting.renderer_setup import NODE, PROGRAM, renderer_installed
from support.reporting.report_facts import CATEGORIES
from support.reporting.summary import summary
from support.reporting.trust_page import PAGE as TRUST_PAGE

NAME = "Acceptance of the PostgreSQL cluster"
HISTORY = Path(".accept/history.jsonl")
RUNS_KEPT = 50

_TIMEOUT = 60.0  # seconds; it takes one
_STATUSES = ["passed", "failed", "broken", "skipped", "unknown"]


@dataclass(frozen=True)
class Report:
    """The pages of a rendered report."""

    tree: Path
    dashboard: Path


def render(
    results: Path, record: RunRecord, output: Path, history: Path = HISTORY, *, in_history: bool = False
) -> Report:
    """Render settled results into two pages. Raises ProcessFailed, and leaves the pages that were there.

    `in_history`: the history has this run already.
    """
    if not renderer_installed():
        raise ProcessFailed("the renderer of the report is not installed: start ./accept once while npm is reachable")
    output.mkdir(parents=True, exist_ok=True)
    history.parent.mkdir(parents=True, exist_ok=True)
    report = Report(output / "index.html", output / "dashboard.html")
    with tempfile.TemporaryDirectory(prefix="rendering-", dir=history.parent) as name, _alone(history):
        rendered = Path(name).absolute() / "report"
        _generate(_configuration(rendered, history, append=not in_history), results)
        tree, dashboard = _page(rendered / "tree"), _page(rendered / "dashboard")
    _put(report.tree, tree)
    trust = TRUST_PAGE if (output / TRUST_PAGE).exists() else ""
    _put(report.dashboard, with_head(dashboard, summary(record, NAME, report.tree.name, trust)))
    return report


def _generate(configuration: dict[str, Any], results: Path) -> None:
    config = Path(configuration["output"]).with_name("allurerc.json")
    config.write_text(json.dumps(configuration), encoding="utf-8")
    command = [str(NODE), str(PROGRAM), "generate", "--config", str(config), str(results.absolute())]
    try:
        done = subprocess.run(
            command,
            cwd=config.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProcessFailed(f"the report could not be rendered: {error}") from error
    if done.returncode != 0:
        said = " ".join(f"{done.stderr}{done.stdout}".split()) or "it said nothing"
        raise ProcessFailed(f"the report could not be rendered: allure ended with {done.returncode}: {said}")


def _page(directory: Path) -> str:
    page = directory / "index.html"
    if not page.exists():
        raise ProcessFailed(f"the report could not be rendered: allure wrote no {directory.name}")
    return without_third_parties(page.read_text(encoding="utf-8"))


def _put(destination: Path, page: str) -> None:
    fresh = destination.with_suffix(".tmp")
    fresh.write_text(page, encoding="utf-8")
    os.replace(fresh, destination)


@contextmanager
def _alone(history: Path) -> Iterator[None]:
    """Two runs that end at once write the history one after the other."""
    with history.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _configuration(output: Path, history: Path, append: bool) -> dict[str, Any]:
    return {
        "name": NAME,
        "output": str(output),
        "historyPath": str(history.absolute()),
        "historyLimit": RUNS_KEPT,
        "appendHistory": append,
        "categories": {"rules": list(CATEGORIES)},
        "hideLabels": ["parentSuite", "suite", "language", "framework"],
        "plugins": {
            "tree": {
                "import": "@allurereport/plugin-awesome",
                "options": {
                    "reportName": NAME,
                    "singleFile": True,
                    "groupBy": ["epic", "feature"],
                    "charts": _charts(),
                },
            },
            "dashboard": {
                "import": "@allurereport/plugin-dashboard",
                "options": {"reportName": NAME, "singleFile": True, "layout": _charts()},
            },
            "agent": {"enabled": False},
        },
    }


def _charts() -> list[dict[str, Any]]:
    """What management wants to know, first things first."""
    return [
        {"type": "currentStatus", "title": "Scenarios now", "metric": "passed"},
        {"type": "testResultSeverities", "title": "By severity of the promise", "statuses": _STATUSES},
        {"type": "statusDynamics", "title": "Run after run", "statuses": _STATUSES},
        {"type": "successRateDistribution", "title": "Where it is red"},
        {"type": "statusTransitions", "title": "Newly broken, newly fixed"},
    ]
