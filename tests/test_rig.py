"""Requesting a cluster in the shape of another installation: what is refused, and how a run reaches it."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import Program, copy

from support.cli.boot import dialect_of, layout_of, shape_of, with_ruvector
from support.embedded.plan import Role, published
from support.embedded.programs import Missing
from support.embedded.shape import OWN
from support.embedded.swarm_shapes import LIKE, SWARM
from support.errors import RequirementMissing, UsageError
from support.hosts import state, why_not_namespaces
from support.settings import Settings
from support.waiting import eventually

NOTED = """
@normal
Feature: A note
  @id.ZZ-01
  Scenario: A note is taken
    Given a note of the target
    When {seconds} seconds pass
    Then one and one are 2
"""
STEPS = """
import json, os
from behave import given

@given("a note of the target")
def note(context):
    settings = {name: value for name, value in os.environ.items() if name.startswith(("RUVECTOR", "REDIS", "PATRONI"))}
    seen = {
        "embedded": context.world.cluster.topology.embedded,
        "write": str(context.world.cluster.topology.write),
        "network": os.readlink("/proc/self/ns/net"),
        "settings": settings,
    }
    with open("note.json", "w") as file:
        json.dump(seen, file)
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    if why := why_not_namespaces():
        pytest.skip(why)
    program = copy(tmp_path)
    program.write_features({"cluster/note.feature": NOTED.format(seconds=0)})
    (program.project / "steps" / "note_steps.py").write_text(STEPS)
    return program


def note(program: Program) -> dict[str, object]:
    noted: dict[str, object] = json.loads((program.project / "note.json").read_text())
    return noted


# The request


def test_an_unknown_shape_is_refused_with_a_list() -> None:
    with pytest.raises(UsageError) as refused:
        shape_of(Settings(accept_like="?"))
    for shape in LIKE.values():
        assert shape.name in str(refused.value)
        assert shape.summary in str(refused.value)


def test_a_shape_has_a_default_size_that_the_user_can_change() -> None:
    usual = layout_of(Settings(accept_like="swarm"), "")
    assert (usual.members, usual.workers, usual.etcd) == (3, 0, 3)
    assert [host.name for host in usual.hosts(Role.MEMBER)] == ["patroni-1", "patroni-2", "patroni-3"]
    assert layout_of(Settings(accept_like="swarm", accept_members=5), "").members == 5
    assert layout_of(Settings(accept_like="swarm-citus"), "").workers == 2


def test_sharding_without_citus_is_refused() -> None:
    with pytest.raises(UsageError, match="Citus is not there"):
        layout_of(Settings(accept_like="swarm-citus"), "Citus is not there")


def test_without_patroni_there_are_no_replicas() -> None:
    with pytest.raises(UsageError, match="swarm-minimal has no replicas"):
        layout_of(Settings(accept_like="swarm-minimal", accept_members=3), "")


@pytest.mark.parametrize("shape", LIKE.values(), ids=LIKE)
def test_every_default_port_belongs_to_something_published(shape) -> None:
    layout = layout_of(Settings(accept_like=shape.name), "")
    assert set(shape.ports) <= set(published(layout))
    assert len(set(shape.ports.values())) == len(shape.ports)


def test_everything_is_published_but_only_the_endpoints_of_our_own_shape() -> None:
    names = published(layout_of(Settings(accept_like="swarm"), ""))
    assert {"write", "read", "all", "statistics", "redis", "patroni-2", "patroni-2 api", "etcd-3"} <= set(names)
    assert set(published(layout_of(Settings(accept_workers=0), ""))) == {"write", "read", "statistics", "redis"}


@pytest.mark.parametrize(
    ("asked", "shape", "missing", "taken"),
    [
        (None, OWN, Missing(), "vector"),
        (None, SWARM, Missing(), "ruvector"),
        (None, SWARM, Missing(ruvector="not there"), "vector"),
        ("auto", OWN, Missing(), "ruvector"),
        ("ruvector", OWN, Missing(), "ruvector"),
        ("pgvector", SWARM, Missing(), "vector"),
    ],
)
def test_the_vector_extension_is_the_requested_one(asked, shape, missing: Missing, taken: str) -> None:
    assert dialect_of(Settings(accept_vector=asked), shape, missing).extension == taken


