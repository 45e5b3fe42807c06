"""`accept report`."""

from typing import Annotated

import typer

from support.cli.options import Features, Folders, Metrics, Pipeline, Pushgateway, Summary, metrics_settings


def command(
    folders: Folders = None,
    summary: Summary = None,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Also write the dashboard as PDF (with a Chromium on this machine).")
    ] = False,
    metrics: Metrics = None,
    pushgateway: Pushgateway = None,
    pipeline: Pipeline = None,
    features: Features = None,
) -> None:
    """Render the report of the last run again, print its table, and publish its metrics.

    With folders: report on the runs in them as one run, for example those of several CI jobs. Each folder holds the
    `allure-results` of one run. A run that is missing or was stopped counts as not judged. If a scenario ran more than
    once, its worst verdict counts.
    """
    from support.cli import own
    from support.cli.report import report
    from support.settings import Settings

    own.choose(features)
    settings = Settings.load(metrics_settings(metrics, pushgateway, pipeline))
    raise typer.Exit(report(folders or (), settings, summary, pdf))
