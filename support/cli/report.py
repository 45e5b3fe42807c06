"""The end of a run: its report, its table, its exit status; and the report of the last run once more."""

import shutil
from pathlib import Path

from support.cli.console import out
from support.cli.places import REPORT, RESULTS, STATE
from support.cluster.cluster import Cluster
from support.cluster.facts import secrets_of
from support.cluster.topology import Topology
from support.errors import UsageError
from support.reporting.redaction import Redactor
from support.run import Run

JOURNAL = STATE / "journal.jsonl"
"""The journal of the last run that came to a report."""


def conclude(run: Run, topology: Topology) -> int:
    """Report on a run, and keep its results and journal as the last ones; the exit status."""
    from support.reporting.conclusion import conclude

    status = conclude(run.journal, run.results, REPORT, Redactor(secrets_of(Cluster(topology))), out)
    _keep(run.results, RESULTS)
    if run.journal.exists():
        shutil.copyfile(run.journal, JOURNAL)
    return status


def again() -> int:
    """Render the report of the last run once more, and show its table."""
    from support.reporting.conclusion import conclude

    if not JOURNAL.exists():
        raise UsageError("there is no run to report on yet; ./accept run makes one")
    return conclude(JOURNAL, RESULTS, REPORT, Redactor(()), out, again=True)


def _keep(fresh: Path, place: Path) -> None:
    if fresh.exists():
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(fresh, place)
