"""The rendered report: what its pages hold, and that they call nobody; by the real renderer, on real results."""

import base64
import io
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from page_loads import third_parties
from rich.console import Console
from small_suites import SECRET, Ran, run_suite, write_suite

from support.reporting import installing, rendering
from support.reporting.evidence import Redactor
from support.reporting.installing import WANTED, install_renderer, renderer_installed
from support.reporting.past import PAST
from support.reporting.rendering import NAME, conclude, render, without_third_parties

pytestmark = pytest.mark.long  # they render reports with node

FEATURES = {
    "cluster/speed.feature": """
@vector
Feature: Queries answer quickly
  Users wait for them.

  @id.PF-01 @critical
  Scenario: A simple query is quick
    Given a note is attached
    Then it takes 12 ms

  @id.DA-01 @minor
  Scenario: The answer is right
    Then it is 7
""",
    "failover/leader.feature": """
@patroni @blocker
Feature: The cluster has a leader
  Rule: Always
    @id.PH-02
    Scenario: There is one leader
      Then the surroundings break
    @id.PH-03
    Scenario: There are replicas
      Then there was no evidence
""",
    "cache/cache.feature": """
@redis
Feature: The cache answers
  @id.RC-01 @partitions
  Scenario: It is a primary
    Then it is 42
""",
}


@dataclass(frozen=True)
class Rendered:
    ran: Ran
    tree: str
    """Allure's page."""
    dashboard: str
    scenarios_page: str
    console: str
    status: int

    def widget(self, name: str) -> Any:
        found = re.search(rf'd\("{re.escape(name)}","([A-Za-z0-9+/=]*)"', self.tree)
        assert found, f"the tree has no {name}"
        return json.loads(base64.b64decode(found[1]))

    def scenarios(self) -> dict[str, Any]:
        names = set(re.findall(r'd\("(data/test-results/[^"]+)"', self.tree))
        found = [self.widget(name) for name in names]
        return {one["name"]: one for one in found}


@pytest.fixture(scope="module")
def renderer() -> None:
    install_renderer(lambda _: None)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory, renderer: None) -> Rendered:
    """A small run, concluded twice over two runs, so that it has a history."""
    directory = tmp_path_factory.mktemp("suite")
    write_suite(directory, FEATURES)
    for _ in range(2):
        shutil.rmtree(directory / "results", ignore_errors=True)
        (directory / "journal.jsonl").unlink(missing_ok=True)
        ran = run_suite(directory)
        console = Console(file=io.StringIO(), width=80)
        status = _conclude(ran, console)
    report = directory / "allure-report"
    said = console.file.getvalue()  # type: ignore[attr-defined]
    tree, dashboard, scenarios = (
        (report / name).read_text() for name in ("allure.html", "dashboard.html", "index.html")
    )
    return Rendered(ran, tree, dashboard, scenarios, said, status)


def _conclude(ran: Ran, console: Console) -> int:
    return conclude(
        ran.directory / "journal.jsonl",
        ran.results_directory,
        ran.directory / "allure-report",
        Redactor([SECRET]),
        console,
        history=ran.directory / ".accept/history.jsonl",
    )


def test_a_run_is_concluded_by_table_report_and_status(rendered: Rendered) -> None:
    assert rendered.status == 1
    lines = rendered.console.splitlines()
    assert lines[-1] == "1 passed, 3 failed, 1 skipped"
    assert re.search(r"^report: .*/dashboard\.html \(every scenario: .*/index\.html\)$", lines[-2])


def test_the_pages_call_nobody(rendered: Rendered) -> None:
    assert third_parties(rendered.tree) == []
    assert third_parties(rendered.dashboard) == []
    assert third_parties(rendered.scenarios_page) == []
    assert third_parties((rendered.ran.directory / "allure-report/on-call.html").read_text()) == []


def test_the_pages_bear_the_name_of_the_project(rendered: Rendered) -> None:
    for page in (rendered.tree, rendered.dashboard, rendered.scenarios_page):
        assert re.search(rf"<title>\s*{NAME}\s*</title>", page)
    assert f"<h1>{NAME}</h1>" in rendered.dashboard


def test_the_tree_is_by_capability(rendered: Rendered) -> None:
    groups = rendered.widget("widgets/tree.json")["groupsById"].values()
    assert {"Cluster", "High availability", "Cache", "Queries answer quickly"} <= {group["name"] for group in groups}


