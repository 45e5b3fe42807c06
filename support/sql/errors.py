"""Errors of PostgreSQL, and what their messages mean."""

import errno
import os
import re
from collections.abc import Callable

import psycopg2
import psycopg2.errors
from psycopg2 import errorcodes

from support.errors import ConnectFailed, NotTried
from support.vocabulary import Kind

Error = psycopg2.Error
"""Any error of a statement; a failed login is a ConnectFailed."""
CORRUPTED = (psycopg2.errors.DataCorrupted, psycopg2.errors.IndexCorrupted)
"""A server's errors about corrupted data or indexes: evidence about the database."""
_REFUSALS = (
    "authentication failed",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "is not permitted to log in",
    "permission denied for database",
)
_UNKNOWN = re.compile(r'(role|database) "[^"]*" does not exist')
_NOT_TRIED = re.compile(
    r'(?m)^\s*could not translate host name "[^"\n]*" to address: Temporary failure in name resolution'
    r"|^\s*(connection to server .* failed: )?could not create socket: Too many open files"
)
"""What libpq says of a host if its own machine is to blame; a server that runs out of files says so after "FATAL"."""
_CONSTRAINT = re.compile(r'constraint "([^"]+)"')


def tells_of_refusal(words: str) -> bool:
    """Whether a message shows that a server permanently refuses a login, as opposed to being slow or not ready.

    Works only for English messages; libpq does not report the SQLSTATE of a failed login.
    """
    return any(refusal in words for refusal in _REFUSALS) or _UNKNOWN.search(words) is not None


def not_tried(error: Exception) -> bool:
    """Whether a login failed because this machine could not even try it, with one of several hosts at least.

    A name that does not exist is none of that: the user declared it. Works only for English messages, unless this
    process has no file descriptor left.
    """
    return _NOT_TRIED.search(str(error)) is not None or _out_of_descriptors()


def _out_of_descriptors() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False


def error_of(action: Callable[[], object]) -> Exception | None:
    """The error of PostgreSQL, or of the connection to it, that `action` raises; None if it succeeds.

    Raises NotTried, which is no error of theirs.
    """
    try:
        action()
    except NotTried:
        raise
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


def constraint_of(error: BaseException | None) -> str:
    """The constraint that a statement violated; empty if the error names none.

    An error of a Citus worker names it in its message only, as that of a shard. Works only for English messages there.
    """
    if not isinstance(error, Error):
        return ""
    found = _CONSTRAINT.search(str(error))
    return error.diag.constraint_name or (found[1] if found else "")
