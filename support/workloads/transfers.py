"""Transfers between accounts, each account a namespace of its own, so that two of them may lie on different workers.

An account is an entry, its balance the entry's value. A transfer changes two balances, and leaves its name in both
namespaces: so not only the sum tells whether it is whole.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from support import sql
from support.application.profile import Profile
from support.workloads.client import Task
from support.workloads.runner import Script, Turn

TRANSFER = "transfer"
OPENED_WITH = 1000
_ACCOUNT = "account"
_INSERT = (
    "INSERT INTO {entries} ({entries.namespace}, {entries.key}, {entries.value}{entries.also}) "
    "VALUES (%s, %s, %s{entries.filling})"
)
_MOVE = (
    "UPDATE {entries} SET {entries.value} = ({entries.value}::bigint + %s)::text "
    "WHERE {entries.namespace} = %s AND {entries.key} = %s"
)
_READ = "SELECT {entries.namespace}, {entries.key}, {entries.value} FROM {entries} WHERE {entries.namespace} = ANY(%s)"


@dataclass(frozen=True)
class Account:
    """What one account holds, and which transfers left their names there."""

    balance: int
    transfers: frozenset[str]


def open_accounts(where: sql.Endpoint, profile: Profile, accounts: Iterable[str]) -> None:
    """Accounts in these namespaces, each with OPENED_WITH."""
    with sql.session(where) as session:
        for account in accounts:
            sql.execute(session, profile.sql(_INSERT), [account, _ACCOUNT, str(OPENED_WITH)])


def script(profile: Profile, accounts: Sequence[Sequence[str]]) -> Script:
    """Each client moves amounts from an account of one group to one of another group, until it is stopped.

    The recorded key is the transfer's name, the value the names of both accounts.
    """

    def turn_to_task(turn: Turn) -> Task:
        source, target = map(turn.random.choice, turn.random.sample(accounts, 2))
        name, amount = f"{turn.client}-{turn.number}", turn.random.randint(1, 9)
        changes = sorted([(source, -amount), (target, amount)])  # in one order, so that no two wait for each other

        def move(session: sql.Session) -> None:
            for account, change in changes:
                sql.execute(session, profile.sql(_MOVE), [change, account, _ACCOUNT])
                sql.execute(session, profile.sql(_INSERT), [account, name, TRANSFER])

        return Task(TRANSFER, name, (source, target), move, transaction=True)

    return turn_to_task


def read_accounts(where: sql.Endpoint, profile: Profile, accounts: Collection[str]) -> Mapping[str, Account]:
    """Every account as it is now."""
    found = sql.rows(where, profile.sql(_READ), [list(accounts)])
    balances = {namespace: int(value) for namespace, key, value in found if key == _ACCOUNT}
    return {
        account: Account(balance, frozenset(key for namespace, key, _ in found if namespace == account) - {_ACCOUNT})
        for account, balance in balances.items()
    }
