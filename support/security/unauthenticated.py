"""Requests to Patroni and commands to Redis from a client that has no right login for them.

None of them would change anything if it were accepted: each is incomplete, or concerns something that does not exist.
Sources: https://patroni.readthedocs.io/en/latest/rest_api.html, https://redis.io/docs/latest/commands/
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from secrets import token_hex
from typing import Any

import redis
import requests

from support.errors import Inconclusive
from support.target import http
from support.target.cluster import Cluster
from support.target.members import ask_in_parallel
from support.target.redis import ERRORS, FORBIDDEN, client_of, primary_of, require_answer
from support.target.topology import Login, RedisAddress
from support.timeouts import REST

REQUESTS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "change the configuration": ("PATCH", "/config", {}),
    "start a switchover": ("POST", "/switchover", {}),
    "start a failover": ("POST", "/failover", {}),
    "restart PostgreSQL": ("POST", "/restart", {"role": "nobody's"}),
    "reload its configuration": ("POST", "/reload", {}),
    "cancel a switchover": ("DELETE", "/switchover", {}),
}
"""What the request is to do -> method, path and body."""

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "read a key": ("GET", "$key"),
    "store a key": ("SET", "$key", "any", "EX", "10"),
    "delete a key": ("UNLINK", "$key"),
    "show its settings": ("CONFIG", "GET", "maxmemory"),
    "list its clients": ("CLIENT", "LIST"),
    "run a script": ("EVAL", "return 1", "0"),
}
"""What the command is to do -> the command; $key stands for a key of the scenario."""

LOGINS: Mapping[str, Callable[[str], Login | None]] = {
    "no login": lambda user: None,
    "a wrong password": lambda user: Login(user, token_hex(16)),
}
"""What is wrong with the login -> the login, made from the right user."""

DEFAULT_USER = "default"
"""Redis's user for clients that name none."""
_WANTS_LOGIN = frozenset({requests.codes.unauthorized, requests.codes.forbidden})


def patroni_requests(cluster: Cluster, wrong: str, wanted: Iterable[str]) -> dict[str, str]:
    """Each request to each member -> the HTTP status that refused it, "" when it was accepted, or no answer."""
    login = LOGINS[wrong](_patroni_login(cluster).user)
    tried = {f"{member}: {request}": (member, request) for request in wanted for member in cluster.everyone}
    answers = ask_in_parallel(tried, lambda name: _request(cluster, *tried[name], login))
    return {name: str(answer) for name, answer in answers.items()}


def redis_commands(cluster: Cluster, wrong: str, wanted: Iterable[str], key: str) -> dict[str, str]:
    """Each command -> "NOAUTH" when it was refused as unauthenticated, "" when it was accepted, or no answer."""
    login = LOGINS[wrong](DEFAULT_USER)
    answers = ask_in_parallel(wanted, lambda command: _command(cluster, command, login, key))
    return {name: str(answer) for name, answer in answers.items()}


def require_patroni_accepts_login(cluster: Cluster) -> None:
    """Raises Inconclusive unless every Patroni accepts a request with the right login: else a refusal means nothing."""
    login = _patroni_login(cluster)
    answers = ask_in_parallel(cluster.everyone, lambda name: _request(cluster, name, "change the configuration", login))
    if wrong := [f"{name}: {answer}" for name, answer in answers.items() if answer != ""]:
        raise Inconclusive(
            f"Patroni does not accept the right login: {'; '.join(wrong)}; check PATRONI_RESTAPI_USERNAME and "
            "PATRONI_RESTAPI_PASSWORD"
        )


def require_redis_accepts_login(cluster: Cluster) -> None:
    """Raises Inconclusive unless Redis accepts a command with the right login."""
    try:
        with client_of(_named_login(cluster)) as client:
            require_answer(client)
    except ERRORS as error:
        raise Inconclusive(f"Redis does not accept the right login: {error}") from None


def _named_login(cluster: Cluster) -> RedisAddress:
    """Redis with an explicit user name: a Redis that asks for no password refuses one that comes without a name."""
    assert cluster.topology.redis is not None, "scenarios say by a tag that they need it"
    server = primary_of(cluster.topology.redis)
    return replace(server, user=server.user or DEFAULT_USER)


def _patroni_login(cluster: Cluster) -> Login:
    assert cluster.topology.patroni_login is not None, "scenarios say by a tag that they need it"
    return cluster.topology.patroni_login


def _request(cluster: Cluster, member: str, request: str, login: Login | None) -> str:
    method, path, body = REQUESTS[request]
    patroni = cluster.patroni(member)
    answer = http.send(
        method,
        f"{patroni.url}{path}",
        json=body,
        auth=(login.user, login.password) if login else None,
        timeout=REST,
        **patroni.access.options,
    )
    return str(answer.status_code) if answer.status_code in _WANTS_LOGIN else ""


def _command(cluster: Cluster, command: str, login: Login | None, key: str) -> str:
    user, password = (login.user, login.password) if login else (None, None)
    try:
        with client_of(replace(_named_login(cluster), user=user, password=password)) as client:
            client.execute_command(*(key if word == "$key" else word for word in COMMANDS[command]))
    except (redis.AuthenticationError, FORBIDDEN):
        return "NOAUTH"
    except ERRORS as error:
        raise OSError(str(error)) from None
    return ""
