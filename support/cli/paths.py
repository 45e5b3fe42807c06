"""Where the project is, what the program writes, and the folder in which the user started it."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The project's folder. The program works there, whatever folder it is started in."""
STARTED_IN_VARIABLE = "_ACCEPT_STARTED_IN"
"""It tells the user's working directory to the processes that this one starts."""
STARTED_IN = Path(os.environ.get(STARTED_IN_VARIABLE) or Path.cwd())
"""The user's working directory; processes that this one starts work elsewhere."""
STATE = Path(".accept")
"""Clusters, runs and logs of the program. Not under version control."""
FEATURES = Path("features")
RESULTS = Path("allure-results")
REPORT = Path("allure-report")


def enter_project() -> None:
    """Make the project's folder the working directory."""
    os.environ[STARTED_IN_VARIABLE] = str(STARTED_IN)
    os.chdir(ROOT)


def from_command_line(path: Path) -> Path:
    """A path that the user typed, relative to the folder in which the program was started."""
    return STARTED_IN / path
