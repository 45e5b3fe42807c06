"""What a sabotage is: a way to break the cluster, and who must notice it."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from support.faults.nemesis import Fault
from support.target.cluster import Cluster


@dataclass(frozen=True)
class Notice:
    """A promise that must be found broken, and what the failing scenario says then."""

    id: str
    says: str
    """A regular expression that is found in the message: it names what was promised and what was observed."""
    scenario: str = ""
    """A part of the title of the scenario that must notice; one of the promise's scenarios, unless said."""
    skipped: bool = False
    """The honest answer is "skipped": the sabotaged cluster no longer claims what is promised."""

    def meant(self, ids: tuple[str, ...] | frozenset[str], title: str) -> bool:
        """Whether it means a scenario with those ids and that title."""
        return self.id in ids and self.scenario in title

    def understands(self, message: str) -> bool:
        """Whether the message is about what was broken."""
        return re.search(self.says, message) is not None


@dataclass(frozen=True)
class Sabotage:
    """One way to break the cluster."""

    name: str
    words: str
    """What it breaks, in plain words."""
    noticed_by: tuple[Notice, ...]
    damage: Callable[[Cluster], Fault]
    """How it is done, how one sees that it took effect (`require_in_effect`), and how it is undone."""
    needs: frozenset[str] = frozenset()
    """Capabilities of the target without which it cannot be done."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Settings with which the scenarios run meanwhile."""
    application: str = ""
    """The broken part of the application with which they run, by its name in `application`."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The promises that must notice."""
        return tuple(dict.fromkeys(notice.id for notice in self.noticed_by))


def notices(says: Mapping[str, str]) -> tuple[Notice, ...]:
    """Notices from what each promise says: id -> regular expression; "FO-06 named replica" means that scenario."""
    return tuple(Notice(*_split(key, words)) for key, words in says.items())


def expecting(**declared: object) -> Mapping[str, str]:
    """The settings with which the cluster is declared to be so ([expect])."""
    return {"ACCEPT_EXPECT": json.dumps(declared)}


def of_sharded(
    name: str,
    words: str,
    says: Mapping[str, str],
    damage: Callable[[Cluster], Fault],
    *needs: str,
    application: str = "",
) -> Sabotage:
    """A sabotage of a sharded cluster."""
    return Sabotage(name, words, notices(says), damage, frozenset({"citus", *needs}), application=application)


def _split(key: str, words: str) -> tuple[str, str, str]:
    id, _, scenario = key.partition(" ")
    return id, words, scenario
