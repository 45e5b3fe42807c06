"""Clients of worker groups: ledgers whose entries are all on one group, and transfers between groups.

An account is an entry whose value is the balance. A transfer changes two balances and leaves an entry with its name
and its change in the namespace of each account, so that each balance can be held against the transfers that made it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from support import sql
from support.engine.ledger import appends
from support.engine.workload import Script, Task, Turn, Workload
from support.engine.world import World
from support.errors import Inconclusive
from support.example_app.entries import INSERT_ENTRY
from support.example_app.profile import Profile
from support.sharding.checks import Account, Transfer
from support.sharding.shards import namespace_on
from support.target import citus
from support.timeouts import CLIENT


@dataclass(frozen=True)
class Ledger:
    """A ledger whose entries are all on one worker group."""

    namespace: str
    workload: Workload


def start_ledger(world: World, group: int, clients: int) -> Ledger:
    """Let clients append to a ledger on one worker group until the scenario ends; returns after 300 entries."""
    namespace = namespace_on(world, group)
    script = appends(world.profile, namespace)
    workload = Workload(world.cluster.write, script, clients=clients, patience=CLIENT)
    world.start(workload, acknowledged=300)
    return Ledger(namespace, workload)


TRANSFER = "transfer"
OPENED_WITH = 1000
LARGEST_AMOUNT = 1_000_000
_ACCOUNT = "account"
_MOVE = (
    "UPDATE {entries} SET {entries.value} = ({entries.value}::bigint + %s)::text "
    "WHERE {entries.namespace} = %s AND {entries.key} = %s"
)
_READ = "SELECT {entries.namespace}, {entries.key}, {entries.value} FROM {entries} WHERE {entries.namespace} = ANY(%s)"
COORDINATOR_CRASHES = "it was already committed"
"""Part of a PANIC of Citus 13.2: a coordinator that loses a worker right after its own commit may crash and restart.

No transaction is harmed by it, which is what is promised here; so these crashes are counted and shown.
"""


def open_accounts(where: sql.Endpoint, profile: Profile, accounts: Iterable[str]) -> None:
    """Accounts in these namespaces, each with OPENED_WITH."""
    with sql.session(where) as session:
        for account in accounts:
            sql.execute(session, profile.sql(INSERT_ENTRY), [account, _ACCOUNT, str(OPENED_WITH)])


def start_transfers(world: World, clients: int) -> list[str]:
    """Let clients move amounts between accounts on different worker groups until the scenario ends.

    Returns the accounts' namespaces, after 100 transfers. Raises Inconclusive if fewer than two groups hold shards.
    """
    groups = [group for group in citus.holders(world.cluster.write, world.profile.entries.table) if group]
    if len(groups) < 2:
        held = f"only {citus.node_name(groups[0])}" if groups else "no worker group"
        raise Inconclusive(
            f"{held} holds shards of the entries, but transfers need two worker groups that do: rebalance first"
        )
    by_group = [[namespace_on(world, group) for _ in range(4)] for group in groups]
    accounts = [account for those in by_group for account in those]
    open_accounts(world.cluster.write, world.profile, accounts)
    script = transfers(world.profile, by_group)
    workload = Workload(world.cluster.write, script, clients=clients, patience=CLIENT)
    world.start(workload, acknowledged=100)
    world.experiment.expected_alarms.append(COORDINATOR_CRASHES)
    return accounts


def transfers(profile: Profile, by_group: Sequence[Sequence[str]]) -> Script:
    """Each client moves amounts from an account of one group to one of another group, until it is stopped.

    The recorded key is the transfer's name, the value a Transfer. Amounts are so different that a change which is lost
    and another one which is made twice do not make up for each other.
    """

    def turn_to_task(turn: Turn) -> Task:
        source, target = map(turn.random.choice, turn.random.sample(by_group, 2))
        name, amount = f"{turn.client}-{turn.number}", turn.random.randint(1, LARGEST_AMOUNT)
        changes = sorted([(source, -amount), (target, amount)])  # in one order, so that no two block each other

        def move(session: sql.Session) -> None:
            for account, change in changes:
                sql.execute(session, profile.sql(_MOVE), [change, account, _ACCOUNT])
                sql.execute(session, profile.sql(INSERT_ENTRY), [account, name, str(change)])

        return Task(TRANSFER, name, Transfer(source, target, amount), move, transaction=True)

    return turn_to_task


def read_accounts(where: sql.Endpoint, profile: Profile, accounts: Collection[str]) -> Mapping[str, Account]:
    """Every account as it is now."""
    found = sql.rows(where, profile.sql(_READ), [list(accounts)])
    balances = {namespace: int(value) for namespace, key, value in found if key == _ACCOUNT}
    return {
        account: Account(
            balance, {key: int(value) for namespace, key, value in found if namespace == account and key != _ACCOUNT}
        )
        for account, balance in balances.items()
    }
