"""Commands to Patroni by its REST API: switch over, change the configuration, reload the configuration file.

Source: https://patroni.readthedocs.io/en/latest/rest_api.html
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests

from support.errors import NotAvailable
from support.target import http
from support.target.cluster import Cluster
from support.target.patroni import PatroniApi
from support.target.topology import Login
from support.timeouts import RECOVERY, REST
from support.waiting import NotYet

_ACCEPTED = frozenset({requests.codes.ok, requests.codes.accepted})
_DENIED = frozenset({requests.codes.unauthorized, requests.codes.forbidden})
_NOTHING: Mapping[str, Any] = {}
"""A change of the configuration that every release of Patroni rejects (400), once it has checked who sends it."""
_BY_ADDRESS, _BY_CERTIFICATE = "Access is denied", "client certificate required"
"""What Patroni says with a status of 403. Source: RestApiServer.check_access in patroni/api.py, since 2.1"""
_LOGIN = "PATRONI_RESTAPI_USERNAME and PATRONI_RESTAPI_PASSWORD"


@dataclass(frozen=True)
class Reply:
    """Patroni's answer to a command: an HTTP status, and text for people."""

    status: int
    words: str

    @classmethod
    def of(cls, answer: requests.Response) -> "Reply":
        return cls(answer.status_code, " ".join(answer.text.split()))

    @property
    def done(self) -> bool:
        """Whether the command was carried out."""
        return self.status in _ACCEPTED

    @property
    def undecided(self) -> bool:
        """Whether Patroni only stopped waiting for a switchover: it goes on, and may come to an end later.

        Source: patroni/api.py, `poll_failover_result`
        """
        return not self.done and "status unknown" in self.words

    def __str__(self) -> str:
        return f"{self.words or 'no reason given'} ({self.status})"


def switch_over(cluster: Cluster, leader: str, candidate: str | None = None) -> Reply:
    """Have the leader hand over to the candidate, or to the member that Patroni chooses; returns when that is over."""
    return _send(cluster, leader, "POST", "/switchover", {"leader": leader, "candidate": candidate})


def configure(cluster: Cluster, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Change the configuration that all members share, and return the new one; a value of None removes a key.

    Sent to the first member that answers. Raises NotYet if none does, NotAvailable if the command is refused.
    """
    unreached = []
    for name in cluster.members:
        try:
            return configure_by(cluster.patroni(name), cluster.topology.patroni_login, changes)
        except requests.RequestException as error:
            unreached.append(f"{name}: {type(error).__name__}")
    raise NotYet(f"no member accepted the new configuration: {', '.join(unreached)}")


def configure_by(patroni: PatroniApi, login: Login | None, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Change the shared configuration by one member's REST API, and return the new one; a value of None removes a key.

    Raises requests.RequestException without an answer, NotAvailable if the command is refused. Unlike
    `PatroniApi.configuration`, whose answer may be some seconds old, it reads the DCS itself.
    """
    patroni.status_code("/liveness")  # a suspended one accepts connections too, and would do later what waits there
    answer = _answer(patroni, login, "PATCH", "/config", changes)
    _require_done(patroni.url, Reply.of(answer))
    decoded: Mapping[str, Any] = answer.json()
    return decoded


def reload_configuration(cluster: Cluster, member: str) -> None:
    """Have a member's Patroni reload its own configuration file.

    Raises NotAvailable if that is refused, NotYet if another member answers at its address.
    """
    _command(cluster, member, "/reload", {})


def restart(cluster: Cluster, member: str) -> None:
    """Have a member's Patroni restart its PostgreSQL; returns when it runs.

    Raises NotAvailable if that is refused, NotYet if another member answers at its address.
    """
    _command(cluster, member, "/restart", {})


def reinitialize(cluster: Cluster, member: str) -> None:
    """Have a member's Patroni discard its data, and copy them from the leader.

    Raises NotAvailable if it refuses, NotYet if another member answers at its address.
    """
    _command(cluster, member, "/reinitialize", {"force": True})


@dataclass(frozen=True)
class Refusal:
    """Why a member's Patroni refuses every command from here, and what to change."""

    why: str
    of_our_login: bool
    """A login was sent, and was not accepted."""


def refusal(patroni: PatroniApi, login: Login | None) -> Refusal | None:
    """Whether a member's Patroni refuses commands from here. Changes nothing.

    Without an answer it raises requests.RequestException.
    """
    answer = _sent(patroni, login, "PATCH", "/config", _NOTHING)
    if answer.status_code not in _DENIED:
        return None
    of_our_login = login is not None and answer.status_code == requests.codes.unauthorized
    return Refusal(_why_denied(patroni, login, Reply.of(answer)), of_our_login)


def _why_denied(patroni: PatroniApi, login: Login | None, reply: Reply) -> str:
    """What was refused, and what to change."""
    if reply.status == requests.codes.forbidden:
        if _BY_ADDRESS in reply.words:
            return (
                f"Patroni at {patroni.url} refuses commands from this machine's address: {reply}; add the address to "
                "restapi.allowlist in Patroni's own configuration, or run the suite on a machine that is in it"
            )
        if _BY_CERTIFICATE in reply.words:
            return (
                f"Patroni at {patroni.url} refuses commands without a client's certificate: {reply}; set "
                "PATRONI_CTL_CERTFILE and PATRONI_CTL_KEYFILE"
            )
        return f"Patroni at {patroni.url} refuses commands from here: {reply}"
    if login is None:
        return f"Patroni at {patroni.url} requires a login for commands: {reply}; set {_LOGIN}"
    return f"Patroni at {patroni.url} refuses our login: {reply}; check {_LOGIN}"


def _command(cluster: Cluster, member: str, path: str, command: Mapping[str, Any]) -> None:
    """Send what this member is to do, and no other: who answers at its address is asked first."""
    with suppress(requests.RequestException):  # then the command gets no answer either
        cluster.patroni(member).status()
    _require_done(member, _send(cluster, member, "POST", path, command))


def _require_done(member: str, reply: Reply) -> None:
    if not reply.done:
        raise NotAvailable(f"Patroni of {member} refuses the command: {reply}")


def _send(cluster: Cluster, member: str, method: str, path: str, command: Mapping[str, Any]) -> Reply:
    return Reply.of(_answer(cluster.patroni(member), cluster.topology.patroni_login, method, path, command))


def _answer(
    patroni: PatroniApi, login: Login | None, method: str, path: str, command: Mapping[str, Any]
) -> requests.Response:
    answer = _sent(patroni, login, method, path, command, RECOVERY)
    if answer.status_code in _DENIED:
        raise NotAvailable(_why_denied(patroni, login, Reply.of(answer)))
    return answer


def _sent(
    patroni: PatroniApi,
    login: Login | None,
    method: str,
    path: str,
    command: Mapping[str, Any],
    within: float = REST,
) -> requests.Response:
    return http.send(
        method,
        f"{patroni.url}{path}",
        json=command,
        auth=(login.user, login.password) if login else None,
        timeout=(REST, within),
        **patroni.access.options,
    )
