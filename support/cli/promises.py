"""`accept promises`: what the cluster promises, searched; its page of the documentation; what `accept lint` checks."""

import difflib
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.cli import gherkin_rules
from support.cli.console import complain, out, say
from support.cli.gherkin_rules import Finding, Outline
from support.cli.places import FEATURES
from support.errors import UsageError
from support.reporting.markdown import plain
from support.reporting.promises import FILE, Promise, load
from support.reporting.scenario import EPICS, SEVERITIES
from support.sabotage.catalogue import SABOTAGES
from support.target.capabilities import CAPABILITIES

_WORD = re.compile(r"\w+")

HEAD = """\
# The promises

What the cluster is held to, by capability. A promise is judged by the scenarios beside it, on a target that has what
they need. The last column is what shows that they can fail: `./accept prove` breaks the cluster by each of these
sabotages, and the scenarios must notice. "none" is a promise that no sabotage breaks so far.

Limits are the defaults. A target that lacks what a scenario needs gets no verdict on it: the promise is "not judged",
and the report says what is missing. `./accept promises failover` searches this list, `./accept run --tags @id.FO-01`
judges one promise, `./accept prove FO-01` shows that it can fail.

Do not edit this page. It is generated from `features/promises.toml`, the feature files and the sabotages:
`./accept promises --markdown > docs/promises.md`.
"""


@dataclass(frozen=True)
class Listed:
    """A promise with the scenarios that prove it."""

    promise: Promise
    scenarios: tuple[Outline, ...]

    @property
    def epic(self) -> str:
        """Its capability, as the report names it."""
        return EPICS[self.promise.capability]

    @property
    def text(self) -> str:
        """All that a search looks at."""
        one = self.promise
        titles = " ".join(scenario.name for scenario in self.scenarios)
        return f"{one.id} {one.capability} {self.epic} {one.severity} {one.sentence} {titles}".lower()


def listed(folder: Path = FEATURES) -> tuple[Listed, ...]:
    """Every promise, in the order of the file. Raises UsageError when the file or a feature cannot be read."""
    outlines, unreadable = gherkin_rules.read(sorted(folder.rglob("*.feature")))
    if unreadable:
        raise UsageError("\n".join(map(str, unreadable)))
    scenarios = _by_id(outlines)
    return tuple(Listed(one, tuple(scenarios.get(one.id, ()))) for one in load(folder / FILE).values())


def search(words: str, among: Sequence[Listed]) -> tuple[Listed, ...]:
    """Those promises that speak of all of the words, in any order."""
    return tuple(one for one in among if all(word in one.text for word in words.lower().split()))


def carry_out(words: str, as_markdown: bool) -> int:
    """Print the promises that speak of the words, or the page of all of them; the exit status."""
    if as_markdown:
        if words:
            raise UsageError(f"--markdown writes the page of all promises; leave out {words!r}, or --markdown")
        sys.stdout.write(markdown(listed()))
        return 0
    everything = listed()
    found = search(words, everything)
    for one in found:
        scenarios = _counted(len(one.scenarios), "scenario")
        out.print(f"{one.promise.id}  {one.epic}, {one.promise.severity}, {scenarios}", style="bold", markup=False)
        out.print(f"    {one.promise.sentence}", markup=False)
    if found:
        say(_counted(len(found), "promise"))
        return 0
    complain(f"no promise speaks of {words!r}{_meant(words, everything)}; ./accept promises lists all of them")
    return 1


def findings(folder: Path, outlines: Sequence[Outline]) -> Iterator[Finding]:
    """What does not agree between the list of promises and the scenarios."""
    path = folder / FILE
    try:
        promises = load(path)
    except UsageError as error:
        for line in str(error).splitlines():
            yield _finding(path, line)
        return
    scenarios = _by_id(outlines)
    for promise in promises.values():
        if promise.id not in scenarios:
            yield Finding(path, promise.line, f"{promise.id} has no scenario: tag one @id.{promise.id}, or remove it")
    for id, proving in scenarios.items():
        for outline in proving:
            known = promises.get(id)
            if known is None:
                yield outline.finding(f"@id.{id} is not listed in {path}: add [{id}] there, or correct the tag")
            else:
                yield from _disagreements(outline, known, path)


