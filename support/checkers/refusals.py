"""Whether strangers were turned away, and for that reason."""

from collections.abc import Mapping

from support.checkers.finding import Finding

_NOT_AUTHENTICATED = "28"
"""The class of SQLSTATE: invalid authorization specification."""
_WITHOUT_LOGIN = frozenset({"401", "403", "NOAUTH", "certificate verify failed", "08P01"})
"""HTTP's statuses for it, Redis's word, that of a client which does not believe the server, and PgBouncer's SQLSTATE.

PgBouncer refuses every login by 08P01, a wrong password and one for replication alike. PostgreSQL has that code for
messages that it does not understand; the right login, which is tried before, is made of the same messages.
"""


def all_refused(attempts: Mapping[str, str]) -> Finding:
    """Everything that was tried without a right login was refused for want of one.

    `attempts` is a login, an order, a command -> the code that refused it (a SQLSTATE, a status of HTTP, Redis's
    NOAUTH, a client's own "certificate verify failed"), "" when the stranger was believed, or why there was no answer.
    Unknown when none was tried, or when one failed for another reason: that says nothing about who may come in.
    """
    let_in = [name for name, outcome in attempts.items() if not outcome]
    if let_in:
        return Finding.false(f"{len(let_in)} of {len(attempts)} were believed: {', '.join(let_in)}")
    astray = {name: why for name, why in attempts.items() if not _is_refusal(why)}
    if astray or not attempts:
        reasons = "; ".join(f"{name}: {why}" for name, why in astray.items()) or "nothing was tried"
        return Finding.unknown(f"not everything was answered: {reasons}")
    return Finding.true(f"{len(attempts)} were refused")


def _is_refusal(outcome: str) -> bool:
    return outcome in _WITHOUT_LOGIN or (len(outcome) == 5 and outcome.startswith(_NOT_AUTHENTICATED))
