"""Where the project is, where it writes, and how it is called.

A checkout is called `./accept`, and writes in its own folder. Installed as a package it is called `accept`, and writes
in the folder in which the user started it: its own folder belongs to the Python environment.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The project's folder. The program works there, whatever folder it is started in."""
INSTALLED = not (ROOT / "accept").is_file()
"""Whether this is an installed package; then the script of a checkout is missing."""
STARTED_IN_VARIABLE = "_ACCEPT_STARTED_IN"
"""The variable that tells the user's working directory to the processes that this one starts."""
STARTED_IN = Path(os.environ.get(STARTED_IN_VARIABLE) or Path.cwd())
"""The user's working directory; processes that this one starts work elsewhere."""
WRITES_IN = STARTED_IN if INSTALLED else Path()
"""The folder for all that is written: state, results and reports."""
PROGRAM = "accept" if INSTALLED else "./accept"
PROGRAM_FILE = Path(sys.executable).with_name("accept") if INSTALLED else ROOT / "accept"


def as_seen(path: Path) -> str:
    """A path as the user reaches it: relative to where the program was started if it is below, else absolute."""
    whole = Path(os.path.abspath(path))
    return str(whole.relative_to(STARTED_IN)) if whole.is_relative_to(STARTED_IN) else str(whole)


def as_called(text: str) -> str:
    """A text that mentions commands of the program, such as `./accept up`, as this installation is called."""
    return text.replace("./accept ", f"{PROGRAM} ")
