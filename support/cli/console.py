"""What the program says: results to standard output, everything else to standard error."""

from rich.console import Console

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """One line of progress or advice."""
    err.print(text, markup=False)


def complain(text: str) -> None:
    """Errors, a line each, each with the program's name in front."""
    for line in text.splitlines():
        err.print(f"accept: {line}", style="red", markup=False)
