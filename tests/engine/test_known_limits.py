"""A known limit is reported only where its cause was seen; the same symptom with another cause breaks the promise."""

from pathlib import Path

import pytest

from support.engine.finding import Finding
from support.engine.world import World
from support.errors import Inconclusive, LimitExceeded
from support.reporting.evidence import Evidence
from support.run import Run
from support.target.cluster import Cluster
from support.target.topology import Address, Login, Topology

SEEN, OTHER, UNSEEN = Finding.true("it kept the key"), Finding.false("another one leads"), Finding.unknown("no answer")


@pytest.fixture
def world(tmp_path: Path) -> World:
    topology = Topology(database="d", application=Login("jo", "x"), write=Address("127.0.0.1", 1))
    return World(Run("id", tmp_path, tmp_path, 1), Cluster(topology), Evidence())


def test_with_its_cause_it_is_reported(world: World) -> None:
    world.require_or_known_limit(Finding.false("nobody got in"), SEEN, "nobody takes over")
    assert world.evidence.known_limits == ["nobody takes over"]


def test_with_another_cause_the_promise_is_broken(world: World) -> None:
    with pytest.raises(AssertionError, match="nobody got in; another one leads") as broken:
        world.require_or_known_limit(Finding.false("nobody got in"), OTHER, "nobody takes over")
    assert not isinstance(broken.value, LimitExceeded)
    with pytest.raises(LimitExceeded):
        world.require_or_known_limit(Finding.too_late("nobody got in"), OTHER, "nobody takes over")
    assert not world.evidence.known_limits


def test_where_the_cause_is_not_known_nothing_is(world: World) -> None:
    with pytest.raises(Inconclusive, match="nobody got in; whether that is a known limit is not known: no answer"):
        world.require_or_known_limit(Finding.false("nobody got in"), UNSEEN, "nobody takes over")
    assert not world.evidence.known_limits


@pytest.mark.parametrize("cause", [SEEN, OTHER, UNSEEN])
def test_what_holds_is_no_limit(world: World, cause: Finding) -> None:
    world.require_or_known_limit(Finding.true("reached"), cause, "nobody takes over")
    with pytest.raises(Inconclusive):
        world.require_or_known_limit(Finding.unknown("not tried"), cause, "nobody takes over")
    assert not world.evidence.known_limits
