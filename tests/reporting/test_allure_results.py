"""Allure's results: passwords in them are masked, whatever they look like, and a truncated file does no harm."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from journals import READS, WRITES, record_of

from support.reporting import merging
from support.reporting.allure_results import raw_results, settle
from support.reporting.evidence import MASK, Redactor
from support.reporting.journal import RunRecord
from support.reporting.pages.scenarios import stories
from support.reporting.rendering import lighten
from support.reporting.scenario import ScenarioResult, Verdict

AT = 1_700_000_001_234
"""Milliseconds since the epoch."""


def leave_result(results: Path, record: RunRecord, secret: str) -> None:
    """What allure-behave leaves of the first scenario, with a secret in a step."""
    results.mkdir()
    step = {"name": f"it logs in with {secret}", "status": "passed", "stage": "finished", "start": AT, "stop": AT}
    result = {"uuid": f"{secret}-1", "historyId": record.selected[0].key, "start": AT, "stop": AT, "steps": [step]}
    (results / "1-result.json").write_text(json.dumps(result))
    (results / "1-attachment.txt").write_text(f"token={secret}")


def settled(tmp_path: Path, secret: str) -> Mapping[str, Any]:
    record = record_of(tmp_path / "run", ScenarioResult(WRITES, Verdict.PASSED, began=AT / 1000, seconds=3.0))
    leave_result(tmp_path / "results", record, secret)
    settle(tmp_path / "results", record, Redactor([secret]))
    result: Mapping[str, Any] = json.loads((tmp_path / "results" / "1-result.json").read_text())
    return result


@pytest.mark.parametrize("secret", ["1234", "0000", "pass", "passed", "finished", "historyId", "name"])
def test_no_password_garbles_what_allure_reads(tmp_path: Path, secret: str) -> None:
    result = settled(tmp_path, secret)
    [step] = result["steps"]
    assert step == {
        "name": f"it logs in with {MASK}", "status": "passed", "stage": "finished", "start": AT, "stop": AT
    }  # fmt: skip
    assert (result["start"], result["status"], result["uuid"]) == (AT, "passed", f"{secret}-1")
    assert {"name": "verdict", "value": "passed"} in result["labels"]
    assert (tmp_path / "results" / "1-attachment.txt").read_text() == f"token={MASK}"


def test_a_promise_that_a_scenario_of_another_one_saw_broken_is_among_its_promises(tmp_path: Path) -> None:
    found = ScenarioResult(WRITES, Verdict.BROKEN, "two writers", also_broken=("SB-01", "FO-02"))
    settle(tmp_path / "results", record_of(tmp_path / "run", found), Redactor())
    ((_, result),) = raw_results(tmp_path / "results")
    assert [one["value"] for one in result["labels"] if one["name"] == "promise"] == ["FO-02", "SB-01"]


@pytest.mark.parametrize("left", ["", '{"historyId": "a', "[]", "\xff"])
def test_a_result_that_a_kill_cut_off_costs_nothing_but_itself(tmp_path: Path, left: str) -> None:
    ended = ScenarioResult(READS, Verdict.BROKEN, "a stale read")
    record = record_of(tmp_path / "run", ScenarioResult(WRITES, Verdict.PASSED), ended)
    results = tmp_path / "run" / "results"
    leave_result(results, record, "secret")
    (results / "2-result.json").write_bytes(left.encode("latin-1"))
    settle(results, record, Redactor())
    lighten(results, tmp_path / "light")
    assert len(list((tmp_path / "light").glob("*-result.json"))) == 2
    told = stories(record, results, tmp_path / "pages")
    assert {(one.scenario, one.verdict, len(one.steps)) for one in told} == {
        (WRITES, Verdict.PASSED, 1),
        (READS, Verdict.BROKEN, 0),
    }
    merging.collect([merging.Part("one", results, record)], tmp_path / "merged")
    assert len(list((tmp_path / "merged").glob("*-result.json"))) == 2
