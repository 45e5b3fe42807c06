"""The figures on the page about trust are those of a run that was kept, held against the sabotages of today."""

import json
from pathlib import Path

from trust_page import KEPT, PAGE, block, kept_of, page

from support.reporting.trust import HealthyRun, Heard, Proof, ScenarioUnderTest, Trust, note
from support.sabotage.catalogue import SABOTAGES


def test_the_page_shows_what_is_kept() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run .venv/bin/python tests/trust_page.py"


def test_what_was_added_since_is_said() -> None:
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    name = next(iter(SABOTAGES))
    without = {**kept, "sabotages": {key: value for key, value in kept["sabotages"].items() if key != name}}
    assert f"Added since, and not in these figures: `{name}`" in block(without)


def test_what_a_run_missed_is_kept_and_said(tmp_path: Path) -> None:
    file, (first, second, third) = tmp_path / "trust.jsonl", list(SABOTAGES)[:3]
    note(file, "plan", Trust(planned=(first, second, third), scenarios=(ScenarioUnderTest("A-01", "Yes"),) * 2))
    heard = (Heard("A-01", noticed=True, verdict="broken", scenario="Yes"),)
    note(file, "proof", Proof(first, "PostgreSQL", "", heard))
    note(file, "proof", Proof(second, "PostgreSQL", "", (*heard, Heard("A-02", False, "passed", "No"))))
    note(file, "healthy", HealthyRun(7, alarms=("Fine: it is not",), destructive=2))
    kept = kept_of(file, "abc", "2 cores")
    assert kept["sabotages"] == {
        first: {"noticed": 1, "of": 1},
        second: {"noticed": 1, "of": 2, "missed": ["No"]},
    }
    assert kept["not tried"] == [third]
    said = block(kept)
    assert "| all | 2 | 1 | 2 of 3 |" in said
    assert "1 run, 7 scenarios (2 of them destructive), 1 false alarm (Fine)" in said
    assert f"- Missed `{second}`: No." in said
    assert f"- Not tried in that run: `{third}`." in said
