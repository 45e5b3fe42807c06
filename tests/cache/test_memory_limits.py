"""A Redis whose memory limit is too high to be reached is not filled, nor one emptied that keeps its data.

On a real Redis.
"""

from pathlib import Path

import pytest
from conftest import free_port
from redis_servers import running

from support.target.discovery import cache
from support.target.topology import Address, RedisAddress


@pytest.mark.parametrize(("limit", "why"), [("4gb", "4096 MB"), ("0", "no limit"), ("512mb", ""), ("64mb", "")])
def test_what_cannot_be_filled_is_told_in_advance(tmp_path: Path, limit: str, why: str) -> None:
    port = free_port()
    with running(tmp_path, port, ["--maxmemory", limit]):
        lacks = cache.lacking(RedisAddress(Address("127.0.0.1", port)), own_repository=True)
    assert ("small_cache" in lacks) is bool(why)
    assert why in lacks.get("small_cache", "")
    assert "cache_state" not in lacks


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
