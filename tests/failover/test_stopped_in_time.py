"""A leader that stops before its lock expires: the figure in the report, on a real server that is made to refuse
writes."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import sql
from support.engine.experiment import Experiment
from support.engine.watch import Watch
from support.engine.world import World
from support.errors import Inconclusive
from support.failover.partition import LockBefore, require_stopped
from support.faults.naming import Names
from support.faults.nemesis import Fault
from support.reporting.evidence import Evidence
from support.run import Run
from support.target.cluster import Cluster
from support.target.leadership import Lease
from support.target.topology import Address, Login, Topology
from support.waiting import NotYet, eventually, pause


class ReadOnly(Fault):
    """A server takes no writes any more, as a leader that has stepped down."""

    def __init__(self, server: sql.Endpoint) -> None:
        self._server = server

    def told(self, names: Names) -> str:
        return "no writes"

    def _set(self, how: str) -> None:
        with sql.session(self._server) as session:
            sql.execute(session, f"ALTER SYSTEM {how}")
            sql.value(session, "SELECT pg_reload_conf()")

    def inject(self) -> None:
        pause(0.3)  # it accepts some
        self._set("SET default_transaction_read_only = 'on'")

    def require_in_effect(self) -> None:
        def refuses() -> None:
            if sql.value(self._server, "SHOW transaction_read_only") != "on":
                raise NotYet("it takes writes")

        eventually(refuses, within=5, subject="it takes no writes")

    def heal(self) -> None:
        self._set("RESET default_transaction_read_only")


@pytest.fixture
def world(postgres: sql.Endpoint, tmp_path: Path) -> Iterator[World]:
    """Of one member, on which no Patroni is, nor a DCS."""
    write = Address(str(postgres.host), postgres.port)
    cluster = Cluster(Topology(postgres.database, Login(postgres.user, postgres.password), write))
    vars(cluster)["groups"] = ()  # nobody leads, so no fault needs clients of a leader
    found = World(Run("id", tmp_path, tmp_path, 1), cluster, Evidence())
    with Watch({"pg1": postgres}) as watch:
        experiment = found.experiment = Experiment(found, time.monotonic(), "pg1", watch, {})
        pause(0.5)
        try:
            yield found
        finally:
            experiment.heal()


@pytest.mark.parametrize(("renewed_every", "known"), [(2.0, False), (0.0, True)])
def test_no_figure_is_above_its_limit_unless_the_promise_is_broken(
    world: World, postgres: sql.Endpoint, renewed_every: float, known: bool
) -> None:
    """Also where it is not known whether the lock had expired by then."""
    experiment, lease = world.experiment, Lease(ttl=2.0, renewed_every=renewed_every)
    fault = experiment.inject(ReadOnly(postgres), "pg1")
    if known:
        require_stopped(world, LockBefore(lease, None))
    else:
        with pytest.raises(Inconclusive, match="it is not known whether the lock had expired by then"):
            require_stopped(world, LockBefore(lease, None))
    (measure,) = world.evidence.measures
    assert 0 < measure.value < 2.0
    assert measure.limit == pytest.approx(2.0 + fault.in_effect_since - fault.begun)
