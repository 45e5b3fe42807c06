"""A pooler in front of an endpoint: whether sessions have backends of their own there, which are reset after them."""

import enum
from contextlib import ExitStack
from random import Random

from support import sql
from support.errors import ConnectFailed, TargetUnreachable
from support.example_app.sessions import backend
from support.timeouts import REST
from support.waiting import describe

TRANSACTIONS = "a pooler in front of the {which} endpoint assigns backends to transactions, not to sessions"
LEAVES = (
    "a pooler in front of the {which} endpoint was not seen to reset what a session has set (server_reset_query), so "
    "nothing is set there"
)
_ROUNDS = 12
_LOGINS = 10  # until one is on the backend of a former session
_MARK = "accept.left_by_a_session"
"""A setting that means nothing to anybody."""


class Backends(enum.Enum):
    """Who owns the backends that sessions get at an endpoint."""

    OF_SERVER = enum.auto()
    """Without a pooler, each has its own."""
    OF_SESSION = enum.auto()
    """A pooler keeps one for each session, and resets it afterwards."""
    SHARED = enum.auto()
    """A pooler lends them out, or may do so: whatever is set there may persist for its other clients."""


def look(endpoint: sql.Endpoint, which: str) -> tuple[Backends, str]:
    """Who owns the backends of sessions there, and, if they are shared, how that is known.

    In doubt they are shared. Raises TargetUnreachable if no transaction is possible, ConnectFailed or sql.Error if no
    session is.
    """
    with sql.session(endpoint) as session:
        if session.own_backend:
            return Backends.OF_SERVER, ""
    if not _keep_their_backends(endpoint):
        _require_transactions(endpoint)
        return Backends.SHARED, TRANSACTIONS.format(which=which)
    if not _are_reset(endpoint):
        return Backends.SHARED, LEAVES.format(which=which)
    return Backends.OF_SESSION, ""


def _keep_their_backends(endpoint: sql.Endpoint) -> bool:
    """Whether each of two sessions keeps a backend to itself while the other is used.

    They take turns in no order. Without other clients, one that follows the other or itself meets the backend that
    became idle last, or the one that did so first; with others, any.
    """
    with ExitStack() as opened:
        try:
            pair = [opened.enter_context(sql.session(endpoint, statement_timeout=REST)) for _ in range(2)]
        except ConnectFailed:  # the pool may have one backend, which the first session keeps: nothing is known
            return False
        own = [backend(session) for session in pair]
        turns = [*range(2), *reversed(range(2)), *Random(0).choices(range(2), k=2 * _ROUNDS)]
        return own[0] != own[1] and all(backend(pair[turn]) == own[turn] for turn in turns)


def _are_reset(endpoint: sql.Endpoint) -> bool:
    """Whether a session finds nothing set by the one that had its backend before. In doubt it does."""
    marked = set()
    with ExitStack() as opened:
        for _ in range(2):
            session = opened.enter_context(sql.session(endpoint, statement_timeout=REST))
            sql.value(session, "SELECT set_config(%s, 'x', false)", [_MARK])
            marked.add(backend(session))
    for _ in range(_LOGINS):
        with sql.session(endpoint, statement_timeout=REST) as session:
            own, left = sql.rows(session, "SELECT pg_backend_pid(), current_setting(%s, true)", [_MARK])[0]
            if left:
                sql.value(session, "SELECT set_config(%s, '', false)", [_MARK])
                return False
            if own in marked:
                return True
    return False


def _require_transactions(endpoint: sql.Endpoint) -> None:
    with sql.session(endpoint, autocommit=False) as session:
        refused = sql.error_of(lambda: [sql.rows(session, "SELECT 1") for _ in range(2)])
        if refused is None:
            session.rollback()  # PgBouncer would close a server whose transaction is given up
    if refused:
        raise TargetUnreachable(
            f"{endpoint} allows no transactions ({describe(refused)}): the suite needs a pool_mode of session "
            "or transaction"
        )
