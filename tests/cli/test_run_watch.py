"""`accept run --watch` runs again when a file changes, in a process that is ready, and ends with Ctrl-C."""

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from program import FALSE, LONG, TRUE, Program, copy, target

from support import own_folder
from support.cli import behave_server, watch
from support.reporting.merging import is_superseded
from support.sql import Endpoint

FEATURE = Path("features/cluster/claim.feature")
TAKEN = re.compile(r"(?P<whole>[\d.]+) s in all, (?P<first>[\d.]+) s to the first scenario")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    program = copy(tmp_path)
    program.write_features({"cluster/claim.feature": TRUE})
    return program


def read_until(running: "subprocess.Popen[str]", words: str) -> str:
    """What it prints up to the line with these words."""
    assert running.stdout is not None
    lines = []
    for line in running.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError(f"it ended without {words!r}:\n{''.join(lines)}")


def test_a_change_starts_another_run(program: Program, postgres: Endpoint) -> None:
    with program.started("run", "cluster", "--watch", **target(postgres)) as running:
        first = read_until(running, "waiting for a file to change")
        assert "passed in" in first
        assert "s to the first scenario" in first
        (program.project / FEATURE).write_text(FALSE, encoding="utf-8")
        second = read_until(running, "waiting for a file to change")
        assert f"changed: {FEATURE}" in second
        assert "one and one are 2, not 3" in second
        steps = program.project / "steps" / "probe_steps.py"
        steps.write_text(steps.read_text(encoding="utf-8").replace("number == 2", "number == 3"), encoding="utf-8")
        mended = read_until(running, "waiting for a file to change")
        assert "passed in" in mended
        (program.project / FEATURE).write_text(TRUE.replace("one and one", "two and two"), encoding="utf-8")
        third = read_until(running, "waiting for a file to change")
        assert f"{FEATURE}:8: undefined step 'Then two and two are 2'; did you mean one of these?" in third
        assert "Then one and one are {number:d}" in third
        assert "nothing was run" in third
        assert "no step is defined for" not in third, "it is known before a scenario begins"
        assert all(TAKEN.search(one) for one in (second, mended)), "each run says how long it took"
        running.send_signal(signal.SIGINT)
        assert running.wait(10) == 0
    assert not list((program.project / ".accept/runs").iterdir())
    assert (program.project / "allure-results/journal.jsonl").exists(), "./accept report has what it needs"
    assert not (program.project / "allure-report").exists(), "no report is rendered"


def test_a_run_that_is_stopped_leaves_the_results_of_the_one_before_as_such(
    program: Program, postgres: Endpoint
) -> None:
    with program.started("run", "cluster", "--watch", **target(postgres)) as running:
        read_until(running, "waiting for a file to change")
        assert not is_superseded(program.project / "allure-results")
        (program.project / FEATURE).write_text(LONG, encoding="utf-8")
        read_until(running, "A claim that takes long")
        running.send_signal(signal.SIGINT)
        assert running.wait(10) == 130
    assert is_superseded(program.project / "allure-results")


def test_what_is_wrong_is_told_before_anything_runs(program: Program, postgres: Endpoint) -> None:
    """As by `accept run`: with the files and the settings as they are now."""
    steps, settings = program.project / "steps" / "probe_steps.py", program.project / "accept.toml"
    right = steps.read_text(encoding="utf-8")
    settings.write_text('[limits]\n"ZZ-02.p95" = 3\n', encoding="utf-8")
    with program.started("run", "cluster", "--watch", **target(postgres)) as running:

        def after(change: Callable[[], object]) -> str:
            change()
            return read_until(running, "waiting for a file to change")

        wrong_limit = read_until(running, "waiting for a file to change")
        assert '[limits] "ZZ-02.p95": no scenario has the id ZZ-02; did you mean ZZ-01?' in wrong_limit
        assert "passed in" in after(settings.unlink)
        wrong = f"{right}opened = 0 +\n"
        syntax = after(lambda: steps.write_text(wrong, encoding="utf-8"))
        line = right.count("\n") + 1
        assert f"accept: steps/probe_steps.py:{line}: SyntaxError: invalid syntax, in `opened = 0 +`" in syntax
        assert "nothing was run" in syntax
        assert "Traceback" not in syntax
        assert "passed in" in after(lambda: steps.write_text(right, encoding="utf-8"))
        unknown = TRUE.replace("@normal", "@normla")
        tagged = after(lambda: (program.project / FEATURE).write_text(unknown, encoding="utf-8"))
        assert "unknown tag @normla; did you mean @normal?" in tagged
        running.send_signal(signal.SIGINT)
        assert running.wait(10) == 0


def test_an_unknown_tag_on_the_command_line_starts_no_cluster(program: Program) -> None:
    refused = program.run("run", "--watch", "--tags", "@slwo")
    assert refused.status == 2, str(refused)
    assert "no cluster is up" not in refused.err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("features/a.feature", "steps/a_steps.py", "support/x.py", "own/features/b.feature", "own/steps/c.py"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.setenv(own_folder.VARIABLE, str(tmp_path / "own"))
    return tmp_path


def test_all_that_can_change_a_result_is_watched(here: Path) -> None:
    before = watch.snapshot()
    assert {path.name for path in before} == {"a.feature", "a_steps.py", "x.py", "b.feature", "c.py"}
    for name in ("features/a.feature", "own/steps/c.py", "support/x.py"):
        os.utime(here / name, ns=(1, 1))
    (here / "features" / "new.feature").touch()
    (here / "own/features/b.feature").unlink()
    changed = {path.name for path in watch._await_change(before)}
    assert changed == {"a.feature", "c.py", "x.py", "new.feature", "b.feature"}


def test_nothing_is_seen_where_nothing_changed(here: Path) -> None:
    (here / "features" / "a.feature~").touch()
    (here / "features" / "notes.txt").touch()
    before = watch.snapshot()
    (here / "features" / "notes.txt").write_text("more")
    assert watch.snapshot() == before


def test_the_ready_process_knows_what_files_import(tmp_path: Path) -> None:
    file = tmp_path / "a_steps.py"
    file.write_text("import json\nfrom support.engine import limits\nfrom behave import given\n")
    assert [*behave_server._imports_of(file)] == ["json", "support.engine", "support.engine.limits", "behave"]
    file.write_text("import (")
    assert [*behave_server._imports_of(file)] == []
