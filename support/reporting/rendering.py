"""The report of a run: concluded from its journal, rendered into two pages by npm's `allure`, without third parties.

`installing` installs the renderer."""

import fcntl
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from support.errors import AcceptError, ProcessFailed
from support.reporting import junit
from support.reporting.allure_results import CATEGORIES, settle
from support.reporting.evidence import Redactor
from support.reporting.installing import PROGRAM, await_renderer, node_program
from support.reporting.journal import RunRecord, exit_status, read
from support.reporting.metrics import Publisher
from support.reporting.summary import dashboard_head
from support.reporting.tally import counts_line
from support.reporting.terminal import show
from support.reporting.trust import PAGE as TRUST_PAGE
from support.waiting import describe

NAME = "Acceptance of the PostgreSQL cluster"
HISTORY = Path(".accept/history.jsonl")
JUNIT = "junit.xml"
"""The verdicts for a CI server, beside the pages of the report."""
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; style-src 'unsafe-inline' data: blob:; "
    "img-src data: blob:; font-src data:; media-src data: blob:; connect-src data: blob:; frame-src data: blob:; "
    "worker-src data: blob:; form-action 'none'"
)
"""The browser enforces this on a page, whatever its scripts contain."""
POLICY_TAG = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'

_RUNS_KEPT = 50
_RENDERED_WITHIN = 60.0  # seconds; it takes one
_STATUSES = ["passed", "failed", "broken", "skipped", "unknown"]
_ANALYTICS = re.compile(
    r"<script[^>]*googletagmanager[^>]*>\s*</script>\s*<script>(?:(?!</script>).)*gtag\((?:(?!</script>).)*</script>",
    re.DOTALL,
)
_FAVICON = re.compile(r'<link rel="icon" href="favicon\.ico">')


@dataclass(frozen=True)
class Report:
    """The pages of a rendered report."""

    tree: Path
    dashboard: Path


def conclude(
    journal: Path,
    results: Path,
    output: Path,
    redactor: Redactor,
    console: Console,
    *,
    history: Path = HISTORY,
    in_history: bool = False,
    publisher: Publisher | None = None,
) -> int:
    """Report how the run ended, on the console and in the pages in `output`; returns the exit status.

    Called once behave is over, however it ended. A report that cannot be written never hides a verdict: the table
    and the status come from the journal alone. `in_history`: the history of runs has this one already.
    `publisher` publishes its metrics.
    """
    record = read(journal)
    status = exit_status(record)
    console.show_cursor()  # a behave that was killed in mid-line has left it hidden
    show(record, console)  # at once: rendering takes a second or two
    try:
        junit.write(record, output / JUNIT)
        settle(results, record, redactor)
        report = render(results, record, output, history, in_history=in_history)
        where = f"report: {report.dashboard} (every scenario: {report.tree})"
    except (AcceptError, OSError, ValueError) as error:
        where = f"no report: {redactor.mask(describe(error))} (the raw results are in {results})"
    console.print(where, markup=False, soft_wrap=True)
    for line in publisher.publish(record, status) if publisher else ():
        console.print(line, markup=False, soft_wrap=True)
    console.print(counts_line(record), markup=False)
    return status


def render(
    results: Path, record: RunRecord, output: Path, history: Path = HISTORY, *, in_history: bool = False
) -> Report:
    """Render settled results into two pages: the tree for QA, the dashboard for management.

    Raises ProcessFailed, and then leaves the existing pages as they are. `in_history`: see `conclude`.
    """
    await_renderer()
    output.mkdir(parents=True, exist_ok=True)
    history.parent.mkdir(parents=True, exist_ok=True)
    report = Report(output / "index.html", output / "dashboard.html")
    with tempfile.TemporaryDirectory(prefix="rendering-", dir=history.parent) as name, _locked(history):
        rendered = Path(name).absolute() / "report"
        _generate(_configuration(rendered, history, append=not in_history), results)
        tree, dashboard = _page(rendered / "tree"), _page(rendered / "dashboard")
    _replace(report.tree, tree)
    trust = TRUST_PAGE if (output / TRUST_PAGE).exists() else ""
    above = dashboard_head(record, NAME, report.tree.name, trust)
    _replace(report.dashboard, dashboard.replace('<div id="app">', f'{above}\n<div id="app">', 1))
    return report


def without_third_parties(page: str) -> str:
    """The page without its analytics, and with a policy that stops its scripts, styles and pictures calling anyone."""
    page = _ANALYTICS.sub("", page)
    page = _FAVICON.sub('<link rel="icon" href="data:,">', page)
    return re.sub(r'(<meta charset="utf-8">)', rf"\1\n    {POLICY_TAG}", page, count=1)


def _generate(configuration: dict[str, Any], results: Path) -> None:
    config = Path(configuration["output"]).with_name("allurerc.json")
    config.write_text(json.dumps(configuration), encoding="utf-8")
    command = [str(node_program()), str(PROGRAM), "generate", "--config", str(config), str(results.absolute())]
    try:
        done = subprocess.run(
            command,
            cwd=config.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_RENDERED_WITHIN,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProcessFailed(f"the report could not be rendered: {error}") from error
    if done.returncode != 0:
        said = " ".join(f"{done.stderr}{done.stdout}".split()) or "it printed nothing"
        raise ProcessFailed(f"the report could not be rendered: allure ended with {done.returncode}: {said}")


def _page(directory: Path) -> str:
    page = directory / "index.html"
    if not page.exists():
        raise ProcessFailed(f"the report could not be rendered: allure wrote no {directory.name}")
    return without_third_parties(page.read_text(encoding="utf-8"))


def _replace(destination: Path, page: str) -> None:
    fresh = destination.with_suffix(".tmp")
    fresh.write_text(page, encoding="utf-8")
    os.replace(fresh, destination)


@contextmanager
def _locked(history: Path) -> Iterator[None]:
    """Two runs that end at the same time write the history one after the other."""
    with history.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _configuration(output: Path, history: Path, append: bool) -> dict[str, Any]:
    options = {"reportName": NAME, "singleFile": True}
    return {
        "name": NAME,
        "output": str(output),
        "historyPath": str(history.absolute()),
        "historyLimit": _RUNS_KEPT,
        "appendHistory": append,
        "categories": {"rules": list(CATEGORIES)},
        "hideLabels": ["parentSuite", "suite", "language", "framework"],
        "plugins": {
            "tree": {
                "import": "@allurereport/plugin-awesome",
                "options": {**options, "groupBy": ["epic", "feature"], "charts": _charts()},
            },
            "dashboard": {"import": "@allurereport/plugin-dashboard", "options": {**options, "layout": _charts()}},
            "agent": {"enabled": False},
        },
    }


def _charts() -> list[dict[str, Any]]:
    """For management, the most important first."""
    return [
        {"type": "currentStatus", "title": "Scenarios now", "metric": "passed"},
        {"type": "testResultSeverities", "title": "By severity of the promise", "statuses": _STATUSES},
        {"type": "statusDynamics", "title": "Run after run", "statuses": _STATUSES},
        {"type": "successRateDistribution", "title": "Where it is red"},
        {"type": "statusTransitions", "title": "Newly broken, newly fixed"},
    ]
