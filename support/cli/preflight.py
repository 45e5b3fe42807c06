"""What must be right before anything boots: steps, tables, tags, and the user's limits.

What is found here would otherwise be found by a scenario, after the boot, or not at all.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path

from support import own_folder
from support.cli.behave_process import Behave, DryRun, Planned, dry_run, in_a_process
from support.cli.feature_files import LintFinding
from support.cli.paths import FEATURES
from support.cli.step_advice import advice
from support.cli.steps import all_steps, columns_of
from support.cli.suites import SMOKE, Selection
from support.engine.limits import Stated, complaints, stated_by
from support.errors import UsageError
from support.places import as_seen
from support.reporting.promises import listed
from support.reporting.scenario import EPICS, SEVERITIES, from_features
from support.target.capabilities import CAPABILITIES
from support.vocabulary import OWN, suggestion

COSTS = frozenset({"slow", "destructive"})
KNOWN_TAGS = frozenset([*CAPABILITIES, *SEVERITIES, *EPICS, *COSTS, SMOKE])
FREE_TAGS = (OWN, "allure.")
"""The prefixes of tags that mean nothing to the suite: users' own, and those that are passed on to Allure."""
_TAG = re.compile(r"@?([\w.*?\[\]-]+)")
_TAGS_ARE = f"; a tag is a capability, a severity, a suite or a cost, and one of your own begins with @{OWN}"
_OPERATORS = frozenset({"and", "or", "not"})


def require_sound(
    selection: Selection, plan: DryRun, limits: Mapping[str, float], behave: Behave = in_a_process
) -> None:
    """Raises UsageError with a line for each mistake in the selected scenarios, and in the user's limits.

    Scenarios with the same title in one file are a mistake, too: the reports could not tell them apart.
    """
    found = [str(one) for one in (*step_findings(plan), *_tag_findings(plan.scenarios), *_equal(plan.scenarios))]
    if not found and limits:
        paths = (str(FEATURES), *_own_features(), *(path for path in selection.paths if not _is_below_features(path)))
        everything = dry_run([path for path in paths if Path(path).exists()], behave)
        found += complaints(limits, limits_by_id(everything.scenarios))
    if found:
        raise UsageError("\n".join(dict.fromkeys(found)))


def require_known_tags(selection: Selection) -> None:
    """Raises UsageError if a tag expression of the command line names a tag that no scenario can have."""
    unknown = [tag for expression in selection.tags for tag in _tags_of(expression) if not _is_known(tag, KNOWN_TAGS)]
    if not unknown:
        return
    everything = (str(FEATURES), *_own_features(), *selection.paths)
    there = [path for path in everything if Path(path.partition(":")[0]).exists()]
    plan = dry_run([path for path in there if path == str(FEATURES) or not _is_below_features(path)])
    known = {*KNOWN_TAGS, *(f"id.{id}" for id in _listed()), *(t for one in plan.scenarios for t in one.tags)}
    wrong = [
        f"--tags: no scenario has the tag @{tag}{_meant(tag, known)}" for tag in unknown if not _is_known(tag, known)
    ]
    if wrong:
        raise UsageError("\n".join(dict.fromkeys(wrong)))


def step_findings(plan: DryRun) -> Iterator[LintFinding]:
    """Steps without a step function, tables that do not fit theirs, and limits of one scenario with the same name."""
    catalogue = all_steps() if plan.undefined else ()
    first = dict[str, str]()  # sentence -> where it was told what to do about it
    for undefined in plan.undefined:
        sentence, at = undefined.step, undefined.location
        before = first.setdefault(sentence, at)
        what = f", as at {as_seen(Path(before))}" if before != at else advice(sentence, at, catalogue)
        yield LintFinding.at(at, f"undefined step {sentence!r}{what}")
    if plan.undefined:
        return  # behave's report has wrong functions for the steps after one that is undefined
    for scenario in plan.scenarios:
        for step in scenario.steps:
            file, _, line = step.function.rpartition(":")
            if file and (columns := columns_of(Path(file), int(line))) is not None:
                headings, *rows = step.table or ((),)
                for text in columns.misfits(headings, rows):
                    yield LintFinding.at(step.location, text)
        values = defaultdict[str, set[float]](set)
        for one in limits_of(scenario):
            values[one.measure].add(one.value)
        for measure, several in values.items():
            if len(several) > 1:
                yield LintFinding.at(
                    scenario.location,
                    f"two limits of this scenario are called {measure!r}; in [limits] they could not be told apart",
                )


