"""`python -m support.cli.behave_server`: behave with everything imported, so that a run begins at once.

For each line of standard input it forks a process that does what the line asks for, and prints one line with its exit
status: `{"behave": [...]}` runs behave with these arguments; `{"check": {...}, "limits": true}` checks a selection of
scenarios as `accept run` does before anything boots, and prints what is wrong. It ends with its input. `accept run
--watch` starts it where the cluster is reached.
"""

import ast
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from support import own_folder
from support.cli import own
from support.cli.behave_process import RUNNER, selected
from support.cli.console import complain
from support.cli.preflight import require_sound
from support.cli.suites import Selection
from support.errors import AcceptError
from support.settings import Settings

ENDED = "ended"
"""Begins the line that tells the exit status."""
_BEHAVE = ("behave.configuration", "behave.runner", "behave.formatter._builtins", "allure_behave.formatter")


def main() -> None:
    """Import, and then serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w")  # what behave prints goes to standard error, for the user
    os.dup2(2, 1)
    _import_all(Path(one) for one in sys.argv[1:])
    print(ENDED, 0, file=answers, flush=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        status = _in_a_fork(partial(_answer, json.loads(line)))
        print(ENDED, status, file=answers, flush=True)


def _import_all(folders: Iterable[Path]) -> None:
    """Import what the hooks and the step files import; behave reads these files themselves again in each run."""
    files = [Path("environment.py"), *(file for folder in folders for file in sorted(folder.rglob("*.py")))]
    for name in dict.fromkeys((*_BEHAVE, *(name for file in files for name in _imports_of(file)))):
        with suppress(Exception):  # what a module raises is told when behave loads the file that imports it
            importlib.import_module(name)


def _imports_of(file: Path) -> Iterator[str]:
    with suppress(SyntaxError, ValueError):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                yield from (one.name for one in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module
                yield from (f"{node.module}.{one.name}" for one in node.names if node.module.startswith("support"))


def _answer(asked: Mapping[str, Any]) -> int:
    if "check" in asked:
        selection = Selection(**{name: tuple(words) for name, words in asked["check"].items()})
        return _check(selection, asked["limits"])
    return _behave(asked["behave"])


def _check(selection: Selection, limits: bool) -> int:
    """Check what `accept run` checks before anything boots, for the files as they are now: 0 if all is well.

    `limits`: also the user's, which needs a dry run of all scenarios.
    """
    try:
        own.require_fitting(own_folder.given())
        settings = Settings.load(selection.defined)
        plan = selected(selection, _dry_run)
        require_sound(selection, plan, settings.limits if limits else {}, _dry_run)
    except AcceptError as error:
        complain(str(error))
        return error.exit_status
    return 0


def _dry_run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run behave with these arguments, and return what it printed."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:

        def run() -> int:
            for output in (1, 2):
                os.dup2(printed.fileno(), output)
            return _behave(arguments)

        status = _in_a_fork(run)
        printed.seek(0)
        return subprocess.CompletedProcess(list(arguments), status, printed.read(), "")


def _behave(arguments: Sequence[str]) -> int:
    sys.argv = ["behave", *RUNNER, *arguments]
    runpy.run_module("behave", run_name="__main__", alter_sys=True)
    return 0


def _in_a_fork(action: Callable[[], int]) -> int:
    """Do something in a process that is forked from this one, and return its exit status."""
    if forked := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    status = 1
    try:
        status = action()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
