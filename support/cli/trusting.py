"""The end of `accept prove`: the trust matrix, as a table and as a page beside the report; the exit status."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from rich.table import Column, Table

from support.cli.console import out
from support.cli.places import REPORT, RESULTS
from support.cli.report import JOURNAL
from support.errors import AcceptError
from support.reporting import journal
from support.reporting.rendering import render
from support.reporting.trust import Proof, Trust, read
from support.reporting.trust_page import write_page
from support.sabotage.catalogue import SABOTAGES


def conclude(noted: Path, seconds: float) -> int:
    """Show what was found, write the page, and say whether the suite can be trusted."""
    trust = replace(read(noted), seconds=seconds)
    show(trust)
    page = write_page(trust, REPORT)
    _link_from_dashboard()
    out.print(f"trust matrix: {page}", markup=False, soft_wrap=True)
    out.print(trust.score, markup=False, style="green" if trust.passed else "red")
    return 0 if trust.passed else 1


def _link_from_dashboard() -> None:
    """The report of the last run, if there is one, is rendered once more, now that there is something to link to."""
    if JOURNAL.exists() and RESULTS.exists():
        with suppress(AcceptError, OSError, ValueError):
            render(RESULTS, journal.read(JOURNAL), REPORT, in_history=True)


def show(trust: Trust) -> None:
    """The matrix for a terminal: a line a sabotage, and the promises that must notice it."""
    table = Table("part", Column("sabotage", no_wrap=True), "noticed by", "not noticed by", "seconds", box=None)
    for proof in trust.proofs:
        table.add_row(proof.part, proof.sabotage, *_who(proof), f"{proof.seconds:.0f}")
    out.print(table)
    for proof in trust.proofs:
        if proof.failed:
            out.print(f"{proof.sabotage}: {proof.failed}", markup=False, style="red")
        for one in proof.heard:
            if not one.noticed:
                out.print(f"{proof.sabotage}, {one.id}: {one.verdict}: {one.message}", markup=False, style="red")
    for alarm in trust.alarms:
        out.print(f"false alarm: {alarm}", markup=False, style="red")
    for id, why in trust.uncovered.items():
        out.print(f"not covered: {id}: {why}", markup=False, style="red")
    for name in trust.missing:
        out.print(f"not come to: {name}", markup=False, style="red")
    for name, why in trust.passed_over.items():
        out.print(f"passed over: {name}: {why}", markup=False, style="yellow")


def _who(proof: Proof) -> tuple[str, str]:
    noticed = [one.id for one in proof.heard if one.noticed] + [f"({id})" for id in proof.others]
    return " ".join(noticed), f"[red]{' '.join(one.id for one in proof.heard if not one.noticed)}[/]"


def catalogue() -> None:
    """Every sabotage there is, what it breaks, and who must notice."""
    for one in SABOTAGES.values():
        out.print(f"[bold]{one.name}[/]  {' '.join(one.ids)}")
        out.print(f"    {one.words}", markup=False)