def markdown(promises: Sequence[Listed]) -> str:
    """The page of the documentation: a table for each capability."""
    return "\n".join([HEAD, *(line for capability in EPICS for line in _section(capability, promises))])


def _by_id(outlines: Sequence[Outline]) -> Mapping[str, list[Outline]]:
    found: dict[str, list[Outline]] = defaultdict(list)
    for outline in outlines:
        if outline.id:
            found[outline.id].append(outline)
    return found


def _disagreements(outline: Outline, promise: Promise, path: Path) -> Iterator[Finding]:
    severity = outline.severity
    if severity and SEVERITIES.index(severity) < SEVERITIES.index(promise.severity):
        yield outline.finding(f"@{severity} is above the severity of {promise.id} in {path}, {promise.severity}")
    if outline.file.parent.name != promise.capability:
        yield outline.finding(f"{promise.id} belongs to {promise.capability!r} in {path}, and so do its scenarios")


def _finding(path: Path, line: str) -> Finding:
    """A complaint of the loader's, at its line."""
    at, _, text = line.removeprefix(f"{path}:").partition(":")
    return Finding(path, int(at), text.strip()) if at.isdigit() else Finding(path, 1, f"{at}:{text}".strip(": "))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _meant(words: str, among: Sequence[Listed]) -> str:
    """A word that is known, for the first one that no promise has."""
    vocabulary = {word for one in among for word in _WORD.findall(one.text)}
    for word in words.lower().split():
        if not any(word in one.text for one in among):
            near = difflib.get_close_matches(word, sorted(vocabulary), 1)
            return f" (did you mean {near[0]!r}?)" if near else ""
    return ""


def _section(capability: str, promises: Sequence[Listed]) -> Iterator[str]:
    yield f"## {EPICS[capability]}\n"
    yield _row("id", "promise", "scenarios", "what the target needs", "sabotages that show that it can fail")
    yield _row(*["---"] * 5)
    for one in promises:
        if one.promise.capability == capability:
            titles = [plain(scenario.name) for scenario in one.scenarios]
            sentence = f"{plain(one.promise.sentence)} *({one.promise.severity})*"
            yield _row(one.promise.id, sentence, _cell(titles), _cell(_needs(one.scenarios)), _cell(_sabotages(one)))
    yield ""


def _needs(scenarios: Sequence[Outline]) -> list[str]:
    """The capabilities that all of the scenarios need, then those that only some of them do."""
    each = [need for scenario in scenarios for need in _needs_of(scenario)] or [frozenset[str]()]
    everywhere, somewhere = frozenset[str].intersection(*each), frozenset[str].union(*each)
    words = [plain(meaning) for name, meaning in CAPABILITIES.items() if name in everywhere]
    more = [plain(meaning) for name, meaning in CAPABILITIES.items() if name in somewhere - everywhere]
    return [*(words or ["a database and a login"]), *(f"in part: {one}" for one in more)]


def _needs_of(scenario: Outline) -> Iterator[frozenset[str]]:
    """What each table of examples needs; of a plain scenario, what it needs."""
    of_examples = {tag for tags in scenario.examples for tag in tags}
    own = frozenset(CAPABILITIES).intersection(scenario.tags) - of_examples
    for tags in scenario.examples or ((),):
        yield own.union(set(tags).intersection(CAPABILITIES))


def _sabotages(one: Listed) -> list[str]:
    id = one.promise.id
    return [
        f"`{sabotage.name}`: {plain(sabotage.words)}"
        for sabotage in SABOTAGES.values()
        if any(notice.id == id and not notice.skipped for notice in sabotage.noticed_by)
    ] or ["none"]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(lines: Sequence[str]) -> str:
    return "<br>".join(lines)
