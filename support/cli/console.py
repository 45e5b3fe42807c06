"""The program's output and errors: results go to standard output, everything else to standard error."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from support.cli.paths import STATE
from support.errors import AcceptError, NoRoom
from support.files import write_private
from support.hosts.room import is_about_room
from support.places import as_called
from support.reporting.console import PatientConsole
from support.waiting import describe

if TYPE_CHECKING:
    from support.settings import Settings

INTERRUPTED = 128 + signal.SIGINT
UNEXPECTED = 3


class _Console(PatientConsole):
    """Prints commands of the program as this installation is called."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(as_called(one) if isinstance(one, str) else one for one in objects), **options)


out = _Console(highlight=False, soft_wrap=True)
err = _Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """One line of progress or advice."""
    err.print(text, markup=False)


def complain(text: str) -> None:
    """Print errors, one per line, each prefixed with the program's name."""
    for line in text.splitlines():
        err.print(f"accept: {line}", style="red", markup=False)


def say_ignored(settings: "Settings") -> None:
    """Name variables that may be misspelt settings; nothing where there are none."""
    if ignored := settings.ignored_variables:
        told = ", ".join(f"{variable} (did you mean {' or '.join(meant)}?)" for variable, meant in ignored.items())
        say(f"ignored in the environment, as other programs use them: {told}")


def hear_interrupts() -> None:
    """From now on Ctrl-C is answered at once, before the work is stopped; not where it is ignored.

    The answer is for the user at the terminal: stopping may take seconds.
    """

    def heard(number: int, frame: object) -> None:
        line = "\r\x1b[K" if sys.stderr.isatty() else ""
        with suppress(OSError):  # nobody may read it any more
            os.write(2, f"{line}accept: stopping (Ctrl-C)\n".encode())  # printing is not safe in a signal's handler
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, heard)


class Progress:
    """Prints lines of progress, each with the seconds since the start."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def __call__(self, text: str) -> None:
        err.print(f"[dim]{time.monotonic() - self._begun:6.1f} s[/]  ", end="")
        err.print(text, markup=False)


def exit_status_of(action: Callable[[], int]) -> int:
    """Run an action and return its exit status. An error becomes a message and the status that belongs to it.

    An expected error is shown with its own message. The traceback of any other goes to a file, which the message names.
    """
    try:
        return action()
    except AcceptError as error:
        complain(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        complain("stopped")
        return INTERRUPTED
    except Exception as error:
        if is_about_room(error):
            complain(f"a disk of this machine is full: {describe(error)}; make room there, and try again")
            return NoRoom.exit_status
        complain(f"unexpected error in the suite: {type(error).__name__}: {error}; {_logged(error)}")
        return UNEXPECTED


def _logged(error: Exception) -> str:
    """Write the traceback of an error to a file, and return where it is."""
    log = STATE / f"crash-{time.strftime('%Y%m%d-%H%M%S')}.log"
    try:
        STATE.mkdir(exist_ok=True)
        write_private(log, "".join(traceback.format_exception(error)))
    except OSError as unwritable:
        return f"the traceback cannot be written: {describe(unwritable)}"
    return f"the traceback is in {log}"
