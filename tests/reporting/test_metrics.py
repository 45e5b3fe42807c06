"""A run as metrics: the series, the file they are written to, the alerts on them, and whole runs of the program."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from conftest import free_port
from journals import LAG, READS, WRITES, record_of
from monitoring import program
from program import Program, copy, target
from prometheus_client import parser as older
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.samples import Sample

from support import sql
from support.reporting.journal import Journal, RunRecord, exit_status, read
from support.reporting.metrics import Publisher, exposition
from support.reporting.scenario import Measure, Scenario, ScenarioResult, Verdict
from support.reporting.summary import markdown
from support.settings import Settings

ROOT = Path(__file__).parents[2]


def samples(text: bytes) -> list[Sample]:
    """The series, as a reader of OpenMetrics takes them."""
    return [one for family in openmetrics.text_string_to_metric_families(text.decode()) for one in family.samples]


def series(record: RunRecord, name: str, **labels: str) -> dict[str, float]:
    """What a run published under that name with these labels: the labels' values -> the value."""
    found = samples(exposition(record, exit_status(record), "nightly"))
    return {
        " ".join(value for label, value in sorted(one.labels.items()) if label not in labels): one.value
        for one in found
        if one.name == name and labels.items() <= one.labels.items()
    }


def test_each_scenario_has_its_verdict_and_its_time(tmp_path: Path) -> None:
    broken = ScenarioResult(WRITES, Verdict.BROKEN, "lost", seconds=2.5)
    record = record_of(tmp_path, broken, READS)
    of = {"pipeline": "nightly", "target": "embedded cluster", "scenario": WRITES.name}
    of |= {"id": "FO-02", "suite": "failover"}
    others = dict.fromkeys(("passed", "inconclusive", "error", "skipped", "interrupted", "not reached"), 0)
    assert series(record, "accept_scenario_verdict", **of, severity="blocker") == {"broken": 1, **others}
    assert series(record, "accept_scenario_duration_seconds", **of) == {"": 2.5}
    assert series(record, "accept_scenario_verdict", id="PF-01", verdict="not reached") != {}
    assert series(record, "accept_scenario_duration_seconds", id="PF-01") == {}


@pytest.mark.parametrize("selected", [True, False])
def test_a_promise_that_a_scenario_of_another_one_saw_broken_is_broken(tmp_path: Path, selected: bool) -> None:
    """With the severity of that promise, whether or not its own scenario was selected."""
    found = ScenarioResult(READS, Verdict.BROKEN, "two writers", also_broken=("SB-01",))
    own = Scenario("features/failover/split.feature", "Split", "Partition", tags=("id.SB-01", "blocker"))
    record = record_of(tmp_path, found, *([ScenarioResult(own, Verdict.PASSED)] if selected else []))
    of = {"pipeline": "nightly", "target": "embedded cluster"}
    broken = {"PF-01 normal": 1, "SB-01 blocker": 1}
    assert series(record, "accept_promise_verdict", **of, verdict="broken") == broken
    assert series(record, "accept_promise_verdict", **of, verdict="passed") == dict.fromkeys(broken, 0)


def test_of_several_scenarios_of_a_promise_the_worst_verdict_counts(tmp_path: Path) -> None:
    """The list of promises does not have it, so its severity is that of its most severe scenario."""
    one = Scenario("features/cluster/own.feature", "Own", "One", tags=("id.ZZ-01", "critical"))
    other = Scenario("features/cache/own.feature", "Own", "Other", tags=("id.ZZ-01",))
    ends = (ScenarioResult(one, Verdict.PASSED), ScenarioResult(other, Verdict.INCONCLUSIVE, "nobody looked"))
    verdicts = series(record_of(tmp_path, *ends), "accept_promise_verdict", id="ZZ-01", severity="critical")
    assert [labels for labels, value in verdicts.items() if value] == ["nightly embedded cluster inconclusive"]


