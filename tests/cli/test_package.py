"""The project as a package in an environment of the user's: it works in their folder, and clashes with nothing there.

The wheel is built and installed by pip, which needs the package index for what it builds with.
"""

import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass, replace
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from booting import boots
from program import ROOT, Ended, Program, target

from support.reporting import installing
from support.sql import Endpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PARTS = ("support", "steps", "features", "requirements", "docs")
THEIRS = 'raise ImportError("this is the package of somebody else")\n'


@dataclass
class Environment:
    """A virtual environment with the package, and a folder in which its user works."""

    directory: Path
    work: Path

    @property
    def packages(self) -> Path:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.directory / "lib" / version / "site-packages"

    @boots
    def run(self, *arguments: str, **variables: str) -> Ended:
        """Run the command `accept` in the user's folder."""
        known = {name: value for name, value in Program(ROOT).environment.items() if not name.startswith("_ACCEPT")}
        del known["PYTHONPATH"]
        ended = subprocess.run(
            [self.directory / "bin" / "accept", *arguments],
            cwd=self.work,
            env={**known, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=500,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What the package needs comes from the environment of this test."""
    folder = tmp_path_factory.mktemp("package")
    project, found = folder / "project", Environment(folder / "venv", folder / "work")
    for part in PARTS:
        shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("environment.py", "pyproject.toml", "README.md", "accept"):
        shutil.copy2(ROOT / file, project / file)
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(project))
    (wheel,) = folder.glob("*.whl")
    venv.create(found.directory, symlinks=True)
    (found.packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    if installing.renderer_installed():
        (found.directory / installing.INSTALLED.name).symlink_to(installing.INSTALLED)
    _pip("--python", str(found.directory), "install", "--no-deps", "--no-index", str(wheel))
    for name in ("support", "steps", "features", "tests"):
        (found.packages / f"{name}.py").write_text(THEIRS)
    found.work.mkdir()
    return found


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert ended.returncode == 0, ended.stderr


def test_it_adds_one_package_and_one_command(installed: Environment) -> None:
    (described,) = installed.packages.glob("accept_cluster-*.dist-info")
    files = PathDistribution(described).files or ()
    outside = {str(file) for file in files if file.parts[0] not in ("accept_cluster", described.name)}
    assert outside == {"../../../bin/accept"}
    assert {file.parts[2] for file in files if file.parts[:2] == ("accept_cluster", "project")} >= {*PARTS}


def test_it_works_in_the_users_folder_and_writes_nowhere_else(
    installed: Environment, postgres: Endpoint, tmp_path: Path
) -> None:
    installed = replace(installed, work=tmp_path)
    before = _files(installed.packages / "accept_cluster")
    made = installed.run("new", "mine")
    assert made.status == 0, str(made)
    assert f"{installed.directory / 'bin' / 'accept'} run --features" in made.out
    assert installed.run("lint", "--features", "mine").status == 0
    assert "mine/steps/session_steps.py:24" in installed.run("steps", "burst", "--features", "mine").out
    ended = installed.run("run", "--features", "mine", **target(postgres))
    assert ended.status == 0, str(ended)
    assert ended.last_line.startswith("1 passed"), str(ended)
    assert {path.name for path in installed.work.iterdir()} == {"mine", ".accept", "allure-results", "allure-report"}
    page = (installed.work / "allure-report" / "index.html").read_text(encoding="utf-8")
    assert "accept run --features" in page
    assert "./accept" not in page
    assert "1 passed" in installed.run("report").out
    assert _files(installed.packages / "accept_cluster") == before


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["psql"], "no cluster is up; accept up starts one"),
        (["rnu"], "there is no command 'rnu'; did you mean accept run?"),
        (["test"], "an installed package has no tests of its own"),
        (["run", "--features", "nowhere"], "nowhere makes one"),
    ],
)
def test_messages_name_the_command_as_it_is_called(installed: Environment, arguments: list[str], words: str) -> None:
    ended = installed.run(*arguments)
    assert words in ended.err, str(ended)
    assert "./accept" not in ended.err


def test_help_and_completion_are_those_of_the_installed_command(installed: Environment) -> None:
    told = installed.run("promises", "--help")
    assert "Usage: accept promises" in told.out, str(told)
    assert "./accept" not in told.out
    words = {"_ACCEPT_COMPLETE": "complete_bash", "COMP_WORDS": "accept com", "COMP_CWORD": "1"}
    assert installed.run(**words).out.split() == ["compare"]


def test_it_boots_a_cluster_of_its_own(installed: Environment) -> None:
    assert installed.run("new", "theirs").status == 0
    ended = installed.run("run", "--features", "theirs", "--workers", "0", "--members", "1", "--etcd", "1")
    assert ended.status == 0, str(ended)
    assert ended.last_line.startswith("1 passed"), str(ended)
    assert not list((installed.work / ".accept" / "runs").iterdir())


def test_load_says_what_to_install(installed: Environment, postgres: Endpoint) -> None:
    """Python is told not to look further than at the packages that every installation has."""
    hidden = installed.directory / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u\nreal = u.find_spec\n"
        'u.find_spec = lambda name, *more: None if name == "locust" else real(name, *more)\n'
    )
    ended = installed.run("load", PYTHONPATH=str(hidden), **target(postgres))
    assert ended.status == 2, str(ended)
    assert "pip install 'accept-cluster[load]'" in ended.err
