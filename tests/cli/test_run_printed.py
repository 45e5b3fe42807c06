"""`accept run` that prints to what cannot take it all: the verdicts, the status and the report are the same."""

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
