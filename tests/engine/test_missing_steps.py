"""A step whose Given is missing ends as an error that names one, not as a broken promise or a puzzle."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.cache.handover import CacheHandover
from support.engine.world import World
from support.errors import MissingStep
from support.failover.handover import FailoverHandover
from support.reporting.evidence import Evidence
from support.run import Run
from support.target.cluster import Cluster
from support.target.topology import Address, Login, Topology


@pytest.fixture
def world(tmp_path: Path) -> World:
    topology = Topology(database="d", application=Login("jo", "x"), write=Address("127.0.0.1", 1))
    return World(Run("id", tmp_path, tmp_path, 1), Cluster(topology), Evidence())


@pytest.mark.parametrize(
    ("use", "named"),
    [
        (lambda world: world.experiment, "Given a healthy cluster"),
        (lambda world: world.clients, "clients appending to a ledger"),
        (lambda world: world.history, "clients appending to a ledger"),
        (lambda world: world.session, "When the application logs in"),
        (lambda world: world.error, "is stored"),
        (lambda world: world.handover(FailoverHandover).requested_candidate, "asked to hand over to a replica"),
        (lambda world: world.handover(FailoverHandover).readers, "clients reading through the read endpoint"),
        (lambda world: world.handover(CacheHandover).client, "Given 2 clients of the cache"),
    ],
)
def test_what_no_step_has_provided_is_named_with_one_that_does(
    world: World, use: Callable[[World], object], named: str
) -> None:
    with pytest.raises(MissingStep, match=named):
        use(world)


def test_one_client_is_not_any_of_several(world: World) -> None:
    world.handover(CacheHandover).clients = [None, None]  # type: ignore[list-item]
    with pytest.raises(MissingStep, match=r"a single client.*Given a client of the cache"):
        _ = world.handover(CacheHandover).client


def test_an_attempt_that_succeeded_is_known(world: World) -> None:
    world.error = None
    assert world.error is None
    refused = ValueError("no")
    world.error = refused
    assert world.error is refused


def test_a_step_goes_on_for_longer_than_a_later_one_needs_to_judge_it(world: World) -> None:
    assert world.time_for("caching", 15) == 15
    world.stated = {"caching": 60}
    assert world.time_for("caching", 15) == 72
    world.ids, world.limits = ("OU-01",), {"OU-01.caching": 100}
    assert world.time_for("caching", 15) == 120
    world.limits = {"OU-01.caching": 1}
    assert world.time_for("caching", 15) == 15