def limits_of(scenario: Planned) -> tuple[Stated, ...]:
    """The limits that the steps of a scenario state."""
    found = list[Stated]()
    for step in scenario.steps:
        file, _, line = step.function.rpartition(":")
        if file:
            found += stated_by(Path(file), int(line), step.arguments)
    return tuple(found)


def limits_by_id(scenarios: Iterable[Planned]) -> Mapping[str, Sequence[Stated]]:
    """The limits that the scenarios of each promise state, by its id."""
    found = dict[str, list[Stated]]()
    for scenario in scenarios:
        for id in scenario.ids:
            found.setdefault(id, []).extend(limits_of(scenario))
    return found


def unknown_tag(tag: str) -> str:
    """What is wrong with a scenario's tag; empty if it is known. Ids of promises are checked elsewhere."""
    if tag in KNOWN_TAGS or tag.startswith(("id.", *FREE_TAGS)):
        return ""
    return f"unknown tag @{tag}{_meant(tag, KNOWN_TAGS) or _TAGS_ARE}"


def _tag_findings(scenarios: Iterable[Planned]) -> Iterator[LintFinding]:
    ids = _listed()
    for scenario in scenarios:
        for tag in sorted(scenario.tags):
            if text := unknown_tag(tag):
                yield LintFinding.at(scenario.location, text)
        if ids:
            for id in sorted(scenario.ids - ids):
                text = f"@id.{id} is not in the list of promises{_meant(f'id.{id}', [f'id.{one}' for one in ids])}"
                yield LintFinding.at(scenario.location, text)


def _equal(scenarios: Iterable[Planned]) -> Iterator[LintFinding]:
    """Scenarios that reports could not tell apart: the verdict on one would hide the verdict on the other."""
    texts, first = dict[Path, list[str]](), dict[tuple[str, str, tuple[str, ...]], tuple[Path, int]]()
    for scenario in scenarios:
        name, _, line = scenario.location.rpartition(":")
        file, number = Path(name).resolve(), int(line)
        if file not in texts:
            texts[file] = file.read_text(encoding="utf-8").splitlines()
        row = _row(texts[file], number)
        place = first.setdefault((from_features(file), scenario.name, row), (file, number))
        if place != (file, number):
            what = f"the same row of {scenario.name!r}" if row else f"the title {scenario.name!r}"
            text = f"{what} is already used at {as_seen(place[0])}:{place[1]}; reports could not tell them apart"
            yield LintFinding.at(scenario.location, text)


def _row(lines: Sequence[str], number: int) -> tuple[str, ...]:
    """The headings and cells of the outline row on that line, as written; empty for a plain scenario."""
    if not lines[number - 1].lstrip().startswith("|"):
        return ()
    above = takewhile(lambda line: not line or line.startswith(("|", "#")), map(str.strip, lines[number - 1 :: -1]))
    rows = [line for line in above if line.startswith("|")]
    return tuple(" ".join(line.split()) for line in (rows[-1], rows[0]))


def _listed() -> frozenset[str]:
    """The ids of our promises, and of those in the user's own folder."""
    own = own_folder.given()
    return listed(FEATURES) | (listed(own.features) if own else frozenset())


def _own_features() -> tuple[str, ...]:
    own = own_folder.given()
    return (str(own.features),) if own else ()


def _tags_of(expression: str) -> list[str]:
    return [tag for tag in _TAG.findall(expression) if tag not in _OPERATORS]


def _is_known(tag: str, known: Collection[str]) -> bool:
    """Whether it is one of the known tags, or a pattern for some of them."""
    return any(fnmatchcase(one, tag) for one in known)


def _meant(tag: str, known: Iterable[str]) -> str:
    return suggestion(tag, known, "@{}")


def _is_below_features(path: str) -> bool:
    return FEATURES.resolve() in (file := Path(path.partition(":")[0]).resolve()).parents or file == FEATURES.resolve()