def test_each_scenario_has_its_status_and_its_category(rendered: Rendered) -> None:
    shown = {
        name: (one["status"], *[category["name"].partition(":")[0] for category in one["categories"]])
        for name, one in rendered.scenarios().items()
    }
    assert shown == {
        "A simple query is quick": ("passed",),
        "The answer is right": ("failed", "Broken"),
        "There is one leader": ("broken", "Errors"),
        "There are replicas": ("failed", "Inconclusive"),
        "It is a primary": ("skipped", "Skipped"),
    }


def test_a_scenario_shows_its_reason_severity_figures_and_history(rendered: Rendered) -> None:
    scenarios = rendered.scenarios()
    quick, skipped = scenarios["A simple query is quick"], scenarios["It is a primary"]
    assert quick["groupedLabels"]["severity"] == ["critical"]
    assert quick["groupedLabels"]["promise"] == ["PF-01"]
    assert "measured p95: 12 ms (limit: 100 ms)" in quick["descriptionHtml"]
    assert len(quick["history"]) == 1
    assert skipped["error"]["message"] == "this sandbox has no network to cut"


def test_what_was_tested_is_shown(rendered: Rendered) -> None:
    facts = {fact["name"]: fact["values"] for fact in rendered.widget("widgets/allure_environment.json")}
    assert facts["PostgreSQL"] == ["16.14"]
    assert facts["Path: C"] == ["a=b"]


def test_figures_are_metrics_of_the_run(rendered: Rendered) -> None:
    metrics = rendered.widget("widgets/metrics.json")
    assert [(one["title"], one["value"], one["unit"]) for one in metrics["current"]] == [
        ("PF-01 p95, limit 100 ms", 12, "ms")
    ]
    assert len(metrics["history"]) == 1


def test_the_dashboard_tells_management_the_outcome(rendered: Rendered) -> None:
    for expected in (
        "No: the cluster breaks 1 promise.",
        "1 kept, 1 broken, 1 inconclusive, 1 error, 1 skipped",
        "DA-01",
        "the answer: expected 42, was 7",
        "this sandbox has no network to cut",
        'href="index.html"',
        "at most 100 ms",
    ):
        assert expected in " ".join(rendered.dashboard.split())


def test_no_password_is_in_a_page(rendered: Rendered) -> None:
    for page in (rendered.tree, rendered.dashboard, rendered.scenarios_page):
        decoded = b"".join(base64.b64decode(one) for one in re.findall(r'"([A-Za-z0-9+/]{20,}={0,2})"', page))
        assert SECRET not in page
        assert SECRET.encode() not in decoded
        assert ("seen by ••••••".encode() in decoded) is (page is rendered.tree)


def test_a_report_of_the_same_run_again_is_no_further_run(rendered: Rendered) -> None:
    history = rendered.ran.directory / ".accept/history.jsonl"
    before = history.read_text()
    render(
        rendered.ran.results_directory, rendered.ran.record, rendered.ran.directory / "again", history, in_history=True
    )
    assert history.read_text() == before
    assert len(before.splitlines()) == 2
    assert len(history.with_name(PAST).read_text().splitlines()) == 2


def test_a_run_that_could_not_begin_has_a_report(tmp_path: Path, renderer: None) -> None:
    hooks = "def in_before_all(context):\n    context.recorder.trouble(OSError('no cluster'))\n    raise OSError\n"
    write_suite(tmp_path, FEATURES, hooks)
    ran = run_suite(tmp_path)
    assert _conclude(ran, Console(file=io.StringIO())) == 3
    page = Rendered(ran, (tmp_path / "allure-report/allure.html").read_text(), "", "", "", 3)
    assert [error["message"] for error in page.widget("widgets/globals.json")["errors"]] == ["no cluster"]
    assert {one["status"] for one in page.scenarios().values()} == {"unknown"}


def test_a_report_that_cannot_be_rendered_hides_no_verdict(
    tmp_path: Path, renderer: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "PROGRAM", tmp_path / "gone.js")
    write_suite(tmp_path, FEATURES)
    console = Console(file=io.StringIO(), width=80)
    assert _conclude(run_suite(tmp_path), console) == 1
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "no page by Allure: the report could not be rendered: allure ended with 1" in said
    assert "./accept report tries again" in " ".join(said.split())
    assert "allure.html" not in (tmp_path / "allure-report/dashboard.html").read_text(), "no link to what is not there"
    assert "broken: DA-01 The answer is right" in said
    assert said.splitlines()[-1] == "1 passed, 3 failed, 1 skipped"


