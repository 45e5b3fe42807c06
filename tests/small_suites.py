"""Small suites in a temporary directory, run by the real behave with Allure's formatter and our recorder."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from support.reporting.allure_results import settle
from support.reporting.evidence import Redactor
from support.reporting.journal import RunRecord, read

ROOT = Path(__file__).parent.parent
SECRET = "correct-horse-battery"

ENVIRONMENT = f"""
from pathlib import Path
from support.reporting.evidence import Evidence
from support.reporting.recorder import Recorder, patch_allure
from support.reporting.evidence import Redactor

patch_allure()
REDACTOR = Redactor(["{SECRET}"])

def before_all(context):
    features = context._runner.features
    selected = [one for feature in features for one in feature.walk_scenarios() if one.should_run(context.config)]
    context.recorder = Recorder(
        Path("journal.jsonl"), selected, redactor=REDACTOR, facts={{"PostgreSQL": "16.14", "Path: C": "a=b"}},
        required=context.config.userdata.get("required", "").split(),
    )
    context.on_cleanup_error = context.recorder.cleanup_failed
    in_before_all(context)

def before_scenario(context, scenario):
    context.recorder.started(scenario)
    context.evidence = Evidence(REDACTOR)
    if "partitions" in scenario.effective_tags:
        scenario.skip("this sandbox has no network to cut")
    in_before_scenario(context, scenario)

def after_scenario(context, scenario):
    errors = in_after_scenario(context, scenario) or []
    context.recorder.ended(scenario, context.evidence.measures, errors)

def after_feature(context, feature):
    context.recorder.feature_ended(feature)

def after_all(context):
    context.recorder.finished(interrupted=context.aborted)

def in_before_all(context): ...
def in_before_scenario(context, scenario): ...
def in_after_scenario(context, scenario): ...
"""

STEPS = """
import os, signal, threading
from behave import given, then
from hamcrest import assert_that, equal_to
from psycopg2.errors import DataCorrupted
from support.errors import LimitExceeded, NotAvailable, Inconclusive

@given("all is well")
@given("a text")
@given("a table")
def fine(context): ...

@then("it is {count:d}")
def is_so(context, count):
    assert_that(count, equal_to(42), "the answer")

@then("there was no evidence")
def no_evidence(context):
    raise Inconclusive("nobody wrote")

@then("the surroundings break")
def breaks(context):
    raise OSError("the disk is full; the password was correct-horse-battery")

@then("the database is corrupted")
def corrupted(context):
    raise DataCorrupted('could not read block 8 in file "base/1/2"')

@then("the target cannot do that")
def cannot(context):
    raise NotAvailable("this sandbox has no network to cut")

@given("it takes too long")
@then("it takes too long")
def too_long(context):
    raise LimitExceeded("no leader after 31 s (limit: 30 s)")

@then("it takes {value:d} ms")
def takes(context, value):
    context.evidence.measure("p95", value, "ms", 100)

@given("a note is attached")
def note(context):
    context.evidence.attach("note", "seen by correct-horse-battery")
    context.evidence.attach_json("facts", {"password": "correct-horse-battery"})

@given("Ctrl-C is pressed")
def interrupt(context):
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(5)

@given("the runner is killed")
def killed(context):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass(frozen=True)
class Ran:
    """A run of behave that is over, and what it left."""

    directory: Path
    output: str
    status: int

    @property
    def results_directory(self) -> Path:
        return self.directory / "results"

    @property
    def record(self) -> RunRecord:
        return read(self.directory / "journal.jsonl")

    def raw(self) -> dict[str, dict[str, Any]]:
        """Allure's own results, by scenario; of several with one name the last one."""
        found = [json.loads(path.read_text()) for path in self.results_directory.glob("*-result.json")]
        return {one["name"]: one for one in found}

    def settled(self) -> dict[str, dict[str, Any]]:
        """The results as they are rendered, by scenario. Fails when two are of one name."""
        settle(self.results_directory, self.record, Redactor([SECRET]))
        assert len(self.raw()) == len(list(self.results_directory.glob("*-result.json")))
        return self.raw()


def write_suite(directory: Path, features: dict[str, str], hooks: str = "") -> None:
    """Features by path below `features/`; `hooks` redefines functions of the environment."""
    for path, text in features.items():
        file = directory / "features" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (directory / "steps").mkdir(exist_ok=True)
    (directory / "steps/all_steps.py").write_text(STEPS, encoding="utf-8")
    (directory / "environment.py").write_text(ENVIRONMENT + hooks, encoding="utf-8")


FORKS = """
import json, os, signal, sys
import allure_behave.formatter, behave.__main__, hamcrest, psycopg2.errors
import support.reporting.evidence, support.reporting.recorder

signal.signal(signal.SIGINT, signal.default_int_handler)
for line in sys.stdin:
    directory, *sys.argv = json.loads(line)
    if runner := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(runner, 0)[1]), flush=True)
        continue
    os.chdir(directory)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    signal.alarm(60)  # a run that hangs is ended
    sys.exit(behave.__main__.main())
"""


@cache
def _behave() -> "subprocess.Popen[str]":
    """A process that forks one for each run, because importing behave and Allure takes longer than the run itself."""
    return subprocess.Popen(
        [sys.executable, "-c", FORKS],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run_suite(directory: Path, *arguments: str) -> Ran:
    """Run behave there, to its end."""
    behave = _behave()
    assert behave.stdin is not None
    assert behave.stdout is not None
    allure = ["-f", "allure_behave.formatter:AllureFormatter", "-o", "results"]
    print(json.dumps([str(directory), "behave", *allure, *arguments]), file=behave.stdin, flush=True)
    status = int(behave.stdout.readline())
    return Ran(directory, (directory / "output").read_text(errors="replace"), status)


def run_feature(directory: Path, text: str, *arguments: str, hooks: str = "") -> Ran:
    """Run one feature, which is in the suite "cluster"."""
    write_suite(directory, {"cluster/one.feature": text}, hooks)
    return run_suite(directory, *arguments)
