"""Where the program and behave print to: what cannot be printed there changes no verdict and costs no report."""

import sys
from io import TextIOWrapper


def replace_unprintable() -> None:
    """From now on this process prints "?" for a character that its standard output cannot encode.

    Otherwise a reason in another script would be an error on a terminal that is not UTF-8. Python prints to standard
    error in such a way anyway.
    """
    if isinstance(sys.__stdout__, TextIOWrapper):  # there may be none
        sys.__stdout__.reconfigure(errors="replace")
