"""Errors of PostgreSQL, and what their words tell."""

import re
from collections.abc import Callable

import psycopg2
import psycopg2.errors
from psycopg2 import errorcodes

from support.errors import ConnectFailed
from support.vocabulary import Kind

Error = psycopg2.Error
"""Any error of a statement; a failed login is a ConnectFailed."""
CORRUPTED = (psycopg2.errors.DataCorrupted, psycopg2.errors.IndexCorrupted)
"""The errors of a server that finds its data or an index corrupted: evidence about the database."""
_REFUSALS = (
    "authentication failed",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "is not permitted to log in",
    "permission denied for database",
)
_UNKNOWN = re.compile(r'(role|database) "[^"]*" does not exist')


def tells_of_refusal(words: str) -> bool:
    """Whether these words quote a server that refused a login for good, as opposed to one that is slow or not ready.

    Only for servers whose messages are in English; libpq does not tell the SQLSTATE of a failed login.
    """
    return any(refusal in words for refusal in _REFUSALS) or _UNKNOWN.search(words) is not None


def error_of(action: Callable[[], object]) -> Exception | None:
    """The error of PostgreSQL, or of the connection to it, in `action`; None if it succeeded. Raises other errors."""
    try:
        action()
    except (Error, ConnectFailed) as error:
        return error
    return None


CONDITION = Kind.of(
    "condition of PostgreSQL",
    sorted({name.lower().replace("_", " ") for name in vars(errorcodes) if name.isupper() and "CLASS" not in name}),
)
"""PostgreSQL's names of errors, such as "unique violation"."""


def condition_of(error: BaseException | None) -> str:
    """PostgreSQL's name of an error, such as "unique violation"; empty if it has none."""
    code = (error.pgcode if isinstance(error, Error) else None) or ""
    try:
        return errorcodes.lookup(code).lower().replace("_", " ")
    except KeyError:
        return code
