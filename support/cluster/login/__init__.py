"""A login as it goes over the wire.

libpq keeps the code of a refused login to itself, and its words are in the server's language; so the few messages of
a login are spoken here. Source: https://www.postgresql.org/docs/16/protocol-flow.html
"""

from support.cluster.login.attempt import Answer, log_in, salt

__all__ = ["Answer", "log_in", "salt"]
