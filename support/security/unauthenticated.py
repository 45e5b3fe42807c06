"""Requests to Patroni and commands to Redis from a client without a valid login.

None would change anything if it were accepted, except that Patroni would reload its configuration file: each is
incomplete, or concerns something that does not exist. Cancelling a switchover is tried only if none is scheduled.
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
from support.target.members import NoAnswer, ask_in_parallel
from support.target.redis import ERRORS, FORBIDDEN, client_of, require_answer, sentinels_of, servers_of
from support.target.topology import Login, RedisAddress
from support.timeouts import REST
from support.waiting import NotYet

_CANCEL = "cancel a switchover"
REQUESTS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "change the configuration": ("PATCH", "/config", {}),
    "start a switchover": ("POST", "/switchover", {}),
    "start a failover": ("POST", "/failover", {}),
    "restart PostgreSQL": ("POST", "/restart", {"role": "nobody's"}),
    "reload its configuration": ("POST", "/reload", {}),
    _CANCEL: ("DELETE", "/switchover", {}),
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
    """Each command to each server, as each user -> "NOAUTH" if it was refused as unauthenticated, "" if accepted, or
    why there was no answer.

    A password is tried both as Redis' default user and as the application's: an ACL may require a password for only one
    of them. Sentinels that have a login are included.
    """
    try:
        servers = _servers(_redis(cluster))
    except ERRORS as error:
        return {command: str(NoAnswer.because(error)) for command in wanted}
    tried = {
        f"{name} {how}: {command}": (replace(server, user=user, password=password), command)
        for name, server in servers.items()
        for how, user, password in _wrong_logins(server, wrong)
        for command in wanted
    }
    answers = ask_in_parallel(tried, lambda name: _command(*tried[name], key))
    return {name: str(answer) for name, answer in answers.items()}


def _wrong_logins(server: RedisAddress, wrong: str) -> list[tuple[str, str | None, str | None]]:
    """Each login: in words, user, password."""
    logins = {LOGINS[wrong](user) for user in (DEFAULT_USER, server.user or DEFAULT_USER)}
    named = {login.user: login.password for login in logins if login}
    return [(f"as {user}", user, named[user]) for user in sorted(named)] or [("without a login", None, None)]


def _servers(server: RedisAddress) -> dict[str, RedisAddress]:
    """Name in messages -> server; includes Sentinels that have a login."""
    sentinels = sentinels_of(server) if server.sentinel_login else ()
    return {f"Redis at {one.address}": one for one in servers_of(server)} | {
        f"the Sentinel at {one.address}": one for one in sentinels
    }


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
    """Raises Inconclusive unless each Redis server accepts a command with the right login."""
    asked = "Redis"
    try:
        for name, server in _servers(_redis(cluster)).items():
            asked = name
            # With a user name: a Redis that requires no password rejects a password without a user name.
            with client_of(replace(server, user=server.user or DEFAULT_USER)) as client:
                require_answer(client)
    except ERRORS as error:
        raise Inconclusive(f"{asked} does not accept the right login: {error}") from None


def _redis(cluster: Cluster) -> RedisAddress:
    assert cluster.topology.redis is not None, "scenarios say by a tag that they need it"
    return cluster.topology.redis


def _patroni_login(cluster: Cluster) -> Login:
    assert cluster.topology.patroni_login is not None, "scenarios say by a tag that they need it"
    return cluster.topology.patroni_login


def _request(cluster: Cluster, member: str, request: str, login: Login | None) -> str:
    method, path, body = REQUESTS[request]
    patroni = cluster.patroni(member)
    if request == _CANCEL and patroni.cluster().switchover_scheduled:
        raise NotYet("not tried, as it would cancel a scheduled switchover")
    answer = http.send(
        method,
        f"{patroni.url}{path}",
        json=body,
        auth=(login.user, login.password) if login else None,
        timeout=REST,
        **patroni.access.options,
    )
    return str(answer.status_code) if answer.status_code in _WANTS_LOGIN else ""


_LET_IN = (
    *(redis.ReadOnlyError, redis.exceptions.MovedError, redis.exceptions.AskError, redis.exceptions.ClusterDownError),
    *(redis.exceptions.MasterDownError, redis.exceptions.OutOfMemoryError),
)
"""Errors that a server sends only to a client that it has let in: from a replica, or a node with other keys."""
_UNKNOWN = "unknown command"
"""The error of a Sentinel, which knows few of the commands: it, too, is sent only to a client that was let in."""


def _command(server: RedisAddress, command: str, key: str) -> str:
    try:
        with client_of(server) as client:
            client.execute_command(*(key if word == "$key" else word for word in COMMANDS[command]))
    except (redis.AuthenticationError, FORBIDDEN):
        return "NOAUTH"
    except _LET_IN:
        return ""
    except ERRORS as error:
        if isinstance(error, redis.ResponseError) and str(error).lower().startswith(_UNKNOWN):
            return ""
        raise OSError(str(error)) from None
    return ""
