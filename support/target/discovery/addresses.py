"""Addresses: how users write them, and whether they can be reached from here."""

import re
import socket
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from support import libpq
from support.errors import UsageError
from support.target.topology import Address

POSTGRES = 5432
PROBE = 2.0
"""Seconds within which an address must accept a connection."""

_HOST = r"(?P<{0}>\[[^\]/\s]+\]|[^\[\]:/\s=]+)"
_PLACE = re.compile(rf"{_HOST.format('host')}(:(?P<port>\d+))?(/({_HOST.format('rest_host')}:)?(?P<rest_port>\d+))?")


@dataclass(frozen=True)
class Place:
    """Where a member is reached from here. `rest` is None where only its PostgreSQL was given."""

    postgres: Address
    rest: Address | None = None


class Reach(Enum):
    """The result of an attempt to connect; the value is the wording for messages."""

    OPEN = "it accepts connections"
    REFUSED = "it refuses connections"
    SILENT = "it does not answer"
    UNKNOWN = "its name cannot be resolved here"


def parsed(text: str, port: int) -> Address:
    """`host`, `host:port` or `http://host:port`; an IPv6 address with a port needs brackets.

    Raises UsageError for https: that takes more settings than an address.
    """
    if text.startswith("https://"):
        raise UsageError(f"{text}: write host:port; etcd's TLS is described in [dcs]")
    text = text.removeprefix("http://").rstrip("/")
    host, colon, given = text.rpartition(":")
    if colon and given.isdigit() and (":" not in host or host.startswith("[")):
        return Address(host.strip("[]"), int(given))
    return Address(text.strip("[]"), port)


def places(setting: str, said: Mapping[str, str]) -> dict[str, Place]:
    """The places in [members] or the like. Raises UsageError, which names the member whose place cannot be parsed."""
    return {name: _place(setting, name, text) for name, text in said.items()}


def _place(setting: str, name: str, text: str) -> Place:
    found = _PLACE.fullmatch(text.strip())
    ports = [int(port) for port in (found["port"], found["rest_port"]) if port] if found else []
    if not found or any(not 1 <= port <= 65535 for port in ports):
        raise UsageError(
            f"{setting}: {name} = {text!r} is not the place of a member: write host:port, or host:port/port where the "
            "second port is its Patroni REST API's (host:port/host:port if that is on another host)"
        )
    host = found["host"].strip("[]")
    rest_host = (found["rest_host"] or host).strip("[]")
    rest = Address(rest_host, int(found["rest_port"])) if found["rest_port"] else None
    return Place(Address(host, int(found["port"] or POSTGRES)), rest)


def node_addresses(said: Mapping[str, str]) -> dict[str, Address]:
    """The addresses in [nodes]. Raises UsageError for anything but `host` and `host:port`."""
    return {name: _place("[nodes]", name, _without_rest(name, text)).postgres for name, text in said.items()}


def _without_rest(name: str, text: str) -> str:
    if "/" in text:
        raise UsageError(
            f"[nodes]: {name} = {text!r} should be host:port; the REST APIs of members belong in [members]"
        )
    return text


def reach(address: Address) -> Reach:
    """Whether anything accepts connections there, within PROBE."""
    try:
        with libpq.stream_to(address.host, address.port, PROBE):
            return Reach.OPEN
    except socket.gaierror:
        return Reach.UNKNOWN
    except (ConnectionRefusedError, FileNotFoundError):
        return Reach.REFUSED
    except OSError:
        return Reach.SILENT


def reach_each(addresses: Iterable[Address]) -> dict[Address, Reach]:
    """Whether anything accepts connections at each of the addresses, all tried at the same time."""
    asked = tuple(dict.fromkeys(addresses))
    with ThreadPoolExecutor(max_workers=max(1, len(asked))) as probes:
        return dict(zip(asked, probes.map(reach, asked), strict=True))


def same_address(one: Address, other: Address) -> bool:
    """Whether both are the same address, by name or by IP address."""
    return one.port == other.port and bool(names_of(one.host) & names_of(other.host))


def names_of(host: str) -> set[str]:
    """A host's name and its IP addresses."""
    with suppress(OSError, UnicodeError):  # the folder of a socket may be too long for a name
        return {host, *(str(found[4][0]) for found in socket.getaddrinfo(host, None))}
    return {host}
