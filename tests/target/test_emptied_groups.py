"""A group that a killed run kept from taking shards takes them again; on a real Citus with a single node."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import free_port

from support import sql
from support.cli.heal import heal
from support.run import Life, begin_run, life_of
from support.settings import Settings
from support.target import emptied, leftovers
from support.target.cluster import Cluster
from support.target.topology import Address, Login, Topology

LACKS = {"schema": "tables are not searched here"}


@pytest.fixture
def cluster(citus: sql.Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.chdir(tmp_path)
    sql.rows(citus, "SELECT citus_set_coordinator_host(%s, %s)", [citus.host, citus.port])
    emptied.let_take_shards(citus, 0, True)
    login = Login(citus.user, citus.password)
    return Cluster(Topology(citus.database, login, Address(citus.host, citus.port), administrator=login, lacks=LACKS))


def takes_shards(cluster: Cluster) -> bool:
    return bool(sql.value(cluster.write, "SELECT shouldhaveshards FROM pg_dist_node WHERE groupid = 0"))


def notes(cluster: Cluster) -> list[str]:
    return [name for (name,) in sql.rows(cluster.write, "SELECT nspname FROM pg_namespace WHERE nspname ~ '^accept_'")]


def killed(cluster: Cluster, folder: Path) -> str:
    """The id of a run that was killed while the group took no shards."""
    cluster.topology.save(folder / "topology.json")
    code = """if True:
        import pathlib
        from support.run import Life, begin_run, life_of
        from support.target.cluster import Cluster
        from support.target.emptied import without_shards
        from support.target.topology import Topology
        run = begin_run()
        with without_shards(Cluster(Topology.load(pathlib.Path("topology.json"))), run.id, 0):
            print(run.id, flush=True)
            input()
    """
    root = Path(__file__).parents[2]
    command, env = [sys.executable, "-c", code], {"PYTHONPATH": str(root)}
    with subprocess.Popen(
        command, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        run = process.stdout.readline().strip()
        process.kill()
    assert life_of(run) is Life.OVER
    return run


def test_it_takes_none_meanwhile_and_some_afterwards(cluster: Cluster) -> None:
    with emptied.without_shards(cluster, begin_run().id, 0):
        assert not takes_shards(cluster)
        assert len(notes(cluster)) == 1
    assert takes_shards(cluster)
    assert notes(cluster) == []


def test_one_that_took_none_before_takes_none_later(cluster: Cluster) -> None:
    """Its users have decided that; it is kept in reserve, say."""
    emptied.let_take_shards(cluster.administration, 0, False)
    with emptied.without_shards(cluster, begin_run().id, 0):
        assert notes(cluster) == []
    assert not takes_shards(cluster)


def test_the_next_run_lets_it_take_shards_again(cluster: Cluster, tmp_path: Path) -> None:
    run = killed(cluster, tmp_path)
    assert not takes_shards(cluster)
    found = leftovers.remove(cluster, begin_run().id)
    assert [run in line for line in found.removed] == [True], found
    assert takes_shards(cluster)
    assert notes(cluster) == []


def test_the_note_stays_where_nobody_may_undo_it(cluster: Cluster, tmp_path: Path) -> None:
    killed(cluster, tmp_path)
    unprivileged = Cluster(replace(cluster.topology, administrator=None))
    (kept,) = leftovers.remove(unprivileged, begin_run().id).kept
    assert "ACCEPT_ADMIN_USER" in kept
    assert len(notes(cluster)) == 1
    assert emptied.give_back_all(cluster) == ["the coordinator takes shards again"]


def settings_of(cluster: Cluster, port: int = 0, **more: object) -> Settings:
    topology = cluster.topology
    user, password = topology.application.user, topology.application.password
    given = {"ruvector_host": topology.write.host, "ruvector_port": port or topology.write.port}
    given |= {"ruvector_db": topology.database, "ruvector_user": user, "ruvector_password": password}
    given |= {"accept_admin_user": user, "accept_admin_password": password, "enable_patroni": False}
    return Settings.load({**given, **more})


def test_heal_does_it_too(cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed(cluster, tmp_path)
    assert heal(settings_of(cluster)) == 0
    assert "Citus: the coordinator takes shards again" in capsys.readouterr().out
    assert takes_shards(cluster)
    assert notes(cluster) == []
    assert heal(settings_of(cluster)) == 0
    assert "Citus" not in capsys.readouterr().out


@pytest.mark.parametrize(("declared", "status"), [({}, 0), ({"enable_citus": True}, 1)])
def test_heal_says_that_the_database_does_not_answer(
    cluster: Cluster, declared: dict[str, object], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert heal(settings_of(cluster, free_port(), **declared)) == status
    assert "it is not known whether every worker group takes shards" in capsys.readouterr().out
