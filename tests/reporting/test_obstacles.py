"""Each thing that a target lacks is told once, with what cannot be tested without it."""

import io

from rich.console import Console

from support.reporting.journal import RunRecord
from support.reporting.obstacles import Skip, obstacles, of_run
from support.reporting.scenario import Scenario, ScenarioResult, Verdict
from support.reporting.summary import markdown
from support.reporting.terminal import show

HOSTS = {"hosts": "no [hosts] are given", "crashes": "no [hosts] are given"}
CONSENT = {"destructive": "ACCEPT_DESTRUCTIVE is not set"}


def test_a_reason_is_told_once_with_all_capabilities_it_concerns_and_the_widest_first() -> None:
    found = obstacles(
        [
            Skip(["FO-01"], {"hosts": HOSTS["hosts"]} | CONSENT),
            Skip(["FO-02", "GD-01"], HOSTS | CONSENT),
            Skip(["FO-06"], CONSENT),
        ]
    )
    assert [(one.why, one.extent) for one in found] == [
        (
            "no destructive: ACCEPT_DESTRUCTIVE is not set",
            "3 scenarios, 1 of them for this reason alone (FO-06)",
        ),
        ("no hosts, crashes: no [hosts] are given", "2 scenarios, each of which lacks something else as well"),
    ]


def test_what_lacks_one_thing_is_named_by_its_promises() -> None:
    assert [one.extent for one in obstacles([Skip(["RC-03"], CONSENT), Skip(["RC-01"], CONSENT)])] == ["RC-01, RC-03"]


def skipped(id: str, *tags: str, reason: str = "so it is") -> ScenarioResult:
    scenario = Scenario("features/failover/f.feature", "F", f"{id} holds", tags=(f"id.{id}", *tags))
    return ScenarioResult(scenario, Verdict.SKIPPED, reason)


def record(*results: ScenarioResult, required: frozenset[str] = frozenset()) -> RunRecord:
    return RunRecord(
        selected=tuple(one.scenario for one in results),
        results=results,
        capabilities={**HOSTS, **CONSENT, "redis": ""},
        required=required,
    )


def test_a_run_takes_the_reasons_from_what_the_target_lacks() -> None:
    found = of_run(record(skipped("FO-01", "redis", "hosts", "destructive"), skipped("FO-06", "destructive")))
    assert [(one.scenarios, one.alone, one.why) for one in found] == [
        (2, 1, "no destructive: ACCEPT_DESTRUCTIVE is not set"),
        (1, 0, "no hosts: no [hosts] are given"),
    ]


def test_a_skip_for_another_reason_keeps_its_own_words() -> None:
    (found,) = of_run(record(skipped("CD-01", "redis", reason="the file\nof another test is not there")))
    assert (found.why, found.extent) == ("the file of another test is not there", "CD-01")


def test_what_was_required_is_said_to_be_required() -> None:
    of = record(
        skipped("FO-01", "hosts", "destructive"), skipped("FO-06", "destructive"), required=frozenset({"hosts"})
    )
    console = Console(file=io.StringIO(), width=80)
    show(of, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "required but missing: 1 scenario, which lacks something else as well\n    no hosts: no [hosts]" in shown
    assert "**required but missing**: 1 scenario, which lacks something else as well – no hosts" in markdown(of)
    assert "skipped: 2 scenarios, 1 of them for this reason alone (FO-06)\n" in shown
