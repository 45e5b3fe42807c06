"""Commands to Patroni by its REST API: switch over, change the configuration, reload the configuration file.

Source: https://patroni.readthedocs.io/en/latest/rest_api.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from support.errors import NotAvailable
from support.target.cluster import Cluster
from support.timeouts import RECOVERY, REST
from support.waiting import NotYet

_ACCEPTED = frozenset({requests.codes.ok, requests.codes.accepted})
_DENIED = frozenset({requests.codes.unauthorized, requests.codes.forbidden})


@dataclass(frozen=True)
class Reply:
    """Patroni's answer to a command: an HTTP status, and text for people."""

    status: int
    words: str

    @property
    def done(self) -> bool:
        """Whether the command was carried out."""
        return self.status in _ACCEPTED

    def __str__(self) -> str:
        return f"{self.words or 'no reason given'} ({self.status})"


def switch_over(cluster: Cluster, leader: str, candidate: str | None = None) -> Reply:
    """Have the leader hand over to the candidate, or to the member that Patroni chooses; returns when that is over."""
    return _send(cluster, leader, "POST", "/switchover", {"leader": leader, "candidate": candidate})


def configure(cluster: Cluster, changes: Mapping[str, Any]) -> None:
    """Change the configuration that all members share; a value of None removes a key.

    Sent to the first member that answers. Raises NotYet if none does, NotAvailable if the command is refused.
    """
    unreached = []
    for name in cluster.members:
        try:
            return _require_done(name, _send(cluster, name, "PATCH", "/config", changes))
        except requests.RequestException as error:
            unreached.append(f"{name}: {type(error).__name__}")
    raise NotYet(f"no member accepted the new configuration: {', '.join(unreached)}")


def reload_configuration(cluster: Cluster, member: str) -> None:
    """Have a member's Patroni reload its own configuration file. Raises NotAvailable if that is refused."""
    _require_done(member, _send(cluster, member, "POST", "/reload", {}))


def restart(cluster: Cluster, member: str) -> None:
    """Have a member's Patroni restart its PostgreSQL; returns when it runs. Raises NotAvailable if that is refused."""
    _require_done(member, _send(cluster, member, "POST", "/restart", {}))


def reinitialize(cluster: Cluster, member: str) -> None:
    """Have a member's Patroni discard its data, and copy them from the leader. Raises NotAvailable if it refuses."""
    _require_done(member, _send(cluster, member, "POST", "/reinitialize", {"force": True}))


def _require_done(member: str, reply: Reply) -> None:
    if not reply.done:
        raise NotAvailable(f"Patroni of {member} refuses the command: {reply}")


def _send(cluster: Cluster, member: str, method: str, path: str, command: Mapping[str, Any]) -> Reply:
    login = cluster.topology.patroni_login
    patroni = cluster.patroni(member)
    answer = requests.request(
        method,
        f"{patroni.url}{path}",
        json=command,
        auth=(login.user, login.password) if login else None,
        timeout=(REST, RECOVERY),
        **patroni.access.options,
    )
    reply = Reply(answer.status_code, " ".join(answer.text.split()))
    if reply.status in _DENIED:
        raise NotAvailable(
            f"Patroni of {member} refuses our login: {reply}; check PATRONI_RESTAPI_USERNAME and "
            "PATRONI_RESTAPI_PASSWORD"
        )
    return reply
