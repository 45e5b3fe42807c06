"""What one scenario holds: the one object on behave's context."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, get_type_hints

from support.engine.tables import GherkinTable
from support.errors import Inconclusive, MissingStep
from support.example_app.entries import EntryStore
from support.example_app.profile import Profile
from support.reporting.evidence import Evidence
from support.run import Run
from support.target.cluster import Cluster
from support.target.leadership import Leadership, leaderships
from support.target.timing import Limit, Span, Timing
from support.timeouts import STATEMENT

if TYPE_CHECKING:
    from support.engine.experiment import Experiment
    from support.engine.history import History
    from support.engine.workload import Workload
    from support.sql import Session


H = TypeVar("H", bound="Handover")


class Handover:
    """What the steps of one subject hand to one another within a scenario.

    A subject derives a class of its own, and declares each value as an annotated name. `World.handover` makes the one
    object of it that a scenario has. Reading a value that no step has provided raises MissingStep; what kind of step
    would provide it may stand in the annotation: `Annotated[History, "When clients search"]`.
    """

    if not TYPE_CHECKING:  # a type checker must still tell a slip of the pen from a declared name

        def __getattr__(self, name: str) -> NoReturn:
            hints = get_type_hints(type(self), include_extras=True)
            if name not in hints:
                raise AttributeError(f"{type(self).__name__} declares no {name!r}")
            by = "".join(f', such as "{step}"' for step in getattr(hints[name], "__metadata__", ()))
            raise MissingStep(f"no earlier step of the scenario provides {name.replace('_', ' ')}: it needs one{by}")


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
    _history: "History | None" = None
    workload: "Workload | None" = None
    """The clients that work while something else happens; what they do is in its history."""
    fault_run: "Experiment | None" = None
    """The faults of a destructive scenario, and the watch over what they do."""
    leaderships: Mapping[int, Leadership] = field(default_factory=dict)
    """Group -> who led it when clients began, where a change of leaders may lose what they wrote."""
    error: Exception | None = None
    """What was refused, for the step that says how."""
    _handovers: dict[type, Any] = field(default_factory=dict)

    @property
    def history(self) -> "History":
        """The operations that the scenario judges. Raises Inconclusive where none were recorded."""
        if self._history is None:
            raise Inconclusive("no step of the scenario recorded any operation")
        return self._history

    @history.setter
    def history(self, recorded: "History") -> None:
        self._history = recorded

    @property
    def recorded(self) -> "History | None":
        """The same; None where no operations were recorded."""
        return self._history

    @property
    def experiment(self) -> "Experiment":
        """The scenario's experiment. Raises Inconclusive where none began with a healthy cluster."""
        if self.fault_run is None:
            raise Inconclusive("the cluster was not seen to be healthy before")
        return self.fault_run

    @property
    def clients(self) -> "Workload":
        """The clients that work in the scenario. Raises Inconclusive where there are none."""
        if self.workload is None:
            raise Inconclusive("no client worked meanwhile")
        return self.workload

    def handover(self, kind: type[H]) -> H:
        """What the steps of a subject hand to one another in this scenario: one object of that kind."""
        found = self._handovers.setdefault(kind, kind())
        assert isinstance(found, kind)
        return found

    @property
    def profile(self) -> Profile:
        """Which of the application's tables plays which part in the scenario."""
        return self.cluster.profile

    @property
    def entries(self) -> EntryStore:
        """The application's entries, through the write endpoint."""
        return EntryStore(self.cluster.write, self.profile)

    def start(self, workload: "Workload", acknowledged: int) -> None:
        """Let the clients work from now until the scenario ends; returns when so many operations are acknowledged."""
        self.workload, self.history = workload, workload.history
        if self.cluster.topology.accepted_loss:
            self.leaderships = leaderships(self.cluster)
        self.cleanup.enter_context(workload)
        workload.await_acknowledged(acknowledged, within=STATEMENT)

    def another_namespace(self, name: str) -> str:
        """One more namespace of this scenario; it is emptied at the end too."""
        self.further_namespaces.append(f"{self.namespace}-{name}")
        return self.further_namespaces[-1]

    @property
    def namespaces(self) -> list[str]:
        """Every namespace in which the scenario may have stored something."""
        return [self.namespace, *self.further_namespaces]

    def limit(self, stated: float, span: Span | None = None) -> float:
        """The limit in force: the user's for this scenario's id, else the one that the scenario states.

        Of what the cluster needs time for, `span` says what that is: a cluster that looks less often than ours is
        given what follows from its own timing, where that is more; see support/target/timing.py. A recovery time that
        is declared takes the place of both.
        """
        in_force = self._limit(stated, span)
        if in_force.seconds != stated:
            self.evidence.attach("limit in force", f"{in_force.seconds:g}: {in_force.why}")
        return in_force.seconds

    def _limit(self, stated: float, span: Span | None) -> Limit:
        topology = self.cluster.topology
        if (own := next((one for one in self.ids if one in self.limits), None)) is not None:
            return Limit(self.limits[own], f"[limits] {own}; the scenario states {stated:g}")
        if span is Span.FAILOVER and topology.expectations.recovery_time is not None:
            seconds = topology.expectations.recovery_time
            return Limit(seconds, f"[expect] recovery_time; the scenario states {stated:g} s")
        return Limit(stated, "as stated") if span is None else topology.timing.limit(span, stated)

    @property
    def timing(self) -> Timing:
        """How long the cluster may take for what it does by itself, and how long to wait for it."""
        return self.cluster.topology.timing

    def measure(self, name: str, value: float, unit: str, limit: float | None = None) -> None:
        """Keep a figure for the report."""
        self.evidence.measure(name, value, unit, limit)


class Context(Protocol):
    """What behave gives to a step, as far as steps use it."""

    world: World
    table: GherkinTable
    text: str