@pytest.mark.parametrize("where", ["renderer.lock", "suite/.accept/history.lock"])
def test_where_allures_page_cannot_be_written_ours_are(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would be locked is a folder, while the renderer is missing or Allure's history is to be continued."""
    suite = tmp_path / "suite"
    (tmp_path / where).mkdir(parents=True)
    if where == "renderer.lock":
        monkeypatch.setattr(installing, "INSTALLED", tmp_path / "renderer")
    else:
        install_renderer(lambda _: None)
    write_suite(suite, FEATURES)
    console = Console(file=io.StringIO(), width=80)
    assert _conclude(run_suite(suite), console) == 1
    said = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    assert re.search(r"no page by Allure: .*Is a directory: \S+\.lock'", said), said
    assert "no report" not in said
    assert {"dashboard.html", "index.html", "on-call.html"} <= {one.name for one in (suite / "allure-report").iterdir()}
    assert len((suite / ".accept" / PAST).read_text().splitlines()) == 1


def test_a_results_directory_without_results_is_rendered(tmp_path: Path, renderer: None) -> None:
    (tmp_path / "results").mkdir()
    ran = Ran(tmp_path, "", 0)
    assert _conclude(ran, Console(file=io.StringIO())) == 3
    assert (tmp_path / "allure-report/dashboard.html").exists()


FOREIGN: list[tuple[str, str]] = [
    ('<script async src="https://www.googletagmanager.com/gtag/js?id=G-1"></script>', "googletagmanager"),
    ('<link rel="stylesheet" href="//fonts.example.com/f.css">', "//fonts.example.com/f.css"),
    ('<img src="http://example.com/pixel.png">', "http://example.com/pixel.png"),
    (
        f'<script src="data:text/javascript;base64,{base64.b64encode(b"navigator.sendBeacon(u)").decode()}">',
        "sendBeacon(",
    ),
    ("", "no policy: its scripts may call anyone"),
]


@pytest.mark.parametrize(("tag", "told"), FOREIGN)
def test_a_page_that_calls_someone_is_found_out(tag: str, told: str) -> None:
    page = (
        f'<html><head><meta charset="utf-8">{tag}</head><body><a href="https://example.com">by hand</a></body></html>'
    )
    assert told in third_parties(page)


def test_a_page_is_made_to_keep_to_itself() -> None:
    analytics = (
        '<script async src="https://www.googletagmanager.com/gtag/js?id=G-1"></script>\n'
        "<script>\n  function gtag(){dataLayer.push(arguments);}\n  gtag('js', new Date());\n</script>"
    )
    page = f'<html><head><meta charset="utf-8"></head><body><script>ours()</script>{analytics}<p></body></html>'
    kept = without_third_parties(page)
    assert third_parties(kept) == []
    assert "<script>ours()</script><p>" in kept


def test_the_renderer_is_installed_once(renderer: None) -> None:
    said: list[str] = []
    install_renderer(said.append)
    assert (renderer_installed(), said) == (True, [])


def test_the_renderers_versions_are_exact_and_name_no_registry() -> None:
    lock = json.loads((WANTED / "package-lock.json").read_text())
    wanted = json.loads((WANTED / "package.json").read_text())["dependencies"]
    assert lock["packages"]["node_modules/allure"]["version"] == wanted["allure"]
    installed = [facts for path, facts in lock["packages"].items() if path]
    assert len(installed) > 100
    assert not [facts for facts in installed if "resolved" in facts or "integrity" not in facts]


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="there is no browser on this machine")
@pytest.mark.parametrize(("page", "expected"), [("allure.html", "Queries answer quickly")])
def test_a_browser_draws_the_page_and_the_policy_hinders_nothing(
    rendered: Rendered, tmp_path: Path, page: str, expected: str
) -> None:
    headless = (
        "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --virtual-time-budget=10000 --dump-dom --enable-logging=stderr"
    ).split()
    address = f"file://{rendered.ran.directory}/allure-report/{page}"
    drawn = subprocess.run(
        [str(BROWSER), *headless, f"--user-data-dir={tmp_path}", address], capture_output=True, text=True, timeout=60
    )
    assert expected in drawn.stdout.partition('<div id="app">')[2].partition("allureReportDataReady")[0]
    assert "Content Security Policy" not in drawn.stderr
