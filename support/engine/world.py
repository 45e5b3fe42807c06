"""The state of one scenario: the one object on behave's context."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, get_type_hints

from support.engine.finding import Finding
from support.engine.limits import own_limit
from support.engine.tables import GherkinTable
from support.errors import MissingStep
from support.example_app.entries import EntryStore
from support.example_app.pool import DEFAULT
from support.example_app.profile import Profile
from support.reporting.evidence import Evidence
from support.run import Run
from support.target.cluster import Cluster
from support.target.component_hosts import with_dcs
from support.target.leadership import Leadership, leaderships
from support.target.timing import Limit, Span, Timing
from support.timeouts import STATEMENT

if TYPE_CHECKING:
    from support.engine.experiment import Experiment
    from support.engine.history import History
    from support.engine.workload import Workload
    from support.sql import Session


H = TypeVar("H", bound="Handover")


def missing(what: str, *steps: str) -> MissingStep:
    """The error of a step that needs what one of these steps, or one like them, provides."""
    by = "".join(f', such as "{step}"' for step in steps)
    return MissingStep(f"no earlier step of the scenario provides {what}: it needs one{by}")


class Handover:
    """Values that the steps of one subject pass to each other within a scenario.

    Each subject derives a class that declares every value as an annotated name. `World.handover` creates one object of
    it for each scenario. Reading a value that no step has provided raises MissingStep. The annotation may name a step
    that provides it: `Annotated[History, "When clients search"]`.
    """

    if not TYPE_CHECKING:  # so that a type checker still finds misspelt names

        def __getattr__(self, name: str) -> NoReturn:
            hints = get_type_hints(type(self), include_extras=True)
            if name not in hints:
                raise AttributeError(f"{type(self).__name__} declares no {name!r}")
            raise missing(name.replace("_", " "), *getattr(hints[name], "__metadata__", ()))


@dataclass
class World:
    """The cluster under test, and what the steps of the scenario pass to each other.

    `cleanup` always runs when the scenario ends. Register what must be closed or undone before it is acquired.
    """

    run: Run
    cluster: Cluster
    evidence: Evidence
    ids: tuple[str, ...] = ()
    """The catalogue ids of the scenario."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """The user's limits, instead of those that scenarios state; see support/engine/limits.py."""
    stated: Mapping[str, float] = field(default_factory=dict)
    """Measure -> the largest limit that a step of the scenario states for it."""
    cleanup: ExitStack = field(default_factory=ExitStack)
    random: Random = field(default_factory=Random)
    """Seeded from the run's seed and the scenario's name."""
    namespace: str = ""
    """The scenario's own namespace. Its entries are removed at the end, and keys in Redis begin with it."""
    further_namespaces: list[str] = field(default_factory=list)
    parts: frozenset[str] = frozenset({"entries"})
    """The parts of the schema in which the scenario may store rows."""
    note_namespace: Callable[[str, Collection[str]], None] = lambda namespace, parts: None
    """Called before anything is stored in a further namespace, so that a run that is killed leaves a note of it."""
    cache_repository: str = ""
    """The cache under test, as the setting names it: "package.module:callable"."""
    pool: str = DEFAULT
    """The connection pool under test, likewise."""
    application: Cluster | None = None
    """The cluster with the application's own tables, where those of `cluster` are local; otherwise None."""

    sessions: list["Session"] = field(default_factory=list)
    _history: "History | None" = None
    workload: "Workload | None" = None
    """The clients that work while something else happens; where there were several, the last ones."""
    _started: list["Workload"] = field(default_factory=list)
    _readers: "Workload | None" = None
    _experiment: "Experiment | None" = None
    leaderships: Mapping[int, Leadership] = field(default_factory=dict)
    """Group -> its leader when clients began, if a failover may lose acknowledged writes."""
    _attempt: tuple[Exception | None] | None = None
    _handovers: dict[type, Any] = field(default_factory=dict)

    @property
    def history(self) -> "History":
        """The operations that the scenario judges. Raises MissingStep if no step recorded any."""
        if self._history is None:
            raise missing("operations of clients", "Given 8 clients appending to a ledger through the write endpoint")
        return self._history

    @history.setter
    def history(self, recorded: "History") -> None:
        self._history = recorded

    @property
    def recorded(self) -> "History | None":
        """The history, or None if no operations were recorded."""
        return self._history

    @property
    def experiment(self) -> "Experiment":
        """The faults of a destructive scenario, and the observation of their effects.

        Raises MissingStep if no step began it with a healthy cluster.
        """
        if self._experiment is None:
            raise missing("a cluster that is known to be healthy", "Given a healthy cluster")
        return self._experiment

    @experiment.setter
    def experiment(self, begun: "Experiment") -> None:
        self._experiment = begun

    @property
    def experiment_or_none(self) -> "Experiment | None":
        """The experiment, or None if no step began one."""
        return self._experiment

    @property
    def clients(self) -> "Workload":
        """The clients that work in the scenario. Raises MissingStep if there are none."""
        if self.workload is None:
            raise missing("clients", "Given 8 clients appending to a ledger through the write endpoint")
        return self.workload

    @property
    def readers(self) -> "Workload":
        """The clients that only read, beside those or alone. Raises MissingStep if there are none."""
        if self._readers is None:
            raise missing("readers", "Given 4 clients reading through the read endpoint")
        return self._readers

    @readers.setter
    def readers(self, started: "Workload") -> None:
        self._readers = started

    @property
    def readers_or_none(self) -> "Workload | None":
        """The readers, or None if there are none."""
        return self._readers

    @property
    def session(self) -> "Session":
        """The first session that the scenario has opened. Raises MissingStep if there is none."""
        if not self.sessions:
            raise missing("a session", "When the application logs in through the write endpoint")
        return self.sessions[0]

    @property
    def error(self) -> Exception | None:
        """The error of the last attempt, None if it succeeded. Raises MissingStep if nothing was attempted."""
        if self._attempt is None:
            raise missing("an attempt", "When an entry with plain text is stored")
        return self._attempt[0]

    @error.setter
    def error(self, error: Exception | None) -> None:
        self._attempt = (error,)

    def handover(self, kind: type[H]) -> H:
        """The scenario's object of that kind of handover."""
        found = self._handovers.setdefault(kind, kind())
        assert isinstance(found, kind)
        return found

    @property
    def profile(self) -> Profile:
        """Which of the application's tables the scenarios use, and for what."""
        return self.cluster.profile

    @property
    def entries(self) -> EntryStore:
        """The application's entries, through the write endpoint."""
        return EntryStore(self.cluster.write, self.profile)

    def start(self, workload: "Workload", acknowledged: int) -> None:
        """Start the clients, until the scenario ends. Returns when `acknowledged` operations are acknowledged.

        Where each takes long, several of each client are enough; see `Workload.await_at_work`. From then on the clients
        are eased, except while a fault is injected.

        Raises Inconclusive if they are not: that clients can work at first is no promise of the scenario's.
        """
        self.workload, self.history = workload, workload.history
        self._started.append(workload)
        if self.cluster.topology.accepted_loss:
            self.leaderships = leaderships(self.cluster)
        self.cleanup.enter_context(workload)
        workload.await_at_work(acknowledged, within=self.timing.wait(STATEMENT))
        workload.ease()

    @contextmanager
    def clients_at_full_speed(self) -> Iterator[None]:
        """All clients that were started for the scenario work at full speed for the duration of a `with` block."""
        for workload in self._started:
            workload.full_speed()
        try:
            yield
        finally:
            for workload in self._started:
                workload.ease()

    def another_namespace(self, name: str) -> str:
        """A further namespace of this scenario; it is emptied at the end, too."""
        self.further_namespaces.append(f"{self.namespace}-{name}")
        self.note_namespace(self.further_namespaces[-1], self.parts)
        return self.further_namespaces[-1]

    @property
    def namespaces(self) -> list[str]:
        """Every namespace in which the scenario may have stored something."""
        return [self.namespace, *self.further_namespaces]

    def limit(self, stated: float, measure: str, span: Span | None = None) -> float:
        """The limit in force for a measure: the user's, or the one that the scenario states.

        `measure` is its name in [limits]: a text, or one with parameters of the step in it. `span` names what the
        cluster needs the time for. If its own timing needs more than is stated, because it checks less often than the
        embedded one, or because a fault so far has hit a host of the DCS as well, that counts (see
        support/target/timing.py). A declared recovery time replaces both.
        """
        in_force = self._limit(stated, measure, span)
        if in_force.seconds != stated:
            self.evidence.other_limit(f"{in_force.seconds:g}{' s' if span else ''}: {in_force.why}")
        return in_force.seconds

    def _limit(self, stated: float, measure: str, span: Span | None) -> Limit:
        topology = self.cluster.topology
        if (own := own_limit(self.limits, self.ids, measure)) is not None:
            key, value = own
            return Limit(value, f"[limits] {key}; the scenario states {stated:g}")
        if span is Span.FAILOVER and topology.expectations.recovery_time is not None:
            seconds = topology.expectations.recovery_time
            return Limit(seconds, f"[expect] recovery_time; the scenario states {stated:g} s")
        if span is None:
            return Limit(stated, "as stated")
        faults = self._experiment.faults if self._experiment else ()
        hit = {name for one in faults for name in one.whole_hosts}
        return self.timing.after(hit, with_dcs(topology)).limit(span, stated)

    def time_for(self, measure: str, usual: float) -> float:
        """How long a step has to go on, so that a later one can judge that measure: at least `usual` seconds.

        No shorter than the limit that the later step states, or that the user sets.
        """
        own = own_limit(self.limits, self.ids, measure)
        stated = own[1] if own is not None else self.stated.get(measure, 0.0)
        return max(usual, 1.2 * stated)

    @property
    def timing(self) -> Timing:
        """How long the cluster's own reactions may take, and how long to wait for them."""
        return self.cluster.topology.timing

    def measure(
        self, name: str, value: float, unit: str, limit: float | None = None, *, at_least: bool = False
    ) -> None:
        """Record a figure for the report. `at_least`: the limit is the smallest value allowed."""
        self.evidence.measure(name, value, unit, limit, at_least=at_least)

    def known_limit(self, words: str) -> None:
        """Report something that the cluster does not promise, and that was seen, as a known limit of this cluster."""
        self.evidence.known_limit(words)

    def require_or_known_limit(self, finding: Finding, cause: Finding, words: str) -> None:
        """Require a finding; where it does not hold, report a known limit instead if its cause was seen.

        `cause` says whether the facts were seen that define the limit, and `words` what it is. The same symptom with
        another cause breaks the promise; Inconclusive if it is not known what the cause was.
        """
        if finding.holds is not False:
            finding.require()
        elif cause.holds:
            self.known_limit(words)
        elif cause.holds is None:
            Finding.unknown(f"{finding.words}; whether that is a known limit is not known: {cause.words}").require()
        else:
            replace(finding, words=f"{finding.words}; {cause.words}").require()


class Context(Protocol):
    """The part of behave's context that steps use."""

    world: World
    table: GherkinTable
    text: str
