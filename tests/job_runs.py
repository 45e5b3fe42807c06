"""Runs on several small clusters: their features, what they leave, and the processes of their jobs."""

import re

import psutil
from program import Program

from support.reporting.journal import RunRecord, read
from support.waiting import NotYet

SMALL = ("--members", "1", "--etcd", "1", "--workers", "0")

FEATURE = """
@normal
Feature: {name}
  @id.ZZ-{number}0
  Scenario: {name} claims the first
    Given a sum
    When {seconds} seconds pass
    Then one and one are 2

  @id.ZZ-{number}1
  Scenario: {name} claims the second
    Given a sum
    Then one and one are {sum}
"""


def features(seconds: int, last: int = 2) -> dict[str, str]:
    sums = {"A": 2, "B": 2, "C": 2, "D": last}
    return {
        f"cluster/{name}.feature": FEATURE.format(name=name, number=number, sum=sum, seconds=seconds)
        for number, (name, sum) in enumerate(sums.items(), 1)
    }


def about_speed(seconds: int) -> str:
    """A feature that needs the machine for itself."""
    return FEATURE.format(name="P", number=9, sum=2, seconds=seconds).replace("@id.ZZ-9", "@id.PF-9")


def record(program: Program) -> RunRecord:
    return read(program.project / "allure-results" / "journal.jsonl")


def behaves(program: Program, wanted: int) -> list[int]:
    """The pids of the jobs' behave processes. Raises NotYet until that many scenarios have begun."""
    journals = (program.project / ".accept" / "runs").glob("*/journal.jsonl")
    begun = sum(journal.read_text().count('"event": "started"') for journal in journals)
    if begun < wanted:
        raise NotYet(f"{begun} have begun")
    run = re.compile(rf"-m behave .*-D accept_run={re.escape(str(program.project))}")
    return [one.pid for one in psutil.process_iter(["cmdline"]) if run.search(" ".join(one.info["cmdline"] or ()))]


def told(program: Program) -> None:
    """Raises NotYet unless a job tells what its scenario does."""
    if not list((program.project / ".accept" / "runs").glob("*/moment.json")):
        raise NotYet("none does")
