"""Where the project is, and where the user stood when the program was started."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The project's folder; the program works there, whatever folder it is started in."""
STARTED_IN = Path.cwd()
STATE = Path(".accept")
"""What the program keeps: clusters, runs, logs. Not under version control."""
FEATURES = Path("features")
RESULTS = Path("allure-results")
REPORT = Path("allure-report")


def go_home() -> None:
    """Make the project's folder the working directory."""
    os.chdir(ROOT)


def named_by_user(path: Path) -> Path:
    """A path from the command line, where the user meant it."""
    return STARTED_IN / path
