"""The script `accept`: help where nothing is installed, what it installs for which command, and interruptions."""

import os
import re
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path

import pytest
from bounds import takes_less_than
from program import ROOT

from support.cli import package
from support.waiting import NotYet, eventually

GROUPS = ("core", "load", "test")
TOOLS = "bash env readlink dirname sha256sum cat cut mkdir rm touch sed flock tail sh df sleep chmod".split()
OLD_PYTHON = "#!/bin/sh\nexit 1\n"
# New enough, but without the modules that make virtual environments.
BARE_PYTHON = """#!/bin/sh
case "$2" in
    *version_info\\ \\<*) exit 0 ;;
    *ensurepip*) exit 1 ;;
    *print*) echo python3.12-venv ;;
esac
"""
# It makes virtual environments whose pip says what it is asked for, and ends when the file "go" is there.
PYTHON = """#!/bin/sh
case "$*" in
    *-m\\ venv*) mkdir -p "$3/bin"; cat "$0" >"$3/bin/python"; chmod 755 "$3/bin/python" ;;
    *-m\\ pip*) echo "pip: $*"; while [ ! -e "$HOME/go" ]; do sleep 0.05; done ;;
    *get_path*) echo "$HOME/.venv" ;;
    *support.cli*) echo "started: $*" ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A clone without `.venv`, on a machine that has few programs."""
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    for file in ("accept", "pyproject.toml", "docs/commands.md", *(f"requirements/{group}.lock" for group in GROUPS)):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / file, tmp_path / file)
    return tmp_path


def start(project: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [project / "accept", *arguments],
        env={"PATH": str(project / "bin"), "HOME": str(project), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def program(project: Path, name: str, text: str) -> None:
    file = project / "bin" / name
    file.write_text(text)
    file.chmod(0o755)


def install(project: Path, groups: Sequence[str] = GROUPS) -> None:
    """Pretend finished installations of these groups."""
    (project / ".venv" / "bin").mkdir(parents=True)
    program(project, "../.venv/bin/python", PYTHON)
    for group in groups:
        pinned = f"{project}\n".encode() + (project / "requirements" / f"{group}.lock").read_bytes()
        digest = subprocess.run(["sha256sum"], input=pinned, capture_output=True, check=True).stdout.split()[0]
        (project / ".venv" / f"installed-{group}").write_bytes(digest + b"\n")


def log(project: Path) -> str:
    return (project / ".accept" / "install.log").read_text()


@pytest.mark.parametrize("python", [None, OLD_PYTHON])
def test_without_a_recent_python_it_says_what_to_install(project: Path, python: str | None) -> None:
    if python:
        program(project, "python3", python)
    ended = start(project)
    assert ended.returncode == 3
    assert ended.stderr == (
        "accept: Python 3.11 or newer is required, but not on the PATH; "
        "on Debian and Ubuntu: apt-get install python3 python3-venv\n"
    )


def test_without_venv_it_says_the_exact_command(project: Path) -> None:
    program(project, "python3", BARE_PYTHON)
    ended = start(project)
    assert ended.returncode == 3
    assert ended.stderr == (
        f"accept: {project}/bin/python3 cannot create virtual environments; run: sudo apt-get install python3.12-venv\n"
    )


def test_once_installed_it_starts_the_program_at_once(project: Path) -> None:
    install(project)
    ended = start(project, "run", "two words")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "started: -P -m support.cli run two words\n"
    elsewhere = subprocess.run([project / "accept"], cwd="/", capture_output=True, text=True)
    assert elsewhere.stdout == "started: -P -m support.cli\n"


@pytest.mark.parametrize("group", GROUPS)
def test_changed_pins_are_installed_again(project: Path, group: str) -> None:
    install(project)
    with (project / "requirements" / f"{group}.lock").open("a") as pins:
        pins.write("\n# changed\n")
    assert "Python 3.11 or newer is required" in start(project, "test").stderr, "it tries to install"


# Help


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], "Usage: ./accept [OPTIONS] COMMAND"),
        (["-h"], "Usage: ./accept [OPTIONS] COMMAND"),
        (["run", "--help"], "Usage: ./accept run"),
        (["load", "--workers", "2", "-h"], "Usage: ./accept load"),
        (["nonsense", "--help"], "Usage: ./accept [OPTIONS] COMMAND"),
        (["--version"], "accept 0."),
    ],
)
def test_help_needs_no_installation(project: Path, arguments: list[str], expected: str) -> None:
    with takes_less_than(1):
        ended = start(project, *arguments)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    assert ended.stdout.strip().startswith(expected), ended
    assert not {".venv", ".accept"} & {path.name for path in project.iterdir()}, "nothing was installed"


