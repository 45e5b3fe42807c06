"""What an embedded cluster of some size lacks, and what a target has lost since its last run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from support.embedded.plan import Layout, lacks
from support.hosts import NAMESPACES
from support.target.capabilities import CAPABILITIES, lost_since_last_run
from support.target.replica_capabilities import DECIDED, OF_ANY, OF_SEVERAL
from support.target.topology import Address, Login, Topology

THERE = Topology(database="d", application=Login("jo", "x"), write=Address("127.0.0.1", 1), lacks={"redis": "none"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "not" / "there" / "capabilities.json"


def without(*names: str) -> Topology:
    return replace(THERE, lacks=dict.fromkeys(names, "gone"))


def test_nothing_is_lost_in_the_first_run(file: Path) -> None:
    assert lost_since_last_run(THERE, file) == ()
    assert file.exists()


def test_the_permission_to_disturb_the_cluster_is_never_lost(file: Path) -> None:
    lost_since_last_run(THERE, file)
    assert lost_since_last_run(without("redis", "destructive"), file) == ()


def test_what_was_there_in_the_last_run_is_lost_once(file: Path) -> None:
    lost_since_last_run(THERE, file)
    assert lost_since_last_run(without("redis", "dcs", "admin"), file) == ("admin", "dcs")
    assert lost_since_last_run(without("redis", "dcs", "admin"), file) == (), "it is the last run that counts"
    assert lost_since_last_run(THERE, file) == (), "what is back is not lost"
    assert lost_since_last_run(without("redis", "admin"), file) == ("admin",)


def test_each_target_has_a_last_run_of_its_own(file: Path) -> None:
    lost_since_last_run(THERE, file)
    other = replace(without("admin"), database="another")
    assert lost_since_last_run(other, file) == ()
    assert lost_since_last_run(replace(other, lacks={"dcs": "gone"}), file) == ("dcs",)
    assert lost_since_last_run(without("dcs"), file) == ("dcs",)
    assert len(json.loads(file.read_text())) == 2


@pytest.mark.parametrize("text", ["", '{"127.0.0.1:1/d": ["re', "[1]", "null"])
def test_a_file_that_cannot_be_read_is_written_anew(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert lost_since_last_run(THERE, file) == ()
    assert lost_since_last_run(without("dcs"), file) == ("dcs",)


def test_an_embedded_cluster_loses_nothing(file: Path, tmp_path: Path) -> None:
    embedded = replace(THERE, sandbox=tmp_path)
    lost_since_last_run(embedded, file)
    assert lost_since_last_run(replace(embedded, lacks={"partitions": "gone"}), file) == ()
    assert not file.exists()


@pytest.mark.parametrize(
    ("layout", "missing"),
    [
        (Layout(workers=2), set()),
        (Layout(workers=2, members=2), {"several_replicas", *OF_SEVERAL}),
        (Layout(workers=2, members=1), {"replicas", "several_replicas", *OF_SEVERAL, *OF_ANY}),
        (Layout(workers=1), {"several_workers"}),
        (Layout(workers=2, worker_members=1), {"worker_replicas"}),
        (Layout(workers=0), {"citus", "workers", "several_workers", "worker_replicas"}),
    ],
)
def test_a_small_cluster_lacks_what_more_members_would_make_possible(layout: Layout, missing: set[str]) -> None:
    sizes = {"citus", "workers", "several_workers", "worker_replicas", "replicas", "several_replicas"}
    sizes |= {*OF_SEVERAL, *OF_ANY}
    assert sizes <= CAPABILITIES.keys()
    assert lacks(replace(layout, etcd=3), NAMESPACES, "", "").keys() & sizes == missing


def test_what_is_decided_of_replicas_are_capabilities() -> None:
    assert CAPABILITIES.keys() >= DECIDED
