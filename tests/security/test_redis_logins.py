"""Who gets into real Redis servers without a valid login: on every server, as every user."""

from dataclasses import replace
from pathlib import Path

import pytest
import redis
from conftest import free_port
from redis_servers import clustered, running, watched

from support.errors import Inconclusive
from support.security.checks import all_refused
from support.security.unauthenticated import COMMANDS, LOGINS, redis_commands, require_redis_accepts_login
from support.target.cluster import Cluster
from support.target.redis import client_of, servers_of
from support.target.topology import Address, Login, RedisAddress, Topology
from support.waiting import eventually

HOST, PASSWORD = "127.0.0.1", "right"


def cluster_with(server: RedisAddress) -> Cluster:
    return Cluster(Topology("app", Login("app", ""), Address(HOST, 1), redis=server))


def everything_tried(server: RedisAddress) -> dict[str, str]:
    require_redis_accepts_login(cluster_with(server))
    return {
        f"{wrong}, {name}": outcome
        for wrong in LOGINS
        for name, outcome in redis_commands(cluster_with(server), wrong, COMMANDS, "accept-x").items()
    }


def test_a_user_that_any_password_is_right_for(tmp_path: Path) -> None:
    """Nobody gets in as the default user, but anybody does as the application's."""
    port = free_port()
    with running(tmp_path, port, ["--requirepass", PASSWORD], PASSWORD) as server:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "app", "on", "nopass", "~*", "+@all")
        attempts = everything_tried(RedisAddress(Address(HOST, port), PASSWORD, "app"))
        accepted = [name for name, outcome in attempts.items() if not outcome]
        assert accepted == [f"a wrong password, Redis at {HOST}:{port} as app: {command}" for command in COMMANDS]
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "app", "resetpass", f">{PASSWORD}")
        finding = all_refused(everything_tried(RedisAddress(Address(HOST, port), PASSWORD, "app")))
        assert finding.holds, finding.words


def test_a_replica_and_a_sentinel_that_ask_for_no_password(tmp_path: Path) -> None:
    with watched(tmp_path, "cache", PASSWORD) as (master, replica, sentinel):
        server = RedisAddress(
            Address(HOST, sentinel), PASSWORD, mode="sentinel", service="cache", sentinel_login=Login("", PASSWORD)
        )
        attempts = everything_tried(server)
        assert all_refused(attempts).holds, attempts
        assert len(attempts) == 2 * 3 * len(COMMANDS)
        for port, name in ((replica, "Redis"), (sentinel, "the Sentinel")):
            with redis.Redis(port=port, password=PASSWORD, socket_timeout=2, protocol=2) as client:
                client.execute_command("ACL", "SETUSER", "default", "nopass")
            accepted = [one for one, outcome in everything_tried(server).items() if not outcome]
            assert [one for one in accepted if f"{name} at {HOST}:{port} " in one], accepted
            assert not [one for one in accepted if f":{master} " in one]
        unasked = everything_tried(replace(server, sentinel_login=None))
        assert not any("Sentinel" in name for name in unasked), "no credentials are configured there"


def require_six(server: RedisAddress) -> None:
    assert len(servers_of(server)) == 6


def test_each_node_of_a_redis_cluster(tmp_path: Path) -> None:
    with clustered(tmp_path) as ports:
        server = RedisAddress(Address(HOST, ports[0]), PASSWORD, mode="cluster")
        filled = replace(server, password=None)
        with client_of(filled) as client:
            for number in range(100):  # a replica without data is not listed
                client.set(f"accept-{number}", "", ex=60)
        eventually(lambda: require_six(filled), within=20, subject="all nodes are known", retry_on=(AssertionError,))
        for port in ports:
            with redis.Redis(port=port, socket_timeout=2, protocol=2) as client:
                client.execute_command("CONFIG", "SET", "masterauth", PASSWORD)
                client.execute_command("CONFIG", "SET", "requirepass", PASSWORD)
        attempts = everything_tried(server)
        assert all_refused(attempts).holds, attempts
        assert len(attempts) == 2 * 6 * len(COMMANDS)
        with redis.Redis(port=ports[-1], password=PASSWORD, socket_timeout=2, protocol=2) as client:
            client.execute_command("CONFIG", "SET", "requirepass", "")
        accepted = {name for name, outcome in everything_tried(server).items() if not outcome}
        assert accepted == {name for name in attempts if f":{ports[-1]} " in name}


def test_a_server_that_refuses_the_right_login_is_named(tmp_path: Path) -> None:
    port = free_port()
    with (
        running(tmp_path, port, ["--requirepass", PASSWORD], PASSWORD),
        pytest.raises(Inconclusive, match=f"Redis at {HOST}:{port} does not accept the right login"),
    ):
        require_redis_accepts_login(cluster_with(RedisAddress(Address(HOST, port), "forgotten")))
