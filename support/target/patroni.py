"""Patroni's REST API, read only (see patroni_commands for the rest).

Source: https://patroni.readthedocs.io/en/latest/rest_api.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from support.target import http
from support.target.topology import PLAIN, Address, WebAccess
from support.timeouts import REST
from support.waiting import NotYet

STANDBY_LEADER = "standby_leader"
"""The role of the leader of a standby cluster."""
LEADER_ROLES = frozenset({"leader", "master", "primary", STANDBY_LEADER})


@dataclass(frozen=True)
class MemberView:
    """One member according to Patroni's /cluster. `lag` is in bytes; None when it is unknown."""

    name: str
    role: str
    state: str
    host: str
    port: int
    timeline: int | None
    lag: int | None
    tags: Mapping[str, Any]
    api_url: str = ""

    @property
    def leads(self) -> bool:
        return self.role in LEADER_ROLES


@dataclass(frozen=True)
class ClusterView:
    """The whole cluster according to one member's Patroni."""

    members: tuple[MemberView, ...]
    paused: bool
    scope: str
    switchover_scheduled: bool = False

    @property
    def leader(self) -> MemberView | None:
        return next((member for member in self.members if member.leads), None)

    @property
    def replicas(self) -> tuple[MemberView, ...]:
        return tuple(member for member in self.members if not member.leads)


class PatroniApi:
    """The REST API of one member. A call that gets no answer raises requests.RequestException."""

    def __init__(self, address: Address, access: WebAccess = PLAIN, member: str = "") -> None:
        """`member` is the one that should answer there; empty if any may."""
        self.url, self.access, self._member = f"{access.scheme}://{address}", access, member

    def status_code(self, path: str) -> int:
        """The HTTP status with which a health check such as `/primary` answers: 200 is yes, 503 is no."""
        return self._get(path, allow_redirects=False).status_code

    def status(self) -> dict[str, Any]:
        """The member's own status (/patroni); answered even while its PostgreSQL is down.

        Raises NotYet if another member answers: a virtual address, for example, moves with the leader.
        """
        answer = self._json("/patroni")
        about = answer.get("patroni")
        named = str(about.get("name") or "") if isinstance(about, Mapping) else ""  # since Patroni 3.1
        if self._member and named not in ("", self._member):
            raise NotYet(
                f"{named} answers at {self.url}, and not {self._member}: give the address of the REST API of "
                f"{self._member} itself in [members]"
            )
        return answer

    def configuration(self) -> dict[str, Any]:
        """The dynamic configuration, the same for all members."""
        return self._json("/config")

    def failsafe(self) -> dict[str, Any]:
        """Member -> its REST API, of those that a leader without a DCS asks. Raises NotYet if failsafe mode is off."""
        return self._json("/failsafe")

    def cluster(self) -> ClusterView:
        """The cluster as this member sees it."""
        answer = self._json("/cluster")
        members = tuple(_member_view(member) for member in answer["members"])
        scheduled = bool(answer.get("scheduled_switchover"))
        return ClusterView(members, bool(answer.get("pause")), str(answer.get("scope", "")), scheduled)

    def _json(self, path: str) -> dict[str, Any]:
        answer = self._get(path)
        if answer.status_code not in (200, 503):
            raise NotYet(f"{self.url}{path} answered {answer.status_code}")
        decoded: dict[str, Any] = answer.json()
        return decoded

    def _get(self, path: str, **options: Any) -> requests.Response:
        return http.send("GET", f"{self.url}{path}", timeout=REST, **self.access.options, **options)


def _member_view(member: Mapping[str, Any]) -> MemberView:
    """A member that is being set up again has no address yet: Patroni says null."""
    lag = member.get("lag")
    return MemberView(
        name=member["name"],
        role=member["role"],
        state=member["state"],
        host=str(member.get("host") or ""),
        port=int(member.get("port") or 0),
        timeline=member.get("timeline"),
        lag=lag if isinstance(lag, int) else None,
        tags=member.get("tags") or {},
        api_url=str(member.get("api_url") or ""),
    )
