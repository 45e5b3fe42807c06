"""Commands to Patroni by its REST API: switch over, reconfigure, reload the configuration file.

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

_TAKEN = frozenset({requests.codes.ok, requests.codes.accepted})
_NO_ENTRY = frozenset({requests.codes.unauthorized, requests.codes.forbidden})


@dataclass(frozen=True)
class Reply:
    """What Patroni answers to an order: an HTTP status, and words for people."""

    status: int
    words: str

    @property
    def done(self) -> bool:
        """It was carried out."""
        return self.status in _TAKEN

    def __str__(self) -> str:
        return f"{self.words or 'no reason given'} ({self.status})"


def switch_over(cluster: Cluster, leader: str, candidate: str | None = None) -> Reply:
    """Have the leader hand over to the candidate, or to whom Patroni likes; the answer comes when that is over."""
    return _send(cluster, leader, "POST", "/switchover", {"leader": leader, "candidate": candidate})


def configure(cluster: Cluster, changes: Mapping[str, Any]) -> None:
    """Change the configuration that all members share; a value of None removes a key.

    Any member that is up takes the order. Raises NotYet if none is, NotAvailable if it is refused.
    """
    unheard = []
    for name in cluster.members:
        try:
            return _require_done(name, _send(cluster, name, "PATCH", "/config", changes))
        except requests.RequestException as error:
            unheard.append(f"{name}: {type(error).__name__}")
    raise NotYet(f"no member took the order: {', '.join(unheard)}")


def read_file_again(cluster: Cluster, member: str) -> None:
    """Have a member's Patroni read its own configuration file again. Raises NotAvailable if that is refused."""
    _require_done(member, _send(cluster, member, "POST", "/reload", {}))


def _require_done(member: str, reply: Reply) -> None:
    if not reply.done:
        raise NotAvailable(f"Patroni of {member} does not take the order: {reply}")


def _send(cluster: Cluster, member: str, method: str, path: str, order: Mapping[str, Any]) -> Reply:
    login = cluster.topology.patroni_login
    answer = requests.request(
        method,
        f"{cluster.patroni(member).url}{path}",
        json=order,
        auth=(login.user, login.password) if login else None,
        timeout=(REST, RECOVERY),
    )
    reply = Reply(answer.status_code, " ".join(answer.text.split()))
    if reply.status in _NO_ENTRY:
        raise NotAvailable(f"Patroni of {member} takes orders from others only: {reply}; which login is right?")
    return reply
