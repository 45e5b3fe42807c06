"""`.ci/run`: what it reruns, and its exit status. A script takes the place of the program."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from small_suites import ROOT

PROGRAM = """#!/usr/bin/env bash
echo "$*" >>called
read -r status < <(sed -n "$(wc -l <called)p" statuses)
exit "$status"
"""
"""It exits with the given statuses, one after the other."""
TEST, AGAIN, RUN = "test", "test -n 0 --last-failed --last-failed-no-failures none", "run --rerun"


@pytest.mark.parametrize(
    ("statuses", "called", "status"),
    [
        ((0, 0), (TEST, RUN), 0),
        ((0, 1), (TEST, RUN), 1),
        ((1, 0, 0), (TEST, AGAIN, RUN), 0),
        ((1, 1, 0), (TEST, AGAIN, RUN), 1),
        ((124, 0, 0), (TEST, TEST, RUN), 0),
        ((124, 1, 0, 0), (TEST, TEST, AGAIN, RUN), 0),
        ((124, 137, 0), (TEST, TEST, RUN), 137),
    ],
)
def test_tests_that_were_ended_twice_have_not_passed(
    tmp_path: Path, statuses: Sequence[int], called: Sequence[str], status: int
) -> None:
    """What an earlier run noted as failed does not count for them."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    noted = tmp_path / ".pytest_cache" / "v" / "cache" / "lastfailed"
    noted.parent.mkdir(parents=True)
    noted.write_text("{}")
    (tmp_path / "statuses").write_text("".join(f"{one}\n" for one in statuses))
    (tmp_path / "accept").write_text(PROGRAM)
    os.chmod(tmp_path / "accept", 0o755)
    ended = subprocess.run([tmp_path / ".ci" / "run"], capture_output=True, text=True)
    assert (tmp_path / "called").read_text().splitlines() == [*called], ended.stderr
    assert ended.returncode == status
    assert not noted.exists()
