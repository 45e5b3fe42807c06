"""The tests' own settings and summary: nothing is skipped, missing or left behind without being named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from program import ROOT, Ended

pytestmark = pytest.mark.long  # each is a run of pytest
SKIPS = """
import pytest

@pytest.fixture
def etcd():
    pytest.skip("etcd is not\\n  installed")

@pytest.mark.parametrize("number", [1, 2])
def test_asks_etcd(etcd, number): ...

@pytest.mark.skipif(True, reason="needs root")
def test_needs_root(): ...

def test_adds():
    assert 1 + 1 == 2
"""
LEAVES = """
from pathlib import Path

def test_leaves():
    Path("{name}").write_text("")
"""
MISSES = """
import pytest, run_summary

@pytest.fixture(autouse=True)
def missed(request):
    request.config.stash[run_summary.NOT_INSTALLED] = "etcd is missing; install it with: apt-get install etcd-server"

def test_adds():
    assert 1 + 1 == 2
"""
EMPTY = """
import pytest

@pytest.mark.parametrize("number", [number for number in range(3) if number > 3])
def test_numbers(number): ...
"""
PASSES_NEVERTHELESS = """
import pytest

@pytest.mark.xfail
def test_adds(): ...
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("__pycache__\n.pytest_cache\n*.log\n")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    (tmp_path / "tests").mkdir()
    return tmp_path


def run_tests(project: Path, text: str, *options: str, **variables: str) -> Ended:
    (project / "tests" / "test_it.py").write_text(text)
    left_out = ("CI", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "run_summary", *options],
        cwd=project,
        env={**environment, "PYTHONPATH": str(ROOT / "tests"), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.parametrize("processes", ["0", "2"])
def test_reasons_for_skips_are_listed(project: Path, processes: str) -> None:
    ended = run_tests(project, SKIPS, "-n", processes)
    assert ended.status == 0, str(ended)
    assert " 3 skipped, and why " in ended.out
    listed = "   2 etcd is not installed\n     tests/test_it.py\n   1 needs root\n     tests/test_it.py\n"
    assert listed in ended.out, str(ended)


def test_a_module_that_is_skipped_is_listed(project: Path) -> None:
    ended = run_tests(project, 'import pytest\npytest.importorskip("no_such_package")\ndef test_it(): ...\n')
    assert "could not import 'no_such_package'" in ended.out.partition(" 1 skipped, and why ")[2], str(ended)


@pytest.mark.parametrize("processes", ["0", "2"])
@pytest.mark.parametrize(("name", "status"), [("dump.rdb", 1), ("redis.log", 0), ("tests/data", 0)])
def test_a_file_left_in_the_project_fails_the_run(project: Path, name: str, status: int, processes: str) -> None:
    (project / "notes.txt").write_text("there before")
    ended = run_tests(project, LEAVES.format(name=name), "-n", processes)
    assert ended.status == status, str(ended)
    assert ("left files in the project's folder" in ended.out) == ("\ndump.rdb\n" in ended.out) == bool(status)


def test_without_git_nothing_counts_as_left(project: Path) -> None:
    ended = run_tests(project, LEAVES.format(name="dump.rdb"), GIT_DIR=str(project / "nowhere"))
    assert ended.status == 0, str(ended)


@pytest.mark.parametrize(("variables", "status"), [({}, 0), ({"CI": "true"}, 1)])
def test_programs_that_could_not_be_installed_are_told_and_fail_in_ci(
    project: Path, variables: dict[str, str], status: int
) -> None:
    ended = run_tests(project, MISSES, **variables)
    assert ended.status == status, str(ended)
    assert "etcd is missing; install it with" in ended.out


@pytest.mark.parametrize("text", [EMPTY, PASSES_NEVERTHELESS])
def test_what_tests_nothing_fails(project: Path, text: str) -> None:
    assert run_tests(project, text).status != 0
