"""Faults on worker groups: the others keep serving, clients learn what failed, and nothing is lost or half done.

"Worker group 1" is the first worker group; reports use Citus' group numbers.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from behave import given, register_type, then, when

from support import sql
from support.engine import markers
from support.engine.finding import Finding
from support.engine.interruption import require_interruption_under
from support.engine.quiet import judged, measure
from support.engine.recovery import require_ledger_intact
from support.engine.safety import safety, safety_judged
from support.engine.world import Context, World
from support.errors import ConnectFailed, Inconclusive
from support.example_app.sessions import attempt
from support.faults.declared import disturbs
from support.faults.patroni import Switchover
from support.faults.process import killed_postgres
from support.faults.roles import ROLE
from support.sharding.checks import all_or_nothing
from support.sharding.handover import WorkerHandover
from support.sharding.membership import require_leads_to
from support.sharding.transactions import Doubts
from support.sharding.workloads import COORDINATOR_CRASHES, OPENED_WITH, read_accounts, start_ledger, start_transfers
from support.target import citus
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER
from support.target.timing import EVENT, Span
from support.timeouts import STATEMENT
from support.vocabulary import columns
from support.waiting import describe, eventually, in_time

_COUNT = "SELECT count(*) FROM {entries} WHERE {entries.namespace} = %s"


register_type(Event=EVENT)


@given("{clients:d} clients appending to a ledger on worker group {number:d}")
def step_ledger_on_group(context: Context, clients: int, number: int) -> None:
    """All entries of that ledger are on that group; the clients write through the write endpoint."""
    world, group = context.world, _group(context, number)
    world.handover(WorkerHandover).ledgers[group] = start_ledger(world, group, clients)


@given("{clients:d} clients transferring between accounts on different worker groups")
def step_transfers(context: Context, clients: int) -> None:
    """Each transfer takes from one account and gives to another, in one transaction, until the scenario ends."""
    context.world.handover(WorkerHandover).accounts = start_transfers(context.world, clients)


@when("a switchover of worker group {number:d} to any replica is requested")
def step_worker_hands_over(context: Context, number: int) -> None:
    """By Patroni's REST API; it has answered that this is done."""
    context.world.experiment.inject(Switchover(context.world.cluster.worker_group(number)))


@when("PostgreSQL on each of these is killed, one after the other")
@columns({"who": ROLE})
@disturbs(killed_postgres, "the member that has the role by then", role=lambda who: who)
def step_killed_in_turn(context: Context) -> None:
    """The next one as soon as clients get through again."""
    world, roles = context.world, [row["who"] for row in context.table.rows]
    if not roles:
        raise Inconclusive("nobody was to be killed")
    for role in roles:
        world.experiment.inject(killed_postgres(world.cluster, role))
        world.clients.await_acknowledged(50, within=world.timing.recovery)


@then("a write to worker group {number:d} is refused within {seconds:g} seconds, with an error that names its node")
def step_write_is_refused(context: Context, number: int, seconds: float) -> None:
    """Tried once, in a new session; the client learns which server could not be reached.

    Inconclusive when the write is accepted: then the group is not down.
    """
    world, limit, group = context.world, context.world.limit(seconds, "refusal"), _group(context, number)
    (node,) = [one.address for one in citus.known_to(world.cluster.write) if one.group == group]
    namespace = world.handover(WorkerHandover).ledger(group).namespace
    state, patience = world.handover(WorkerHandover), max(STATEMENT, 1.2 * limit)

    def write() -> None:
        with sql.session(world.cluster.write, statement_timeout=patience) as session:
            markers.write(session, world.profile, namespace, "refused")

    def attempt_to_write() -> None:
        state.refused = attempt(write)

    measure(world, attempt_to_write, repeatable=False)
    error, took = state.refused.error, state.refused.seconds
    if error is None:
        raise Inconclusive(f"worker group {group} accepted a write while it should have been down")
    said = " ".join(str(error).split())
    world.evidence.attach("what the client was told", said)
    world.measure(f"a write to worker group {group} was refused after", took, "s", limit)
    words = f"after {took:.1f} s (limit: {limit:g} s), naming {node}: {said}"
    Finding(node.host in said and str(node.port) in said, words).require()
    judged(world, lambda: Finding.within_limit(took < limit, words)).require()


@then("data on worker group {number:d} can be read within {seconds:g} seconds")
def step_group_is_read(context: Context, number: int, seconds: float) -> None:
    """All entries of its ledger, in a new session through the write endpoint."""
    world, limit, group = context.world, context.world.limit(seconds, "read"), _group(context, number)
    namespace, patience = world.handover(WorkerHandover).ledger(group).namespace, max(STATEMENT, 1.2 * limit)
    found: list[tuple[int, float]] = []

    def read() -> None:
        begun = time.monotonic()
        try:
            with sql.session(world.cluster.write, statement_timeout=patience) as session:
                entries = sql.value(session, world.profile.sql(_COUNT), [namespace])
        except (sql.Error, ConnectFailed) as error:
            raise AssertionError(f"data on worker group {group} cannot be read: {describe(error)}") from error
        found.append((entries, time.monotonic() - begun))

    def read_in_time() -> Finding:
        entries, took = found[-1]
        words = f"{entries} entries were read in {took:.1f} s (limit: {limit:g} s)"
        return Finding.within_limit(took < limit, words) if entries else Finding.false(words)

    measure(world, read, repeatable=False)  # later the group may have recovered
    finding = judged(world, read_in_time)
    world.measure(f"reading the entries on worker group {group}", found[-1][1], "s", limit)
    finding.require()