@pytest.mark.parametrize("asked", ["pgvector", "ruvector"])
def test_a_missing_vector_extension_is_refused(asked: str) -> None:
    with pytest.raises(UsageError, match=f"no {asked}.*--vector"):
        dialect_of(Settings(accept_vector=asked), OWN, Missing(pgvector="no pgvector", ruvector="no ruvector"))


def test_requiring_ruvector_fails_where_another_extension_is_requested() -> None:
    with pytest.raises(RequirementMissing, match="--vector pgvector"):
        with_ruvector(Settings(accept_vector="pgvector"))


# The program


def test_help_names_every_shape(program: Program) -> None:
    told = " ".join(program.run("up", "--help", COLUMNS="250").out.split())
    assert [name for name in LIKE if name not in told] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["up", "--like", "swan"], ["--like swan", "swarm-minimal", "one PostgreSQL and one Redis"]),
        (["run", "--like", "swan"], ["--like swan", "swarm-minimal"]),
        (["run", "--like", "swarm", "--target", "postgresql://u@h/d"], ["--like", "leave out one of the two"]),
        (["up", "--like", "swarm", "--sandbox", "loopback"], ["namespaces", "--sandbox loopback"]),
    ],
)
def test_impossible_combinations_are_refused(program: Program, arguments: list[str], words: list[str]) -> None:
    ended = program.run(*arguments)
    assert ended.status == 2, ended
    assert all(word in ended.err for word in words), ended


def test_bench_refuses_such_a_cluster(program: Program) -> None:
    ended = program.run("bench", "PF-01 alone", ACCEPT_LIKE="swarm-minimal")
    assert ended.status == 2, ended
    assert "only ./accept up and ./accept run can boot" in ended.err, ended


def test_a_port_that_is_taken_is_reported_and_replaced(program: Program) -> None:
    with socket.socket() as taken:
        try:
            taken.bind(("127.0.0.1", LIKE["swarm-minimal"].ports["postgres"]))
            taken.listen()
        except OSError:
            pass  # somebody else has taken it, which does as well
        ended = program.run("up", "--name", "tried", "--like", "swarm-minimal")
    try:
        assert ended.status == 0, ended
        told = next(line for line in ended.err.splitlines() if "port 5432 is taken" in line)
        port = told.rpartition(" ")[2]
        assert f"export RUVECTOR_PORT={port}" in ended.out, ended
        assert port != "5432"
    finally:
        program.run("down", "tried")


@pytest.mark.parametrize("up", [False, True], ids=["its own", "one that is up"])
def test_a_run_reaches_it_from_outside(program: Program, up: bool) -> None:
    arguments = ["--like", "swarm-minimal", "--ports", "free"]
    if up:
        assert program.run("up", "--name", "tried", *arguments).status == 0
        arguments = ["--target", "tried"]
    try:
        ended = program.run("run", *arguments, "cluster")
        noted = note(program)
    finally:
        if up:
            program.run("down", "tried")
    assert noted["embedded"] is False, ended
    assert noted["network"] == os.readlink("/proc/self/ns/net"), ended
    assert str(noted["write"]).startswith("localhost:")
    assert noted["settings"]["RUVECTOR_USER"] == "dpg_cluster"
    assert not any(path.exists() for path in program.project.glob(".accept/runs/*/beside"))


def test_a_run_that_is_killed_takes_its_cluster_with_it(program: Program) -> None:
    program.write_features({"cluster/note.feature": NOTED.format(seconds=60)})
    (program.project / "steps" / "note_steps.py").write_text(STEPS)
    with program.started("run", "--like", "swarm-minimal", "--ports", "free", "cluster") as running:
        eventually(lambda: note(program), within=60, subject="a scenario runs", retry_on=(OSError, ValueError))
        (sandbox,) = program.project.glob(".accept/runs/*/beside/sandbox")
        assert state.alive(sandbox)
        running.kill()

    def ended() -> None:
        assert not state.alive(sandbox)

    eventually(ended, within=10, subject="it is gone")
