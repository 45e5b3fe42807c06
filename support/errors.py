"""The exception tree, and the verdict or exit status that follows from each.

    AssertionError                the product broke a promise                   broken
    ├── PromiseBroken             a promise that is not the scenario's own      broken
    └── LimitExceeded             it was right, but too late or too slow        broken; a rerun may pass (flaky);
        │                                                                       inconclusive on a saturated machine
        └── NotInTime             a promised state was not reached in time      likewise
    Inconclusive                  no evidence either way                        inconclusive
    └── UnhealthyCluster          the cluster was unhealthy before the fault    inconclusive
    AcceptError                   the suite could not do its work               error
    ├── UsageError                wrong usage or configuration                  exit status 2
    ├── NothingJudged             no verdict was possible                       exit status 3
    │   ├── TargetUnreachable     the cluster to test does not answer
    │   ├── ClusterDidNotStart    the embedded cluster did not become ready
    │   └── RequirementMissing    the target lacks what the user requires       exit status 1
    ├── NotAvailable              this target or sandbox cannot do that         error
    ├── MissingStep               a step needs what no earlier one provides     error
    ├── NoRoom                    the suite's own disk is full                  error, whatever else was seen
    ├── ConnectFailed             a login did not succeed
    │   └── NotTried              this machine could not even try to log in
    └── ProcessFailed             a program could not be run, or failed

Data that the server reports as corrupted (`sql.CORRUPTED`) are broken as well; every other exception is an error of the
suite or its environment. The report keeps them apart. A scenario is skipped only before it begins, if the target lacks
a capability; what turns out to be missing in its middle is an error.
"""

from collections.abc import Callable
from dataclasses import dataclass


class AcceptError(Exception):
    """The suite could not do its work. The message says what was tried, and what to change."""

    exit_status = 3


class UsageError(AcceptError):
    """The command line, an environment variable or accept.toml asks for something impossible."""

    exit_status = 2


class NothingJudged(AcceptError):
    """No verdict on any promise was possible."""


class TargetUnreachable(NothingJudged):
    """The cluster to be tested does not answer, or does not let the application in."""


class ClusterDidNotStart(NothingJudged):
    """The embedded cluster did not become ready in time."""


class RequirementMissing(NothingJudged):
    """The target lacks what the user declared that it has."""

    exit_status = 1


class NotAvailable(AcceptError):
    """This target or this sandbox cannot do what was asked.

    A scenario that needs it has the tag of a capability, so that it is skipped before it begins.
    """


class MissingStep(AcceptError):
    """A step needs what no earlier step of the scenario provides."""


class NoRoom(AcceptError):
    """The disk on which the suite keeps its own cluster is full: what a scenario saw meanwhile proves nothing."""


class ConnectFailed(AcceptError):
    """A login to a database endpoint did not succeed; the message names host and port, never the password."""


class NotTried(ConnectFailed):
    """This machine could not even try to log in: it has no file descriptor left, or its name server did not answer.

    It says nothing about the database.
    """


class ProcessFailed(AcceptError):
    """A program could not be started, or ended with a failure status."""


class Inconclusive(Exception):
    """The scenario ran, but saw no evidence either way; it counts as failed."""

    def __init__(self, why: str) -> None:
        super().__init__(f"inconclusive: {why}")


@dataclass(frozen=True, kw_only=True)
class LimitFacts:
    """What is known of a limit on time or speed where it was exceeded."""

    never_came: bool = False
    """What was promised had not come at all when nobody waited for it any longer. It may be more than late, so that the
    other clusters of the run are no excuse for it."""
    undisturbed: bool = False
    """Whether the machine was watched during the measurement, and nothing else used it; see support/engine/quiet.py."""
    during: tuple[tuple[float, float], ...] = ()
    """Each time in which it was exceeded, from its beginning to its end (monotonic clock); empty if it is not known."""
    limit: float | None = None
    """The limit in seconds on each of these times; None if it is not known, or a limit on something else."""


class LimitExceeded(AssertionError):
    """A limit on time or speed was exceeded, and nothing else was wrong.

    Any other AssertionError reports a wrong result: a lost write, two writers, a stale read. It is final; a rerun that
    passes only shows that the defect does not appear each time.
    """

    def __init__(self, words: str, facts: LimitFacts | None = None) -> None:
        super().__init__(words)
        self.facts = facts or LimitFacts()


class PromiseBroken(AssertionError):
    """A promise was seen to be broken that is not the one that the scenario is about, such as two writers at once."""

    def __init__(self, promise: str, words: str) -> None:
        """`promise` is its id in the list of promises."""
        super().__init__(f"{promise}: {words}")
        self.promise = promise


class UnhealthyCluster(Inconclusive):
    """The cluster was not healthy before anything was done to it, so that nothing can be judged."""


class NotInTime(LimitExceeded):
    """A promised state was not reached within its time."""

    def __init__(
        self,
        subject: str,
        observed: str,
        elapsed: float,
        limit: float,
        *,
        never_came: bool = True,
        probe: Callable[[], object] | None = None,
    ) -> None:
        """`probe` raises as long as it is not reached; see `waiting.look_again`."""
        super().__init__(
            f"{subject}: still not true after {elapsed:.1f} s (limit: {limit:g} s); last observed: {observed}",
            LimitFacts(never_came=never_came, limit=limit),
        )
        self.subject, self.observed, self.elapsed, self.limit = subject, observed, elapsed, limit
        self.probe = probe
