"""SE-02 on the workers of a real Citus: each of its groups has roles of its own."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import free_port
from servers import citus_bindir
from servers import postgres as throw_away_postgres

from support import sql
from support.engine.world import World
from support.errors import Inconclusive
from support.reporting.evidence import Evidence
from support.run import Run
from support.security import privileges
from support.target.cluster import Cluster
from support.target.topology import Address, Login, Topology

APPLICATION = Login("application", "secret")
ALONE = "SET citus.enable_ddl_propagation = off"
PATIENCE = 120
"""Seconds for a statement of Citus on a busy machine."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[sql.Endpoint, sql.Endpoint]]:
    """A coordinator and a worker without Patroni, as their superuser; the application's role was made on each."""
    bindir = citus_bindir()
    with ExitStack() as stack:
        coordinator, worker = (
            stack.enter_context(
                throw_away_postgres(
                    tmp_path_factory.mktemp(name),
                    free_port(),
                    bindir,
                    "shared_preload_libraries=citus",
                    "citus.node_conninfo=sslmode=disable",
                )
            )
            for name in ("coordinator", "worker")
        )
        for where in (coordinator, worker):
            with sql.session(where, statement_timeout=PATIENCE) as session:
                sql.execute(session, "CREATE EXTENSION citus")
                sql.execute(session, f"{ALONE}; CREATE ROLE application LOGIN PASSWORD %s", [APPLICATION.password])
                for login in (APPLICATION, Login(where.user, where.password)):
                    said = [login.user, f"password={login.password}"]
                    sql.execute(session, "INSERT INTO pg_dist_authinfo VALUES (0, %s, %s)", said)
        with sql.session(coordinator, statement_timeout=PATIENCE) as session:
            sql.rows(session, "SELECT citus_set_coordinator_host(%s, %s)", [coordinator.host, coordinator.port])
            sql.rows(session, "SELECT citus_add_node(%s, %s)", [worker.host, worker.port])
            sql.execute(session, "CREATE TABLE metadata (key text PRIMARY KEY)")
            sql.execute(session, "ALTER TABLE metadata OWNER TO application")
            sql.rows(session, "SELECT create_reference_table('metadata')")
        yield coordinator, worker


@pytest.fixture
def worker(nodes: tuple[sql.Endpoint, sql.Endpoint]) -> sql.Endpoint:
    return nodes[1]


@pytest.fixture
def cluster(nodes: tuple[sql.Endpoint, sql.Endpoint]) -> Cluster:
    coordinator, _ = nodes
    administrator = Login(coordinator.user, coordinator.password)
    at = Address(coordinator.host, coordinator.port)
    return Cluster(Topology(coordinator.database, APPLICATION, at, administrator=administrator))


Judge = Callable[[Cluster, str], dict[str, str]]


@pytest.fixture
def judged(tmp_path: Path) -> Judge:
    """Claim -> what its steps say where it does not hold, of one of SERVERS."""
    steps = importlib.import_module("steps.security.security_steps")

    def table(rows: list[str]) -> SimpleNamespace:
        return SimpleNamespace(headings=["name", "granted"], rows=[SimpleNamespace(cells=[row, "no"]) for row in rows])

    def judge(cluster: Cluster, servers: str) -> dict[str, str]:
        world = World(Run("run", tmp_path, tmp_path, 1), cluster, Evidence())
        on_privileges = SimpleNamespace(world=world, table=table([*privileges.PRIVILEGES]))
        on_actions = SimpleNamespace(world=world, table=table([*privileges.ACTIONS]))
        claims: dict[str, Callable[[], object]] = {
            "passwords": lambda: steps.step_passwords_are_verifiers(on_privileges, servers),
            "privileges": lambda: steps.step_privileges(on_privileges, servers),
            "actions": lambda: (
                steps.step_try_actions(on_actions, servers),
                steps.step_actions_refused(on_actions),
            ),
        }
        said = {}
        for name, claim in claims.items():
            try:
                claim()
            except (AssertionError, Inconclusive) as error:
                said[name] = str(error)
        return said

    return judge


@contextmanager
def made_by_hand(worker: sql.Endpoint, do: str, undo: str) -> Iterator[None]:
    sql.execute(worker, f"{ALONE}; {do}")
    try:
        yield
    finally:
        sql.execute(worker, f"{ALONE}; {undo}")


@pytest.mark.parametrize("servers", privileges.SERVERS)
def test_roles_as_they_should_be(cluster: Cluster, judged: Judge, servers: str) -> None:
    """A worker refuses each action for the same reason, although Citus would refuse some of them for another."""
    assert judged(cluster, servers) == {}


def test_a_superuser_of_one_worker_is_noticed(worker: sql.Endpoint, cluster: Cluster, judged: Judge) -> None:
    with made_by_hand(worker, "ALTER ROLE application SUPERUSER", "ALTER ROLE application NOSUPERUSER"):
        assert judged(cluster, privileges.BEHIND_ENDPOINT) == {}
        found = judged(cluster, privileges.OF_WORKERS)
    assert found.keys() == {"privileges", "actions"}
    assert found["privileges"].startswith("worker group 1: be a superuser, granted: expected no, observed yes")
    for action in privileges.ACTIONS:
        assert f"{action}, outcome: expected insufficient privilege" in found["actions"]


def test_a_password_stored_as_md5_on_one_worker_is_noticed(
    worker: sql.Endpoint, cluster: Cluster, judged: Judge
) -> None:
    careless = "SET password_encryption = 'md5'; CREATE ROLE careless LOGIN PASSWORD 'careless'"
    with made_by_hand(worker, careless, "DROP ROLE careless"):
        assert judged(cluster, privileges.BEHIND_ENDPOINT) == {}
        assert judged(cluster, privileges.OF_WORKERS) == {
            "passwords": "worker group 1: careless, stored as: expected SCRAM, observed an MD5 hash"
        }


def test_a_worker_that_cannot_be_asked_proves_nothing(worker: sql.Endpoint, cluster: Cluster, judged: Judge) -> None:
    closed = {f"{worker.host}:{worker.port}": Address("127.0.0.1", free_port())}
    found = judged(Cluster(replace(cluster.topology, nodes=closed)), privileges.OF_WORKERS)
    assert found.keys() == {"passwords", "privileges", "actions"}
    assert all(said.startswith("inconclusive: worker group 1: no answer (") for said in found.values())
