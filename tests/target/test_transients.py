"""Claims about the whole cluster: a transient is waited for, and what stays wrong is told as what it is."""

import pytest

from support.engine.finding import Finding
from support.errors import ConnectFailed, Inconclusive, NotInTime
from support.target.cluster import Cluster
from support.target.members import in_each_group
from support.target.timing import Timing
from support.target.topology import Address, Login, Topology
from support.waiting import NotYet


class Quick(Timing):
    """No test waits for as long as a cluster may take."""

    @property
    def notice(self) -> float:
        return 0.3


CLUSTER = Cluster(Topology("app", Login("app", ""), Address("db", 5432), timing=Quick()))
RIGHT, WRONG, UNTOLD = Finding.true("one"), Finding.false("two leaders"), Finding.unknown("pg2 is silent")


def claim(*findings: Finding, only_late: bool = False) -> None:
    """A claim that finds these one after another, and then always the last one."""
    left = list(findings)

    def look(_: Cluster) -> None:
        (left.pop(0) if len(left) > 1 else left[0]).require()

    in_each_group(CLUSTER, look, "all name one leader", only_late=only_late)


@pytest.mark.parametrize("transient", [WRONG, UNTOLD])
def test_a_transient_is_waited_for(transient: Finding) -> None:
    claim(transient, transient, RIGHT)


def test_what_stays_wrong_is_final() -> None:
    with pytest.raises(AssertionError, match=r"all name one leader: .*two leaders") as raised:
        claim(WRONG)
    assert not isinstance(raised.value, NotInTime)
    with pytest.raises(NotInTime):
        claim(WRONG, only_late=True)


def test_what_says_itself_that_it_is_late_is_not_final() -> None:
    with pytest.raises(NotInTime, match="pg3 is missing"):
        claim(Finding.too_late("pg3 is missing"))


@pytest.mark.parametrize(
    "silence",
    [NotYet("no member's Patroni answered"), ConnectFailed("no login after 3.0 s"), OSError("timed out")],
    ids=lambda error: type(error).__name__,
)
def test_silence_is_no_wrong_result(silence: Exception) -> None:
    def look(_: Cluster) -> None:
        raise silence

    with pytest.raises(NotInTime, match=str(silence)):
        in_each_group(CLUSTER, look, "automatic failover is on", only_late=False)


def test_what_stays_unknown_is_inconclusive() -> None:
    with pytest.raises(Inconclusive, match="pg2 is silent"):
        claim(UNTOLD)
