"""The package `accept_cluster`, as `pip install` puts it into an environment: it starts the program.

The whole project lies below it, in `project/`, as it is in a checkout. That folder is on the path of Python in the
program's own processes only, so its `steps` or `support` clash with nothing in the environment.
"""

import os
import sys
from pathlib import Path

PROJECT = Path(__file__).parent / "project"


def main() -> None:
    """Start the program with the arguments of this process, in place of it."""
    path = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # each of a run's hundreds of processes would compile all it imports
    variables.pop("PYTHONOPTIMIZE", None)  # no step that uses assert statements could fail
    os.execve(sys.executable, [sys.executable, "-P", "-m", "support.cli", *sys.argv[1:]], variables)
