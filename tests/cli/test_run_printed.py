"""`accept run` that prints to what cannot take it all: the verdicts, the status and the report are the same."""

import os
import subprocess
from pathlib import Path

import pytest
from database_runs import junit_of
from program import FALSE, TRUE, Program, copy, target

from support import sql
from support.reporting.journal import read


@pytest.fixture
def program(tmp_path: Path, postgres: sql.Endpoint) -> Program:
    made = copy(tmp_path)
    made.variables = target(postgres)
    return made


def test_what_a_terminal_cannot_print_changes_no_verdict(program: Program) -> None:
    title = "Ein wahres Ärgernis → всегда"
    claims = {"cluster/a.feature": TRUE.replace("A true claim", title), "cluster/b.feature": FALSE}
    program.write_features(claims)
    ended = program.run(PYTHONIOENCODING="ascii")
    assert (ended.status, ended.last_line) == (1, "1 passed, 1 failed, 0 skipped"), str(ended)
    assert "Ein wahres ?rgernis ? ??????" in ended.out
    assert title in (program.project / "allure-report" / "index.html").read_text()
    assert {one.scenario.name for one in read(program.project / "allure-results" / "journal.jsonl").failing} == {
        "A false claim"
    }
    assert junit_of(program).attrib["errors"] == "0"


@pytest.mark.parametrize("also_errors", [False, True])
def test_a_run_whose_output_nobody_reads_is_reported_all_the_same(program: Program, also_errors: bool) -> None:
    """As in `./accept run | head`, or `./accept run |& head`."""
    program.write_features({"cluster/a.feature": TRUE, "cluster/b.feature": FALSE})
    read_end, write_end = os.pipe()
    os.close(read_end)
    ended = subprocess.run(
        [*program.argv, "run"],
        cwd=program.project,
        env=program.environment,
        stdin=subprocess.DEVNULL,
        stdout=write_end,
        stderr=write_end if also_errors else subprocess.PIPE,
        text=True,
        timeout=170,
    )
    os.close(write_end)
    assert ended.returncode == 1, ended.stderr
    assert len(read(program.project / "allure-results" / "journal.jsonl").results) == 2, ended.stderr
    assert (junit_of(program).attrib["tests"], junit_of(program).attrib["failures"]) == ("2", "1")
    assert "breaks 1 promise" in (program.project / "allure-report" / "dashboard.html").read_text()
