"""The workflow for GitHub Actions: it is linted, and every `run:` block runs as on a runner."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pipelines import PLANNED, SHELL, VERSION, Block, Runner, checkout, leave, runner_in, small_runs, write_program
from program import LONG, ROOT, Program, copy, target
from small_suites import Ran

from support import sql
from support.reporting.journal import read

WORKFLOW = ROOT / ".github" / "workflows" / "acceptance.yml"
JOBS: Mapping[str, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
MINUTES = {"smoke": 15, "checks": 180, "basic": 30, "cache": 20, "sharding": 45, "failover": 45, "performance": 60}
SUMMARISED = MINUTES.keys() - {"checks"}
"""The jobs that run scenarios, and so leave what the report is made of."""
EXTENT = "${{ github.event_name == 'schedule' && '--all' || '' }}"
TARGET = "${{ startsWith(inputs.target, 'the secret') && (secrets.ACCEPT_TARGET || inputs.target) || 'embedded' }}"
NEEDS = "${{ toJSON(needs) }}"
TOKEN = "${{ secrets.CODECOV_TOKEN }}"
FILLED_IN = {TARGET: "embedded", EXTENT: "", TOKEN: "", "${{ matrix.postgres }}": VERSION}
"""What GitHub fills into a workflow that it runs by a push."""


def blocks() -> Iterator[Block]:
    for name, job in JOBS.items():
        for step in job["steps"]:
            if "run" in step:
                yield Block(name, step["run"], step.get("env", {}))


BLOCKS = list(blocks())
SUMMARY = next(block for block in BLOCKS if block.job == "summary")
TO_CODECOV = [block for block in BLOCKS if "codecov" in block.text]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return checkout(tmp_path_factory.mktemp("runner"), ("sudo", "curl", "lsb_release", "pipx"))


@pytest.fixture
def runner(program: Program) -> Iterator[Runner]:
    yield from runner_in(program)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Ran]:
    return small_runs(tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize(
    "block", [one for one in BLOCKS if one not in (SUMMARY, *TO_CODECOV)], ids=lambda one: f"{one.job}: {one.text}"
)
def test_every_block_does_what_it_says(runner: Runner, block: Block) -> None:
    ended = runner.run(block, FILLED_IN)
    assert ended.status == 0, str(ended)
    if "sudo" in block.text:
        assert "sudo " in runner.notes
    else:
        assert PLANNED.get(block.job, " would run") in ended.out + ended.err, str(ended)


@pytest.mark.parametrize("extent", ["", "--all"])
def test_the_projects_own_checks_run_and_the_slow_tests_every_night(runner: Runner, extent: str) -> None:
    (block,) = (one for one in BLOCKS if one.job == "checks" and "accept" in one.text)
    assert block.env == {"EXTENT": EXTENT}
    ended = runner.run(block, {EXTENT: extent})
    assert ended.out.splitlines()[0] == " ".join(["./accept test", extent]).strip(), str(ended)
    assert "schedule" not in JOBS["checks"]["if"], "they are for every push, too"


def test_coverage_is_measured_kept_and_sent_where_the_secret_is_set(runner: Runner) -> None:
    measured = {block.job for block in BLOCKS if "--coverage" in block.text}
    assert measured == {block.job for block in TO_CODECOV} == {"basic", "cache"}
    for job in measured:
        (kept,) = (one["with"]["path"] for one in JOBS[job]["steps"] if "upload-artifact" in one.get("uses", ""))
        assert "coverage-report" in kept.split()
    (block, _) = TO_CODECOV
    assert runner.run(block, {TOKEN: "secret"}).status == 0, "a run that judged nothing has no figures"
    assert "pipx" not in runner.notes
    report = runner.program.project / "coverage-report"
    report.mkdir()
    (report / "coverage.xml").touch()
    assert runner.run(block, {TOKEN: ""}).status == 0
    assert "pipx" not in runner.notes, "without the secret nothing is sent"
    ended = runner.run(Block(block.job, block.text, {**block.env, "GITHUB_JOB": "basic"}), {TOKEN: "secret"})
    assert ended.status == 0, str(ended)
    assert "upload-process --disable-search --file coverage-report/coverage.xml --flag basic" in runner.notes
    assert "secret" not in runner.notes, "the token is in the environment only"


def test_a_job_with_an_unknown_suite_fails(runner: Runner) -> None:
    (block,) = (one for one in BLOCKS if one.job == "basic" and "accept run" in one.text)
    ended = runner.run(Block("basic", block.text.replace("cluster", "clusters"), block.env), {TARGET: "embedded"})
    assert ended.status == 2, str(ended)
    assert "there is no suite, command or feature file 'clusters'" in ended.err


def test_a_job_that_is_timed_out_leaves_its_results(tmp_path: Path, postgres: sql.Endpoint) -> None:
    program = copy(tmp_path / "checkout")
    program.variables = target(postgres)
    program.write_features({"failover/a.feature": LONG})
    write_program(program.project / "accept", f'#!/bin/sh\nexec "{sys.executable}" -P -m support.cli "$@"\n')
    (block,) = (one for one in BLOCKS if one.job == "failover" and "accept run" in one.text)
    script = tmp_path / "script.sh"
    script.write_text(block.text, encoding="utf-8")
    with subprocess.Popen(
        [*SHELL, script],
        cwd=program.project,
        env=program.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert any("A claim that takes long" in line for line in running.stdout)
        running.send_signal(signal.SIGINT)  # as the runner does: to this process alone
        told, _ = running.communicate(timeout=30)
    assert running.returncode == 130, told
    assert read(program.project / "allure-results" / "journal.jsonl").interrupted


def test_a_missing_secret_is_refused_as_a_target(runner: Runner) -> None:
    (block,) = (one for one in BLOCKS if one.job == "basic" and "accept run" in one.text)
    ended = runner.run(block, {TARGET: "the secret ACCEPT_TARGET"})
    assert ended.status == 2, str(ended)
    assert "'the secret ACCEPT_TARGET' is neither a .toml file nor a postgresql:// address" in ended.err


@pytest.mark.parametrize(
    ("came_to", "results", "status", "words"),
    [
        ({"basic": "passed"}, {"basic": "success"}, 0, "| **all** | **1** | **1** |"),
        ({"basic": "passed", "cache": "broken"}, {"basic": "success", "cache": "failure"}, 1, "- **broken**: ZZ"),
        ({"basic": "passed"}, {"basic": "success", "cache": "failure"}, 1, "runs/cache: it has no journal"),
        ({}, {"basic": "cancelled"}, 3, "runs/basic: it has no journal"),
    ],
)
def test_the_summary_covers_all_jobs(
    runner: Runner,
    runs: Mapping[str, Ran],
    came_to: Mapping[str, str],
    results: Mapping[str, str],
    status: int,
    words: str,
) -> None:
    for job, name in came_to.items():
        leave(runs[name], runner.program.project / "runs" / job)
    needs = {job: {"result": results.get(job, "skipped"), "outputs": {}} for job in SUMMARISED}
    ended = runner.run(SUMMARY, {NEEDS: json.dumps(needs, indent=2)})
    assert ended.status == status, str(ended)
    assert words in runner.summary.read_text().replace("\\", ""), str(ended)
    assert (runner.program.project / "allure-report" / "junit.xml").exists()


def test_jobs_have_time_limits_and_can_be_chosen() -> None:
    text = WORKFLOW.read_text(encoding="utf-8")
    assert {name: JOBS[name]["timeout-minutes"] for name in MINUTES} == MINUTES
    assert f"options: [all, {', '.join([*MINUTES, 'versions', 'prove'])}]" in text
    for name in MINUTES:
        assert f"""contains(fromJSON('["all", "{name}"]'), inputs.suite)""" in JOBS[name]["if"]
    assert set(JOBS["summary"]["needs"]) == SUMMARISED


def test_the_quick_answer_comes_first() -> None:
    assert next(iter(JOBS)) == "smoke"
    assert "exec ./accept run smoke" in [block.text.strip() for block in BLOCKS if block.job == "smoke"]
    assert all("smoke" not in JOBS[name].get("needs", ()) for name in MINUTES), "the others do not wait for it"


def test_actions_are_pinned_by_commit_and_expressions_stay_out_of_the_shell() -> None:
    used = {step["uses"] for job in JOBS.values() for step in job["steps"] if "uses" in step}
    assert used
    assert all(re.fullmatch(r"actions/[a-z/-]+@[0-9a-f]{40}", one) for one in used), used
    assert not [block for block in BLOCKS if "${{" in block.text]


@pytest.mark.parametrize(
    "linter",
    [
        ("check-jsonschema", "--builtin-schema", "vendor.github-workflows"),
        ("zizmor", "--offline", "--no-progress"),
    ],
    ids=lambda linter: linter[0],
)
def test_linters_have_no_findings(linter: tuple[str, ...], tmp_path: Path) -> None:
    def status(workflow: Path) -> tuple[int, str]:
        program = Path(sys.executable).with_name(linter[0])
        ended = subprocess.run([program, *linter[1:], workflow], capture_output=True, text=True, timeout=60)
        return ended.returncode, ended.stdout + ended.stderr

    found, said = status(WORKFLOW)
    assert found == 0, said
    faulty = tmp_path / ".github" / "workflows" / "faulty.yml"
    faulty.parent.mkdir(parents=True)
    text = WORKFLOW.read_text(encoding="utf-8")
    faulty.write_text(
        text.replace("timeout-minutes", "timeout-minute").replace("./accept prove", "./${{ github.head_ref }}")
    )
    assert status(faulty)[0] != 0, "the linter sees what is wrong"
