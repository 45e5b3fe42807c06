"""Wrong passwords for real servers, as few as show that they are refused: too many would lock a role out."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from support import sql
from support.errors import ConnectFailed
from support.target.login import PASSWORDS, Answer, log_in
from support.target.topology import Login

_Asked = tuple[object, ...]
"""A server, a role, and the kind of proof that is demanded."""


class WrongProofs:
    """Gives a wrong proof once to each server as each role, for each kind of proof; the right login follows at once.

    Most locks count failures in a row (LDAP's, PAM's, that of the extension credcheck). Several kinds may be demanded,
    each checked by something else: a verifier in the database, or a server for LDAP. Safe to share between threads.
    """

    def __init__(
        self, right_ways: Iterable[sql.Endpoint], known: Collection[str], declared: Mapping[str, Login]
    ) -> None:
        """`right_ways` are those of the application, through which the declared logins are right.

        All roles that are not `known` are taken for one: they are made up.
        """
        self._right_ways = {_server(one): one for one in right_ways}
        self._known, self._declared = known, declared
        self._given = dict[_Asked, sql.Endpoint]()

    def given_once(self, one: sql.Endpoint, unproved: Answer, replication: bool) -> Answer:
        """The answer to the wrong login if its proof is given now; else that to the same login without a proof."""
        if unproved.authenticated or unproved.asked_for not in PASSWORDS:
            return unproved
        asked = *_server(one), one.user if one.user in self._known else "", unproved.asked_for
        if self._given.setdefault(asked, one) is not one:
            return unproved
        try:
            return log_in(one, replication=replication)
        except OSError:
            del self._given[asked]  # there was no answer: let it be given in another way
            raise
        finally:
            self._log_in_rightly(one)

    def _log_in_rightly(self, one: sql.Endpoint) -> None:
        if login := self._declared.get(one.user):
            with suppress(OSError, ConnectFailed):  # whether the right login works is judged elsewhere
                log_in(self._right_ways[_server(one)].as_user(login.user, login.password))


def _server(one: sql.Endpoint) -> _Asked:
    return one.name, one.host, one.port, one.options.get("hostaddr")
