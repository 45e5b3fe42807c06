"""`--features`: scenarios and steps that the user keeps in a folder of his own, and what can be wrong with them."""

import importlib.machinery
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from support import own_folder, places
from support.cli import paths, suites, undefined_names
from support.cli.feature_files import LintFinding
from support.cli.paths import FEATURES, STEPS
from support.cli.steps import matching, own_steps, steps
from support.cli.suites import Selection
from support.errors import UsageError
from support.own_folder import OwnFolder
from support.reporting.promises import load
from support.vocabulary import suggestion

if TYPE_CHECKING:
    from support.sabotage.sabotage import Notice

_OUR_MODULES = ("support", "steps", "features", "environment")


def choose(features: Path | None) -> OwnFolder | None:
    """The folder that `--features` names; this process, and all that it starts, know it from now on."""
    if features is None:
        return None
    own = own_folder.own_folder(paths.from_command_line(features), places.ROOT)
    own_folder.give(own)
    return own


def adopt(selection: Selection, own: OwnFolder | None) -> OwnFolder | None:
    """The folder to which the selected files belong that are outside of this project.

    Raises UsageError if they belong to several folders, or to none.
    """
    for path in suites.outside(selection):
        folder = path.parent if path.name == own_folder.FEATURES else own_folder.folder_of(path)
        if own is None:
            own = own_folder.own_folder(folder, places.ROOT)
            own_folder.give(own)
        elif folder.resolve() != own.directory.resolve():
            raise UsageError(f"{path} is not in {own.directory}; a run can have one folder beside this project")
    return own


def require_fitting(own: OwnFolder | None) -> None:
    """Raises UsageError with a line for each clash between the user's folder, if there is one, and this project."""
    if own is not None and (found := [str(one) for one in findings(own)]):
        raise UsageError("\n".join(found))


def findings(own: OwnFolder) -> Iterator[LintFinding]:
    """What would make the folder's features or steps clash with ours."""
    yield from _paths_that_clash(own)
    yield from _ids_that_clash(own)
    yield from _modules_that_clash(own)
    yield from _wordings_that_clash(own)


def _paths_that_clash(own: OwnFolder) -> Iterator[LintFinding]:
    for file in own.feature_files:
        inside = file.relative_to(own.features)
        if (FEATURES / inside).exists():
            text = f"{FEATURES / inside} is already a feature of the suite; a report needs different names"
            yield LintFinding(file, 1, text)


def _ids_that_clash(own: OwnFolder) -> Iterator[LintFinding]:
    if not own.promises.exists():
        return
    try:
        ours, theirs = load(FEATURES / own_folder.PROMISES), load(own.promises)
    except UsageError as error:
        yield from (LintFinding.of_message(own.promises, line) for line in str(error).splitlines())
        return
    for id in sorted(ours.keys() & theirs.keys()):
        text = f"{id} is already a promise of the suite: {ours[id].sentence} Choose another id"
        yield LintFinding(own.promises, theirs[id].line, text)


def _modules_that_clash(own: OwnFolder) -> Iterator[LintFinding]:
    """While steps load, their folder comes first on Python's path, so a file there can hide a package."""
    known = {*sys.stdlib_module_names, *_OUR_MODULES}
    for file in (file for folder in own.step_folders for file in sorted(folder.glob("*.py"))):
        if file.stem in known or importlib.machinery.PathFinder.find_spec(file.stem):
            yield LintFinding(file, 1, f"it hides the module {file.stem!r}; call it {file.stem}_steps.py")


def sabotage_findings(own: OwnFolder, titles: Mapping[str, Sequence[str]]) -> Iterator[LintFinding]:
    """What is wrong with the folder's sabotages. `titles`: those of each promise's scenarios, by its id.

    If they cannot be imported, that alone: a name that is defined nowhere may be one that was not imported.
    """
    if not own.sabotages.exists():
        return
    from support.sabotage import catalogue  # half a second, which a folder without sabotages need not spend

    try:
        found = catalogue.own_sabotages(own.sabotages)
    except UsageError as error:
        yield LintFinding.of_message(own.sabotages, str(error))
        return
    yield from undefined_names.of_file(own.sabotages)
    for sabotage in found:
        line = catalogue.line_of(sabotage.name, own.sabotages)
        for notice in sabotage.noticed_by:
            if what := _wrong_notice(notice, titles):
                yield LintFinding(own.sabotages, line, f"{sabotage.name}: {what}")


def _wrong_notice(notice: "Notice", titles: Mapping[str, Sequence[str]]) -> str:
    """Why no scenario can notice that; empty if one can."""
    if notice.id not in titles:
        return f"no scenario has the tag @id.{notice.id}{suggestion(notice.id, titles)}"
    if not any(notice.scenario in one or "<" in one for one in titles[notice.id]):  # that of an outline has parameters
        return f"no scenario of {notice.id} has {notice.scenario!r} in its title"
    try:
        re.compile(notice.pattern)
    except re.error as error:
        return f"the message {notice.pattern!r} is not a regular expression: {error}"
    return ""


def _wordings_that_clash(own: OwnFolder) -> Iterator[LintFinding]:
    ours = steps(STEPS)
    for step in own_steps(own):
        same = [
            one
            for one in matching(step.wording, ours)
            if one.keyword == step.keyword or "step" in (one.keyword, step.keyword)
        ]
        for other in same[:1]:
            text = f"the wording {step.wording!r} is already that of {other.file}:{other.line}; use that step"
            yield LintFinding(step.file, step.line, f"{text}, or find other words")
