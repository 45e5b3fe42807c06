"""The exception tree.

    AssertionError                what the product promised is not so           a broken promise
    └── NotInTime                 it did not become so within its named time    a broken promise
    Inconclusive                 no evidence either way                        the scenario fails, saying so
    AcceptError                   the suite could not do its work
    ├── UsageError                wrong usage or configuration                  exit status 2
    ├── NothingJudged             no verdict was possible                       exit status 3
    │   ├── TargetUnreachable     the cluster to test does not answer
    │   ├── ClusterDidNotStart    the embedded cluster did not become ready
    │   └── RequirementMissing    the user required what the target lacks       exit status 1
    ├── NotAvailable              this target or sandbox cannot do that         the scenario ends "skipped"
    ├── MissingStep                   a step needs what no earlier one provides       the scenario ends in an error
    ├── ConnectFailed             a login did not succeed
    └── ProcessFailed             a program could not be run, or ended wrongly

An assertion is a product failure, and so is a server's word that its data are corrupted (`sql.CORRUPTED`); any other
exception is an infrastructure failure. The report keeps them apart.
"""


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
    """The embedded cluster did not become ready in its time."""


class RequirementMissing(NothingJudged):
    """The user declared that the target has something which it has not."""

    exit_status = 1


class NotAvailable(AcceptError):
    """This target or this sandbox cannot do what was asked."""


class MissingStep(AcceptError):
    """A step needs what no earlier step of the scenario provides."""


class ConnectFailed(AcceptError):
    """A login to a database endpoint did not succeed; the message names host and port, never the password."""


class ProcessFailed(AcceptError):
    """A program could not be started, or ended with a status that means failure."""


class Inconclusive(Exception):
    """The scenario ran, but what it saw is no evidence either way; it counts as failed."""

    def __init__(self, why: str) -> None:
        super().__init__(f"inconclusive: {why}")


class NotInTime(AssertionError):
    """What was promised to become so did not, within its time."""

    def __init__(self, subject: str, observed: str, elapsed: float, limit: float) -> None:
        super().__init__(f"{subject}: not so after {elapsed:.1f} s (allowed: {limit:g} s); last observed: {observed}")
        self.subject, self.observed, self.elapsed, self.limit = subject, observed, elapsed, limit
