"""A Redis whose memory limit is too high to be reached is not filled, nor one emptied that keeps its data.

On a real Redis.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from conftest import free_port
from redis_servers import running

from support.cache import redis_server
from support.cache.redis_server import memory_pressure
from support.cache.round_trips import RoundTripCounter
from support.errors import Inconclusive
from support.target.discovery import cache
from support.target.redis import client_of, facts_in
from support.target.topology import Address, RedisAddress


@pytest.mark.parametrize(("limit", "why"), [("4gb", "4096 MB"), ("0", "no limit"), ("512mb", ""), ("64mb", "")])
def test_what_cannot_be_filled_is_told_in_advance(tmp_path: Path, limit: str, why: str) -> None:
    port = free_port()
    with running(tmp_path, port, ["--maxmemory", limit]):
        lacks = cache.lacking(RedisAddress(Address("127.0.0.1", port)), own_repository=True)
    assert ("small_cache" in lacks) is bool(why)
    assert why in lacks.get("small_cache", "")
    assert "cache_state" not in lacks


FULL = ["--maxmemory", "8mb", "--maxmemory-policy", "volatile-lru"]


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[redis.Redis]:
    """A client of a Redis that is filled in more than 1.5 seconds, as over a slow link."""
    with (
        running(tmp_path, free_port(), FULL) as server,
        RoundTripCounter(Address("127.0.0.1", server.port)) as link,
        client_of(RedisAddress(link.address)) as client,
    ):
        link.delay = 0.3
        yield client


def test_what_fills_redis_stays_for_a_minute_if_the_run_is_killed(tmp_path: Path) -> None:
    with running(tmp_path, free_port(), FULL) as server, server.client() as client:
        with memory_pressure(client, "killed") as pressure:
            assert pressure.evicted > 0
            left = [client.ttl(key) for key in client.scan_iter(match="killed-*")]
            assert min(left) > 30
            assert max(left) < 120
        assert client.dbsize() == 0


def test_what_fills_redis_outlasts_a_slow_link(slow: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_server, "_KEPT", 1.0)
    with memory_pressure(slow, "slow") as pressure:
        assert pressure.evicted > 0


def test_keys_that_expired_meanwhile_prove_nothing(slow: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_server, "_KEPT", 1.0)
    monkeypatch.setattr(redis_server, "_SLOWER", 0.0)
    with pytest.raises(Inconclusive, match="the first ones expired"), memory_pressure(slow, "slow"):
        pass


def test_memory_that_does_not_count_for_the_limit_is_left_out() -> None:
    """Such as the buffers of replicas, which Redis fills while it stays within its limit."""
    assert facts_in({"used_memory": 1_200, "mem_not_counted_for_evict": 300, "maxmemory": 1_000}).memory_used == 900
    assert facts_in({"used_memory": 1_200}).memory_used == 1_200


def test_a_keydb_that_takes_the_writes_of_another_is_a_primary() -> None:
    assert facts_in({"role": "active-replica"}).role == "master"
    assert facts_in({"role": "slave"}).role == "slave"


@pytest.mark.parametrize(("appendonly", "why"), [("yes", "keeps its data in an append-only file"), ("no", "")])
def test_whether_a_restart_empties_it_is_told_in_advance(tmp_path: Path, appendonly: str, why: str) -> None:
    port = free_port()
    with running(tmp_path, port, ["--appendonly", appendonly]) as server:
        with server.client() as client:
            client.set("kept", "value")
        lacks = cache.lacking(RedisAddress(Address("127.0.0.1", port)), own_repository=True)
        server.kill()
        server.start()
        with server.client() as client:
            assert bool(client.exists("kept")) is bool(why)
    assert ("volatile_cache" in lacks) is bool(why)
    assert why in lacks.get("volatile_cache", "")
