"""`accept run --repeat` and `--rerun` on one database: which verdict counts, and what is told of the others."""

import json
import re
from pathlib import Path

import pytest
from database_runs import junit_of, pairs
from program import FICKLE, SLOW_AT_FIRST, Program, copy, target

from support import sql
from support.reporting.journal import read


@pytest.fixture
def fresh(tmp_path: Path, postgres: sql.Endpoint) -> Program:
    """The program in a project of its own, pointed at the same database."""
    made = copy(tmp_path)
    made.variables = target(postgres)
    return made


def orders(out: str) -> list[list[str]]:
    """The scenarios of each run, in the order of their start."""
    begun = re.findall(r"^\[(\d+)/6\] (ZZ-\d\d)", out, re.MULTILINE)
    runs: list[list[str]] = []
    for number, id in begun:
        if number == "1":
            runs.append([])
        runs[-1].append(id)
    return runs


def test_runs_agree_and_the_seed_decides_their_order(fresh: Program) -> None:
    fresh.write_features(pairs("one and one are 2"))
    ended = fresh.run("--repeat", "3", "--shuffle", "--seed", "7")
    assert ended.status == 0, str(ended)
    assert ended.last_line == "3 runs of 6 scenarios: none changed its verdict"
    assert re.findall(r"run \d of 3, seed (\d)", ended.err) == ["7", "8", "9"]
    found = orders(ended.out)
    assert all(sorted(one) == ["ZZ-00", "ZZ-01", "ZZ-02", "ZZ-10", "ZZ-11", "ZZ-12"] for one in found), str(ended)
    assert len({tuple(one) for one in found}) > 1, "the order differs"
    assert orders(fresh.run("--shuffle", "--seed", "8").out) == [found[1]], "and can be had again"


def test_a_changed_verdict_is_reported_and_fails_the_command(fresh: Program) -> None:
    fresh.write_features(pairs("it is the first time"))
    (fresh.project / "steps" / "fickle_steps.py").write_text(FICKLE)
    ended = fresh.run("--repeat", "2")
    said = " ".join(ended.out.split())
    assert ended.status == 1, str(ended)
    assert "changed: ZZ-12 C claims the second" in said, str(ended)
    assert "run 1: passed" in said, str(ended)
    assert "run 2: broken: it was so before" in said, str(ended)
    assert ended.last_line == "2 runs of 6 scenarios: 1 changed their verdict"


def test_the_report_of_several_runs_is_that_of_the_worst(fresh: Program) -> None:
    fresh.write_features(pairs("it is the first time"))
    (fresh.project / "steps" / "fickle_steps.py").write_text(SLOW_AT_FIRST)
    ended = fresh.run("--repeat", "2", "--seed", "7")
    assert ended.status == 1, str(ended)
    assert "the report is about the worst run, with seed 7" in ended.err, str(ended)
    assert junit_of(fresh).attrib["failures"] == "1"
    (broken,) = read(fresh.project / "allure-results" / "journal.jsonl").failing
    assert broken.reason == "it took too long"
    assert list(fresh.project.joinpath(".accept", "runs").iterdir()) == []


def test_a_scenario_that_passes_on_the_rerun_is_flaky(fresh: Program) -> None:
    fresh.write_features(pairs("it is the first time"))
    (fresh.project / "steps" / "fickle_steps.py").write_text(SLOW_AT_FIRST)
    ended = fresh.run("--rerun")
    said = " ".join(ended.out.split())
    assert ended.status == 0, str(ended)
    assert "1 failed; rerunning" in ended.err
    assert "flaky: ZZ-12 C claims the second passed on the rerun; broken at first: it took too long" in said
    assert ended.last_line == "6 passed, 0 failed, 0 skipped"
    results = [json.loads(one.read_text()) for one in (fresh.project / "allure-results").glob("*-result.json")]
    tries = sorted((one["start"], one["status"]) for one in results if one["name"] == "C claims the second")
    assert [status for _, status in tries] == ["failed", "passed"], "the evidence of both is in the report"
    assert len(results) == 7
    summary = (fresh.project / "allure-report" / "dashboard.html").read_text()
    assert "passed only when it was run again" in summary


def test_a_flaky_scenario_fails_the_run_if_the_user_wants_that(fresh: Program) -> None:
    fresh.write_features(pairs("it is the first time"))
    (fresh.project / "steps" / "fickle_steps.py").write_text(SLOW_AT_FIRST)
    ended = fresh.run("--rerun", "--fail-on-flaky")
    assert (ended.status, ended.last_line) == (1, "6 passed, 0 failed, 0 skipped"), str(ended)
    (fresh.project / "seen").unlink()
    assert fresh.run("--fail-on-flaky").status == 2


def test_a_rerun_never_clears_a_wrong_result(fresh: Program) -> None:
    """It would pass the second time: a lost write that shows in one run of five is lost all the same."""
    fresh.write_features(pairs("it is the first time"))
    (fresh.project / "steps" / "fickle_steps.py").write_text(FICKLE.replace("assert not known", "assert known"))
    ended = fresh.run("--rerun")
    assert ended.status == 1, str(ended)
    assert "1 gave a wrong result; not rerun: one wrong result is final" in ended.err
    assert "flaky" not in ended.out
    assert ended.last_line == "5 passed, 1 failed, 0 skipped"


def test_a_scenario_that_fails_again_stays_broken(fresh: Program) -> None:
    fresh.write_features(pairs("it is the first time"))
    (fresh.project / "steps" / "fickle_steps.py").write_text(SLOW_AT_FIRST.replace("if not known", "if True"))
    ended = fresh.run("--rerun")
    assert ended.status == 1, str(ended)
    assert "flaky" not in ended.out
    assert ended.last_line == "5 passed, 1 failed, 0 skipped"
