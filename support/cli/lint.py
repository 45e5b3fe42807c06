"""`accept lint`: the rules for feature files, the list of promises, and steps and their values.

A rule is a function from all scenarios to its findings.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from support.cli import undefined_names
from support.cli.behave_process import CannotLoad, Planned, dry_run
from support.cli.capability_needs import untagged
from support.cli.console import out, say
from support.cli.feature_files import Line, LintFinding, Outline, read
from support.cli.handed_over import lacking
from support.cli.own import findings as clashes
from support.cli.own import sabotage_findings
from support.cli.paths import FEATURES
from support.cli.preflight import limits_by_id, step_findings, unknown_tag
from support.cli.steps import all_steps
from support.engine.limits import complaints
from support.errors import UsageError
from support.own_folder import OwnFolder
from support.reporting import on_call
from support.reporting.promises import FILE, Promise, load
from support.reporting.scenario import SEVERITIES
from support.settings import Settings, settings_file
from support.target.capabilities import CAPABILITIES
from support.vocabulary import counted

ID = re.compile(r"^@id\.[A-Z]{2}-\d{2}$")
MOST_STEPS = 8
_OF_LIMIT = re.compile(r'\[limits\] "([^"]+)"')
# Technical details that do not belong in a scenario, such as addresses and SQL.
TECHNICAL = (
    (re.compile(r"\w+://"), "a URL"),
    (re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b|:\d{4,5}\b|\bport \d+"), "an address or a port"),
    (
        re.compile(r"\b(SELECT .+ FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM|CREATE TABLE)\b"),
        "SQL (allowed only in a docstring)",
    ),
)


Rule = Callable[[tuple[Outline, ...]], Iterator[LintFinding]]


def check(outlines: tuple[Outline, ...]) -> tuple[LintFinding, ...]:
    """The findings of all rules."""
    return tuple(finding for rule in RULES for finding in rule(outlines))


def _titles_are_unique(outlines: tuple[Outline, ...]) -> Iterator[LintFinding]:
    titles: dict[str, list[Outline]] = defaultdict(list)
    features: dict[str, set[Path]] = defaultdict(set)
    for outline in outlines:
        titles[outline.name].append(outline)
        features[outline.feature].add(outline.file)
    for title, same in titles.items():
        for outline in same[1:]:
            yield outline.finding(f"the title {title!r} is already used at {same[0].file}:{same[0].line}")
    for name, files in features.items():
        for file in sorted(files)[1:]:
            yield LintFinding(file, 1, f"the feature name {name!r} is already used in {min(files)}")


def _scenarios_prove_one_promise(outlines: tuple[Outline, ...]) -> Iterator[LintFinding]:
    for outline in outlines:
        ids = [f"@{tag}" for tag in outline.tags if tag.startswith("id.")]
        if len(ids) != 1:
            yield outline.finding(
                f"a scenario needs exactly one id, such as @id.FO-01; this one has {', '.join(ids) or 'none'}"
            )
        for one in ids:
            if not ID.match(one):
                yield outline.finding(f"{one} is not a valid id; write it like @id.FO-01")


def _tags_are_known(outlines: tuple[Outline, ...]) -> Iterator[LintFinding]:
    for outline in outlines:
        if not set(SEVERITIES).intersection(outline.tags):
            yield outline.finding(f"a scenario or its feature needs a severity: @{', @'.join(SEVERITIES)}")
        for tag in outline.tags:
            if text := unknown_tag(tag):
                yield outline.finding(text)


def _scenarios_show_one_behaviour(outlines: tuple[Outline, ...]) -> Iterator[LintFinding]:
    for outline in outlines:
        whens = [step for step in outline.steps if step.kind == "Action"]
        if len(whens) > 1:
            yield outline.finding("a second When; describe one behaviour per scenario", whens[1].line)
        if not any(step.kind == "Outcome" for step in outline.steps):
            yield outline.finding("no Then; the scenario claims nothing")
        if len(outline.steps) > MOST_STEPS:
            yield outline.finding(
                f"{len(outline.steps)} steps; use at most {MOST_STEPS}, so that the claim stays visible"
            )


def _wording_is_not_technical(outlines: tuple[Outline, ...]) -> Iterator[LintFinding]:
    for outline in outlines:
        for step in (Line("", outline.name, outline.line), *outline.steps):
            for pattern, what in TECHNICAL:
                if pattern.search(step.text):
                    yield outline.finding(f"{what} in {step.text!r}; scenarios say what the user sees", step.line)


RULES: tuple[Rule, ...] = (
    _titles_are_unique,
    _scenarios_prove_one_promise,
    _tags_are_known,
    _scenarios_show_one_behaviour,
    _wording_is_not_technical,
)


def lint(own: OwnFolder | None = None) -> tuple[LintFinding, ...]:
    """All findings about our feature files, and those in the user's own folder, by file and line."""
    outlines, findings = read((*sorted(FEATURES.rglob("*.feature")), *(own.feature_files if own else ())))
    if own is not None and not findings:
        findings = tuple(clashes(own))
    if not findings:
        lists = (*check_promises(FEATURES, outlines, own), *check_guides(FEATURES, own))
        titles = {id: [one.name for one in those] for id, those in by_promise(outlines).items()}
        sabotages = sabotage_findings(own, titles) if own is not None else ()
        findings = (*check(outlines), *lists, *sabotages, *_of_steps(own))
    return tuple(sorted(findings, key=lambda finding: (str(finding.file), finding.line)))


