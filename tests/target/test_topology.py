"""What the topology knows of itself: which of its passwords can be looked for, and masked."""

from dataclasses import replace
from typing import Any

import pytest

from support.target.topology import Address, Login, RedisAddress, Topology

TOPOLOGY = Topology("db", Login("app", "of the application"), Address("h", 1))
REDIS = RedisAddress(Address("r", 1), password="of redis")


def test_every_password_is_known() -> None:
    named = replace(
        TOPOLOGY,
        administrator=Login("postgres", "of the administrator"),
        redis=replace(REDIS, user="cache", sentinel_login=Login("watch", "of the sentinels")),
        dcs_access={"etcd3": {"username": "root", "password": "of etcd", "url": "http://one:of-the-url@e:2379"}},
    )
    assert {*named.secrets} == {
        "of the application",
        "of the administrator",
        "of redis",
        "of the sentinels",
        "of etcd",
        "of-the-url",
    }


@pytest.mark.parametrize(
    ("named", "name"),
    [
        ({"application": Login("app", "app")}, "app"),
        ({"administrator": Login("postgres", "db")}, "db"),
        ({"redis": replace(REDIS, user="cache", password="cache")}, "cache"),
        ({"redis": replace(REDIS, password="default")}, "default"),
        ({"redis": replace(REDIS, sentinel_login=Login("watch", "watch"))}, "watch"),
        ({"dcs_access": {"etcd3": {"username": "root", "password": "root"}}}, "root"),
        ({"dcs_access": {"etcd3": {"url": "http://one:one@e:2379"}}}, "one"),
        ({"dcs_access": {"zookeeper": {"auth_data": {"digest": "zoo:zoo"}}}}, "zoo"),
    ],
)
def test_a_password_that_is_the_name_of_a_user_is_left_out(named: dict[str, Any], name: str) -> None:
    """It would be found wherever the name is, and masked there in the report."""
    assert name not in replace(TOPOLOGY, **named).secrets
