"""Whether strangers were turned away, and for that reason."""

from collections.abc import Mapping

from support.checkers.finding import Finding

_NOT_AUTHENTICATED = "28"
"""The class of SQLSTATE: invalid authorization specification."""


def all_refused(attempts: Mapping[str, str]) -> Finding:
    """Every login was refused as not authenticated.

    `attempts` is login -> the SQLSTATE that refused it, "" when it was believed, or why there was no answer.
    Unknown when none was tried, or when one failed for another reason: that says nothing about who may come in.
    """
    let_in = [name for name, outcome in attempts.items() if not outcome]
    if let_in:
        return Finding.false(f"{len(let_in)} of {len(attempts)} were believed: {', '.join(let_in)}")
    astray = {name: why for name, why in attempts.items() if not _is_refusal(why)}
    if astray or not attempts:
        reasons = "; ".join(f"{name}: {why}" for name, why in astray.items()) or "no login was tried"
        return Finding.unknown(f"not every login was answered: {reasons}")
    return Finding.true(f"{len(attempts)} logins were refused")


def _is_refusal(outcome: str) -> bool:
    return len(outcome) == 5 and outcome.startswith(_NOT_AUTHENTICATED)
