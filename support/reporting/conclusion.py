"""The end of a run, from its journal: results settled, report rendered, table printed, exit status."""

from pathlib import Path

from rich.console import Console

from support.errors import AcceptError
from support.reporting import junit
from support.reporting.journal import exit_status, read
from support.reporting.publishing import Publisher
from support.reporting.redaction import Redactor
from support.reporting.rendering import HISTORY, render
from support.reporting.settling import settle
from support.reporting.table import show
from support.reporting.tally import counts_line
from support.waiting import describe

JUNIT = "junit.xml"
"""The verdicts for a CI server, beside the pages of the report."""


def conclude(
    journal: Path,
    results: Path,
    output: Path,
    redactor: Redactor,
    console: Console,
    *,
    history: Path = HISTORY,
    in_history: bool = False,
    publisher: Publisher | None = None,
) -> int:
    """Say what the run came to, in the report in `output` and on the console; returns the exit status.

    Called once behave is over, however it ended. A report that cannot be written never hides a verdict: the table
    and the status come from the journal alone. `in_history`: it was concluded before, so the history has it already.
    `publisher`: who publishes its metrics.
    """
    record = read(journal)
    status = exit_status(record)
    console.show_cursor()  # a behave that was killed in mid-line has left it hidden
    show(record, console)  # at once: rendering takes a second or two
    try:
        junit.write(record, output / JUNIT)
        settle(results, record, redactor)
        report = render(results, record, output, history, in_history=in_history)
        where = f"report: {report.dashboard} (every scenario: {report.tree})"
    except (AcceptError, OSError, ValueError) as error:
        where = f"no report: {redactor.mask(describe(error))} (the raw results are in {results})"
    console.print(where, markup=False, soft_wrap=True)
    for line in publisher.publish(record, status) if publisher else ():
        console.print(line, markup=False, soft_wrap=True)
    console.print(counts_line(record), markup=False)
    return status
