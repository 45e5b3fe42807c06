"""The script `accept`: without a Python, without venv, and once everything is installed."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from program import ROOT

TOOLS = "bash env readlink dirname sha256sum cat cut mkdir rm touch sed flock grep tail sh".split()
OLD_PYTHON = "#!/bin/sh\nexit 1\n"
# New enough, but without the modules that make virtual environments.
BARE_PYTHON = """#!/bin/sh
case "$2" in
    *version_info\\ \\<*) exit 0 ;;
    *ensurepip*) exit 1 ;;
    *print*) echo python3.12-venv ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A clone without `.venv`, on a machine that has few programs."""
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    for file in ("accept", "pyproject.toml", "requirements.lock"):
        shutil.copy2(ROOT / file, tmp_path / file)
    return tmp_path


def start(project: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [project / "accept", *arguments],
        env={"PATH": str(project / "bin"), "HOME": str(project)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def program(project: Path, name: str, text: str) -> None:
    file = project / "bin" / name
    file.write_text(text)
    file.chmod(0o755)


def install(project: Path) -> None:
    """Pretend a finished installation whose Python prints how it was started."""
    (project / ".venv" / "bin").mkdir(parents=True)
    program(project, "../.venv/bin/python", "#!/bin/sh\necho started: $@\n")
    pinned = f"{project}\n".encode() + b"".join(
        (project / f).read_bytes() for f in ("pyproject.toml", "requirements.lock")
    )
    digest = subprocess.run(["sha256sum"], input=pinned, capture_output=True, check=True).stdout.split()[0]
    (project / ".venv" / "installed").write_bytes(digest + b"\n")


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


@pytest.mark.parametrize("file", ["pyproject.toml", "requirements.lock"])
def test_changed_pins_are_installed_again(project: Path, file: str) -> None:
    install(project)
    with (project / file).open("a") as pins:
        pins.write("\n# changed\n")
    assert "Python 3.11 or newer is required" in start(project).stderr, "it tries to install"


def test_an_interrupted_installation_is_not_trusted(project: Path) -> None:
    install(project)
    (project / ".venv" / "installed").unlink()
    (project / ".venv" / "unfinished").touch()
    program(project, "python3", '#!/bin/sh\n[ "$2" = venv ] && exit 1\nexit 0\n')
    ended = start(project)
    assert ended.returncode == 3
    assert "an earlier installation was interrupted; starting over" in ended.stderr
    assert not (project / ".venv" / "bin").exists()


def test_every_pinned_requirement_has_hashes() -> None:
    """Every requirement has a version and hashes, and no address that it came from."""
    lock = (ROOT / "requirements.lock").read_text()
    requirements = [line for line in lock.splitlines() if line and not line.startswith(" ")]
    assert len(requirements) > 50
    assert [line for line in requirements if not line.endswith(" \\") or "==" not in line] == []
    assert "://" not in lock


def test_every_requirement_of_the_project_is_pinned() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = {line.split(" ")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()}
    for requirement in (*asked["dependencies"], *asked["optional-dependencies"]["test"]):
        name, version = re.sub(r"\[.*\]| ;.*", "", requirement).split("==")
        assert f"{name.lower().replace('_', '-')}=={version}" in lock


def test_it_works_through_a_link(project: Path, tmp_path: Path) -> None:
    install(project)
    link = tmp_path / "elsewhere"
    link.symlink_to(project / "accept")
    assert subprocess.run([link], capture_output=True, text=True, env=os.environ).stdout.startswith("started:")
