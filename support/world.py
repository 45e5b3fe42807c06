"""What one scenario holds: the one object on behave's context."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from support.cluster.cluster import Cluster
from support.reporting.evidence import Evidence
from support.run import Run

if TYPE_CHECKING:
    from support.history import History
    from support.sql import Session


@dataclass
class World:
    """The cluster under test, and what the scenario's steps hand to one another.

    `cleanup` is unwound when the scenario ends, whatever happened: put on it what must be closed or undone,
    before it is acquired.
    """

    run: Run
    cluster: Cluster
    evidence: Evidence
    ids: tuple[str, ...] = ()
    """The catalogue ids of the scenario."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """The user's own limits by catalogue id, in place of those that scenarios state."""
    cleanup: ExitStack = field(default_factory=ExitStack)
    random: Random = field(default_factory=Random)
    """Seeded from the run's seed and the scenario's name."""
    namespace: str = ""
    """This scenario's own namespace; all that is stored under it is removed at its end. Keys in Redis begin with it."""
    further_namespaces: list[str] = field(default_factory=list)
    cache_repository: str = ""
    """The cache under test, as the setting names it: "package.module:callable"."""

    sessions: list["Session"] = field(default_factory=list)
    history: "History | None" = None
    error: Exception | None = None
    """What was refused, for the step that says how."""
    scene: dict[str, Any] = field(default_factory=dict)
    """For a value that only the steps of one file hand to one another."""

    def another_namespace(self, name: str) -> str:
        """One more namespace of this scenario; it is emptied at the end too."""
        self.further_namespaces.append(f"{self.namespace}-{name}")
        return self.further_namespaces[-1]

    @property
    def namespaces(self) -> list[str]:
        """Every namespace in which the scenario may have stored something."""
        return [self.namespace, *self.further_namespaces]

    def limit(self, stated: float) -> float:
        """The limit in force: the user's for this scenario's id, else the one that the scenario states."""
        return next((self.limits[one] for one in self.ids if one in self.limits), stated)

    def measure(self, name: str, value: float, unit: str, limit: float | None = None) -> None:
        """Keep a figure for the report."""
        self.evidence.measure(name, value, unit, limit)