def show(findings: Sequence[LintFinding], own: OwnFolder | None = None) -> int:
    """Print the findings, one per line, and return the exit status."""
    for finding in findings:
        out.print(str(finding), markup=False)
    for note in notes(FEATURES, own):
        say(note)
    say(counted(len(findings), "finding") if findings else "no findings")
    return 1 if findings else 0


def by_promise(outlines: Sequence[Outline]) -> Mapping[str, list[Outline]]:
    """The scenarios of each promise, by its id."""
    found: dict[str, list[Outline]] = defaultdict(list)
    for outline in outlines:
        if outline.id:
            found[outline.id].append(outline)
    return found


def check_promises(folder: Path, outlines: Sequence[Outline], own: OwnFolder | None = None) -> Iterator[LintFinding]:
    """Where the list of promises, and the user's own list, do not agree with the scenarios."""
    path = folder / FILE
    try:
        promises = load(path)
        theirs = load(own.promises) if own is not None and own.promises.exists() else {}
    except UsageError as error:
        for line in str(error).splitlines():
            yield LintFinding.of_message(path, line)
        return
    scenarios = by_promise(outlines)
    for promise in promises.values():
        if promise.id not in scenarios:
            yield LintFinding(
                path, promise.line, f"{promise.id} has no scenario; tag one @id.{promise.id}, or remove it"
            )
    for promise in theirs.values():
        if own is not None and promise.id not in scenarios:
            text = f"{promise.id} has no scenario; tag one @id.{promise.id}, or remove it"
            yield LintFinding(own.promises, promise.line, text)
    for id, proving in scenarios.items():
        for outline in proving:
            known = promises.get(id) or theirs.get(id)
            inside = own is not None and outline.file.is_relative_to(own.features)
            list_of = own.promises if own is not None and (id in theirs or (inside and known is None)) else path
            if known is None:
                yield outline.finding(f"@id.{id} is not listed in {list_of}; add [{id}] there, or correct the tag")
            else:
                yield from _disagreements(outline, known, list_of)


def check_guides(folder: Path, own: OwnFolder | None = None) -> Iterator[LintFinding]:
    """What is wrong with the guides for the on-call engineer, ours and those of the user's own folder."""
    yield from _of_guides(folder / on_call.FILE, [folder / FILE])
    if own is not None:
        yield from _of_guides(own.guides, [folder / FILE, *_list_of(own)])


def _of_guides(path: Path, lists: Sequence[Path]) -> Iterator[LintFinding]:
    """What is wrong with a file of guides, which may be about the promises of these lists."""
    try:
        guides = on_call.load(path)
    except UsageError as error:
        yield from (LintFinding(path, 1, line.removeprefix(f"{path}: ")) for line in str(error).splitlines())
        return
    try:
        promises = {id: one for each in lists for id, one in load(each).items()}
    except UsageError:
        return  # mistakes in the lists of promises are reported by a separate rule
    lines = path.read_text(encoding="utf-8").splitlines() if guides else []

    def at(about: str) -> int:
        return lines.index(f"[{about}]") + 1 if f"[{about}]" in lines else 1

    for about in on_call.unknown(guides, promises):
        yield LintFinding(path, at(about), on_call.UNKNOWN.format(about))
    for about, id in on_call.unknown_causes(guides, promises):
        yield LintFinding(path, at(about), f"[{about}]: first: {id} is not in {' or '.join(map(str, lists))}")


