"""`accept report`, and the end of every run: the report, the table of promises, the exit status."""

import shlex
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from support import own_folder
from support.cli.console import complain, out, say
from support.cli.paths import FEATURES, REPORT, RESULTS, STATE, TRUST, from_command_line
from support.errors import AcceptError, NotAvailable, ProcessFailed, UsageError
from support.files import locked, replace_file
from support.own_folder import OwnFolder
from support.reporting import journal, merging
from support.reporting.evidence import Redactor
from support.reporting.installing import install_renderer, install_renderer_meanwhile
from support.reporting.journal import RunRecord
from support.reporting.metrics import Publisher
from support.reporting.pages import printing, site
from support.reporting.pages.site import DASHBOARD, PDF, Knowledge
from support.reporting.rendering import JUNIT, NAME, conclude, conclude_failure
from support.reporting.summary import append_markdown
from support.run import Run, begun_at
from support.settings import Settings
from support.target.topology import Topology
from support.waiting import describe

if TYPE_CHECKING:
    from support.sabotage.sabotage import Sabotage

JOURNAL = RESULTS / merging.JOURNAL
"""The journal of the last reported run. It lies among the results, so that they are all another machine needs."""
OUTDATED = STATE / "results-outdated"
"""A file that exists if the last run could not take the place of the one before in the folder of results."""
_SUPERSEDED = "this run was not the last: a later one left no results (it was stopped, could not begin, or is going on)"


def prepare() -> None:
    """Begin to install the renderer if it is missing. Without it, only the page by Allure is missing."""
    install_renderer_meanwhile(say)


def withdraw_pages() -> None:
    """Say in the pages that a run has begun: if it is killed, the last ones would be taken for its report."""
    with _hiding_no_verdict("the last run's pages cannot be replaced"):
        site.write_unfinished(REPORT, NAME, time.time())


def forget_verdicts() -> None:
    """Remove the last run's file for CI servers: however the next run ends, those verdicts are not its own.

    Its results stay, for `accept report`.
    """
    with _hiding_no_verdict(f"the last run's {JUNIT} cannot be removed"):
        (REPORT / JUNIT).unlink(missing_ok=True)
    supersede_results()


def supersede_results() -> None:
    """Note beside the last run's results that another run has begun, until that one's are kept (`keep`)."""
    with _hiding_no_verdict("the last run's results cannot be marked as those of an earlier run"):
        if JOURNAL.exists():
            (RESULTS / merging.SUPERSEDED).touch()


def knowledge(options: str = "") -> Knowledge:
    """What the pages tell beside a run: the promises, the guides, the sabotages, and what `accept prove` found last.

    `options` are those of the run (`RunRecord.options`): they name the user's own folder where this command does not.
    """
    own, found = own_folder.given() or _own_folder_in(options), dict[str, list[str]]()
    for one in _sabotages(own).values():
        for id in dict.fromkeys(notice.id for notice in one.noticed_by if not notice.skipped):
            found.setdefault(id, []).append(one.description)
    return Knowledge(FEATURES, found, TRUST, own.features if own else None)


def _own_folder_in(options: str) -> OwnFolder | None:
    """The user's own folder that the options of a run name, as `options_of_target` writes them."""
    with suppress(ValueError):  # a password in the path was masked
        match shlex.split(options):
            case ["--features", folder, *_]:
                return OwnFolder(Path(folder))
    return None


def _sabotages(own: OwnFolder | None) -> "Mapping[str, Sabotage]":
    """The suite's and those of the folder. If these cannot be read, print a warning, and leave them out."""
    from support.sabotage import catalogue  # half a second, which the other commands need not spend

    try:
        return catalogue.every_sabotage(own)
    except UsageError as error:
        complain(f"the report lacks the sabotages of your own folder: {error}")
        return catalogue.SABOTAGES


def of_run(
    run: Run,
    topologies: Iterable[Topology],
    publisher: Publisher,
    asked: tuple[str, str],
    in_history: bool = False,
) -> int:
    """Report on a run, keep its results and journal as the last ones, and return the exit status.

    The passwords of `topologies` are masked everywhere. `asked`: the arguments of `Journal.asked`. `in_history`: this
    run is already in the history of runs.
    """
    redactor = Redactor([secret for topology in topologies for secret in topology.secrets])
    with _hiding_no_verdict("the report does not know when the run began"):
        _require_beginning(run)
    if run.journal.exists():
        with _hiding_no_verdict("the command line of this run cannot be recorded"):
            journal.Journal(run.journal).asked(*map(redactor.mask, asked))
    return _concluded(run.journal, run.results, redactor, publisher, in_history)


def _require_beginning(run: Run) -> None:
    """Give a run that never came to its scenarios a beginning, and an end if it was not stopped: a trouble says why."""
    record = journal.read(run.journal)
    if record.began:
        return
    written = journal.Journal(run.journal)
    written.begin((), at=begun_at(run.id))
    if record.troubles:
        written.end()


def of_failure(run: Run, error: BaseException, settings: Settings) -> None:
    """Report on a run that could not begin or continue, so that the previous report is not taken for this run's."""
    with _hiding_no_verdict("no report"):
        redactor = _noted(run, error, settings)
        with one_at_a_time():
            conclude_failure(run.journal, run.results, REPORT, redactor, knowledge())
            keep(run.journal, run.results)


def note_failure(run: Run, error: BaseException, settings: Settings) -> None:
    """Print why a run cannot continue, and note it for the report, which keeps the verdicts so far."""
    complain(f"the run cannot continue: {describe(error)}")
    with _hiding_no_verdict("the report will not say so"):
        _noted(run, error, settings)


