"""What a fault changes in Redis' settings is given back by whoever comes next, on one Redis and on a Redis Cluster."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from booting import boots
from conftest import free_port
from killed_runs import disturbing_run
from redis_servers import clustered, running

from support import sql
from support.cache.outages import Full
from support.cli.heal import heal
from support.errors import Inconclusive
from support.settings import Settings
from support.target import changed_settings
from support.target import temporary_redis_settings as temporary
from support.target.cluster import Cluster
from support.target.discovery import cache
from support.target.redis import client_of, primaries_of
from support.target.topology import Address, Login, RedisAddress, Topology

NAMES = ("maxmemory", "maxmemory-policy")
_CHANGES = """
import signal, sys
from pathlib import Path
from support.cache.outages import Full
from support.target.cluster import Cluster
from support.target.topology import Topology
Full(Cluster(Topology.load(Path(sys.argv[1])))).inject()
print("done", flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    port = free_port()
    with running(tmp_path_factory.mktemp("redis"), port, ["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]):
        yield [f"127.0.0.1:{port}"]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    with clustered(tmp_path_factory.mktemp("cluster")) as ports:
        yield [f"127.0.0.1:{port}" for port in ports]


@pytest.fixture(params=["one", "several"])
@boots
def said(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"redis_host": ",".join(request.getfixturevalue(request.param))}


@pytest.fixture
def server(said: dict[str, Any]) -> Iterator[RedisAddress]:
    found = cache.find(Settings.load(said), "database.invalid")
    assert found is not None
    before = _settings(found)
    yield found
    assert _settings(found) == before
    assert temporary.left(found) == []


@pytest.fixture
def cluster(server: RedisAddress) -> Cluster:
    return Cluster(Topology("app", Login("app", "secret"), Address("127.0.0.1", 1), redis=server))


def _settings(server: RedisAddress) -> dict[Address, list[dict[str, str]]]:
    found = {}
    for one in primaries_of(server):
        with client_of(one) as client:
            found[one.address] = [client.config_get(name) for name in NAMES]
    return found


@boots
def _changed_by_a_run(cluster: Cluster, folder: Path) -> "subprocess.Popen[str]":
    """Another process, which has made Redis full."""
    run = disturbing_run(_CHANGES, cluster, folder)
    for settings in _settings(cluster.topology.redis).values():  # type: ignore[arg-type]
        assert settings == [{"maxmemory": "1"}, {"maxmemory-policy": "noeviction"}]
    return run


def _kill(run: "subprocess.Popen[str]") -> None:
    run.kill()
    run.communicate()


def test_the_next_run_gives_back_what_a_killed_one_has_changed(cluster: Cluster, tmp_path: Path) -> None:
    run = _changed_by_a_run(cluster, tmp_path)
    (note,) = changed_settings.left(cluster)
    found = changed_settings.give_back(cluster)
    assert found.done == ()
    assert "maxmemory-policy, maxmemory of Redis at 127.0.0.1:" in found.kept[0]
    assert "(Redis is full, by a run on" in found.kept[0]
    assert "./accept heal" in found.kept[0], "that run is going on"
    assert str(note) in changed_settings.undisturbed(cluster.topology, found).lacks["destructive"]
    _kill(run)
    found = changed_settings.give_back(cluster)
    assert (len(found.done), found.kept) == (1, ())


def test_nothing_is_evicted_where_the_policy_evicts(one: list[str], tmp_path: Path) -> None:
    """Neither while Redis is full nor when its settings are given back: not one of the application's keys."""
    server = cache.find(Settings.load({"redis_host": one[0]}), "database.invalid")
    assert server is not None
    found = Cluster(Topology("app", Login("app", "secret"), Address("127.0.0.1", 1), redis=server))
    with client_of(server) as client:
        client.eval("for i = 1, 100000 do redis.call('SET', 'theirs' .. i, 'x') end", 0)
        evicted = client.info()["evicted_keys"]
        fault = Full(found)
        fault.inject()
        fault.heal()
        _kill(_changed_by_a_run(found, tmp_path))
        assert len(changed_settings.give_back(found).done) == 1
        assert (client.dbsize(), client.info()["evicted_keys"]) == (100_000, evicted)
        client.flushall()


def test_accept_heal_gives_it_back(
    cluster: Cluster, said: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _kill(_changed_by_a_run(cluster, tmp_path))
    settings = Settings.load({**said, "enable_patroni": False, "ruvector_host": "database.invalid"})
    assert heal(settings) == 0
    assert "Redis: maxmemory-policy, maxmemory of Redis at 127.0.0.1:" in capsys.readouterr().out
    assert heal(settings) == 0
    assert "Redis: nothing was left" in capsys.readouterr().out


def test_settings_that_contradict_one_another_do_not_hide_what_was_healed(
    cluster: Cluster, said: dict[str, Any], tmp_path: Path, postgres: sql.Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the database is, and then where Redis is."""
    _kill(_changed_by_a_run(cluster, tmp_path))
    database = {
        "ruvector_host": f"{postgres.host},{postgres.host}",
        "ruvector_port": postgres.port,
        "ruvector_db": postgres.database,
        "ruvector_user": postgres.user,
        "ruvector_password": postgres.password,
        "accept_admin_user": postgres.user,
        "accept_admin_password": postgres.password,
        "enable_patroni": False,
    }
    assert heal(Settings.load({**said, **database})) == 1
    told = capsys.readouterr().out
    assert "Redis: maxmemory-policy, maxmemory of Redis at 127.0.0.1:" in told
    assert "Citus: it was not checked: the write endpoint has 2 hosts" in told
    assert heal(Settings.load({"redis_sentinels": f"127.0.0.1:{free_port()}", **database})) == 1
    told = capsys.readouterr().out
    assert "Redis: it was not checked: REDIS_SENTINELS needs REDIS_SERVICE" in told
    assert "Citus: it was not checked" in told


def test_two_runs_do_not_take_each_others_change_for_what_was_before(cluster: Cluster, tmp_path: Path) -> None:
    run = _changed_by_a_run(cluster, tmp_path)
    second = Full(cluster)
    with pytest.raises(Inconclusive, match="settings are changed already: maxmemory-policy, maxmemory of Redis"):
        second.inject()
    second.heal()
    assert changed_settings.left(cluster), "the second did not give back what the first has changed"
    _kill(run)
    assert len(changed_settings.give_back(cluster).done) == 1


def test_a_key_of_somebody_elses_is_no_note(server: RedisAddress) -> None:
    with client_of(server) as client:
        client.set(temporary.KEY, "theirs")
        try:
            assert temporary.left(server) == []
            assert temporary.give_back(server, whoever=True).done == ()
            assert client.get(temporary.KEY) == b"theirs"
        finally:
            client.delete(temporary.KEY)


def test_what_does_not_answer_is_said(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """No note can be read from it, and heal says so."""
    silent = replace(cluster.topology, redis=RedisAddress(Address("127.0.0.1", free_port())))
    assert changed_settings.give_back(Cluster(silent)).kept == ()
    settings = {"redis_host": f"127.0.0.1:{free_port()}", "enable_patroni": False, "ruvector_host": "database.invalid"}
    assert heal(Settings.load(settings)) == 1
    assert "Redis: its settings were not checked: " in capsys.readouterr().out


def test_a_setting_that_there_is_not_is_told(tmp_path: Path) -> None:
    """As in others that speak Redis' protocol."""
    with running(tmp_path, free_port()) as alone:
        server = RedisAddress(Address("127.0.0.1", alone.port))
        with pytest.raises(Inconclusive, match="no setting accept-nobodys"):
            temporary.TemporarySettings(server, "a test", {"accept-nobodys": "1"}).begin()
        assert temporary.left(server) == []
