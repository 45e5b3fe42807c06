"""Which passwords the report of a run on several clusters masks: also those of a cluster whose file is damaged."""

from pathlib import Path

import pytest
from full_disks import room_for

from support.cli.job_plan import Spread
from support.cli.jobs import Jobs, topology_of
from support.embedded.plan import Credentials
from support.embedded.shape import OWN
from support.run import Run
from support.target.topology import Address, Topology


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run("whole", tmp_path, tmp_path / "results", 1)


def booted() -> Topology:
    """The topology of a cluster as a job boots it: with new passwords."""
    new = Credentials.fresh(OWN)
    further = (new.replication.password,)
    return Topology("app", new.application, Address("db", 1), administrator=new.administrator, further_secrets=further)


def test_a_topology_is_there_as_a_whole_or_not_at_all(run: Run) -> None:
    """No scenario runs on a cluster whose topology could not be written: nothing of it is to be masked."""
    first, second = booted(), booted()
    first.save(run.directory / topology_of(run, 0))
    with room_for(100), pytest.raises(OSError, match="File too large"):
        second.save(run.directory / topology_of(run, 1))
    assert Jobs(Spread((), (None,)), ()).topologies(run) == [first]


def test_the_passwords_in_a_damaged_topology_are_masked_all_the_same(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = booted(), booted()
    assert len(second.secrets) == 3
    for number, one in enumerate((first, second)):
        one.save(run.directory / topology_of(run, number))
    damaged = run.directory / topology_of(run, 1)
    damaged.write_text(damaged.read_text().rstrip().removesuffix("}"))
    found = Jobs(Spread((), (None,)), ()).topologies(run)
    assert found[0] == first
    assert {*found[1].secrets} == {*second.secrets}, "and nothing else"
    said = " ".join(capsys.readouterr().err.split())
    assert "accept: a cluster's topology cannot be read (it is damaged); its passwords are masked" in said
    assert not [one for one in second.secrets if one in said]
