"""The folder of `accept new` in VS Code: what the language server of its official Cucumber extension makes of it.

The server comes by npm, and is asked as the editor asks it. PyCharm has no such server that could be asked.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import npm
import pytest
from program import ROOT

from support.cli import new, steps
from support.own_folder import OwnFolder

pytestmark = pytest.mark.slow
WANTED = ROOT / "tests" / "editor"
MORE = """
  Scenario: Written with steps of both folders
    Given a healthy cluster
    When the host of the leader crashes
    Then another member leads within 30 seconds
    And the burst was served within 20 milliseconds
    And pigs fly
    When a switch"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> OwnFolder:
    folder = tmp_path_factory.mktemp("user") / "mine"
    new.make(folder)
    return OwnFolder(folder)


@pytest.fixture(scope="module")
def shown(own: OwnFolder) -> dict[str, Any]:
    node, libraries = npm.installed(WANTED)
    feature = own.features / "cluster" / "sessions.feature"
    given = {"uri": f"file://{feature}", "text": feature.read_text(encoding="utf-8") + MORE}
    command = [node, WANTED / "asks.cjs", libraries, own.directory / new.WORKSPACE]
    asked = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=170)
    assert asked.returncode == 0, asked.stderr
    found: dict[str, Any] = json.loads(asked.stdout)
    return found


def test_it_knows_every_step_of_ours_and_theirs(own: OwnFolder, shown: dict[str, Any]) -> None:
    assert shown["known"] == len([*steps.steps(), *steps.own_steps(own)])


@pytest.mark.parametrize(
    ("sentence", "file", "function"),
    [
        ("When 20 sessions are opened in a burst", "steps/session_steps.py", "step_open_sessions_in_a_burst"),
        ("And the burst was served within 20 milliseconds", "steps/session_steps.py", "step_burst_served_within"),
        ("Given a healthy cluster", "steps/failover/fault_steps.py", "step_healthy_cluster"),
        ("When the host of the leader crashes", "steps/failover/fault_steps.py", "step_host_crashes"),
        (
            "Then another member leads within 30 seconds",
            "steps/failover/recovery_steps.py",
            "step_another_leads_within",
        ),
    ],
)
def test_each_step_leads_to_its_function(shown: dict[str, Any], sentence: str, file: str, function: str) -> None:
    (found,) = shown["definitions"][sentence]
    path, _, line = found.rpartition(":")
    assert path.endswith(file), found
    after = Path(path).read_text(encoding="utf-8").splitlines()[int(line) - 1 :]
    assert any(function in text for text in after[:6]), found


def test_only_what_no_step_says_is_marked(shown: dict[str, Any]) -> None:
    assert shown["undefined"] == ["Undefined step: pigs fly", "Undefined step: a switch"]
    assert shown["definitions"]["And pigs fly"] == []


def test_the_beginning_of_a_step_is_completed(shown: dict[str, Any]) -> None:
    assert any(one.startswith("a switchover to") for one in shown["completions"])