@then("the clients of worker group {number:d} are interrupted for less than {seconds:g} seconds")
def step_group_interruption(context: Context, number: int, seconds: float) -> None:
    """The longest time without an acknowledged write on that group, until no second outage can follow."""
    world, group = context.world, _group(context, number)
    ledger = world.handover(WorkerHandover).ledger(group)
    require_interruption_under(
        world, world.limit(seconds, "interruption"), ledger.workload, f"clients of worker group {group}"
    )


@then("the {event:Event} interrupts the clients of worker group {number:d} for less than {seconds:g} seconds")
def step_group_interruption_by(context: Context, event: str, number: int, seconds: float) -> None:
    """The longest time without an acknowledged write on that group, until no second outage can follow. `event` is what
    the group itself needs time for.
    """
    world, group = context.world, _group(context, number)
    ledger = world.handover(WorkerHandover).ledger(group)
    require_interruption_under(
        world, world.limit(seconds, event, Span(event)), ledger.workload, f"clients of worker group {group}"
    )


@then("no ledger lost an acknowledged write")
@safety
def step_no_ledger_lost(context: Context) -> None:
    """Every acknowledged entry, on any group, is read back, and only once."""
    world, ledgers = context.world, context.world.handover(WorkerHandover).ledgers
    if not ledgers:
        raise Inconclusive("no client writes to a ledger on a worker group")
    with ExitStack() as each:  # each is judged, whatever is found out about the others
        for group, ledger in ledgers.items():
            where = f" on worker group {group}"
            each.enter_context(
                safety_judged(partial(require_ledger_intact, world, ledger.workload, ledger.namespace, where))
            )


@then("every node knows the new leader of worker group {number:d} within {seconds:g} seconds")
def step_address_is_known(context: Context, number: int, seconds: float) -> None:
    """By pg_dist_node, read directly on the leader of each group: an address that is the leader's or leads to it, such
    as a proxy's; and that it is active. A worker that is given no metadata knows no node.
    """
    world, cluster, limit = context.world, context.world.cluster, context.world.limit(seconds, "address", Span.NODES)
    group = _group(context, number)
    begun = time.monotonic()

    def known() -> None:
        leading = cluster.of_group(group)
        view = leading.view()  # anew in each look: another may have taken over since
        informed = citus.with_metadata(cluster)
        for one in (one for one in cluster.groups if citus.node_name(one.group) in informed):
            nodes = [node for node in citus.known_to(one.of_member(one.leader())) if node.group == group]
            found = [(str(node.address), "active" if node.active else "inactive") for node in nodes]
            active = len(nodes) == 1 and nodes[0].active
            Finding(active, f"{one.leader()} knows {found or 'no node'} as worker group {group}").require()
            require_leads_to(leading, nodes[0].address, view)

    subject = f"every node knows where the leader of worker group {group} is"
    unknown = (Inconclusive,)
    _, took = in_time(known, within=limit, subject=subject, retry_on=NO_ANSWER, since=begun, unknown=unknown)
    world.measure("every node knew the new leader after", took, "s", limit)


@then("within {seconds:g} seconds nothing is in doubt, and each transfer happened on both accounts or on neither")
@safety
def step_transfers_are_whole(context: Context, seconds: float) -> None:
    """No prepared transaction is left on any node; acknowledged transfers happened, failed ones did not."""
    world, limit = context.world, context.world.limit(seconds, "resolution")
    world.clients.stop()
    settled = partial(_require_settled, world.cluster, Doubts(world.cluster))
    with safety_judged(partial(_require_whole_transfers, world, settled)):
        _, took = in_time(settled, within=limit, subject="nothing is in doubt", retry_on=NO_ANSWER)
        world.measure("nothing was in doubt after", took, "s", limit)


def _require_whole_transfers(world: World, settled: Callable[[], None]) -> None:
    """Raises NotInTime where something stays in doubt: half of a transfer may then be yet to come."""
    eventually(settled, within=world.timing.recovery, subject="nothing is in doubt", retry_on=NO_ANSWER)
    crashes = [line for line in world.experiment.alarms if COORDINATOR_CRASHES in line]
    world.measure("times that the coordinator crashed by itself", len(crashes), "")
    accounts = read_accounts(world.cluster.write, world.profile, world.handover(WorkerHandover).accounts)
    finding = all_or_nothing(world.clients.history, accounts, OPENED_WITH)
    world.evidence.attach("transfers", finding.words)
    finding.require()


def _group(context: Context, number: int) -> int:
    """Citus' number for the group that the scenario calls by this number."""
    return context.world.cluster.worker_group(number).group


def _require_settled(cluster: Cluster, doubts: Doubts) -> None:
    """By the leaders of this moment: on a member that leads no more, nothing would ever be settled.

    What is in doubt, `doubts` alone tells: on a user's cluster, others have transactions of their own.
    """
    citus.require_settled(cluster, [group.leader() for group in cluster.groups], doubts=False)
    doubts.require_none()
