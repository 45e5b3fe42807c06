"""`accept run --coverage`: the figures are there, of every process, and the run is what it is without them."""

import os
import signal
from pathlib import Path
from xml.etree import ElementTree

import pytest
from program import Program, copy, target
from test_program_runs import FALSE, LONG, TRUE

from support import sql


@pytest.fixture
def program(tmp_path: Path, postgres: sql.Endpoint) -> Program:
    made = copy(tmp_path)
    made.variables = target(postgres)
    return made


def reached(program: Program) -> dict[str, float]:
    """The share of the lines that ran, by file."""
    tree = ElementTree.parse(program.project / "coverage-report" / "coverage.xml")
    return {one.attrib["filename"]: float(one.attrib["line-rate"]) for one in tree.iter("class")}


def test_lines_of_the_program_of_behave_and_of_steps_are_counted(program: Program) -> None:
    program.write_features({"cluster/a.feature": TRUE, "cluster/b.feature": FALSE})
    ended = program.run("cluster", "--coverage")
    assert ended.status == 1, str(ended)
    assert "1 passed, 1 failed, 0 skipped" in ended.out
    assert ended.last_line == "coverage: coverage-report/index.html"
    found = {Path(name).name: rate for name, rate in reached(program).items()}
    assert found["planning.py"] < 1, "it is imported, and not called"
    assert found["running.py"] > 0.4, "the program ran it"
    assert found["recorder.py"] > 0.5, "behave's process ran it"
    assert 0.5 < found["probe_steps.py"] < 1, "one of its steps is in no scenario"
    assert (program.project / "coverage-report" / "index.html").exists()


def test_ctrl_c_leaves_the_report_and_the_figures(program: Program) -> None:
    settings = program.project / "pyproject.toml"  # a small report will do
    settings.write_text(settings.read_text().replace('["support", "steps"]', '["support.cli", "steps"]'))
    program.write_features({"cluster/a.feature": LONG})
    with program.started("run", "--coverage") as running:
        assert any("A claim that takes long" in line for line in running.stdout)
        os.killpg(running.pid, signal.SIGINT)
        told, _ = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert "0 passed, 1 failed, 0 skipped" in told
    assert any(reached(program).values())
