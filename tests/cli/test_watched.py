"""Several clusters at once: the process that starts their jobs watches the machine for all of them."""

import sys
from pathlib import Path

import pytest

from support.cli import clusters, jobs, prove
from support.cli.job_plan import Spread
from support.engine.saturation import VARIABLE
from support.run import begin_run
from support.work import Unit

TELL = f"import os, pathlib; pathlib.Path('told').write_text(os.environ.get({VARIABLE!r}, ''))"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)


def job(_: object) -> list[str]:
    """In place of the program: it notes where it is told what the machine does."""
    return [sys.executable, "-c", TELL]


def test_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "accept_argv", job)
    run = begin_run()
    spread = Spread((Unit("features/a.feature", (3,)),), (None,))
    jobs._Round(run, spread, []).carry_out()
    assert Path("told").read_text() == str(run.directory / "saturation.jsonl")


def test_of_a_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "accept_argv", job)
    assert prove._run_shares(1, [], tmp_path) == 0
    assert Path("told").read_text() == str(tmp_path / "saturation.jsonl")
