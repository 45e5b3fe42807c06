"""psycopg2 among greenlets: a client that waits for the database lets the others of its process go on.

This rather than gevent's thread pool: an operation then costs no change of threads, and hundreds of clients no threads.
"""

import psycopg2
from gevent.socket import wait_read, wait_write
from psycopg2.extensions import POLL_OK, POLL_READ, set_wait_callback

from support.sql import Session


def cooperate(patience: float) -> None:
    """Make all sessions of this process wait so, each time no longer than that many seconds.

    Past them the session is closed with an OperationalError without a code, as it is when a connection is lost: what
    became of the operation is unknown. (libpq itself bounds neither logins nor answers of sessions that are polled.)
    """

    def wait(session: Session) -> None:
        while (state := session.poll()) != POLL_OK:
            late = psycopg2.OperationalError(f"no answer within {patience:g} s; hung up")
            (wait_read if state == POLL_READ else wait_write)(session.fileno(), timeout=patience, timeout_exc=late)

    set_wait_callback(wait)