def test_help_about_a_command_does_not_install_what_the_command_needs(project: Path) -> None:
    install(project, ["core"])
    assert start(project, "load", "--help").stdout == "started: -P -m support.cli load --help\n"


@pytest.mark.parametrize("arguments", [["run", "-h"], ["test", "-h"], ["steps", "help"], []])
def test_what_is_no_question_for_help_installs(project: Path, arguments: list[str]) -> None:
    assert "Python 3.11 or newer is required" in start(project, *arguments).stderr


# Installing


@pytest.mark.parametrize(
    ("there", "arguments", "installed"),
    [
        ([], [], ["core"]),
        ([], ["--tags", "@redis"], ["core"]),
        (["core"], ["load"], ["load"]),
        (["core"], ["test", "--quick"], ["load", "test"]),
        (["core", "load"], ["test"], ["test"]),
        ([], ["test"], ["core", "load", "test"]),
    ],
)
def test_only_what_the_command_needs_is_installed(
    project: Path, there: list[str], arguments: list[str], installed: list[str]
) -> None:
    if there:
        install(project, there)
    program(project, "python3", PYTHON)
    (project / "go").touch()
    ended = start(project, *arguments)
    assert ended.stdout == f"started: -P -m support.cli {' '.join(arguments)}".strip() + "\n", ended
    announced = re.findall(r"accept: installing (.*) into .venv \(once\): \d+ MB, ", ended.stderr)
    assert len(announced) == len(installed), ended
    assert {path.name for path in (project / ".venv").glob("installed-*")} == {
        f"installed-{g}" for g in there + installed
    }
    assert log(project).count("pip: ") == 2 * len(installed), "two at a time"
    assert not (project / ".venv" / "installing").exists()


