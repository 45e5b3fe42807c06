"""Mistakes in the code of steps, ours and the user's: where they are, and what is told about them."""

import builtins
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from support import own_folder, places
from support.places import ROOT, as_seen
from support.vocabulary import QUOTED, suggestion

_NOT_IN_MODULE = re.compile(r"cannot import name '(\w+)'")
_OURS = (ROOT / own_folder.STEPS, ROOT / "support", ROOT / "environment.py")


@dataclass(frozen=True)
class _Line:
    """A line of code; `file` is absolute."""

    file: Path
    number: int
    text: str


def in_report(path: Path) -> str:
    """A path as a report shows it: as the user reaches it, but what is in their own folder never without that folder.

    Where the program was started in that folder, a step file of theirs would look like one of the suite's.
    """
    own, whole = own_folder.given(), Path(os.path.abspath(path))
    if own is not None and whole.is_relative_to(own.directory) and places.STARTED_IN.is_relative_to(own.directory):
        return str(whole)
    return as_seen(whole)


def step_of(error: BaseException) -> str:
    """Where it last passed through a file of steps, ours or the user's: " at steps/count_steps.py:19"; or empty."""
    own = own_folder.given()
    line = _last(error, [ROOT / own_folder.STEPS, *([own.directory] if own else [])])
    return f" at {in_report(line.file)}:{line.number}" if line else ""


def told(error: BaseException) -> str:
    """An error while a step file or environment.py was loaded, in one line that begins with the file and the line:

        steps/room_steps.py:15: SyntaxError: invalid syntax, in `opened = 0 +`

    That is the last line in the user's own folder that the error passed through, or else the last in this project. If
    there is none, the place is left out.
    """
    words = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())
    what = f"{type(error).__name__}: {words}" if words else type(error).__name__
    line = _mistaken(error)
    if line is None:
        return f"{what}{_meant(error)}"
    source = f", in `{line.text}`" if line.text else ""
    return f"{as_seen(line.file)}:{line.number}: {what}{source}{_meant(error)}"


def _mistaken(error: BaseException) -> _Line | None:
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_file():
        return _Line(Path(os.path.abspath(error.filename)), error.lineno or 1, _in_one_line(error.text))
    own = own_folder.given()
    theirs = _last(error, [own.directory]) if own else None
    return theirs or _last(error, _OURS)


def _last(error: BaseException, folders: Iterable[Path]) -> _Line | None:
    """The last line that it passed through in these folders or files."""
    for call in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(os.path.abspath(call.filename))
        if any(_is_in(folder, file) for folder in folders):
            return _Line(file, call.lineno or 1, _in_one_line(call.line))
    return None


def _is_in(folder: Path, file: Path) -> bool:
    """Whether it is there, and not in an environment of Python that is there as well."""
    return file.is_relative_to(folder) and "site-packages" not in file.relative_to(folder).parts


def _in_one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _meant(error: BaseException) -> str:
    """The end of a message about a name that is not known: what may be meant."""
    match error:
        case NameError(name=str(name)):
            return suggestion(name, {*dir(builtins), *_names_where(error)}, QUOTED)
        case AttributeError(name=str(name), obj=owner):
            return suggestion(name, dir(owner), QUOTED)
        case ImportError(name=str(module)) if found := _NOT_IN_MODULE.match(str(error)):
            return suggestion(found[1], _names_in(module), QUOTED)
    return ""


def _names_where(error: BaseException) -> set[str]:
    """The names that were known where it was raised."""
    call = error.__traceback__
    while call is not None and call.tb_next is not None:
        call = call.tb_next
    return {*call.tb_frame.f_globals, *call.tb_frame.f_locals} if call is not None else set()


def _names_in(module: str) -> set[str]:
    """The names in a module that was imported; of a package also its modules."""
    there = sys.modules.get(module)
    inside = pkgutil.iter_modules(getattr(there, "__path__", ()))
    return {*(dir(there) if there else ()), *(one.name for one in inside)}
