"""JUnit XML of a run, as another program reads it, and the same run in Markdown."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from journals import READS, WRITES
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase

from support.reporting import junit
from support.reporting.journal import Journal, RunRecord, exit_status, read
from support.reporting.scenario import Measure, Scenario, ScenarioResult, Verdict
from support.reporting.summary import append_markdown

VECTORS = Scenario("features/cluster/search.feature", "Search", "Vectors | are <found>", tags=("id.DA-03", "vector"))
SHARDS = Scenario("features/sharding/shards.feature", "Shards", "Rows are spread", tags=("id.SH-01", "citus"))
LATE = Scenario("features/cluster/late.feature", "Late", "Nobody came to it")
BROKEN = ScenarioResult(WRITES, Verdict.BROKEN, "3 writes \x1b[31mlost\x1b[0m & <gone>\nof 10", 1.5, trace="Trace\x00")
PASSED = ScenarioResult(READS, Verdict.PASSED, seconds=0.25, measures=(Measure("p95", 12.0, "ms", 100.0),))
VAIN = ScenarioResult(VECTORS, Verdict.INCONCLUSIVE, "nobody looked")
LACKING = ScenarioResult(SHARDS, Verdict.SKIPPED, "citus is not installed")


def record_of(path: Path, required: tuple[str, ...] = (), trouble: str = "") -> RunRecord:
    journal = Journal(path / "journal.jsonl")
    journal.begin([WRITES, READS, VECTORS, SHARDS, LATE], required=required)
    for one in (BROKEN, PASSED, VAIN, LACKING):
        journal.record(one)
    if trouble:
        journal.trouble(trouble)
    journal.end(interrupted=True)
    return read(journal.path)


def cases(path: Path, record: RunRecord) -> dict[str, TestCase]:
    """The test cases by name. What is written as their counts is what the library counts itself."""
    file = path / "report" / "junit.xml"
    junit.write(record, file)
    suites = JUnitXml.fromfile(str(file))
    suites.update_statistics()
    root = ElementTree.parse(file).getroot()
    assert "skipped" not in root.attrib, "the usual schema has it only for a suite"
    for counted, written in zip([suites, *suites], [root, *root], strict=True):
        assert written.attrib["name"] == counted.name
        for count in ("tests", "failures", "errors"):
            assert int(written.attrib[count]) == getattr(counted, count), (counted.name, count)
    return {case.name: case for suite in suites for case in suite}


def outcome(case: TestCase) -> tuple[type, str]:
    (result,) = case.result
    return type(result), result.message


def test_every_verdict_has_its_outcome(tmp_path: Path) -> None:
    found = cases(tmp_path, record_of(tmp_path))
    assert outcome(found["FO-02 Writes \\ go on\n"]) == (Failure, "3 writes �[31mlost�[0m & <gone>\nof 10")
    assert outcome(found["DA-03 Vectors | are <found>"]) == (Error, "nobody looked")
    assert outcome(found["SH-01 Rows are spread"]) == (Skipped, "citus is not installed")
    assert outcome(found["Nobody came to it"]) == (Error, "it did not begin: the run was stopped")
    passed = found['PF-01 Reads are "fast"']
    assert passed.is_passed
    assert (passed.classname, passed.time) == ("cache.Reads", 0.25)
    assert passed.system_out == "measured p95: 12 ms (limit: 100 ms)"


def test_suites_are_in_the_order_of_the_report(tmp_path: Path) -> None:
    junit.write(record_of(tmp_path), tmp_path / "junit.xml")
    names = [suite.name for suite in JUnitXml.fromfile(str(tmp_path / "junit.xml"))]
    assert names == ["Cluster", "Sharding", "High availability", "Cache"]


def test_a_promise_that_a_scenario_of_another_one_saw_broken_is_a_failure_of_its_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([WRITES, READS])
    journal.record(replace(BROKEN, reason="SB-01: two writers", also_broken=("SB-01", "FO-02")))
    journal.record(PASSED)
    journal.end()
    found = cases(tmp_path, read(journal.path))
    seen = "SB-01, seen in FO-02 Writes \\ go on\n"
    assert found.keys() == {"FO-02 Writes \\ go on\n", seen, 'PF-01 Reads are "fast"'}
    assert outcome(found[seen]) == (Failure, "SB-01: two writers")
    assert (found[seen].classname, found[seen].time) == ("failover.Crashes", 0)


def test_what_is_required_and_missing_is_an_error(tmp_path: Path) -> None:
    found = cases(tmp_path, record_of(tmp_path, required=("citus",)))
    assert outcome(found["SH-01 Rows are spread"]) == (Error, "citus is not installed")


@pytest.mark.parametrize("fails", [True, False])
def test_what_is_flaky_is_what_it_was_at_first_if_it_fails_the_run(tmp_path: Path, fails: bool) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([WRITES, READS, VECTORS], fail_on_flaky=fails)
    journal.record(replace(PASSED, scenario=VECTORS))
    for first in (BROKEN, replace(PASSED, verdict=Verdict.INCONCLUSIVE, reason="nobody read")):
        journal.record(first)
        journal.rerun([first])
        journal.record(ScenarioResult(first.scenario, Verdict.PASSED))
    journal.end()
    record = read(journal.path)
    found = cases(tmp_path, record)
    writes, reads = found["FO-02 Writes \\ go on\n"], found['PF-01 Reads are "fast"']
    assert found["DA-03 Vectors | are <found>"].is_passed
    assert "rerun; inconclusive at first: nobody read" in reads.system_out
    assert exit_status(record) == int(fails)
    assert (writes.is_passed, reads.is_passed) == (not fails, not fails)
    if fails:
        assert outcome(reads) == (Error, "passed only on the rerun; inconclusive at first: nobody read")
        assert outcome(writes)[0] is Failure
        assert (writes.result[0].type, writes.result[0].text) == ("flaky", "Trace\ufffd")


def test_trouble_of_the_run_is_an_error_of_its_own(tmp_path: Path) -> None:
    found = cases(tmp_path, record_of(tmp_path, trouble="the data could not be removed"))
    assert outcome(found["trouble 1"]) == (Error, "the data could not be removed")


@pytest.mark.parametrize("trouble", ["", "the data could not be removed"])
def test_markdown_has_the_table_and_every_reason(tmp_path: Path, trouble: str) -> None:
    file = tmp_path / "summary.md"
    file.write_text("before\n")
    append_markdown(record_of(tmp_path, trouble=trouble), file)
    lines = file.read_text().splitlines()
    assert lines[0] == "before"
    assert lines[1] == "| capability | promises | kept | broken | errors | skipped | unfinished | seconds |"
    assert lines[3] == "| Cluster | 2 | 0 | 0 | 1 | 0 | 1 | 0.0 |"
    assert lines[7] == "| **all** | **5** | **1** | **1** | **1** | **1** | **1** | **1.8** |"
    assert ("- **the run**: the data could not be removed" in lines) == bool(trouble)
    assert lines[-4].startswith("- **broken**: FO-02 Writes \\\\ go on – 3 writes")
    assert lines[-4].endswith(" & \\<gone\\> of 10")
    assert lines[-3] == "- **inconclusive**: DA-03 Vectors \\| are \\<found\\> – nobody looked"
    assert lines[-2] == "- **not reached**: Nobody came to it – the run was stopped"
    assert lines[-1] == "- **skipped**: SH-01 – citus is not installed"
