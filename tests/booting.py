"""Marks what boots a server, a sandbox or the program, and finds the tests that need it. A quick run leaves these out.

`boots` marks a function or class that boots something. A test needs it if its own code names it, or one of its
fixtures, or a function of the test suite that these call.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar

Booting = TypeVar("Booting", bound=Callable[..., Any])
TESTS = str(Path(__file__).parent)
SERVERS = {"postgres", "initdb", "redis-server", "etcd", "haproxy", "patroni", "pgbouncer", "unshare", "setpriv"}


ASKED = {"--version", "-V", "-v", "-c", "-C", "--validate-config"}
"""Options with which a server prints its version or a parameter, or checks its configuration, and exits."""


class NotQuick(BaseException):
    """A test in a quick run boots something: mark what it calls with `boots`."""


def boots(function: Booting) -> Booting:
    """Mark a function or class that boots something."""
    function.boots = True  # type: ignore[attr-defined]
    return function


def is_booted_for(item: Any) -> bool:
    """Whether this test, a pytest.Function, reaches anything that boots."""
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    begin = [item.function, *(one.func for definitions in fixtures for one in definitions)]
    seen: set[int] = set()
    while begin:
        reached = begin.pop()
        if id(reached) in seen:
            continue
        seen.add(id(reached))
        if getattr(reached, "boots", False):
            return True
        begin += _used_by(reached)
    return False


def forbid() -> None:
    """From now on, booting anything from this process fails."""
    sys.addaudithook(refuse)


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "tests.sandbox":
        raise NotQuick("a sandbox is made")
    if event == "subprocess.Popen" and arguments[1]:
        program, *words = [os.path.basename(os.fsdecode(word)) for word in arguments[1]]
        if (program in SERVERS and not ASKED & {*words}) or "support.cli" in words:
            raise NotQuick(f"{program} is started")


def _used_by(reached: object) -> Iterator[object]:
    """What a function or class of the test suite refers to, as far as that is in the test suite as well."""
    if isinstance(reached, type):
        yield from (one for one in vars(reached).values() if isinstance(one, FunctionType))
        return
    function = getattr(reached, "__wrapped__", reached)
    function = getattr(function, "__func__", function)
    if not isinstance(function, FunctionType) or not _is_ours(function.__code__.co_filename):
        return
    names = set(_names(function.__code__))
    known = {**function.__globals__, **_enclosed(function)}
    for found in (known[name] for name in names if name in known):
        if isinstance(found, ModuleType):
            if _is_ours(getattr(found, "__file__", None) or ""):
                yield from (getattr(found, name) for name in names if hasattr(found, name))
        elif callable(found):
            yield found


def _names(code: CodeType) -> Iterator[str]:
    yield from (*code.co_names, *code.co_freevars)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _enclosed(function: FunctionType) -> dict[str, object]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in cells}


def _is_ours(file: str) -> bool:
    return file.startswith(TESTS)
