"""`accept run --jobs`: what is too slow beside other clusters is judged once more, alone."""

from pathlib import Path

import pytest
from job_runs import SMALL, features, record
from program import CLOSED_AT_FIRST, SLOW_AT_FIRST, Program, copy, feature


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return copy(tmp_path)


def test_what_is_too_slow_beside_other_clusters_is_judged_alone(program: Program) -> None:
    """It is not flaky, and the first verdict is named. A wrong result stays wrong."""
    slow = feature("A slow start", "it is the first time")
    program.write_features({**features(seconds=1, last=3), "cluster/E.feature": slow})
    (program.project / "steps" / "slow_steps.py").write_text(SLOW_AT_FIRST)
    ended = program.run("--jobs", "2", *SMALL)
    assert (ended.status, ended.last_line) == (1, "8 passed, 1 failed, 0 skipped"), str(ended)
    said = " ".join(ended.out.split())
    assert (
        "judged alone: ZZ-01 A slow start passed when it ran alone; alongside other clusters: it took too long" in said
    )
    assert "1 exceeded a limit, or saw too little, alongside other clusters; running alone" in ended.err
    assert not record(program).flaky
    assert [one.reason for one in record(program).failing] == ["one and one are 2, not 3"]


def test_what_never_comes_beside_other_clusters_is_flaky_when_it_comes_alone(program: Program) -> None:
    """What comes a little later is judged alone, as anything that is slow."""
    program.write_features(
        {
            **features(seconds=1),
            "cluster/E.feature": feature("A closed door", "the door opens"),
            "cluster/F.feature": feature("A slow door", "the slow door opens").replace("ZZ-01", "ZZ-02"),
        }
    )
    (program.project / "steps" / "door_steps.py").write_text(CLOSED_AT_FIRST)
    ended = program.run("--jobs", "2", *SMALL)
    assert (ended.status, ended.last_line) == (0, "10 passed, 0 failed, 0 skipped"), str(ended)
    run = record(program)
    assert [one.scenario.name for one in run.flaky] == ["A closed door"], str(ended)
    assert [one.scenario.name for one in run.crowded.values()] == ["A slow door"], str(ended)
