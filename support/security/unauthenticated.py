"""Orders to Patroni and commands to Redis from somebody without a login for them.

None of them would change anything if it were obeyed: each is incomplete, or is about nothing that there is.
Sources: https://patroni.readthedocs.io/en/latest/rest_api.html, https://redis.io/docs/latest/commands/
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from secrets import token_hex
from typing import Any

import redis
import requests

from support.errors import Inconclusive
from support.target.cluster import Cluster
from support.target.members import ask_in_parallel
from support.target.redis import client_of
from support.target.topology import Login, RedisAddress
from support.timeouts import REST

ORDERS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "change the configuration": ("PATCH", "/config", {}),
    "hand over the leadership": ("POST", "/switchover", {}),
    "take over the leadership": ("POST", "/failover", {}),
    "restart PostgreSQL": ("POST", "/restart", {"role": "nobody's"}),
    "read its file again": ("POST", "/reload", {}),
    "call off a handover": ("DELETE", "/switchover", {}),
}
"""Words -> method, path and body."""

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "read a key": ("GET", "$key"),
    "store a key": ("SET", "$key", "a stranger's", "EX", "10"),
    "delete a key": ("UNLINK", "$key"),
    "tell its settings": ("CONFIG", "GET", "maxmemory"),
    "tell who is there": ("CLIENT", "LIST"),
    "run a script": ("EVAL", "return 1", "0"),
}
"""Words -> the command; $key stands for a key of the suite's own."""

STRANGERS: Mapping[str, Callable[[str], Login | None]] = {
    "no login": lambda user: None,
    "a wrong password": lambda user: Login(user, token_hex(16)),
}
"""Who comes -> the login that he has, made of the right user."""

DEFAULT_USER = "default"
"""Of Redis: whoever names no other."""
_WANTS_LOGIN = frozenset({requests.codes.unauthorized, requests.codes.forbidden})


def orders(cluster: Cluster, stranger: str, wanted: Iterable[str]) -> dict[str, str]:
    """Each of those orders to each member -> the HTTP status that refused it, "" when it was taken, or no answer."""
    login = STRANGERS[stranger](_patroni_login(cluster).user)
    tried = {f"{member}: {order}": (member, order) for order in wanted for member in cluster.everyone}
    answers = ask_in_parallel(tried, lambda name: _order(cluster, *tried[name], login))
    return {name: str(answer) for name, answer in answers.items()}


def commands(cluster: Cluster, stranger: str, wanted: Iterable[str], key: str) -> dict[str, str]:
    """Each of those commands to Redis -> "NOAUTH" when it was refused for that, "" when taken, or no answer."""
    login = STRANGERS[stranger](DEFAULT_USER)
    answers = ask_in_parallel(wanted, lambda command: _command(cluster, command, login, key))
    return {name: str(answer) for name, answer in answers.items()}


def require_patroni_open_to_owner(cluster: Cluster) -> None:
    """Raises Inconclusive unless every Patroni takes an order with the right login: a refusal means little then."""
    login = _patroni_login(cluster)
    answers = ask_in_parallel(cluster.everyone, lambda name: _order(cluster, name, "change the configuration", login))
    if wrong := {name: str(answer) for name, answer in answers.items() if answer != ""}:
        raise Inconclusive(f"the right login is of no use: {wrong}")


def require_redis_open_to_owner(cluster: Cluster) -> None:
    """Raises Inconclusive unless Redis takes a command with the right login."""
    try:
        with client_of(_named_login(cluster)) as client:
            client.ping()
    except redis.RedisError as error:
        raise Inconclusive(f"the right login is of no use to Redis: {error}") from None


def _named_login(cluster: Cluster) -> RedisAddress:
    """Redis with the user's name said: a Redis that asks for no password refuses one that comes without a name."""
    assert cluster.topology.redis is not None, "scenarios say by a tag that they need it"
    return replace(cluster.topology.redis, user=cluster.topology.redis.user or DEFAULT_USER)


def _patroni_login(cluster: Cluster) -> Login:
    assert cluster.topology.patroni_login is not None, "scenarios say by a tag that they need it"
    return cluster.topology.patroni_login


def _order(cluster: Cluster, member: str, order: str, login: Login | None) -> str:
    method, path, body = ORDERS[order]
    answer = requests.request(
        method,
        f"{cluster.patroni(member).url}{path}",
        json=body,
        auth=(login.user, login.password) if login else None,
        timeout=REST,
    )
    return str(answer.status_code) if answer.status_code in _WANTS_LOGIN else ""


def _command(cluster: Cluster, command: str, login: Login | None, key: str) -> str:
    user, password = (login.user, login.password) if login else (None, None)
    try:
        with client_of(replace(_named_login(cluster), user=user, password=password)) as client:
            client.execute_command(*(key if word == "$key" else word for word in COMMANDS[command]))
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
        return "NOAUTH"
    except redis.RedisError as error:
        raise OSError(str(error)) from None
    return ""
