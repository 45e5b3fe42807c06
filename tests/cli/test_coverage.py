"""`accept run --coverage`: figures of every process."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from program import FALSE, LONG, TRUE, Program, copy, target

from support import sql


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return copy(tmp_path)


def reached(program: Program) -> dict[str, float]:
    """The share of lines that ran, by file."""
    tree = ElementTree.parse(program.project / "coverage-report" / "coverage.xml")
    return {one.attrib["filename"]: float(one.attrib["line-rate"]) for one in tree.iter("class")}


def test_coverage_includes_the_program_behave_and_the_steps(program: Program, postgres: sql.Endpoint) -> None:
    program.variables = target(postgres)
    program.write_features({"cluster/a.feature": TRUE, "cluster/b.feature": FALSE})
    ended = program.run("cluster", "--coverage")
    assert ended.status == 1, str(ended)
    assert "1 passed, 1 failed, 0 skipped" in ended.out
    assert ended.last_line == "coverage: coverage-report/index.html"
    found = {Path(name).name: rate for name, rate in reached(program).items()}
    assert found["up.py"] < 1, "it is imported, and not called"
    assert found["run.py"] > 0.4, "the program ran it"
    assert found["recorder.py"] > 0.5, "behave's process ran it"
    assert 0.5 < found["probe_steps.py"] < 1, "one of its steps is in no scenario"
    assert (program.project / "coverage-report" / "index.html").exists()


@pytest.mark.parametrize("interrupt", [os.killpg, os.kill], ids=["by a terminal", "by a CI system"])
def test_ctrl_c_leaves_the_report_and_the_figures(
    program: Program, postgres: sql.Endpoint, interrupt: Callable[[int, int], None]
) -> None:
    program.variables = target(postgres)
    program.write_features({"cluster/a.feature": LONG})
    with program.started("run", "--coverage") as running:
        assert any("A claim that takes long" in line for line in running.stdout)
        interrupt(running.pid, signal.SIGINT)
        told, _ = running.communicate(timeout=100)
    assert running.returncode == 130, told
    assert "0 passed, 0 failed, 0 skipped, 1 interrupted" in told
    assert any(reached(program).values())
