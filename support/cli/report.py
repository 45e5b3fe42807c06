"""The end of a run: its report, its table, its exit status; and the report of the last run once more."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from support.cli.console import complain, out, say
from support.cli.places import REPORT, RESULTS, STATE, named_by_user
from support.errors import AcceptError, UsageError
from support.reporting import journal, markdown, merging
from support.reporting.conclusion import conclude
from support.reporting.publishing import Publisher
from support.reporting.redaction import Redactor
from support.reporting.renderer_setup import install_renderer
from support.run import Run
from support.settings import Settings
from support.target.topology import Topology

JOURNAL = RESULTS / merging.JOURNAL
"""The journal of the last run that came to a report, among its results: all that another machine needs of it."""


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
    secrets = [secret for topology in topologies for secret in topology.secrets]
    status = conclude(run.journal, run.results, REPORT, Redactor(secrets), out, publisher=publisher)
    _keep(run.journal, run.results)
    return status


def once_more(folders: Sequence[Path], settings: Settings, summary: Path | None = None) -> int:
    """Report once more: on the last run, or on the runs in these folders as on one; the exit status.

    `summary` is a file to which the table of promises is appended, in Markdown.
    """
    make_ready()
    with Publisher(settings) as publisher:
        status = _of_runs(folders, publisher) if folders else _of_last_run(publisher)
    if summary:
        _summarize(named_by_user(summary))
    return status


def _of_last_run(publisher: Publisher) -> int:
    if not JOURNAL.exists():
        raise UsageError("there is no run to report on yet; ./accept run makes one")
    return conclude(JOURNAL, RESULTS, REPORT, Redactor(), out, in_history=True, publisher=publisher)


def _of_runs(folders: Sequence[Path], publisher: Publisher) -> int:
    """Together they are the last run then."""
    parts = [merging.part_in(named_by_user(folder), str(folder)) for folder in folders]
    STATE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="merging-", dir=STATE) as name:
        kept, results = Path(name, merging.JOURNAL), Path(name, "results")
        merging.write(merging.merged(parts), kept)
        merging.collect(parts, results)
        status = conclude(kept, results, REPORT, Redactor(), out, publisher=publisher)
        _keep(kept, results)
    return status


def _summarize(file: Path) -> None:
    """A file that cannot be written changes no verdict."""
    try:
        markdown.append(journal.read(JOURNAL), file)
    except OSError as error:
        complain(f"no summary in {file}: {error.strerror}")


def _keep(kept: Path, results: Path) -> None:
    """As the last run's. Two runs that end at once leave theirs one after the other."""
    with (STATE / "journal.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(RESULTS, ignore_errors=True)
        RESULTS.mkdir()
        if results.exists():
            shutil.copytree(results, RESULTS, dirs_exist_ok=True)
        if kept.exists():
            shutil.copyfile(kept, JOURNAL)
