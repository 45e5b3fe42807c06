"""Questions to every member: a briefly silent member is asked again."""

from collections import Counter
from typing import Any, cast

from support.target.cluster import Cluster
from support.target.members import NoAnswer, ask_everyone
from support.target.timing import Timing
from support.target.topology import Address, Login, Topology
from support.waiting import NotYet


class _Hurried(Timing):
    """Everything is noticed at once."""

    @property
    def notice(self) -> float:
        return 0.5


def test_a_member_that_is_silent_for_a_moment_is_asked_again() -> None:
    asked = Counter[str]()

    def question(name: str) -> int:
        asked[name] += 1
        if name == "dead" or (name == "busy" and asked[name] < 3):
            raise NotYet("it restarts")
        return asked[name]

    topology = Topology("app", Login("app", ""), Address("h", 1), timing=cast(Any, _Hurried()))
    found = ask_everyone(Cluster(topology), ["well", "busy", "dead"], question)
    assert found == {"well": 1, "busy": 3, "dead": NoAnswer("it restarts")}
