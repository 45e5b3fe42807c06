"""What a sabotage is: a way to break the cluster, and who must notice it."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from support.faults.nemesis import Fault
from support.target.cluster import Cluster


@dataclass(frozen=True)
class Notice:
    """Scenarios that must find their promise broken, and words of their message."""

    id: str
    pattern: str
    """A regular expression found in the message. It names what was promised and what was observed."""
    scenario: str = ""
    """Part of the titles of the scenarios that must notice, each of them. If empty, all of the promise must."""
    skipped: bool = False
    """The right verdict is "skipped": the sabotaged cluster no longer claims to keep the promise."""

    def applies_to(self, ids: tuple[str, ...] | frozenset[str], title: str) -> bool:
        """Whether a scenario with those ids and that title must notice."""
        return self.id in ids and self.scenario in title

    def matches(self, message: str) -> bool:
        """Whether a message is about what was broken."""
        return re.search(self.pattern, message) is not None


@dataclass(frozen=True)
class Sabotage:
    """One way to break the cluster."""

    name: str
    description: str
    """What it breaks, in a few words for the reader of the report."""
    noticed_by: tuple[Notice, ...]
    damage: Callable[[Cluster], Fault]
    """The change to the cluster: how it is made, checked (`require_in_effect`) and undone."""
    needs: frozenset[str] = frozenset()
    """Capabilities that the target must have."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables for the scenarios that run meanwhile."""
    application: str = ""
    """The part of the application that is broken for these scenarios, by its name in `application`."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The promises that must notice."""
        return tuple(dict.fromkeys(notice.id for notice in self.noticed_by))


def notices(patterns: Mapping[str, str]) -> tuple[Notice, ...]:
    """Notices from id -> regular expression; the id "FO-06 named replica" means scenarios with that in their title."""
    split = ((key.partition(" "), pattern) for key, pattern in patterns.items())
    return tuple(Notice(id, pattern, scenario) for (id, _, scenario), pattern in split)


def expecting(**declared: object) -> Mapping[str, str]:
    """The setting that declares the cluster to be so ([expect])."""
    return {"ACCEPT_EXPECT": json.dumps(declared)}


def of_sharded(
    name: str,
    description: str,
    patterns: Mapping[str, str],
    damage: Callable[[Cluster], Fault],
    *needs: str,
    application: str = "",
    variables: Mapping[str, str] | None = None,
) -> Sabotage:
    """A sabotage of a sharded cluster."""
    needed = frozenset({"citus", *needs})
    return Sabotage(name, description, notices(patterns), damage, needed, variables or {}, application)
