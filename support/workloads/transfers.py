"""Transfers between accounts, each account a namespace of its own, so that two of them may lie on different workers.

An account is an entry, its balance the entry's version. A transfer changes two balances, and leaves its name in both
namespaces: so not only the sum tells whether it is whole.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from support import sql
from support.workloads.client import Task
from support.workloads.runner import Script, Turn

TRANSFER = "transfer"
OPENED_WITH = 1000
_ACCOUNT = "account"
_OPEN = "INSERT INTO memory_entries (namespace, key, value, version) VALUES (%s, %s, '', %s)"
_MOVE = "UPDATE memory_entries SET version = version + %s WHERE namespace = %s AND key = %s"
_NOTE = "INSERT INTO memory_entries (namespace, key, value) VALUES (%s, %s, 'transfer')"
_READ = "SELECT namespace, key, version FROM memory_entries WHERE namespace = ANY(%s)"


@dataclass(frozen=True)
class Account:
    """What one account holds, and which transfers left their names there."""

    balance: int
    transfers: frozenset[str]


def open_accounts(where: sql.Endpoint, accounts: Iterable[str]) -> None:
    """Accounts in these namespaces, each with OPENED_WITH."""
    with sql.session(where) as session:
        for account in accounts:
            sql.execute(session, _OPEN, [account, _ACCOUNT, OPENED_WITH])


def script(accounts: Sequence[Sequence[str]]) -> Script:
    """Each client moves amounts from an account of one group to one of another group, until it is stopped.

    The recorded key is the transfer's name, the value the names of both accounts.
    """

    def turn_to_task(turn: Turn) -> Task:
        source, target = map(turn.random.choice, turn.random.sample(accounts, 2))
        name, amount = f"{turn.client}-{turn.number}", turn.random.randint(1, 9)
        changes = sorted([(source, -amount), (target, amount)])  # in one order, so that no two wait for each other

        def move(session: sql.Session) -> None:
            for account, change in changes:
                sql.execute(session, _MOVE, [change, account, _ACCOUNT])
                sql.execute(session, _NOTE, [account, name])

        return Task(TRANSFER, name, (source, target), move, transaction=True)

    return turn_to_task


def read_accounts(where: sql.Endpoint, accounts: Collection[str]) -> Mapping[str, Account]:
    """Every account as it is now."""
    found = sql.rows(where, _READ, [list(accounts)])
    balances = {namespace: version for namespace, key, version in found if key == _ACCOUNT}
    return {
        account: Account(balance, frozenset(key for namespace, key, _ in found if namespace == account) - {_ACCOUNT})
        for account, balance in balances.items()
    }
