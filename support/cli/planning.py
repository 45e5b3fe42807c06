"""`accept run --plan`: what would run."""

from support.cli import behaving
from support.cli.console import out, say
from support.cli.suites import Selection


def show(selection: Selection) -> int:
    """A line for each scenario, in behave's order; the exit status. Raises NothingJudged when there are none."""
    planned = behaving.plan_selection(selection)
    for one in planned:
        out.print(f"{one.location}: {one.name}", markup=False)
    say(f"{len(planned)} scenarios would run")
    return 0
