"""Patroni with one part put wrong: `python -P broken_patroni.py BUILD FILE`. It runs on the hosts, by itself."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import patroni.postgresql  # noqa: F401  # before patroni.ha, with which it goes in a circle
from patroni.__main__ import main
from patroni.ha import Ha
from patroni.postgresql.bootstrap import Bootstrap
from patroni.tags import Tags


def never_demotes() -> None:
    """Who has lost the lock leads on."""
    Ha.demote = lambda self, mode: None


def ignores_the_dcs() -> None:
    """Who cannot reach the DCS goes on as before."""
    Ha._handle_dcs_error = lambda self: "the DCS is out of reach; never mind"


def ignores_nofailover() -> None:
    """A tag bars nobody from leading."""
    Tags.nofailover = property(lambda self: False)


def the_worst_wins() -> None:
    """Who has received less than another may lead, who has received the most may not."""
    usual = Ha._is_healthiest_node
    Ha._is_healthiest_node = lambda self, *given, **named: not usual(self, *given, **named)


def keeps_its_standby() -> None:
    """The synchronous standby is never chosen anew."""
    Ha.process_sync_replication = lambda self: None


def copies_nothing() -> None:
    """No member is built from another."""
    Bootstrap.clone = lambda self, member: False


BUILDS: Mapping[str, Callable[[], Any]] = {
    build.__name__: build
    for build in (
        never_demotes,
        ignores_the_dcs,
        ignores_nofailover,
        the_worst_wins,
        keeps_its_standby,
        copies_nothing,
    )
}

if __name__ == "__main__":
    BUILDS[sys.argv.pop(1)]()
    sys.exit(main())