def begin(project: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [project / "accept", *arguments],
        env={"PATH": str(project / "bin"), "HOME": str(project)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def await_pip(project: Path) -> None:
    def running() -> None:
        if log(project).count("pip: ") < 2:
            raise NotYet("pip is not running")

    eventually(running, within=20, subject="two pips run", retry_on=(OSError,))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("there", [[], ["core"]], ids=["core", "load"])
def test_the_next_start_mends_an_interrupted_installation(project: Path, how: signal.Signals, there: list[str]) -> None:
    if there:
        install(project, there)
    program(project, "python3", PYTHON)
    interrupted = begin(project, "load")
    await_pip(project)
    os.killpg(interrupted.pid, how)  # as a terminal does
    assert interrupted.wait(20) != 0
    (project / "go").touch()
    ended = start(project, "load")
    assert ended.stdout == "started: -P -m support.cli load\n", ended
    assert ("an earlier installation was interrupted; starting over" in ended.stderr) is not bool(there), ended
    assert ("--ignore-installed" in log(project)) is bool(there), "it overwrites what may be half there"
    assert start(project, "load").stderr == ""


def test_two_starts_at_the_same_time_install_once(project: Path) -> None:
    program(project, "python3", PYTHON)
    first = begin(project)
    await_pip(project)
    second = begin(project)
    assert second.stderr is not None
    assert second.stderr.readline() == "accept: waiting for another installation to finish\n"
    (project / "go").touch()
    assert [one.communicate(timeout=20)[0] for one in (first, second)] == ["started: -P -m support.cli\n"] * 2
    assert log(project).count("pip: ") == 2


def test_a_pip_that_fails_is_reported_and_nothing_is_taken_for_installed(project: Path) -> None:
    program(project, "python3", PYTHON.replace('echo "pip: $*"', "echo ERROR: no index; exit 1"))
    for _ in range(2):
        ended = start(project)
        assert (ended.returncode, ended.stdout) == (3, "")
        assert (
            f"the installation failed; the last lines of {project}/.accept/install.log:\nERROR: no index"
            in ended.stderr
        )
    assert "an earlier installation was interrupted; starting over" in ended.stderr


def test_a_pip_without_a_network_says_so(project: Path) -> None:
    broken = "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)': /simple/behave/"
    program(project, "python3", PYTHON.replace('echo "pip: $*"', f'echo "{broken}"; exit 1'))
    assert "the installation failed: pip reaches no package index" in start(project).stderr


def test_a_disk_without_room_is_told_before_anything_is_written(project: Path) -> None:
    program(project, "python3", PYTHON)
    (project / "bin" / "df").unlink()
    program(project, "df", "#!/bin/sh\necho Filesystem\necho 'my disk 9000000 8795200 204800 98% /'\n")
    ended = start(project)
    assert ended.returncode == 3
    assert re.search(rf"this takes \d+ MB, but where {project} is only 200 MB are free", ended.stderr), ended
    assert not (project / ".venv").exists()


# The pins


def pins(group: str) -> dict[str, str]:
    """Package -> version, as a group pins it."""
    lines = (ROOT / "requirements" / f"{group}.lock").read_text().splitlines()
    pinned = [re.sub(r"[ ;].*", "", line).split("==") for line in lines if line and not line.startswith(" ")]
    return {re.sub(r"\[.*\]", "", name): version for name, version in pinned}


@pytest.mark.parametrize("group", [*GROUPS, "node"])
def test_every_pinned_requirement_has_hashes(group: str) -> None:
    """Every requirement has a version and hashes, and no address that it came from."""
    lock = (ROOT / "requirements" / f"{group}.lock").read_text()
    requirements = [line for line in lock.splitlines() if line and not line.startswith(" ")]
    assert requirements
    assert [line for line in requirements if not line.endswith(" \\") or "==" not in line] == []
    assert "://" not in lock


@pytest.mark.parametrize("group", [*GROUPS, "node"])
def test_every_requirement_of_the_project_is_pinned(group: str) -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = asked["dependencies"] if group == "core" else asked["optional-dependencies"][group]
    pinned = {**pins("load"), **pins(group)} if group == "test" else pins(group)  # Locust needs pytest, too
    for requirement in wanted:
        name, version = re.sub(r"\[.*\]| ;.*", "", requirement).split("==")
        assert pinned[name.lower().replace("_", "-")] == version


def test_no_package_is_pinned_twice() -> None:
    names = [name for group in (*GROUPS, "node") for name in pins(group)]
    assert len(names) == len(set(names)) > 100


@pytest.mark.parametrize("group", GROUPS)
def test_the_size_that_is_announced_is_the_size(group: str) -> None:
    sizes = {name: int(size) for name, size in re.findall(r"\[(\w+)\]=(\d+)", (ROOT / "accept").read_text())}
    here = {re.sub(r"[-_.]+", "-", one.name).lower(): one for one in distributions()}
    packages = [here[name] for name in pins(group) if name in here]  # one of them is for an older Python only
    assert len(packages) >= len(pins(group)) - 1
    files = [file for one in packages for file in one.files or () if "__pycache__" not in file.parts]
    found = sum(path.stat().st_size for file in files if (path := Path(str(file.locate()))).is_file()) / 1e6
    assert found == pytest.approx(sizes[group], rel=0.2)


def test_it_works_through_a_link(project: Path, tmp_path: Path) -> None:
    install(project)
    link = tmp_path / "elsewhere"
    link.symlink_to(project / "accept")
    assert subprocess.run([link], capture_output=True, text=True, env=os.environ).stdout.startswith("started:")


def test_variables_that_change_what_python_does_are_not_passed_on(project: Path) -> None:
    install(project)
    shows = 'echo "${PYTHONDONTWRITEBYTECODE-not set}, ${PYTHONOPTIMIZE-not set}"\n'
    program(project, "../.venv/bin/python", PYTHON + shows)
    ended = start(project, "doctor", PYTHONDONTWRITEBYTECODE="1", PYTHONOPTIMIZE="1")
    assert ended.stdout.splitlines() == ["started: -P -m support.cli doctor", "not set, not set"], ended.stderr


def test_nor_does_an_installed_package_pass_them_on(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, str]] = []
    left_out = {"PYTHONDONTWRITEBYTECODE", "PYTHONOPTIMIZE"}
    for name in left_out:
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(os, "execve", lambda program, argv, variables: started.append(variables))
    package.main()
    [variables] = started
    assert not left_out & variables.keys()
