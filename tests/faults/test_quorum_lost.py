"""A majority of etcd has crashed only if no quorum is left; and any member tells how many there are. On real etcds."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import free_port
from etcd_servers import Ensemble, ensemble

from support.errors import Inconclusive
from support.faults.nemesis import Nemesis
from support.faults.network import QuorumLost
from support.hosts.interface import SiteHost
from support.target import etcd
from support.target.discovery.host_capabilities import members_of_dcs
from support.target.topology import Address
from support.waiting import NotYet

pytestmark = pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed")


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Ensemble]:
    with ensemble(tmp_path, 3) as found:
        yield found


@dataclass
class Machine:
    """A host with its own address, of which only etcd is known."""

    name: str
    addresses: tuple[str, ...]
    etcd: "subprocess.Popen[bytes]"

    def power_off(self) -> None:
        self.etcd.kill()
        self.etcd.wait()

    def power_on(self) -> None:
        """The test ends here."""

    @property
    def powered(self) -> bool:
        return self.etcd.poll() is None


def machines(ensemble: Ensemble, *numbers: int) -> Sequence[SiteHost]:
    each = (Machine(f"etcd{number}", (f"10.0.1.{number}",), ensemble.servers[number]) for number in numbers)
    return [cast(SiteHost, cast(Any, one)) for one in each]


def leads(ensemble: Ensemble, number: int) -> bool:
    try:
        return bool(etcd.leader(ensemble.topology(number)))
    except NotYet:
        return False


def test_a_majority_leaves_no_quorum(three: Ensemble) -> None:
    with Nemesis() as nemesis:
        nemesis.inject(QuorumLost(three.topology(0, 1, 2), machines(three, 0, 1)))


def test_a_host_of_three_is_no_majority_while_the_others_elect_a_leader_either(three: Ensemble) -> None:
    leading = next(number for number in range(3) if leads(three, number))
    others = sorted({0, 1, 2} - {leading})
    with Nemesis(effect_within=2) as nemesis, pytest.raises(Inconclusive, match="etcd still has a quorum"):
        nemesis.inject(QuorumLost(three.topology(*others), machines(three, leading)))


def test_one_address_tells_of_all_members(three: Ensemble) -> None:
    assert members_of_dcs(three.topology(2)) == 3


def test_no_address_that_answers_tells_of_none(three: Ensemble) -> None:
    assert members_of_dcs(replace(three.topology(0), dcs=(Address("127.0.0.1", free_port()),))) is None
