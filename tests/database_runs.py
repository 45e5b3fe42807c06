"""Runs on one database: their features and verdicts, and what is left of them when they are killed."""

from xml.etree import ElementTree as xml

import psutil
from program import LONG, Program

from support.waiting import NotYet, eventually

PAIR = """
@normal
Feature: {name}
  @id.ZZ-0{number}
  Scenario: {name} claims the first
    Given a sum
    Then one and one are 2

  @id.ZZ-1{number}
  Scenario: {name} claims the second
    Given a sum
    Then {claim}
"""


def pairs(last_claim: str) -> dict[str, str]:
    claims = {"A": "one and one are 2", "B": "one and one are 2", "C": last_claim}
    return {
        f"cluster/{name}.feature": PAIR.format(name=name, number=number, claim=claim)
        for number, (name, claim) in enumerate(claims.items())
    }


def junit_of(program: Program) -> xml.Element:
    return xml.parse(program.project / "allure-report" / "junit.xml").getroot()


def kill_in_a_scenario(program: Program) -> None:
    program.write_features({"cluster/a.feature": LONG})
    with program.started("run") as running:
        family = await_scenario(running, "A claim that takes long")
        running.kill()
        running.wait()
        require_gone(family)


def await_scenario(running: "psutil.Popen", title: str) -> list[psutil.Process]:
    """Read the output until a scenario runs. Returns the program's processes, the program first."""
    for line in running.stdout:
        if title in line:
            first = psutil.Process(running.pid)
            return [first, *first.children(recursive=True)]
    raise AssertionError(f"{title!r} never began")


def require_gone(family: list[psutil.Process]) -> None:
    def gone() -> None:
        if left := [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]:
            raise NotYet(f"still there: {left}")

    eventually(gone, within=1, subject="the program and all that it started are gone")
