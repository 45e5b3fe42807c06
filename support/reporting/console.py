"""Where the program and behave print to: what cannot be printed there changes no verdict and costs no report."""

import os
import sys
from contextlib import suppress
from io import TextIOWrapper

from rich.console import Console


class PatientConsole(Console):
    """A console that prints no more once nobody reads it, as in `./accept run | head`; its program goes on."""

    def on_broken_pipe(self) -> None:
        """Called by rich, whose own console ends the program. What is printed by other means goes nowhere, either."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError):
            os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


def real_stdout() -> Console:
    """A console on the process's own standard output; behave replaces `sys.stdout` by a buffer."""
    return PatientConsole(file=sys.__stdout__, highlight=False)


def can_move(console: Console) -> bool:
    """Whether a view can move on it. Without a terminal, or with NO_COLOR, plain lines are printed."""
    return console.is_terminal and not console.no_color and not console.is_dumb_terminal


def replace_unprintable() -> None:
    """From now on this process prints "?" for a character that its standard output cannot encode.

    Otherwise a reason in another script would be an error on a terminal that is not UTF-8. Python prints to standard
    error in such a way anyway.
    """
    if isinstance(sys.__stdout__, TextIOWrapper):  # there may be none
        sys.__stdout__.reconfigure(errors="replace")