def test_what_passed_only_on_the_rerun_is_flaky(tmp_path: Path) -> None:
    failed = ScenarioResult(WRITES, Verdict.BROKEN, "lost")
    record_of(tmp_path, failed, ScenarioResult(READS, Verdict.PASSED))
    journal = Journal(tmp_path / "journal.jsonl")
    journal.rerun([failed])
    journal.record(ScenarioResult(WRITES, Verdict.PASSED))
    record = read(journal.path)
    of = {"pipeline": "nightly", "target": "embedded cluster"}
    assert set(series(record, "accept_scenario_flaky", **of, id="FO-02").values()) == {1}
    assert set(series(record, "accept_scenario_flaky", **of, id="PF-01").values()) == {0}
    assert set(series(record, "accept_scenario_verdict", **of, id="FO-02", verdict="passed").values()) == {1}


def test_each_capability_says_whether_it_is_there_or_was_until_the_last_run(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([WRITES], capabilities={"redis": "", "statistics": "no page was given"}, lost=["statistics"])
    record = read(journal.path)
    there = {name: set(series(record, "accept_capability", capability=name).values()) for name in record.capabilities}
    assert there == {"redis": {1}, "statistics": {0}}
    lost = {name: set(series(record, "accept_capability_lost", capability=name).values()) for name in there}
    assert lost == {"redis": {0}, "statistics": {1}}
    assert "lost since the previous run**: statistics: no page was given" in markdown(record)


def test_measures_are_in_base_units_each_with_its_limit(tmp_path: Path) -> None:
    measures = (LAG, Measure("reads", 900.0, "/s"), Measure("recall", 0.98, "", 0.9), Measure("sent", 7.0, "MB in all"))
    record = record_of(tmp_path, ScenarioResult(READS, Verdict.PASSED, measures=measures))
    of = {"id": "PF-01", "suite": "cache", "scenario": READS.name, "pipeline": "nightly", "target": "embedded cluster"}
    assert series(record, "accept_measure_seconds", **of) == {"replication lag": 0.25}
    assert series(record, "accept_measure_limit_seconds", **of) == {"replication lag": 0.5}
    assert series(record, "accept_measure_per_second", **of) == {"reads": 900}
    assert series(record, "accept_measure", **of) == {"recall": 0.98}
    assert series(record, "accept_measure_limit", **of) == {"recall": 0.9}
    assert series(record, "accept_measure_mb_in_all", **of) == {"sent": 7}


def test_the_run_says_when_it_ended_how_and_how_many(tmp_path: Path) -> None:
    record = record_of(tmp_path, ScenarioResult(WRITES, Verdict.BROKEN, "lost"), READS)
    of = {"pipeline": "nightly", "target": "embedded cluster"}
    ((_, ended),) = series(record, "accept_run_end_timestamp_seconds", **of).items()
    assert ended == pytest.approx(time.time(), abs=60)
    ((_, spent),) = series(record, "accept_run_duration_seconds", **of).items()
    assert spent == record.ended - record.began
    assert series(record, "accept_run_exit_status", **of) == {"": 1}
    counts = series(record, "accept_run_scenarios", **of)
    assert counts == {**dict.fromkeys(Verdict, 0), "broken": 1, "not reached": 1}


def test_a_run_that_could_not_begin_judged_nothing_just_now() -> None:
    found = {(one.name, one.labels.get("verdict")): one.value for one in samples(exposition(RunRecord(), 3, "nightly"))}
    assert found["accept_run_exit_status", None] == 3
    assert found["accept_run_scenarios", "passed"] == found["accept_run_scenarios", "broken"] == 0
    assert found["accept_run_end_timestamp_seconds", None] == pytest.approx(time.time(), abs=60)


def test_the_series_of_two_runs_are_the_same_ones(tmp_path: Path) -> None:
    def names(verdict: Verdict, value: float) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        result = ScenarioResult(WRITES, verdict, measures=(Measure("gap", value, "s", 30.0),))
        record = record_of(tmp_path / verdict.name, result)
        return {(one.name, frozenset(one.labels.items())) for one in samples(exposition(record, 0, "nightly"))}

    assert names(Verdict.PASSED, 1.0) == names(Verdict.BROKEN, 31.0)


def test_no_two_series_are_alike(tmp_path: Path) -> None:
    rows = [Scenario(READS.path, READS.feature, READS.name, (("n", n),), READS.tags) for n in "12"]
    twice = (LAG, Measure(LAG.name, 1000.0, "ms"))
    record = record_of(tmp_path, *(ScenarioResult(row, Verdict.PASSED, measures=twice) for row in rows))
    found = [(one.name, *sorted(one.labels.items())) for one in samples(exposition(record, 0, "nightly"))]
    assert len(found) == len(set(found))
    named = series(record, "accept_measure_seconds", pipeline="nightly", target="embedded cluster", suite="cache")
    assert named == {
        'PF-01 replication lag Reads are "fast"': 0.25,
        'PF-01 replication lag (2) Reads are "fast"': 1,
        'PF-01 replication lag Reads are "fast" (2)': 0.25,
        'PF-01 replication lag (2) Reads are "fast" (2)': 1,
    }


def test_one_text_is_both_openmetrics_and_the_older_format(tmp_path: Path) -> None:
    record = record_of(tmp_path, ScenarioResult(WRITES, Verdict.PASSED, measures=(LAG,)), READS)
    text = exposition(record, 1, 'a "pipeline"')
    families = older.text_string_to_metric_families(text.decode())
    assert [one for family in families for one in family.samples] == samples(text)
    promtool("check", "metrics", given=text)


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("strict_umask")
def test_the_file_is_replaced_at_once_for_everyone_to_read(tmp_path: Path) -> None:
    file = tmp_path / "out" / "accept.prom"
    file.parent.mkdir()
    file.write_text("of an earlier run")
    before = file.stat().st_ino
    record = record_of(tmp_path, READS)
    assert published(record, accept_metrics=file) == [f"metrics: {file}"]
    assert file.read_bytes() == exposition(record, 1, "accept")
    assert file.stat().st_mode & 0o777 == 0o644
    assert file.stat().st_ino != before, "a reader may have seen half of it"
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_cannot_be_written_is_told_in_a_line(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert published(RunRecord(), accept_metrics=pipe) == [f"no metrics in {pipe}: it exists and is not a file"]
    gone = tmp_path / "gone" / "accept.prom"
    assert published(RunRecord(), accept_metrics=gone) == [f"no metrics in {gone}: No such file or directory"]


def test_a_gateway_that_cannot_be_reached_is_told_in_a_line_without_its_password() -> None:
    port = free_port()
    told = published(RunRecord(), accept_pushgateway=f"http://jo:secret@127.0.0.1:{port}/behind/")
    assert told == [f"no metrics in http://127.0.0.1:{port}/behind: Connection refused"]


def test_nothing_is_left_of_a_program_that_was_killed() -> None:
    made = "Publisher(Settings.load({'accept_pushgateway': 'http://gateway'}))"
    imports = "from support.reporting.metrics import Publisher; from support.settings import Settings"
    code = f"{imports}; made = {made}; print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) as program:
        assert program.stdout.readline()
        (courier,) = psutil.Process(program.pid).children()
        program.kill()
    psutil.wait_procs([courier], timeout=5)
    assert not courier.is_running()


def test_the_alerts_are_what_they_should_be() -> None:
    promtool("check", "rules", str(ROOT / "docs" / "alerts.yml"))
    promtool("test", "rules", str(Path(__file__).with_name("alerts.yml")))


def published(record: RunRecord, **said: object) -> Sequence[str]:
    with Publisher(Settings.load(said)) as publisher:
        return publisher.publish(record, 1)


def promtool(*arguments: str, given: bytes = b"") -> None:
    """Raises AssertionError with what it found fault with."""
    ended = subprocess.run([program("promtool"), *arguments], input=given, capture_output=True)
    assert ended.returncode == 0, (ended.stdout + ended.stderr).decode()


FEATURE = """
@normal
Feature: Sums
  @id.ZZ-01
  Scenario: One and one
    Given a sum
    Then one and one are 2
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Program:
    project = copy(tmp_path_factory.mktemp("project"))
    project.write_features({"cluster/a.feature": FEATURE})
    return project


def series_in(file: Path) -> dict[tuple[str, ...], float]:
    """Name and, where it has one, verdict of each series -> its value."""
    families = openmetrics.text_string_to_metric_families(file.read_text())
    found = [one for family in families for one in family.samples]
    return {tuple(filter(None, (one.name, one.labels.get("verdict")))): one.value for one in found}


def test_a_run_publishes_to_a_file_and_says_what_it_could_not(
    project: Program, postgres: sql.Endpoint, tmp_path: Path
) -> None:
    nobody = f"http://jo:secret@127.0.0.1:{free_port()}"
    file = tmp_path / "accept.prom"
    said = ("--metrics", str(file), "--pushgateway", nobody, "--pipeline", "nightly")
    ended = project.run(*said, **target(postgres))
    assert (ended.status, ended.last_line) == (0, "1 passed, 0 failed, 0 skipped"), str(ended)
    assert f"metrics: {file}" in ended.out
    assert f"no metrics in {nobody.replace('jo:secret@', '')}: Connection refused" in ended.out
    assert "secret" not in ended.out + ended.err
    assert 'pipeline="nightly"' in file.read_text()
    first = series_in(file)
    assert first["accept_scenario_verdict", "passed"] == first["accept_run_scenarios", "passed"] == 1
    file.unlink()
    again = project.run("report", "--metrics", str(file))
    assert (again.status, again.last_line) == (ended.status, ended.last_line), again
    assert series_in(file) == first


def test_a_run_that_cannot_begin_publishes_that(project: Program, tmp_path: Path) -> None:
    file = tmp_path / "accept.prom"
    ended = project.run(RUVECTOR_HOST="127.0.0.1", RUVECTOR_PORT=str(free_port()), ACCEPT_METRICS=str(file))
    assert ended.status == 3, str(ended)
    found = series_in(file)
    assert found["accept_run_exit_status",] == 3
    assert found["accept_run_scenarios", "passed"] == found["accept_run_scenarios", "broken"] == 0


def test_a_run_that_selects_no_scenario_reports_and_publishes_that(project: Program, tmp_path: Path) -> None:
    """The alert goes by it; the pages of the run before would be taken for those of this one."""
    file, report = tmp_path / "accept.prom", project.project / "allure-report"
    report.mkdir(exist_ok=True)
    for page in ("dashboard.html", "dashboard.pdf"):
        (report / page).write_text("Yes: the cluster keeps 1 promise.")
    ended = project.run("--name", "no such title", ACCEPT_METRICS=str(file))
    assert ended.status == 3, str(ended)
    found = series_in(file)
    assert found["accept_run_exit_status",] == 3
    assert found["accept_run_scenarios", "passed"] == found["accept_run_scenarios", "broken"] == 0
    assert "no scenario is selected by" in (report / "dashboard.html").read_text()
    assert not (report / "dashboard.pdf").exists()
    assert not list((project.project / ".accept" / "runs").iterdir()), "nothing is left of the run"


def test_an_address_that_is_none_is_wrong_usage_and_not_shown(project: Program) -> None:
    ended = project.run("--pushgateway", "jo:secret@gateway:9091")
    assert ended.status == 2, str(ended)
    assert ended.complaints == ["accept: --pushgateway should be like http://user:password@host:9091"], str(ended)
    assert "secret" not in ended.out + ended.err
