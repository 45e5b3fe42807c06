"""Workloads: clients that work while a fault lasts. What they do is in the scenario's history, or in their own."""

from behave import given

from support.engine import counter
from support.engine.ledger import appends
from support.engine.workload import Workload
from support.engine.world import Context
from support.example_app.pool import DEFAULT, PoolConfig, TestedPool
from support.failover import numbers
from support.failover.degradation import start_readers
from support.failover.handover import DirectClients, FailoverHandover
from support.timeouts import CLIENT


@given("{clients:d} clients appending to a ledger through the write endpoint")
def step_ledger(context: Context, clients: int) -> None:
    """Each appends entries of its own, until the scenario ends; waits for 1,000 acknowledgements.

    Where each takes long, several of each client are enough. They write as fast as they can until then, and again while
    a fault is injected; otherwise 20 times a second at most.
    """
    world = context.world
    script = appends(world.profile, world.namespace)
    world.start(Workload(world.cluster.write, script, clients=clients, patience=CLIENT), acknowledged=1000)


@given("{clients:d} clients appending through direct sessions on the leader")
def step_clients_of_leader(context: Context, clients: int) -> None:
    """Past the proxy. Each waits for an answer longer than any freeze lasts, and goes on trying afterwards."""
    world, handover = context.world, context.world.handover(FailoverHandover)
    namespace, leader = world.another_namespace("leader"), world.cluster.of_member(world.cluster.leader())
    script = appends(world.profile, namespace)
    workload = Workload(leader, script, clients=clients, patience=world.timing.rejoin)
    handover.direct_clients = DirectClients(world.cleanup.enter_context(workload), namespace)


@given("{clients:d} clients reading through the read endpoint")
def step_readers(context: Context, clients: int) -> None:
    """Each looks up the same entry again and again until the scenario ends; every replica has the entry already."""
    start_readers(context.world, clients)


@given("{clients:d} clients drawing numbers from a sequence and from an identity column")
def step_drawing(context: Context, clients: int) -> None:
    """Through the write endpoint, from both in turn, until the scenario ends. Both are in a schema of its own."""
    numbers.start(context.world, clients)


@given("{clients:d} clients incrementing a counter, each operation retried until it is acknowledged")
def step_counting(context: Context, clients: int) -> None:
    """An operation adds an entry named by its id, one to a counter, and a receipt, unless that entry is there.

    Where the application's own pool is given (ACCEPT_POOL), all clients share it.
    """
    world, pool = context.world, None
    counter.create(world.cluster.write, world.profile, world.namespace)
    if world.pool != DEFAULT:
        config = PoolConfig(world.cluster.write, size=clients, login_timeout=CLIENT, statement_timeout=CLIENT)
        pool = world.cleanup.enter_context(TestedPool(world.pool, config)).execute
    script = counter.operations(world.profile, world.namespace, pool=pool)
    world.start(Workload(world.cluster.write, script, clients=clients, patience=CLIENT), acknowledged=500)
