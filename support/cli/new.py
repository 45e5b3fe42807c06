"""`accept new`: a folder for features and steps of the user's own, with a scenario that works.

VS Code's Cucumber extension knows neither behave's types (`{seconds:g}`) nor parameters without one. So its settings
list every parameter of every step, with a regular expression for its values.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from support import own_folder
from support.cli.console import out
from support.cli.steps import Step, all_steps
from support.errors import UsageError
from support.places import PROGRAM_FILE, ROOT, as_seen

TEMPLATE = Path(__file__).parent / "own_template"
_PLACES = {"@PROGRAM@": str(PROGRAM_FILE), "@ACCEPT@": str(ROOT), "@PYTHON@": sys.executable}
"""In the template: the program, where this project is, and the Python that has all that steps import."""
_PARAMETERS = '"@PARAMETERS@"'
"""In the template: the parameters of all steps, for editors."""
WORKSPACE = "accept.code-workspace"
_ANYTHING, _WHOLE, _DECIMAL = ".+", r"[-+]?\d+", r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_TYPES = {"d": _WHOLE, "g": _DECIMAL, "f": _DECIMAL, "n": _DECIMAL, "w": r"\w+", "S": r"\S+"}
"""behave's types of parameters -> their values."""
_MOST_VALUES = 40
"""A parameter with more values than that is free text for the editor, which would list them all."""
_HIDDEN = {"gitignore": ".gitignore", "gitlab-ci.yml": ".gitlab-ci.yml"}
"""Files that are hidden in the folder, and in the template are not: git, for one, would obey them there."""


def update_editor(directory: Path) -> str:
    """Write the settings for VS Code again, with the parameters of the steps in the folder as well.

    Returns what was done.
    """
    folder = own_folder.own_folder(directory, ROOT)
    own_folder.give(folder)
    file = folder.directory / WORKSPACE
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    now = _filled_in((TEMPLATE / WORKSPACE).read_text(encoding="utf-8"))
    if now == before:
        return f"{as_seen(file)} was up to date already: nothing was changed"
    file.write_text(now, encoding="utf-8")
    done = ["updated" if before else "written", *_differences(_parameters_in(before), _parameters_in(now))]
    return f"{as_seen(file)} was {'; '.join(done)}"


def _parameters_in(settings: str) -> Mapping[str, str]:
    """The parameters in settings for VS Code, each with its values; none if they are not as we write them."""
    with suppress(ValueError, LookupError, TypeError):
        return {one["name"]: one["regexp"] for one in json.loads(settings)["settings"]["cucumber.parameterTypes"]}
    return {}


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """How parameters differ, unless there were none: "new parameters: size:w"."""
    if not before:
        return
    changed = [name for name in sorted(before.keys() & now.keys()) if before[name] != now[name]]
    for what, names in (
        ("new parameters", sorted(now.keys() - before.keys())),
        ("parameters with other values", changed),
        ("parameters removed", sorted(before.keys() - now.keys())),
    ):
        if names:
            yield f"{what}: {', '.join(names)}"


def parameter_types(catalogue: Iterable[Step]) -> list[dict[str, str]]:
    """The parameters of the steps, as the setting `cucumber.parameterTypes` has them."""
    patterns = dict[str, set[str]]()
    for step in catalogue:
        kinds = step.kinds
        for inside in re.findall(r"\{([^{}]+)\}", step.wording):
            name, _, type = inside.partition(":")
            pattern = _TYPES.get(type, _ANYTHING)
            if name in kinds and len(kinds[name].values) <= _MOST_VALUES:
                pattern = kinds[name].pattern.replace("\\ ", " ")  # JavaScript knows no escaped space
            patterns.setdefault(inside, set()).add(pattern)
    return [{"name": name, "regexp": "|".join(sorted(found))} for name, found in sorted(patterns.items())]


def make(directory: Path) -> tuple[Path, ...]:
    """Make the folder, and return the files in it.

    Raises UsageError if it is inside this project, or has any of the files already: none is overwritten.
    """
    directory = directory.absolute()
    if directory.resolve().is_relative_to(ROOT.resolve()):
        raise UsageError(f"{directory} is inside this project; features of your own belong elsewhere")
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file; name a folder, which may already exist")
    files = dict(_files(directory))
    if there := [str(path.relative_to(directory)) for path in files if path.exists()]:
        raise UsageError(f"{directory} already has {', '.join(there)}; nothing was written")
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}") from None
    return tuple(files)


def _files(directory: Path) -> Iterator[tuple[Path, str]]:
    for file in sorted(TEMPLATE.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            inside = file.relative_to(TEMPLATE)
            text = _filled_in(file.read_text(encoding="utf-8"))
            yield directory / inside.with_name(_HIDDEN.get(inside.name, inside.name)), text


def _filled_in(text: str) -> str:
    if _PARAMETERS in text:
        text = text.replace(_PARAMETERS, json.dumps(parameter_types(all_steps()), indent=2).replace("\n", "\n    "))
    for mark, place in _PLACES.items():
        text = text.replace(mark, place)
    return text


def show(directory: Path, files: tuple[Path, ...]) -> None:
    """Print what was made, and what to do next."""
    for file in files:
        out.print(str(file.relative_to(directory.absolute())), markup=False)
    folder = directory.absolute()
    out.print(f"\nIt has a scenario that works. To run it:\n  {PROGRAM_FILE} run --features {folder}", markup=False)
    out.print(f"To see the steps that exist:\n  {PROGRAM_FILE} steps --html", markup=False)
    guide = next(file for file in files if file.stem == "README")
    out.print(f"To write your first step, in ten minutes:\n  {guide}", markup=False)
