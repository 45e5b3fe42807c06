"""The end of a run: its report, its table, its exit status; and the report of the last run once more."""

import fcntl
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from support.cli.console import complain, out, say
from support.cli.places import REPORT, RESULTS, STATE
from support.cluster.cluster import Cluster
from support.cluster.facts import secrets_of
from support.cluster.topology import Topology
from support.errors import AcceptError, UsageError
from support.reporting.conclusion import conclude
from support.reporting.publishing import Publisher
from support.reporting.redaction import Redactor
from support.reporting.renderer_setup import install_renderer
from support.run import Run
from support.settings import Settings

JOURNAL = STATE / "journal.jsonl"
"""The journal of the last run that came to a report."""


def make_ready() -> None:
    """See to it that a report can be rendered; without it a run is still worth its table."""
    try:
        install_renderer(say)
    except AcceptError as error:
        complain(f"{error}; the run will end without a report")


def of_run(run: Run, topologies: Iterable[Topology], publisher: Publisher) -> int:
    """Report on a run, and keep its results and journal as the last ones; the exit status.

    The passwords of `topologies` are masked in all of it.
    """
    secrets = [secret for topology in topologies for secret in secrets_of(Cluster(topology))]
    status = conclude(run.journal, run.results, REPORT, Redactor(secrets), out, publisher=publisher)
    with _alone():
        if run.results.exists():
            shutil.rmtree(RESULTS, ignore_errors=True)
            shutil.copytree(run.results, RESULTS)
        if run.journal.exists():
            shutil.copyfile(run.journal, JOURNAL)
    return status


@contextmanager
def _alone() -> Iterator[None]:
    """Two runs that end at once leave their results one after the other."""
    with JOURNAL.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def of_last_run(settings: Settings) -> int:
    """Render the report of the last run once more, show its table, publish its metrics; the run's exit status."""
    if not JOURNAL.exists():
        raise UsageError("there is no run to report on yet; ./accept run makes one")
    make_ready()
    with Publisher(settings) as publisher:
        return conclude(JOURNAL, RESULTS, REPORT, Redactor(), out, again=True, publisher=publisher)
