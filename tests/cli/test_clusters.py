"""Which folders of clusters and runs are removed: those of the dead, and no others."""

from pathlib import Path

import pytest

from support.cli import clusters
from support.hosts import state
from support.run import CLUSTERS, RUNS, STORED, begin_run, forget


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dead_sandbox(directory: Path) -> None:
    """What is left of a sandbox whose supervisor has ended."""
    directory.mkdir(parents=True)
    (directory / state.LOCK).touch()


@pytest.mark.parametrize("place", ["sandbox", "beside/sandbox"])
def test_a_run_that_is_on_its_second_cluster_keeps_its_folder(place: str) -> None:
    """And so does a job's share of it."""
    run = begin_run()
    share = run.share(run.directory / "work", workers=None)
    for directory in (run.directory, share.directory):
        dead_sandbox(directory / place)
    clusters.sweep()
    assert run.directory.exists()
    assert share.directory.exists()


@pytest.mark.parametrize("place", ["sandbox", "beside/sandbox"])
def test_a_run_that_was_killed_is_removed(place: str) -> None:
    over = begin_run()
    dead = RUNS / "0badc0de0001"
    dead_sandbox(dead / place)
    (dead / "life").touch()
    share = RUNS / "0badc0de0001-12345678"
    dead_sandbox(share / place)
    clusters.sweep()
    assert not dead.exists()
    assert not share.exists()
    assert over.directory.exists()


def test_a_cluster_that_is_dead_is_removed() -> None:
    dead_sandbox(CLUSTERS / "mine" / "sandbox")
    clusters.sweep()
    assert not (CLUSTERS / "mine").exists()


def test_what_tells_that_a_run_is_over_stays_beside_its_notes() -> None:
    run = begin_run()
    (run.directory / STORED).write_text('{"target": "somewhere", "sandbox": null}\n')
    forget(run.directory)
    clusters.sweep()
    assert (run.directory / "life").exists()
