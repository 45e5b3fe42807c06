"""A Redis Cluster that is down, or has not got together again: it does not answer, which is no error of the suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import free_port
from redis_servers import running

from support import sql
from support.cache.redis_server import reached, refusal_of_a_write
from support.cluster.black_hole import BlackHoleServer
from support.errors import Inconclusive, LimitExceeded, NotInTime
from support.expectations import Expectations
from support.reporting.scenario import is_final
from support.sabotage.damage import Damage
from support.security.unauthenticated import COMMANDS, LOGINS, redis_commands, require_redis_accepts_login
from support.target import health
from support.target.baseline import apply_baseline
from support.target.cluster import Cluster
from support.target.inventory import inventory_of
from support.target.redis import ERRORS, client_of, facts_of
from support.target.topology import Address, Login, RedisAddress, Topology
from support.waiting import NotYet, eventually


@pytest.fixture(params=["nobody listens", "no node has a slot"])
def cluster(request: pytest.FixtureRequest, postgres: sql.Endpoint, tmp_path: Path) -> Iterator[Cluster]:
    port = free_port()

    def of() -> Cluster:
        return Cluster(
            Topology(
                database=postgres.database,
                application=Login(postgres.user, postgres.password),
                write=Address(postgres.host, postgres.port),
                redis=RedisAddress(Address("127.0.0.1", port), mode="cluster"),
                lacks=dict.fromkeys(("patroni", "citus", "dcs"), "there is none"),
            )
        )

    if request.param == "nobody listens":
        yield of()
    else:
        options = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
        with running(tmp_path, port, options) as node:
            with node.client() as asking:
                assert b"cluster_state:fail" in asking.execute_command("CLUSTER", "INFO")
            yield of()


def test_it_is_not_healthy(cluster: Cluster) -> None:
    with pytest.raises(ERRORS):
        health.require_cache(cluster)
    assert health.is_healthy(cluster) is False


def test_it_is_awaited(cluster: Cluster) -> None:
    with pytest.raises(NotInTime, match="the whole cluster is healthy"):
        health.await_all(cluster, within=0.3)


def test_the_inventory_names_it(cluster: Cluster) -> None:
    assert inventory_of(cluster)["Redis"].startswith("does not answer: ")


def test_the_baseline_is_known_without_it(cluster: Cluster) -> None:
    known, _ = apply_baseline(cluster.topology, Expectations())
    assert known.redis == cluster.topology.redis


def test_a_promise_about_it_is_broken(cluster: Cluster) -> None:
    with pytest.raises(AssertionError, match="Redis does not answer: "), reached(cluster):
        pytest.fail("it was reached")


def test_one_that_is_down_is_not_late(cluster: Cluster) -> None:
    with pytest.raises(AssertionError) as raised, reached(cluster):
        pytest.fail("it was reached")
    assert is_final(raised.value)


def test_one_that_does_not_answer_in_time_may_be_late() -> None:
    with BlackHoleServer(patience=20) as silent:
        server = RedisAddress(Address(silent.endpoint.host, silent.endpoint.port))
        with client_of(server, timeout=0.2) as client, pytest.raises(LimitExceeded, match="Redis does not answer: "):
            facts_of(client)
        silent.require_caller()


def test_one_that_goes_down_takes_no_write(tmp_path: Path) -> None:
    port = free_port()
    options = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
    with running(tmp_path, port, options) as node:
        with node.client() as asking:
            asking.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
            eventually(lambda: asking.set("a", ""), within=10, subject="it takes writes", retry_on=ERRORS)
        with client_of(RedisAddress(Address("127.0.0.1", port), mode="cluster")) as client:
            assert refusal_of_a_write(client, "accept-x") == ""
            node.kill()
            for _ in range(3):
                assert "reachable node" in (said := refusal_of_a_write(client, "accept-x")) or "refused" in said


def test_whether_it_accepts_logins_is_not_known(cluster: Cluster) -> None:
    with pytest.raises(Inconclusive, match="Redis does not accept the right login"):
        require_redis_accepts_login(cluster)
    answers = redis_commands(cluster, next(iter(LOGINS)), COMMANDS, "accept-x")
    assert all(answer.startswith("no answer (") for answer in answers.values()), answers


def test_a_damage_is_undone_once_it_answers(cluster: Cluster) -> None:
    tried = []

    def undo() -> None:
        tried.append(1)
        if len(tried) < 3:
            assert cluster.topology.redis is not None
            with client_of(cluster.topology.redis) as client:
                client.set("accept-x", "")
                raise NotYet("it answers")

    Damage("it is broken", lambda: None, lambda: None, undo).heal()
    assert len(tried) == 3
