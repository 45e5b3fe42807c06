"""The report of a run: concluded from its journal, rendered into pages without third parties.

Our own pages are for those who read the report (see `pages`); npm's `allure` renders one more, for those who are used
to it. Where that one cannot be rendered, the others are there all the same. `installing` installs its renderer."""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from support.errors import AcceptError, ProcessFailed
from support.files import locked, replace_file
from support.places import as_seen
from support.reporting import junit, past
from support.reporting.allure_results import CATEGORIES, raw_results, settle
from support.reporting.evidence import Redactor
from support.reporting.installing import PROGRAM, await_renderer, node_program
from support.reporting.journal import RunRecord, exit_status, read
from support.reporting.metrics import Publisher
from support.reporting.pages import site
from support.reporting.pages.site import ALLURE, DASHBOARD, SCENARIOS, Knowledge
from support.reporting.tally import counts_line
from support.reporting.terminal import show
from support.waiting import describe

NAME = "Acceptance of the PostgreSQL cluster"
HISTORY = past.ALLURE_HISTORY
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
_LARGE = 20_000  # bytes of an attachment that is not in Allure's page
_RENDERED_WITHIN = 60.0  # seconds; it takes one
_AGAIN = "./accept report tries again; the other pages are there without it"
_STATUSES = ["passed", "failed", "broken", "skipped", "unknown"]
_ANALYTICS = re.compile(
    r"<script[^>]*googletagmanager[^>]*>\s*</script>\s*<script>(?:(?!</script>).)*gtag\((?:(?!</script>).)*</script>",
    re.DOTALL,
)
_FAVICON = re.compile(r'<link rel="icon" href="favicon\.ico">')


class _Pages(Protocol):
    """Writes our own pages of a run. Raises OSError."""

    def __call__(self, *, allure: bool = False) -> None:
        """`allure`: with a link to Allure's page."""


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
    knowledge: Knowledge | None = None,
    keep: Callable[[], None] = lambda: None,
) -> int:
    """Report how the run ended, on the console and in the pages in `output`; returns the exit status.

    Called once behave is over, however it ended. A report that cannot be written never hides a verdict: the table
    and the status come from the journal alone. `in_history`: the history of runs has this one already.
    `publisher` publishes its metrics, `knowledge` is what the pages tell beside the run, `keep` keeps its results.

    Allure's page comes last: its renderer may be on its way from a registry that does not answer. Ctrl-C then loses
    that page alone, and is passed on.
    """
    record = read(journal)
    status = exit_status(record)
    console.show_cursor()  # a behave that was killed in mid-line has left it hidden
    show(record, console)  # at once: rendering takes a second or two
    written = None
    try:
        junit.write(record, output / JUNIT)
        settle(results, record, redactor)
        written = _write_pages(results, record, output, history, in_history, knowledge)
        where = f"report: {as_seen(output / DASHBOARD)} (every scenario: {as_seen(output / SCENARIOS)})"
    except (AcceptError, OSError, ValueError) as error:
        where = f"no report: {redactor.mask(describe(error))} (the raw results are in {results})"
    keep()
    published = publisher.publish(record, status) if publisher else ()
    trouble = ""
    try:
        trouble = _add_allure(written, results, output / ALLURE, history, in_history) if written else ""
    except (AcceptError, OSError, ValueError) as error:
        trouble = describe(error)
    finally:
        missing = [f"no page by Allure: {redactor.mask(trouble)}"] if trouble else []
        for line in (*missing, where, *published):
            console.print(line, markup=False, soft_wrap=True)
        console.print(counts_line(record), markup=False)
    return status


def conclude_failure(journal: Path, results: Path, output: Path, redactor: Redactor, knowledge: Knowledge) -> None:
    """Write the pages and the JUnit file of a run that could not begin, replacing those of the previous run.

    The run does not enter the history, and Allure has nothing to show. Raises OSError.
    """
    record = read(journal)
    junit.write(record, output / JUNIT)
    settle(results, record, redactor)
    (output / ALLURE).unlink(missing_ok=True)
    site.write_pages(record, results, output, NAME, knowledge, past.read(HISTORY.with_name(past.PAST)))


def render(
    results: Path,
    record: RunRecord,
    output: Path,
    history: Path = HISTORY,
    *,
    in_history: bool = False,
    knowledge: Knowledge | None = None,
) -> str:
    """Render settled results into pages, and add the run to those on record if any scenario began.

    `in_history`: see `conclude`. Returns why Allure's page is missing; empty if it is there. Raises OSError.
    """
    written = _write_pages(results, record, output, history, in_history, knowledge)
    return _add_allure(written, results, output / ALLURE, history, in_history)


