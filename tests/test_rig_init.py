"""`accept init` on somebody else's cluster: from the name of its machine to a green run with the file that it wrote."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from rigs import Rig, machine_of_its_own, rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Their containers, published at their ports."""
    with (
        machine_of_its_own() as prefix,
        rig(tmp_path_factory.mktemp("project"), "swarm", ports="usual", prefix=prefix) as booted,
    ):
        yield booted


@pytest.fixture(scope="module")
def written(swarm: Rig) -> Path:
    """The file that `accept init` writes, knowing what cannot be guessed and no more."""
    file = swarm.program.project / "mine.toml"
    known = {name: str(swarm.target[name]) for name in ("ruvector_password", "haproxy_stats_password")}
    ended = swarm.program.run(
        *("init", "localhost", "--database", swarm.target["ruvector_db"], "--user", swarm.target["ruvector_user"]),
        *("--redis", "localhost", "--write", str(file)),
        HAPROXY_STATS_USER=swarm.target["haproxy_stats_user"],
        **{name.upper(): value for name, value in known.items()},
    )
    assert ended.status == 0, ended
    assert "not found:" not in ended.err, ended
    return file


def test_everything_is_found_from_the_name_of_the_machine(swarm: Rig, written: Path) -> None:
    found = tomllib.loads(written.read_text())
    asked = {name: found.pop(name) for name in ("patroni_hosts", "etcd_hosts")}
    told = {name: str(swarm.target[name]).split(",") for name in asked}
    usual = {"patroni_hosts": ":8008", "etcd_hosts": ":2379"}
    assert {name: {one.removesuffix(usual[name]) for one in those} for name, those in asked.items()} == {
        name: {one.removesuffix(usual[name]) for one in those} for name, those in told.items()
    }
    expected = {name: value for name, value in swarm.target.items() if name not in asked}
    assert {**found, "ruvector_port": 5000, "redis_port": 6379} == expected
    comments = written.read_text()
    assert '# patroni-1 = "localhost:5435/8008"' in comments
    assert '# etcd-2 = "docker://etcd-2"' in comments
    assert "57 s for failover (ttl 30 + loop_wait 10 + election 5" in comments


def test_a_wrong_password_and_an_existing_file_are_told(swarm: Rig, written: Path) -> None:
    login = ("--database", swarm.target["ruvector_db"], "--user", swarm.target["ruvector_user"])
    refused = swarm.program.run("init", "localhost:5000", *login, RUVECTOR_PASSWORD="wrong")
    assert refused.status == 3
    assert "check RUVECTOR_USER and RUVECTOR_PASSWORD" in refused.complaints[0]
    again = swarm.program.run("init", "localhost:5000", *login, "--write", str(written), RUVECTOR_PASSWORD="wrong")
    assert again.status == 2
    assert "is not overwritten" in again.complaints[0]


def test_the_suite_runs_with_the_file_as_it_is(swarm: Rig, written: Path) -> None:
    doctor = swarm.program.run("doctor", "--target", str(written))
    assert doctor.status == 0, doctor
    assert "member patroni-2: PostgreSQL localhost:5433, Patroni localhost:8009" in doctor.out
    smoke = swarm.program.run("run", "smoke", "--target", str(written), timeout=400)
    assert smoke.status == 0, smoke
