"""Which member's Patroni answers at an address, and what it says of its cluster."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests

from support.target.discovery.servers import Server
from support.target.members import Silent, ask_each
from support.target.patroni import ClusterView, PatroniApi
from support.target.topology import Address
from support.waiting import NotYet


@dataclass(frozen=True)
class Answer:
    """What a Patroni says. `name` is empty where it does not say which member it is: releases before 3.1 do not."""

    address: Address
    name: str
    scope: str
    leads: bool
    server: Server | None
    """The PostgreSQL beside it; None while that does not run."""
    view: ClusterView
    several: bool = False
    """Different members answered there one after another: it is a proxy, and no member's own address."""

    @property
    def known(self) -> frozenset[str]:
        """The names of the members that it knows."""
        return frozenset(member.name for member in self.view.members)


def ask(addresses: Iterable[Address]) -> dict[Address, Answer | Silent]:
    """What is heard at each address, all asked at the same time."""
    by_name = {str(address): address for address in addresses}
    answers = ask_each(by_name, lambda name: _ask(by_name[name]))
    return {by_name[name]: answer for name, answer in answers.items()}


def _ask(address: Address) -> Answer:
    patroni = PatroniApi(address)
    try:
        first, view, second = patroni.status(), patroni.cluster(), patroni.status()
        about: Mapping[str, Any] = first.get("patroni") or {}
        return Answer(
            address=address,
            name=str(about.get("name") or ""),
            scope=str(about.get("scope") or view.scope),
            leads=first.get("role") in ("leader", "master", "primary", "standby_leader"),
            server=_server(first),
            view=view,
            several=_identity(first) != _identity(second),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise NotYet(f"what answers at {address} is no Patroni") from error
    except requests.exceptions.JSONDecodeError:
        raise NotYet(f"what answers at {address} is no Patroni") from None


def _identity(status: Mapping[str, Any]) -> object:
    name = (status.get("patroni") or {}).get("name")
    return name or (status.get("postmaster_start_time"), status.get("role"))


def _server(status: Mapping[str, Any]) -> Server | None:
    try:
        started = datetime.fromisoformat(str(status["postmaster_start_time"]))
        return Server(started, str(status["database_system_identifier"]))
    except (KeyError, ValueError):
        return None
