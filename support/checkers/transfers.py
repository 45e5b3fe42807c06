"""Every transfer happened on both of its accounts or on neither, and what was acknowledged happened."""

from collections.abc import Mapping
from typing import Protocol

from support.checkers.finding import Finding, listed
from support.history import History, Operation, Outcome


class Account(Protocol):
    """What an account holds, and the names of the transfers that took part in it."""

    @property
    def balance(self) -> int: ...
    @property
    def transfers(self) -> frozenset[str]: ...


def all_or_nothing(history: History, accounts: Mapping[str, Account], opened_with: int) -> Finding:
    """No transfer is on one of its accounts only, no acknowledged one is missing, no failed one is there, and the
    balances add up to what the accounts were opened with.

    A transfer is an operation with action "transfer", its name as key and its two accounts as value. Unknown when none
    was acknowledged, or when an account that took part was not read.
    """
    tried = history.of(action="transfer")
    done = [one for one in tried if one.outcome is Outcome.OK]
    if not done:
        return Finding.unknown("no transfer was acknowledged")
    unread = {account for one in tried for account in one.value} - accounts.keys()
    if unread:
        return Finding.unknown(f"accounts that were not read: {listed(sorted(unread))}")
    faults: dict[str, list[object]] = {
        "happened by half": [one.key for one in tried if _places(one, accounts) == 1],
        "were acknowledged and are not there": [one.key for one in done if not _places(one, accounts)],
        "failed and are there": [
            f"{one.key} ({one.error})" for one in tried if one.outcome is Outcome.FAIL and _places(one, accounts) == 2
        ],
    }
    wrong = [f"{len(those)} transfers {how}: {listed(those)}" for how, those in faults.items() if those]
    if wrong:
        return Finding.false("; ".join(wrong))
    total, expected = sum(one.balance for one in accounts.values()), opened_with * len(accounts)
    if total != expected:
        return Finding.false(f"the accounts hold {total}, and were opened with {expected}")
    unknown = [one for one in tried if one.outcome is Outcome.UNKNOWN]
    there = sum(_places(one, accounts) == 2 for one in unknown)
    return Finding.true(
        f"{len(done)} acknowledged transfers happened on both accounts, and {there} of {len(unknown)} unknown ones; "
        f"the total is {total} as before"
    )


def _places(transfer: Operation, accounts: Mapping[str, Account]) -> int:
    return sum(transfer.key in accounts[account].transfers for account in transfer.value)