def _noted(run: Run, error: BaseException, settings: Settings) -> Redactor:
    """Note a failure in the run's journal, which is closed; returns what has masked the passwords."""
    redactor = Redactor([one.get_secret_value() for _, one in settings if isinstance(one, SecretStr)])
    written = journal.Journal(run.journal)
    if not journal.read(run.journal).selected:
        written.begin(())
    trace = "" if isinstance(error, AcceptError) else "".join(traceback.format_exception(error))
    written.trouble(redactor.mask(describe(error)), redactor.mask(trace))
    written.close()
    return redactor


def _concluded(
    kept: Path,
    results: Path,
    redactor: Redactor,
    publisher: Publisher,
    in_history: bool = False,
    options: str = "",
) -> int:
    """Report, keep journal and results as the last ones, and return the exit status. `options`: see `knowledge`."""

    def keep_results() -> None:
        with _hiding_no_verdict(f"the results cannot be kept in {RESULTS}"):
            keep(kept, results)

    with one_at_a_time():
        return conclude(
            kept,
            results,
            REPORT,
            redactor,
            out,
            in_history=in_history,
            publisher=publisher,
            knowledge=knowledge(options),
            keep=keep_results,
        )


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """A lock for runs that end at the same time: otherwise pages of one run could end up with results of another."""
    with ExitStack() as order:
        with _hiding_no_verdict("runs that end at the same time cannot wait for each other"):
            STATE.mkdir(parents=True, exist_ok=True)
            order.enter_context(locked(STATE / "report.lock"))
        yield


@contextmanager
def _hiding_no_verdict(trouble: str) -> Iterator[None]:
    """If something cannot be read or written (full disk, say), print a warning.

    The exit status still reflects the verdicts, or the failure that was to be reported.
    """
    try:
        yield
    except (AcceptError, OSError, ValueError) as error:
        complain(f"{trouble}: {describe(error)}")


def report(folders: Sequence[Path], settings: Settings, summary: Path | None = None, pdf: bool = False) -> int:
    """Report on the last run, or on the runs in these folders as one, and return the exit status.

    `summary` is a file to which the table of promises is appended, as Markdown. `pdf`: print the dashboard into a file,
    too.
    """
    try:
        install_renderer(say)
    except AcceptError as error:
        complain(f"{error}; there will be no page by Allure")
    with Publisher(settings) as publisher:
        record, status = _of_runs(folders, publisher) if folders else _of_last_run(publisher)
    if summary:
        _summarize(record, from_command_line(summary))
    if pdf:
        _print()
    return status


def last_journal() -> Path:
    """The journal of the last run. Raises UsageError if there is none: there was no run, or it could not be kept."""
    if OUTDATED.exists():
        raise UsageError(
            f"the last run could not be kept in {RESULTS}, and what is there is of an earlier one: "
            "make that folder writable, and start ./accept run again"
        )
    if not JOURNAL.exists():
        raise UsageError("there is no run to report on yet; start one with ./accept run")
    return JOURNAL


def _of_last_run(publisher: Publisher) -> tuple[RunRecord, int]:
    kept = last_journal()
    with one_at_a_time():
        told = knowledge(journal.read(kept).options)
        status = conclude(kept, RESULTS, REPORT, Redactor(), out, in_history=True, publisher=publisher, knowledge=told)
        if merging.is_superseded(RESULTS):
            say(_SUPERSEDED)
        return journal.read(kept), status


def _of_runs(folders: Sequence[Path], publisher: Publisher) -> tuple[RunRecord, int]:
    """Report on several runs as one, which becomes the last run."""
    parts = [merging.part_in(from_command_line(folder), str(folder)) for folder in folders]
    STATE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="merging-", dir=STATE) as name:
        kept, results, record = Path(name, merging.JOURNAL), Path(name, "results"), merging.merged(parts)
        merging.write(record, kept)
        merging.collect(parts, results)
        status = _concluded(kept, results, Redactor(), publisher, options=record.options)
        return journal.read(kept), status


def _print() -> None:
    """Print the dashboard into a PDF. If that is impossible, the exit status stays as it is."""
    try:
        say(f"printed: {printing.print_page(REPORT / DASHBOARD, REPORT / PDF)}")
    except (NotAvailable, ProcessFailed) as error:
        complain(f"no PDF: {error}")


def _summarize(record: RunRecord, file: Path) -> None:
    """Append the table. If the file cannot be written, the exit status stays as it is."""
    try:
        append_markdown(record, file)
    except OSError as error:
        complain(f"the summary {file} cannot be written: {error.strerror}")


def keep(kept: Path, results: Path) -> None:
    """Keep journal and results as those of the last run. Raises OSError or shutil.Error.

    The folder itself stays: it may be a mount, or a link to another place. However far this comes, no earlier run is
    taken for the last one. With the earlier results goes the note that they are not the last run's.
    """
    RESULTS.mkdir(exist_ok=True)
    _forget_last_journal()
    for path in RESULTS.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if kept.exists():
        replace_file(JOURNAL, kept.read_bytes())
    if results.exists():
        shutil.copytree(results, RESULTS, dirs_exist_ok=True)


def _forget_last_journal() -> None:
    """Remove the journal of the run before, or else note that it is outdated. Raises OSError."""
    try:
        JOURNAL.unlink(missing_ok=True)
    except OSError:
        STATE.mkdir(parents=True, exist_ok=True)
        OUTDATED.touch()
        raise
    OUTDATED.unlink(missing_ok=True)
