"""What the program reads and writes, and the paths that the user typed."""

import os
from pathlib import Path

from support.places import ROOT, STARTED_IN, STARTED_IN_VARIABLE, WRITES_IN

STATE = WRITES_IN / ".accept"
"""Clusters, runs and logs of the program. Not under version control."""
FEATURES = Path("features")
STEPS = Path("steps")
RESULTS = WRITES_IN / "allure-results"
REPORT = WRITES_IN / "allure-report"
TRUST = STATE / "trust.jsonl"
"""The results of the last `accept prove`."""


def enter_project() -> None:
    """Make the project's folder the working directory."""
    os.environ[STARTED_IN_VARIABLE] = str(STARTED_IN)
    os.chdir(ROOT)


def from_command_line(path: Path) -> Path:
    """A path that the user typed, relative to the folder in which the program was started."""
    return STARTED_IN / path
