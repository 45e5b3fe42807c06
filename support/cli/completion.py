"""What a shell completes: suites, tags, promises, clusters, hosts. They are looked up when it asks for them."""

import os
from collections.abc import Callable, Iterable

from support.cli import suites
from support.cli.paths import FEATURES
from support.errors import AcceptError

OPTIONS = ("--install-completion", "--show-completion")
"""Print the script for the user's shell, or add it there."""


def completing() -> bool:
    """Whether a shell asks for completions."""
    return "_ACCEPT_COMPLETE" in os.environ


def _starting(known: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """A completion: those of the known words that start like the incomplete one."""

    def complete(incomplete: str) -> list[str]:
        try:
            return [one for one in known() if one.startswith(incomplete)]
        except (AcceptError, OSError):
            return []

    return complete


def _running() -> Iterable[str]:
    from support.cli import clusters

    return [one.name for one in clusters.running()]


def _hosts() -> Iterable[str]:
    from support.cli import clusters

    return dict.fromkeys(host for one in clusters.running() for host in one.sandbox.hosts)


def _tags() -> Iterable[str]:
    from support.cli.preflight import KNOWN_TAGS
    from support.reporting.promises import listed

    return sorted(f"@{one}" for one in (*KNOWN_TAGS, *(f"id.{id}" for id in listed(FEATURES))))


def _capabilities() -> Iterable[str]:
    from support.target.capabilities import CAPABILITIES

    return CAPABILITIES


def _sabotages() -> Iterable[str]:
    from support.reporting.promises import listed
    from support.sabotage.catalogue import every_sabotage

    return [*every_sabotage(), *sorted(listed(FEATURES))]


def _promises() -> Iterable[str]:
    from support.reporting.promises import listed

    return sorted(listed(FEATURES))


SUITE = _starting(lambda: suites.SUITES)
CLUSTER = _starting(_running)
HOST = _starting(_hosts)
TAG = _starting(_tags)
CAPABILITY = _starting(_capabilities)
SABOTAGE = _starting(_sabotages)
PROMISE = _starting(_promises)
SANDBOX = _starting(lambda: ("auto", "namespaces", "loopback"))
VECTOR = _starting(lambda: ("auto", "pgvector", "ruvector"))
PORTS = _starting(lambda: ("usual", "free"))
SHAPE = _starting(lambda: ("swarm", "swarm-unified", "swarm-citus", "swarm-ha", "swarm-minimal", "secured"))
ENDPOINT = _starting(lambda: ("write", "read", *_hosts()))
