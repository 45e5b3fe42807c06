"""Runs the program as its users do: a real process, in a copy of the project, so that it writes nowhere else."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from booting import boots

from support.engine import saturation
from support.settings import Settings
from support.sql import Endpoint

ROOT = Path(__file__).parent.parent
COPIED = ("support", "steps", "features", "requirements")
FEATURE = """
@normal
Feature: {title}
  @id.ZZ-01 {tags}
  Scenario: {title}
    Given a sum
    When {seconds} seconds pass
    Then {claim}
"""
PROBES = """
from behave import given, then, when
from support.errors import Inconclusive
from support.waiting import pause

@given("a sum")
def given_sum(context):
    "It is there."

@when("{seconds:d} seconds pass")
def seconds_pass(context, seconds):
    "Nothing else happens."
    pause(seconds)

@then("one and one are {number:d}")
def one_and_one(context, number):
    "As everywhere."
    assert number == 2, f"one and one are 2, not {number}"

@then("nobody knows")
def nobody_knows(context):
    "Nobody has looked."
    raise Inconclusive("nobody looked")
"""

FICKLE = """
from pathlib import Path
from behave import then
from support.errors import LimitExceeded

@then("it is the first time")
def first_time(context):
    seen = Path("seen")
    known, _ = seen.exists(), seen.touch()
    assert not known, "it was so before"
"""
SLOW_AT_FIRST = FICKLE.replace(
    'assert not known, "it was so before"', 'if not known:\n        raise LimitExceeded("it took too long")'
)
CLOSED_AT_FIRST = """
import time
from pathlib import Path
from behave import then
from support.waiting import NotYet, eventually

def opens(door, at):
    known = Path(door).exists()
    Path(door).touch()
    begun = time.monotonic()

    def probe():
        if not known and time.monotonic() < begun + at:
            raise NotYet("it is closed")

    eventually(probe, within=3, subject="the door opens")

@then("the door opens")
def the_door_opens(context):
    opens("door", at=1000)

@then("the slow door opens")
def the_slow_door_opens(context):
    opens("slow door", at=4)
"""


@dataclass(frozen=True)
class Ended:
    """How a run of the program ended, and its output."""

    status: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """The error messages of the program."""
        return [line for line in self.err.splitlines() if line.startswith("accept: ")]

    @property
    def last_line(self) -> str:
        return self.out.rstrip().splitlines()[-1]

    def __str__(self) -> str:
        return f"exit status {self.status}\n--- standard output\n{self.out}\n--- standard error\n{self.err}"


@dataclass
class Program:
    """The program in a copy of the project."""

    project: Path
    variables: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    """The words before its own, such as those that enter a namespace."""

    @property
    def argv(self) -> list[str]:
        return [*self.prefix, sys.executable, "-P", "-m", "support.cli"]

    @property
    def environment(self) -> dict[str, str]:
        """Our environment without the suite's settings, and with the copy in place of the installed project."""
        settings = {name.upper() for name in Settings.model_fields}
        kept = {name: value for name, value in os.environ.items() if name.upper() not in settings}
        unseen = str(self.project / "nothing-seen")  # what other tests do to the machine changes no verdict
        return {**kept, "PYTHONPATH": str(self.project), saturation.VARIABLE: unseen, **self.variables}

    def run(self, *arguments: str, timeout: float = 170, **variables: str) -> Ended:
        """Run it to its end."""
        started = subprocess.run(
            [*self.argv, *arguments],
            cwd=self.project,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Ended(started.returncode, started.stdout, started.stderr)

    @contextmanager
    def started(self, *arguments: str, **variables: str) -> Iterator["subprocess.Popen[str]"]:
        """Start it in a process group of its own, as a terminal does, and kill the group at the end."""
        running = subprocess.Popen(
            [*self.argv, *arguments],
            cwd=self.project,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield running
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()

    def write_features(self, features: Mapping[str, str]) -> None:
        """Replace the features. The names are paths below `features`."""
        shutil.rmtree(self.project / "features")
        for name, text in features.items():
            file = self.project / "features" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        (self.project / "steps" / "probe_steps.py").write_text(PROBES, encoding="utf-8")


@boots
def copy(project: Path) -> Program:
    """A fresh copy of this project."""
    unfinished = shutil.ignore_patterns("*.pyc.*")  # another process compiles the module right now
    for name in COPIED:
        shutil.copytree(ROOT / name, project / name, ignore=unfinished)
    for file in ("environment.py", "pyproject.toml", "accept"):
        shutil.copy2(ROOT / file, project / file)
    return Program(project)


def feature(title: str, claim: str, seconds: int = 0, tags: str = "") -> str:
    """A feature with one scenario, which uses the steps in PROBES."""
    return FEATURE.format(title=title, claim=claim, seconds=seconds, tags=tags)


TRUE = feature("A true claim", "one and one are 2")
FALSE = feature("A false claim", "one and one are 3")
LONG = feature("A claim that takes long", "one and one are 2", seconds=60)


def target(endpoint: Endpoint) -> dict[str, str]:
    """The variables that point at a database."""
    return {
        "RUVECTOR_HOST": str(endpoint.host),
        "RUVECTOR_PORT": str(endpoint.port),
        "RUVECTOR_DB": str(endpoint.database),
        "RUVECTOR_USER": str(endpoint.user),
        "RUVECTOR_PASSWORD": str(endpoint.password),
    }
