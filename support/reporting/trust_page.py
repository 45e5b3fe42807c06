"""The trust matrix as a page beside the report: sabotages × promises, and what each failing scenario said."""

import time
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from support.reporting.trust import Heard, Proof, Trust

PAGE = "trust.html"
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


def write_page(trust: Trust, report: Path) -> Path:
    """Write the page into the folder of the report; returns where it is."""
    report.mkdir(parents=True, exist_ok=True)
    page = report / PAGE
    page.write_text(render(trust), encoding="utf-8")
    return page


def render(trust: Trust) -> str:
    """The page."""
    promises = sorted({one.id for one in trust.heard})
    return _TEMPLATES.get_template("trust.html.j2").render(
        trust=trust,
        promises=promises,
        rows=[(proof, [_cell(proof, id) for id in promises]) for proof in trust.proofs],
        covered={id: sum(one.id == id and one.noticed for one in trust.heard) for id in promises},
        colour="passed" if trust.passed else "failed",
        when=time.strftime("%d %B %Y, %H:%M %Z"),
    )


def _cell(proof: Proof, id: str) -> Heard | str | None:
    """What the promise said; "other" where it failed and need not have; None where it was not asked."""
    heard = [one for one in proof.heard if one.id == id]
    if heard:
        return next((one for one in heard if not one.noticed), heard[0])
    return "other" if id in proof.others else None
