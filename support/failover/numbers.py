"""Numbers that the database gives: a sequence, and an identity column, each in a schema of the scenario's own.

Clients draw numbers all the time. A number that was given before a failover must not be given again after it.

Source: https://www.mail-archive.com/pgsql-hackers@lists.postgresql.org/msg230776.html (a sequence that went back)
"""

from collections.abc import Callable

from support import sql
from support.engine.workload import Script, Task, Turn, Workload
from support.engine.world import World
from support.errors import ConnectFailed
from support.example_app.schema import create_schema
from support.failover.number_checks import ACTIONS, IDENTITY, SEQUENCE, none_issued_twice
from support.run import new_id
from support.timeouts import CLIENT, STATEMENT
from support.waiting import eventually

_CREATE = (
    "BEGIN",
    "SET LOCAL synchronous_commit = on",  # so that a failover loses numbers at most, and not the sequence itself
    "CREATE SEQUENCE {schema}.numbers",
    "CREATE TABLE {schema}.numbered (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, client integer)",
    "COMMIT",
)
_DRAW = {
    SEQUENCE: "SELECT nextval('{schema}.numbers')",
    IDENTITY: "INSERT INTO {schema}.numbered (client) VALUES (%s) RETURNING id",
}
_ENOUGH = 200
"""So many numbers must be drawn before the fault, and again after it."""


def start(world: World, clients: int) -> None:
    """Let clients draw numbers through the write endpoint until the scenario ends: each from both, in turn."""
    schema, where = f"accept_{world.run.id}_numbers_{new_id()}", world.cluster.write
    world.cleanup.callback(
        eventually,
        lambda: sql.execute(where, f"DROP SCHEMA IF EXISTS {schema} CASCADE"),
        within=world.timing.wait(STATEMENT),
        subject="the scenario's sequence and table are dropped",
        retry_on=(sql.Error, ConnectFailed),
    )
    create_schema(where, schema)
    with sql.session(where) as session:
        for statement in _CREATE:
            sql.execute(session, statement.format(schema=schema))
    workload = Workload(where, draws(schema), clients=clients, pace=0.005, patience=CLIENT)
    world.start(workload, acknowledged=_ENOUGH)


def draws(schema: str) -> Script:
    """Each client draws a number of the sequence and one of the identity column, in turn, until it is stopped."""

    def drawing(statement: str, client: int) -> Callable[[sql.Session], int]:
        values = [client] if "%s" in statement else None
        return lambda session: int(sql.value(session, statement, values))

    def script(turn: Turn) -> Task:
        action = ACTIONS[turn.number % len(ACTIONS)]
        return Task(action, action, None, drawing(_DRAW[action].format(schema=schema), turn.client))

    return script


def require_none_issued_twice(world: World) -> None:
    """Clients draw numbers again after the fault, and no number of either kind was acknowledged twice."""
    workload, fault = world.clients, world.experiment.injected_fault
    try:
        workload.await_acknowledged(_ENOUGH, within=world.timing.recovery)
    finally:
        workload.stop()
    finding = none_issued_twice(workload.history, fault.begun)
    world.measure("numbers drawn", workload.acknowledged, "")
    finding.require()
