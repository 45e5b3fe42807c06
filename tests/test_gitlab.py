"""The pipeline for GitLab in docs/examples: it is linted, and the script of each job runs as on a runner.

GitLab's schema comes with check-jsonschema.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import test_workflow as github
import yaml
from pipelines import PLANNED, SHELL, VERSION, Block, Runner, checkout, leave, runner_in, small_runs, write_program
from program import LONG, ROOT, Program, copy, target
from small_suites import Ran

from support import sql
from support.reporting.journal import read

PIPELINE = ROOT / "docs" / "examples" / "gitlab-ci.yml"
FILE: Mapping[str, Any] = yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))
REPLACED = ("apt-get", "curl", "gpg", "lsb_release", "tee", "pip", "codecovcli")
OF_THE_FILE = {"stages", "workflow", "variables"}
TWO_MINUTES = 120


def _job(name: str) -> dict[str, Any]:
    """A job, or a template of jobs, with all that it extends."""
    own, found = FILE[name], dict[str, Any]()
    extended = own.get("extends", [])
    for other in [extended] if isinstance(extended, str) else extended:
        found |= _job(other)
    return found | own


JOBS = {name: _job(name) for name in FILE if name not in OF_THE_FILE and not name.startswith(".")}
MEASURED = {"basic", "cache"}


def _script(name: str, root: Path | None = None) -> Block:
    """What a runner makes of a job: one script of all its lines, with the variables that GitLab sets."""
    text = "\n".join([*JOBS[name].get("before_script", ()), *JOBS[name]["script"]])
    variables = {**FILE["variables"], "CI_JOB_NAME_SLUG": name, "POSTGRES": VERSION}
    return Block(name, text.replace("/usr/share/", f"{root}/usr/share/") if root else text, variables)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    folder = tmp_path_factory.mktemp("runner")
    script = folder / "usr/share/postgresql-common/pgdg/apt.postgresql.org.sh"
    write_program(script, '#!/bin/sh\necho "${0##*/} $*" >>"$NOTES"\n')
    return checkout(folder, REPLACED)


@pytest.fixture
def runner(program: Program) -> Iterator[Runner]:
    yield from runner_in(program)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Ran]:
    return small_runs(tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("job", [one for one in JOBS if one not in ("summary", "codecov")])
def test_every_script_does_what_it_says(runner: Runner, job: str) -> None:
    ended = runner.run(_script(job, runner.around))
    assert ended.status == 0, str(ended)
    assert PLANNED.get(job, " would run") in ended.out + ended.err, str(ended)
    assert (runner.program.project / "runs" / job).is_dir()
    needs_citus = job in ("sharding", "versions", "prove")
    assert ("apt.postgresql.org.sh -y" in runner.notes) == needs_citus
    assert ("postgresql-17-pgvector" in runner.notes) == (job == "versions")


def test_it_is_the_pipeline_for_github() -> None:
    """The same jobs run the same scenarios and tests within the same times."""
    assert {*JOBS} == {*github.JOBS, "codecov"}
    for name, minutes in github.MINUTES.items():
        assert JOBS[name]["timeout"] == f"{minutes} minutes"
        (theirs,) = (one.text for one in github.BLOCKS if one.job == name and "exec ./accept" in one.text)
        assert theirs.strip().removeprefix("exec ") in JOBS[name]["script"][-1]
    nightly = {name for name in JOBS if "schedule" in str(JOBS[name].get("rules"))}
    assert nightly == {"performance", "versions", "prove"}
    (of_a_night, *_) = FILE["workflow"]["rules"]
    assert of_a_night["if"] == '$CI_PIPELINE_SOURCE == "schedule"'
    assert of_a_night["variables"] == {"NIGHTLY": "performance", "EXTENT": "--all"}


def test_the_program_is_interrupted_before_the_runner_kills_it() -> None:
    for name, job in JOBS.items():
        if minutes := re.search(r"timeout --foreground --signal=INT (\d+)m ./accept", job["script"][-1]):
            limit, unit = job["timeout"].split()
            assert int(minutes[1]) + 2 <= int(limit) * (60 if unit == "hours" else 1), name
        else:
            assert name in ("summary", "codecov")


def test_a_job_whose_time_is_over_leaves_its_results(tmp_path: Path, postgres: sql.Endpoint) -> None:
    program = copy(tmp_path / "checkout")
    program.variables = target(postgres)
    program.write_features({"failover/a.feature": LONG})
    write_program(program.project / "accept", f'#!/bin/sh\nexec "{sys.executable}" -P -m support.cli "$@"\n')
    block = _script("failover")
    environment = {**program.environment, "CI_JOB_NAME_SLUG": "failover"}
    journal = program.project / "runs/failover/allure-results/journal.jsonl"
    for patience in ("25s", "75s"):  # on a busy machine no scenario may have begun by then
        for text in (block.text.replace("=INT 43m", f"=INT {patience}"), "\n".join(JOBS["failover"]["after_script"])):
            ended = subprocess.run(
                [*SHELL, "-c", text],
                cwd=program.project,
                env=environment,
                capture_output=True,
                text=True,
                timeout=TWO_MINUTES,
            )
        assert ended.returncode == 0, ended
        if read(journal).started:
            break
    assert read(journal).interrupted
    assert (program.project / "runs/failover/allure-report/junit.xml").exists()


def test_what_jobs_leave_is_kept_apart_and_named(runner: Runner) -> None:
    for name in ("allure-results", "coverage-report"):
        (runner.program.project / name).mkdir()
    assert runner.run(_script("basic")).status == 0
    after = Block("basic", "\n".join(JOBS["basic"]["after_script"]), {"CI_JOB_NAME_SLUG": "basic"})
    assert runner.run(after).status == 0
    left = {path.name for path in (runner.program.project / "runs" / "basic").iterdir()}
    assert left == {"allure-results", "coverage-report"}
    for name in github.MINUTES:
        assert JOBS[name]["artifacts"]["paths"] == ["runs/"]
        assert JOBS[name]["artifacts"]["when"] == "always"


def test_coverage_is_measured_and_sent_where_the_secret_is_set(runner: Runner) -> None:
    assert {name for name in JOBS if "--coverage" in str(JOBS[name]["script"])} == MEASURED
    assert {*JOBS["codecov"]["needs"]} == MEASURED
    assert JOBS["codecov"]["rules"] == [{"if": "$CODECOV_TOKEN", "when": "always"}]
    for name in MEASURED:
        assert JOBS[name]["artifacts"]["reports"]["coverage_report"]["coverage_format"] == "cobertura"
        assert re.search(JOBS[name]["coverage"].strip("/"), "TOTAL   24170  17251   6102    298    26%")
    report = runner.program.project / "runs" / "cache" / "coverage-report"
    report.mkdir(parents=True)
    (report / "coverage.xml").touch()
    assert runner.run(_script("codecov")).status == 0
    assert "--file runs/cache/coverage-report/coverage.xml --flag cache" in runner.notes
    assert "runs/basic" not in runner.notes, "it left no figures"


@pytest.mark.parametrize(
    ("left", "nightly", "status", "words"),
    [
        (dict.fromkeys(("smoke", "basic", "cache", "sharding", "failover"), "passed"), "", 0, "| **all** | **1** |"),
        (dict.fromkeys(("smoke", "basic", "cache", "sharding"), "passed"), "", 1, "runs/failover: it has no journal"),
        ({"smoke": "broken"}, "performance", 1, "runs/performance: it has no journal"),
        ({}, "", 3, "runs/smoke: it has no journal"),
    ],
)
def test_the_summary_covers_all_jobs(
    runner: Runner, runs: Mapping[str, Ran], left: Mapping[str, str], nightly: str, status: int, words: str
) -> None:
    for job, name in left.items():
        leave(runs[name], runner.program.project / "runs" / job)
    block = _script("summary")
    ended = runner.run(Block("summary", block.text, {**block.env, "NIGHTLY": nightly}))
    assert ended.status == status, str(ended)
    written = runner.program.project / "summary.md"
    assert words in written.read_text().replace("\\", ""), str(ended)
    written.unlink()


def test_the_linter_has_no_finding(tmp_path: Path) -> None:
    def status(file: Path) -> tuple[int, str]:
        linter = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci", file]
        ended = subprocess.run(linter, capture_output=True, text=True, timeout=TWO_MINUTES)
        return ended.returncode, ended.stdout + ended.stderr

    found, said = status(PIPELINE)
    assert found == 0, said
    faulty = tmp_path / "gitlab-ci.yml"
    for right, wrong in (("when: always", "when: ever"), ("    - ./accept report", "    acc: ./accept report")):
        text = PIPELINE.read_text(encoding="utf-8")
        assert right in text
        faulty.write_text(text.replace(right, wrong))
        assert status(faulty)[0] != 0, f"the linter sees what is wrong with {wrong!r}"


def test_what_is_needed_is_a_job_that_runs_then() -> None:
    for name, job in JOBS.items():
        for needed in job.get("needs", ()):
            other, optional = (needed, False) if isinstance(needed, str) else (needed["job"], needed["optional"])
            assert other in JOBS, name
            assert optional == ("schedule" in str(JOBS[other].get("rules", ""))), f"{name} needs {other}"
    assert {*FILE["stages"]} == {job["stage"] for job in JOBS.values()}
    assert os.path.basename(PIPELINE) == "gitlab-ci.yml"
