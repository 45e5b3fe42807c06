"""The commands that show what runs have found: `accept report` and `accept compare`; main.py adds them."""

from typing import Annotated

import typer

from support.cli.options import Folders, Metrics, Pipeline, Pushgateway, Summary, metrics_settings


def report(
    folders: Folders = None,
    summary: Summary = None,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Also write the dashboard as PDF (with a Chromium on this machine).")
    ] = False,
    metrics: Metrics = None,
    pushgateway: Pushgateway = None,
    pipeline: Pipeline = None,
) -> None:
    """Render the report of the last run again, print its table, and publish its metrics.

    With folders: report on the runs in them as one run, for example those of several CI jobs. Each folder holds the
    `allure-results` of one run. A run that is missing or was stopped counts as not judged. If a scenario ran more than
    once, its worst verdict counts.
    """
    from support.cli import report
    from support.settings import Settings

    settings = Settings.load(metrics_settings(metrics, pushgateway, pipeline))
    raise typer.Exit(report.report(folders or (), settings, summary, pdf))


def compare(
    before: Annotated[str, typer.Argument(metavar="RUN", help="A folder with a run, or last, last~1, last~9..5.")],
    now: Annotated[str, typer.Argument(metavar="RUN", help="The run, or runs, to compare with it.")],
    everything: Annotated[bool, typer.Option("--all", help="Print the figures that do not differ, too.")] = False,
) -> None:
    """Compare verdicts and figures of two runs, versions or clusters, and separate changes from noise.

    A folder may hold several runs: it takes 5 on each side to be sure. Exits with 1 if something got significantly
    worse."""
    from support.cli import compare

    raise typer.Exit(compare.show(before, now, everything))
