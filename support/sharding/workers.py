"""Transfers between accounts, each account a namespace of its own, so that two of them may lie on different workers.

An account is an entry, its balance the entry's value. A transfer changes two balances, and leaves its name in both
namespaces: so not only the sum tells whether it is whole.

Groups of workers that lose their leader: who must not notice, who is told what, what must be whole at the end.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count

from support import sql
from support.embedded.readiness import SILENT
from support.engine import markers
from support.engine.finding import Finding
from support.engine.ledger import appends
from support.engine.recovery import require_served, require_whole
from support.engine.workload import Script, Task, Turn, Workload
from support.engine.world import World
from support.errors import ConnectFailed, Inconclusive
from support.example_app.profile import Profile
from support.faults.process import PostgresKilled
from support.faults.roles import host_of
from support.sharding.checks import all_or_nothing
from support.target import citus
from support.waiting import describe, eventually

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


_LEDGERS = "ledgers"
_COUNT = "SELECT count(*) FROM {entries} WHERE {entries.namespace} = %s"
_COORDINATOR_CRASHES = "it was already committed"
"""Of a PANIC of Citus 13.2: a coordinator that loses a worker right after its own commit may crash and start again.

No transaction is harmed by it, which is what is promised here; so it is counted, and shown.
"""
_PATIENCE = 3.0
"""Seconds that a client waits for an answer before it gives up and logs in anew."""


@dataclass(frozen=True)
class Ledger:
    """A ledger whose entries all lie on one group of workers."""

    namespace: str
    workload: Workload


def namespace_on(world: World, group: int) -> str:
    """A namespace of the scenario, whose entries lie on that group of workers. LookupError where there is no such."""
    world.cluster.of_group(group)
    with sql.session(world.cluster.write) as session:
        names = (f"{world.namespace}-on-{group}-{number}" for number in count())
        namespace = next(
            one
            for one in names
            if one not in world.namespaces and citus.home(session, world.profile.entries.table, one) == group
        )
    world.further_namespaces.append(namespace)
    return namespace


def start_ledger(world: World, group: int, clients: int) -> None:
    """Let clients append to a ledger on one group of workers until the scenario ends; a good many are acknowledged."""
    namespace = namespace_on(world, group)
    workload = Workload(world.cluster.write, appends(world.profile, namespace), clients=clients, patience=_PATIENCE)
    world.start(workload, acknowledged=300)
    world.scene.setdefault(_LEDGERS, {})[group] = Ledger(namespace, workload)


def require_ledger_served(world: World, group: int, limit: float) -> None:
    """The clients of one group of workers were never without an acknowledged write for `limit` seconds."""
    require_served(world, _ledger_on(world, group).workload, limit, f"clients of worker group {group}")


def require_ledger_kept(world: World, group: int) -> None:
    """What was acknowledged on one group of workers is there, and once."""
    ledger = _ledger_on(world, group)
    require_whole(world, ledger.workload, ledger.namespace, f" on worker group {group}")


def require_readable(world: World, group: int, limit: float) -> None:
    """What lies on one group of workers is read now, in a new session, in less than `limit` seconds."""
    begun, namespace = time.monotonic(), _ledger_on(world, group).namespace
    try:
        found = sql.value(world.cluster.write, world.profile.sql(_COUNT), [namespace])
    except (sql.Error, ConnectFailed) as error:
        raise AssertionError(f"what lies on worker group {group} cannot be read: {describe(error)}") from error
    took = time.monotonic() - begun
    world.measure(f"reading the entries on worker group {group}", took, "s", limit)
    Finding(found > 0 and took < limit, f"{found} entries were read in {took:.1f} s (allowed: {limit:g} s)").require()


def require_refused(world: World, group: int, limit: float) -> None:
    """A write to one group of workers fails in less than `limit` seconds; the error names the node.

    Raises Inconclusive when it is taken: then the group is not down.
    """
    (node,) = [one.address for one in citus.known_to(world.cluster.write) if one.group == group]
    begun, ledger = time.monotonic(), _ledger_on(world, group)
    error = sql.error_of(partial(markers.write, world.cluster.write, world.profile, ledger.namespace, "refused"))
    took = time.monotonic() - begun
    if error is None:
        raise Inconclusive(f"worker group {group} took a write while it should have been down")
    said = " ".join(str(error).split())
    world.evidence.attach("what the client was told", said)
    world.measure(f"a write to worker group {group} was refused after", took, "s", limit)
    told = node.host in said and str(node.port) in said
    Finding(told and took < limit, f"after {took:.1f} s (allowed: {limit:g} s), naming {node}: {said}").require()


def require_address_known(world: World, group: int, limit: float) -> None:
    """Within `limit` seconds every node knows the leader of the group by its address, and takes it to be active."""
    cluster, begun = world.cluster, time.monotonic()
    leader = cluster.of_group(group).leader()
    address = cluster.address_of(leader).postgres

    def known() -> None:
        for one in cluster.groups:
            nodes_there = citus.known_to(one.of_member(one.leader()))
            found = [(node.address, node.active) for node in nodes_there if node.group == group]
            Finding(found == [(address, True)], f"{one.leader()} knows {found}, and {leader} is at {address}").require()

    eventually(known, within=limit, subject=f"every node knows where {leader} is", retry_on=(*SILENT, sql.Error))
    world.measure("every node knew the new leader after", time.monotonic() - begun, "s", limit)


def start_transfers(world: World, clients: int) -> None:
    """Let clients move amounts between accounts on different groups of workers until the scenario ends."""
    groups = [group.group for group in world.cluster.groups if group.group]
    if len(groups) < 2:
        raise Inconclusive("there is one group of workers: no transfer would leave it")
    accounts = [[namespace_on(world, group) for _ in range(4)] for group in groups]
    open_accounts(world.cluster.write, world.profile, chain(*accounts))
    workload = Workload(world.cluster.write, script(world.profile, accounts), clients=clients, patience=_PATIENCE)
    world.start(workload, acknowledged=100)
    world.scene["accounts"] = list(chain(*accounts))
    world.experiment.foreseen.append(_COORDINATOR_CRASHES)


def kill_in_turn(world: World, roles: list[str]) -> None:
    """Kill PostgreSQL alone on each of these roles, one after the other, each once clients get through again."""
    if not roles or world.workload is None:
        raise Inconclusive("nobody works, or nobody was to be killed")
    for role in roles:
        host = host_of(world.cluster, role)
        world.experiment.inject(PostgresKilled(host), host.name)
        world.workload.await_acknowledged(50, within=world.timing.recovery)


def require_transfers_whole(world: World, limit: float) -> None:
    """Within `limit` seconds of the last transfer nothing is in doubt; each happened on both accounts or on neither."""
    assert world.workload is not None
    world.workload.stop()
    begun = time.monotonic()
    leaders = [group.leader() for group in world.cluster.groups]
    settled = partial(citus.require_settled, world.cluster, leaders)
    eventually(settled, within=limit, subject="nothing is in doubt", retry_on=(*SILENT, ConnectFailed, sql.Error))
    world.measure("nothing was in doubt after", time.monotonic() - begun, "s", limit)
    crashes = [line for line in world.experiment.alarms if _COORDINATOR_CRASHES in line]
    world.measure("times that the coordinator crashed by itself", len(crashes), "")
    kept = read_accounts(world.cluster.write, world.profile, world.scene["accounts"])
    finding = all_or_nothing(world.workload.history, kept, OPENED_WITH)
    world.evidence.attach("transfers", finding.words)
    finding.require()


def ledgers(world: World) -> dict[int, Ledger]:
    """Group -> the scenario's ledger there. Raises Inconclusive when there is none."""
    found: dict[int, Ledger] = world.scene.get(_LEDGERS, {})
    if not found:
        raise Inconclusive("no client writes to a ledger on a worker group")
    return found


def _ledger_on(world: World, group: int) -> Ledger:
    if group not in ledgers(world):
        raise Inconclusive(f"no client writes to worker group {group}")
    return ledgers(world)[group]
