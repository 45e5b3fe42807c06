"""`python -m support.cli.behave_server`: behave with everything imported, so that a run begins at once.

For each line of standard input, the arguments of behave as JSON, it forks a process that runs behave, and prints one
line with its exit status. It ends with its input. `accept run --watch` starts it where the cluster is reached.
"""

import ast
import importlib
import json
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

ENDED = "ended"
"""Begins the line that tells the exit status."""
_BEHAVE = ("behave.configuration", "behave.runner", "behave.formatter._builtins", "allure_behave.formatter")


def main() -> None:
    """Import, and then serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w")  # what behave prints goes to standard error, for the user
    os.dup2(2, 1)
    _import_all(Path(one) for one in sys.argv[1:])
    print(ENDED, "ready", file=answers, flush=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        status = _run(json.loads(line))
        print(ENDED, status, file=answers, flush=True)


def _import_all(folders: Iterable[Path]) -> None:
    """Import what the hooks and the step files import; behave reads these files themselves again in each run."""
    files = [Path("environment.py"), *(file for folder in folders for file in sorted(folder.rglob("*.py")))]
    for name in dict.fromkeys((*_BEHAVE, *(name for file in files for name in _imports_of(file)))):
        with suppress(ImportError):
            importlib.import_module(name)


def _imports_of(file: Path) -> Iterator[str]:
    with suppress(SyntaxError):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                yield from (one.name for one in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module
                yield from (f"{node.module}.{one.name}" for one in node.names if node.module.startswith("support"))


def _run(arguments: list[str]) -> int:
    if runner := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(runner, 0)[1])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["behave", *arguments]
    status = 1
    try:
        runpy.run_module("behave", run_name="__main__", alter_sys=True)
        status = 0
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
