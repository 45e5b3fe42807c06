"""`accept lint`: how the scenarios are written, which promises they prove, and whether each step means one thing."""

from collections.abc import Sequence
from pathlib import Path

from support.cli import behaving, gherkin_rules, promises
from support.cli.console import out, say
from support.cli.gherkin_rules import Finding
from support.cli.places import FEATURES
from support.errors import UsageError


def lint(folder: Path = FEATURES) -> tuple[Finding, ...]:
    """All findings against the feature files of a folder, by file and line."""
    files = sorted(folder.rglob("*.feature"))
    outlines, findings = gherkin_rules.read(files)
    if not findings:
        found = (*gherkin_rules.check(outlines), *promises.findings(folder, outlines))
        findings = (*found, *_steps_without_meaning(folder))
    return tuple(sorted(findings, key=lambda finding: (str(finding.file), finding.line)))


def show(findings: Sequence[Finding]) -> int:
    """A line for each; the exit status."""
    for finding in findings:
        out.print(str(finding), markup=False)
    say(f"findings: {len(findings)}" if findings else "nothing found against the scenarios")
    return 1 if findings else 0


def _steps_without_meaning(folder: Path) -> tuple[Finding, ...]:
    """Undefined steps, by behave's dry run; ambiguous ones end it before it begins."""
    try:
        undefined = behaving.plan([str(folder)]).undefined
    except UsageError as error:
        return (Finding(folder, 0, str(error)),)
    return tuple(
        Finding(Path(file), int(line), f"no step is worded {one.step!r}")
        for one in undefined
        for file, _, line in [one.location.rpartition(":")]
    )
