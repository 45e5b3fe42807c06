"""When the keys of a cache expire; on a real Redis."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from conftest import free_port
from redis_servers import running

from support.cache.checks import every_key_expires
from support.cache.redis_server import remaining_lifetimes
from support.errors import NotAvailable
from support.waiting import pause


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    folder: Path = tmp_path_factory.mktemp("lifetimes")
    with running(folder, free_port()) as server, server.client() as opened:
        yield opened


@pytest.fixture
def expiring(client: redis.Redis) -> redis.Redis:
    """A Redis whose fields can expire."""
    try:
        client.execute_command("HPTTL", "none", "FIELDS", 1, "none")
    except redis.ResponseError:
        pytest.skip("no field of a hash expires in this version (Redis 7.4, Valkey 9)")
    return client


def test_a_key_that_never_expires_is_told(client: redis.Redis) -> None:
    client.set("plain-kept", "")
    client.set("plain-short", "", ex=30)
    client.rpush("plain-list", "one")
    client.hset("plain-hash", mapping={"one": "1", "two": "2"})
    found = remaining_lifetimes(client, "plain-")
    assert found.pop("plain-short") == pytest.approx(30, abs=5)
    assert found == {name: float("inf") for name in ("plain-kept", "plain-list", "plain-hash")}


class Delayed(redis.Redis):
    """Its second page comes late: once the first one with keys is there, the next takes longer than they live."""

    waited: bool | None = None

    def scan(self, *values: Any, **options: Any) -> Any:
        if self.waited is False:
            pause(2.2)
            self.waited = True
        cursor, keys = super().scan(*values, **options)
        if keys and self.waited is None:
            self.waited = False
        return cursor, keys


def test_a_key_is_asked_for_when_it_is_found(client: redis.Redis) -> None:
    """Among very many other keys, the search may take longer than the key lives."""
    pipeline = client.pipeline()
    for number in range(20_000):
        pipeline.set(f"other-{number}", "", ex=60)
    for number in range(20):
        pipeline.set(f"found-{number}", "", px=2000)
    pipeline.execute()
    with Delayed(port=client.connection_pool.connection_kwargs["port"], protocol=2) as delayed:
        assert remaining_lifetimes(delayed, "found-")
        assert delayed.waited


def test_a_hash_lives_as_long_as_its_fields(expiring: redis.Redis) -> None:
    expiring.hset("fields-all", mapping={str(number): "x" for number in range(2500)})
    expiring.hset("fields-some", mapping={"one": "1", "two": "2"})
    for first in range(0, 2500, 500):
        names = [str(number) for number in range(first, first + 500)]
        expiring.execute_command("HEXPIRE", "fields-all", 20 + first // 500, "FIELDS", 500, *names)
    expiring.execute_command("HEXPIRE", "fields-some", 20, "FIELDS", 1, "one")
    found = remaining_lifetimes(expiring, "fields-")
    assert found["fields-all"] == pytest.approx(24, abs=5)
    assert found["fields-some"] == float("inf")
    assert every_key_expires({"fields-all": found["fields-all"]}, 30).holds is True


def test_one_who_may_not_ask_is_no_broken_cache(expiring: redis.Redis) -> None:
    expiring.hset("asked-hash", "one", "1")
    expiring.execute_command("ACL", "SETUSER", "clerk", "on", ">x", "~*", "+@all", "-hpttl")
    port = expiring.connection_pool.connection_kwargs["port"]
    with (
        redis.Redis(port=port, username="clerk", password="x", protocol=2) as clerk,
        pytest.raises(NotAvailable, match=r"may not ask when fields of a hash expire.*hpttl"),
    ):
        remaining_lifetimes(clerk, "asked-")
