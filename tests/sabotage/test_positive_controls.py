"""The suite says so when a promise is broken: scenarios that must fail, run on a real cluster."""

import re
from pathlib import Path

import pytest
from program import Ended, copy
from sandboxes import require

CONTROLS = Path(__file__).parent / "controls" / "failover.feature"
LONGEST = 400  # seconds; most of it is the time in which a failover is waited for in vain
pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONGEST + 20)]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A whole run of the program with the controls and nothing else, on a cluster that it boots for itself."""
    require("namespaces")
    program = copy(tmp_path_factory.mktemp("project"))
    program.write_features({"failover/controls.feature": CONTROLS.read_text()})
    return program.run("--workers", "0", timeout=LONGEST)


def said(ended: Ended) -> str:
    """What the table says, its line breaks taken out."""
    return " ".join(ended.out.split())


def test_both_promises_are_said_to_be_broken(ended: Ended) -> None:
    assert (ended.status, ended.last_line) == (1, "0 passed, 2 failed, 0 skipped"), str(ended)


def test_lost_writes_are_counted(ended: Ended) -> None:
    found = re.search(r"broken: FO-02 .*?(\d+) of (\d+) acknowledged writes lost: \d+-\d+", said(ended))
    assert found, str(ended)
    lost, acknowledged = map(int, found.groups())
    assert 1000 <= lost < acknowledged


def test_a_failover_that_does_not_come_is_told_when_its_time_is_over(ended: Ended) -> None:
    late = r"still not true after (\d+\.\d) s \(limit: 30 s\); last observed"
    told = rf"broken: FO-01 .*?a member other than pg\d leads: {late}"
    found = re.search(told, said(ended))
    assert found, str(ended)
    assert 30 <= float(found[1]) < 40