def _list_of(own: OwnFolder) -> list[Path]:
    """The user's own list of promises, if there is one."""
    return [own.promises] if own.promises.exists() else []


def notes(folder: Path, own: OwnFolder | None = None) -> Iterator[str]:
    """What is worth knowing and no mistake. The user's own folder need not have guides."""
    yield from _without_guide([folder / on_call.FILE], folder / FILE)
    if own is not None and own.guides.exists():
        for each in _list_of(own):
            yield from _without_guide([folder / on_call.FILE, own.guides], each)


def _without_guide(guides: Sequence[Path], listed: Path) -> Iterator[str]:
    """Which promises of a list have no guide but their capability's. New ones belong in the last file of `guides`."""
    try:
        general = on_call.only_general(on_call.load_all(guides), load(listed))
    except UsageError:
        return
    if general:
        yield f"note: {guides[-1]} has no guide for {', '.join(general)}: the report shows that of the capability"


def _disagreements(outline: Outline, promise: Promise, path: Path) -> Iterator[LintFinding]:
    severity = outline.severity
    if severity and SEVERITIES.index(severity) < SEVERITIES.index(promise.severity):
        yield outline.finding(f"@{severity} is more severe than {promise.id} in {path}, which is {promise.severity}")
    if outline.file.parent.name != promise.capability:
        yield outline.finding(
            f"{promise.id} belongs to {promise.capability!r} in {path}; move the scenario to that folder"
        )


def _of_steps(own: OwnFolder | None) -> tuple[LintFinding, ...]:
    """What is wrong with steps, their tables, their order and their limits, by behave's dry run.

    If it cannot load the steps, that alone: what else would be found may follow from it.
    """
    try:
        plan = dry_run([str(FEATURES), *([str(own.features)] if own else [])])
        found = tuple(step_findings(plan))
    except CannotLoad as error:
        return (LintFinding.of_told(str(error), FEATURES),)
    except UsageError as error:
        return (LintFinding(FEATURES, 0, str(error)),)
    found += tuple(_undocumented())
    found += tuple(undefined_names.findings(own)) if own is not None else ()
    if not plan.undefined:  # else behave's report has wrong functions
        found += tuple(chain.from_iterable(map(_unmet, plan.scenarios)))
        found += tuple(_wrong_limits(plan.scenarios))
    return tuple(dict.fromkeys(found))


def _undocumented() -> Iterator[LintFinding]:
    """Steps without a docstring, which is what the catalogue shows of them."""
    for step in all_steps():
        if not step.meaning:
            text = "the step has no docstring, which is its entry in ./accept steps: say what it does or judges, over"
            yield LintFinding(step.file, step.line, f"{text} what period, and how that is observed")


def _wrong_limits(scenarios: Sequence[Planned]) -> Iterator[LintFinding]:
    """What is wrong with the [limits] in accept.toml, which `run` would refuse."""
    file = settings_file()
    try:
        limits = Settings.limits_in_file()
        wrong = [*complaints(limits, limits_by_id(scenarios))] if limits else []
    except UsageError as error:
        wrong = str(error).splitlines()
    for text in wrong:
        yield LintFinding(file, _line_of_limit(file, text), text)


def _line_of_limit(file: Path, complaint: str) -> int:
    """Where the limit is written that a complaint begins with."""
    lines = file.read_text(encoding="utf-8").splitlines()
    names = [re.sub(r"[\s\"']", "", line.partition("=")[0]) for line in lines]
    named = _OF_LIMIT.match(complaint)
    return names.index(named[1]) + 1 if named and named[1] in names else 1


def _unmet(scenario: Planned) -> Iterator[LintFinding]:
    """What the steps of a scenario need, and neither an earlier step nor a tag provides."""
    for step, value in lacking(scenario):
        yield LintFinding.at(step.location, f"no earlier step of the scenario provides {value.words}")
    for step, name in untagged(scenario):
        text = f"this step needs {CAPABILITIES[name]}; tag the scenario, or its feature, @{name}"
        yield LintFinding.at(step.location, text)