def _write_pages(
    results: Path, record: RunRecord, output: Path, history: Path, in_history: bool, knowledge: Knowledge | None
) -> _Pages:
    """Our own pages, which do not wait for Allure's; returns what writes them again. Raises OSError."""
    output.mkdir(parents=True, exist_ok=True)
    history.parent.mkdir(parents=True, exist_ok=True)
    (output / ALLURE).unlink(missing_ok=True)  # that of an earlier run, or one that is about to be rendered again
    runs = history.with_name(past.PAST)
    pages = partial(site.write_pages, record, results, output, NAME, knowledge or Knowledge(), past.read(runs))
    pages()
    if not in_history and (record.started or record.results):
        past.add(runs, past.run_of(record))
    return pages


def _add_allure(pages: _Pages, results: Path, page: Path, history: Path, in_history: bool) -> str:
    """Allure's page, and the link to it in ours. Returns why it is missing; empty if it is there. Raises OSError."""
    try:
        _allure_page(results, page, history, append=not in_history)
    except (ProcessFailed, OSError) as failed:
        return str(failed)
    pages(allure=True)
    return ""


def _allure_page(results: Path, page: Path, history: Path, append: bool) -> None:
    """Allure's page, in one file. Attachments that are large lie beside it: it only links to them."""
    await_renderer()
    lock = history.with_suffix(".lock")  # two runs that end at the same time write the history one after the other
    with tempfile.TemporaryDirectory(prefix="rendering-", dir=history.parent) as name, locked(lock):
        rendered, light = Path(name).absolute() / "report", Path(name).absolute() / "results"
        lighten(results, light)
        _generate(_configuration(rendered, history, append), light)
        replace_file(page, _page(rendered))


def lighten(results: Path, light: Path) -> None:
    """Copy Allure's results without their large attachments; the scenario links to these."""
    light.mkdir()
    for path, result in raw_results(results):
        (light / path.name).write_text(json.dumps(_without_large(result, results)), encoding="utf-8")
    for path in results.iterdir() if results.exists() else ():
        if path.name.endswith("-result.json"):
            continue
        if path.is_file() and ("attachment" not in path.name or path.stat().st_size <= _LARGE):
            shutil.copyfile(path, light / path.name)


def _without_large(result: dict[str, Any], results: Path) -> dict[str, Any]:
    sources = {str(one.get("source")): results / str(one.get("source")) for one in result.get("attachments", [])}
    large = {name for name, path in sources.items() if path.is_file() and path.stat().st_size > _LARGE}
    kept = [one for one in result.get("attachments", []) if str(one.get("source")) not in large]
    lighter = {
        **result,
        "attachments": kept,
        "steps": [_without_large(one, results) for one in result.get("steps", [])],
    }
    if large and "historyId" in result:
        where = f"{SCENARIOS}#{result['historyId'][: past.KEY]}"
        links = [*result.get("links", []), {"name": "its large attachments", "url": where, "type": "link"}]
        lighter["links"] = links
    return lighter


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
        raise ProcessFailed(f"the report could not be rendered: {error}; {_AGAIN}") from error
    if done.returncode != 0:
        said = " ".join(f"{done.stderr}{done.stdout}".split()) or "it printed nothing"
        raise ProcessFailed(f"the report could not be rendered: allure ended with {done.returncode}: {said}; {_AGAIN}")


def _page(directory: Path) -> str:
    page = directory / "index.html"
    if not page.exists():
        raise ProcessFailed(f"the report could not be rendered: allure wrote no page; {_AGAIN}")
    return without_third_parties(page.read_text(encoding="utf-8"))


def _configuration(output: Path, history: Path, append: bool) -> dict[str, Any]:
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
                "options": {
                    "reportName": NAME,
                    "singleFile": True,
                    "groupBy": ["epic", "feature"],
                    "charts": _charts(),
                },
            },
            "agent": {"enabled": False},
        },
    }


def _charts() -> list[dict[str, Any]]:
    """The most important first."""
    return [
        {"type": "currentStatus", "title": "Scenarios now", "metric": "passed"},
        {"type": "testResultSeverities", "title": "By severity of the promise", "statuses": _STATUSES},
        {"type": "statusDynamics", "title": "Run after run", "statuses": _STATUSES},
        {"type": "statusTransitions", "title": "Newly broken, newly fixed"},
    ]
